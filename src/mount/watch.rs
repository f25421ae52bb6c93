//! A mount that follows a name: waits for the next version and shows it.
//!
//! A connection of its own asks the node for a version other than the one that is shown, which the
//! node answers when there is one. A node that is gone is looked for again with pauses, and none is
//! started at once for it: somebody may be about to start one again. What goes wrong is told once and
//! tried again; meanwhile the mount shows the version that it has. A verb that happens to own the store
//! is not asked, since it stays for as long as somebody is connected.
//!
//! Every wait is bounded; it ends with the mount only.

use std::time::Duration;

use shoal_dag::Cid;
use shoal_fuse::SwitchError;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::{
    Told,
    link::{Link, exchange},
    source::{Place, Version},
};
use crate::control::{
    client::Client,
    protocol::{
        Failure, Outcome, Request, Wait,
        name::{NameRequest, Resolved},
    },
};

/// How long the watcher waits for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The node answers after this time whether there is another version or not.
    pub(super) wait: Duration,
    /// What a node that stands still may take beyond that.
    pub(super) guard: Duration,
    /// Least time between two questions that bring nothing new, and the first pause after a failure.
    pub(super) pause_min: Duration,
    /// The longest pause: it doubles with every failure.
    pub(super) pause_max: Duration,
    /// A node that is gone for longer is not coming back by itself.
    pub(super) revive: Duration,
}

/// The pace of a mount. A supervisor starts a peer again within seconds, so a pause of 15 s is the
/// longest that a version is late after that.
pub(super) const PACE: Pace = Pace {
    wait: Duration::from_secs(30),
    guard: Duration::from_secs(10),
    pause_min: Duration::from_secs(1),
    pause_max: Duration::from_secs(15),
    revive: Duration::from_secs(30),
};

/// Where versions are shown.
pub(super) trait Show: Send {
    /// Shows this instead of what is shown.
    ///
    /// # Errors
    /// It cannot be read, or the mount has ended.
    fn show(&mut self, place: Place) -> impl Future<Output = Result<(), SwitchError>> + Send;
}

/// Follows a name for a mount.
#[derive(Debug)]
pub(super) struct Watcher<'a, S> {
    /// The way to the node.
    pub(super) link: &'a Link,
    /// The version that is shown.
    pub(super) version: Version,
    /// The tree that is shown.
    pub(super) shown: Cid,
    /// Where.
    pub(super) show: S,
    /// Whom to tell.
    pub(super) tell: mpsc::Sender<Told>,
    /// How long a version may take to be found by the node.
    pub(super) wait: Wait,
    /// How long to wait for what.
    pub(super) pace: Pace,
}

/// Why nothing new is shown.
#[derive(Debug)]
enum Trouble {
    /// No node answers.
    Gone(String),
    /// The node says, or the new version is, something that a person should know.
    Said(Failure),
    /// The mount has ended.
    Ended,
}

/// The watcher's connection, and what it knows of the node.
#[derive(Debug, Default)]
struct Line {
    client: Option<Client>,
    gone_since: Option<Instant>,
    complained: Option<String>,
}

impl<S: Show> Watcher<'_, S> {
    /// Follows until the mount has ended.
    pub(super) async fn run(mut self) {
        let mut line = Line::default();
        let mut pause = self.pace.pause_min;
        loop {
            let began = Instant::now();
            match self.step(&mut line).await {
                Ok(true) => pause = self.pace.pause_min,
                Ok(false) => {
                    pause = self.pace.pause_min;
                    sleep(pause.saturating_sub(began.elapsed())).await;
                }
                Err(Trouble::Ended) => return,
                Err(trouble) => {
                    self.mind(&mut line, trouble).await;
                    sleep(pause).await;
                    pause = (pause * 2).min(self.pace.pause_max);
                }
            }
        }
    }

    /// Waits for another version and shows it; false when there was none.
    async fn step(&mut self, line: &mut Line) -> Result<bool, Trouble> {
        let resolved = self.ask(line).await?;
        let version = Version::of(&resolved, self.version.segments.clone());
        let warned = version.standing != self.version.standing;
        if version.content == self.version.content {
            self.version = version;
            line.complained = None;
            self.warn(warned).await;
            return Ok(false);
        }
        let late = |failure: Failure| {
            let text = format!("{} cannot be shown: {}", version.number, failure.message);
            Trouble::Said(Failure { message: text, ..failure })
        };
        let place = version.place(self.link, self.wait, &|_| {}).await.map_err(late)?;
        let cid = place.cid;
        match self.show.show(place).await {
            Ok(()) => {}
            Err(SwitchError::Ended) => return Err(Trouble::Ended),
            Err(error) => return Err(late(Failure::failed(super::chain(&error)))),
        }
        self.version = version;
        line.complained = None;
        if cid != self.shown {
            self.shown = cid;
            self.say(format!("now {}, {cid}", self.version.number)).await;
        }
        self.warn(warned).await;
        Ok(true)
    }

    /// Asks for a version other than the one that is shown.
    async fn ask(&self, line: &mut Line) -> Result<Box<Resolved>, Trouble> {
        let mut client = match line.client.take() {
            Some(client) => client,
            None => self.link.dial().await.map_err(|error| Trouble::Gone(error.to_string()))?,
        };
        let request = Request::Name(NameRequest::Watch {
            target: self.version.name.clone().into_bytes(),
            seen: Some(self.version.content.clone()),
            wait: Wait { idle_ms: self.pace.wait.as_millis() as u64 },
        });
        let longest = self.pace.wait + self.pace.guard;
        let answer = match timeout(longest, exchange(&mut client, &request, &|_| {}, &|_| {})).await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Trouble::Gone(error.to_string())),
            Err(_) => return Err(Trouble::Gone("the node says nothing".to_owned())),
        };
        line.client = Some(client);
        line.gone_since = None;
        match answer.map_err(Trouble::Said)?.outcome {
            Some(Outcome::Resolved(resolved)) => Ok(resolved),
            _ => Err(Trouble::Said(Failure::failed("the node answered something else"))),
        }
    }

    /// Tells what is wrong, once; starts a node when there has been none for long.
    async fn mind(&self, line: &mut Line, trouble: Trouble) {
        match trouble {
            Trouble::Ended => {}
            Trouble::Said(failure) => {
                let Version { called, number, .. } = &self.version;
                let text = format!("{called} stays at {number}: {}", failure.message);
                if line.complained.as_ref() != Some(&text) {
                    self.say(text.clone()).await;
                    line.complained = Some(text);
                }
            }
            Trouble::Gone(error) => {
                tracing::debug!(error, "no node to ask for new versions");
                let since = *line.gone_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= self.pace.revive {
                    line.gone_since = None;
                    self.link.revive().await;
                }
            }
        }
    }

    async fn warn(&self, wanted: bool) {
        if let Some(warning) = self.version.warning().filter(|_| wanted) {
            self.say(warning).await;
        }
    }

    /// Nobody hears it any more in the background.
    async fn say(&self, text: String) {
        let _unheard = self.tell.send(Told::Line(text)).await;
    }
}

#[cfg(test)]
mod tests;
