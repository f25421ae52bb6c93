//! What a verb runs in: its settings, its console, and the node that it speaks to.
//!
//! The node is found at the first exchange and kept for the next ones. When it dies, another is
//! found, or this process becomes it, and the exchange goes on. At the end standard output is closed
//! before an owner stays for its clients.

use std::time::Duration;

use super::{
    args::{Globals, Verb},
    converse::{Console, Exchange, Stop, converse},
    input::Input,
    json,
    output::Output,
    report::{End, Report},
    talk::Talk,
};
use crate::{
    config::Settings,
    control::{
        client::Client,
        protocol::{Failure, Outcome, Wait},
    },
    exit::Exit,
    node::attach::{self, Attached},
};

/// Most nodes that a verb outlives: dying ones that come and go faster are a fault to be told.
const NODES_MAX: u32 = 5;

/// An owner that stays longer for its clients says so.
const STAY_QUIETLY: Duration = Duration::from_millis(1500);

/// What a verb runs in.
#[derive(Debug)]
pub(crate) struct Context {
    /// What the node is told.
    pub(crate) settings: Settings,
    /// How long the node may wait.
    pub(crate) wait: Wait,
    /// The umask that the process was started with.
    pub(crate) umask: u32,
    /// Where it prints.
    pub(crate) console: Console,
    outcome_aside: bool,
    json: bool,
    resumes: bool,
    attached: Option<Attached>,
}

impl Context {
    /// The context of `verb`.
    pub(crate) fn new(globals: &Globals, verb: &Verb) -> Result<Self, Failure> {
        let settings = globals.settings()?;
        let mut talk = Talk::new(globals);
        talk.count_as(verb.label());
        let json_lines = globals.json && !verb.writes_bytes();
        Ok(Self {
            settings,
            wait: globals.wait(),
            umask: umask(),
            console: Console { output: Output::standard(json_lines)?, talk },
            outcome_aside: verb.writes_bytes(),
            json: globals.json,
            resumes: verb.resumes(),
            attached: None,
        })
    }

    /// Asks the node that owns the store, becoming it if there is none.
    pub(crate) async fn ask(&mut self, exchange: &mut impl Exchange) -> Result<Outcome, End> {
        let mut input = None;
        for _ in 0..NODES_MAX {
            if exchange.reopens_input() {
                input = None;
            }
            if exchange.wants_input() && input.is_none() {
                input = Some(exchange.open_input()?);
            }
            // It stays in its place meanwhile: who is interrupted still has it to close.
            let attached = match &mut self.attached {
                Some(attached) => attached,
                none => none.insert(attach(&self.settings, &mut self.console).await?),
            };
            let input_now = input.as_mut().filter(|_| exchange.wants_input());
            let ended =
                converse(&mut attached.client, exchange, input_now, &mut self.console).await;
            let gone = match ended {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::End(end)) => return Err(end),
                Err(Stop::Gone(error)) => error,
            };
            self.attached = None;
            tracing::debug!(error = %gone, "the node is gone");
            if exchange.reopens_input() {
                input = None;
            }
            if exchange.wants_input() && input.as_ref().is_some_and(Input::begun) {
                return Err(lost_input().into());
            }
            exchange.restart();
            self.console.talk.note("the process that owned the store ended; going on without it");
        }
        let text =
            format!("{NODES_MAX} processes that owned the store ended in the middle of this");
        Err(Failure::new(Exit::TryAgain, text).hint("run it again; what was done is kept").into())
    }

    /// Asks a running peer, not becoming one.
    pub(crate) async fn ask_running(
        &mut self,
        exchange: &mut impl Exchange,
    ) -> Result<Outcome, End> {
        let finding = attach::running(&self.settings);
        let text = "waiting for the running peer to answer";
        let mut client = self.console.talk.while_waiting(text, finding).await?;
        self.ask_client(&mut client, exchange).await
    }

    /// Asks over a connection that is not renewed.
    pub(crate) async fn ask_client(
        &mut self,
        client: &mut Client,
        exchange: &mut impl Exchange,
    ) -> Result<Outcome, End> {
        match converse(client, exchange, None, &mut self.console).await {
            Ok(outcome) => Ok(outcome),
            Err(Stop::End(end)) => Err(end),
            Err(Stop::Gone(error)) => Err(Failure::from(error).into()),
        }
    }

    /// True when the node that was asked stays after this process: a running peer.
    pub(crate) fn has_running_peer(&self) -> bool {
        self.attached.as_ref().is_some_and(|attached| attached.client.welcome().persistent)
    }

    /// Tells how it ended, closes standard output, and stays for clients until `stop`.
    pub(crate) async fn conclude(
        mut self,
        result: Result<Report, End>,
        stop: impl Future<Output = ()>,
    ) -> Exit {
        let mut exit = self.tell(result).await;
        if let Err(End::Failed(failure)) = self.console.output.close().await {
            self.console.talk.failure(&failure);
            exit = if exit == Exit::Done { failure.exit } else { exit };
        }
        if let Some(attached) = self.attached.take() {
            tokio::select! {
                () = attached.finish_until(stop) => {}
                () = self.say_that_it_stays() => {}
            }
        }
        exit
    }

    async fn say_that_it_stays(&mut self) {
        tokio::time::sleep(STAY_QUIETLY).await;
        self.console.talk.note("done; staying for other commands that use this store");
        std::future::pending::<()>().await;
    }

    /// Ends at once: what was half done is picked up by the next run.
    pub(crate) async fn interrupted(mut self) -> Exit {
        let mut failure = Failure::new(Exit::Interrupted, "interrupted");
        if self.resumes {
            failure = failure.hint("run it again: it goes on where it stopped");
        }
        let exit = self.tell(Err(failure.into())).await;
        let attached = self.attached.take();
        let abandon = async {
            if let Some(attached) = attached {
                attached.abandon().await;
            }
        };
        // A reader of standard output that stands still must not hold up the node's end.
        let ((), _unread) = tokio::join!(abandon, self.console.output.flush());
        exit
    }

    async fn tell(&mut self, result: Result<Report, End>) -> Exit {
        self.console.talk.end();
        let report = match result {
            Ok(report) => report,
            Err(End::Failed(failure)) => Report::failed(failure),
            Err(End::PipeClosed) => return Exit::Done,
        };
        if let Some(failure) = &report.failure {
            self.console.talk.failure(failure);
        }
        if self.json {
            let line = json::outcome(&report);
            if self.outcome_aside {
                self.console.talk.raw(&line);
            } else if let Err(End::Failed(failure)) = self.console.output.raw(&line).await {
                self.console.talk.failure(&failure);
            }
        }
        report.exit()
    }
}

async fn attach(settings: &Settings, console: &mut Console) -> Result<Attached, Failure> {
    let text = format!("waiting for the store {}", settings.dir.display());
    console.talk.while_waiting(&text, attach::attach(settings)).await
}

fn lost_input() -> Failure {
    Failure::new(
        Exit::TryAgain,
        "the process that owned the store ended before standard input was read to its end",
    )
    .hint("run it again from the beginning of the input")
}

/// The process's umask can only be read by setting it.
fn umask() -> u32 {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    umask.bits()
}
