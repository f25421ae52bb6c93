//! The mount's connections to the node.
//!
//! A pool of control connections, one request on each at a time, so that many reads wait side by side.
//! When the node is gone a call connects again until its deadline; with no running peer there, one is
//! started as a child process, and again if it dies. The child ends with the mount. A verb that happens
//! to own the store is asked too, but never kept from ending: its connections are not pooled, and the
//! child takes over from it.

use std::{
    io::ErrorKind,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::node::{ChildNode, State};
use crate::{
    config::Settings,
    control::{
        client::{Answer, Client, ClientError},
        protocol::{Failure, Listed, Outcome, Request, Response},
    },
    exit::Exit,
};

/// Idle connections kept: as many as the mount has workers that wait for the node.
const IDLE_MAX: usize = 32;

/// How long a call tries to reach a node that is gone: a peer that is started again by a supervisor
/// needs a few seconds, and an application should not be told EIO for it. Counted from when it went.
const REACH_MAX: Duration = Duration::from_secs(10);

/// How long a node may take to welcome a connection; then another try is made.
const WELCOME_MAX: Duration = Duration::from_secs(2);

/// Nodes that one call outlives: one more may be dying of that very call.
const DEATHS_MAX: u32 = 3;

/// Pause between two tries to connect.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Least time between two starts of a child.
const START_EVERY: Duration = Duration::from_secs(2);

/// A way to the node.
#[derive(Debug)]
pub(super) struct Link {
    settings: Settings,
    idle: Mutex<Vec<Client>>,
    node: tokio::sync::Mutex<Started>,
}

#[derive(Debug, Default)]
struct Started {
    child: Option<ChildNode>,
    at: Option<Instant>,
}

/// Everything that came before the end of an answer.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Data frames, joined.
    pub(super) data: Bytes,
    /// The end.
    pub(super) outcome: Option<Outcome>,
}

impl Link {
    /// Not connected yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, idle: Mutex::default(), node: tokio::sync::Mutex::default() }
    }

    /// Asks and returns the outcome alone; `tell` hears what is waited for.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn ask(
        &self,
        request: &Request,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<Outcome, Failure> {
        let answered = self.call_telling(request, tell, &|_| {}).await?;
        answered.outcome.ok_or_else(|| Failure::failed("the node said nothing"))
    }

    /// Asks; a node that goes away in the middle is asked again when it is back.
    ///
    /// # Errors
    /// The node's failure; exit 10 when no node can be reached.
    pub(super) async fn call(&self, request: &Request) -> Result<Answered, Failure> {
        self.call_telling(request, &|_| {}, &|_| {}).await
    }

    /// Asks for entries of a directory, which are taken as they come. When the node goes away in the
    /// middle, some come again.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn call_listing(
        &self,
        request: &Request,
        take: &(dyn Fn(Vec<Listed>) + Sync),
    ) -> Result<Outcome, Failure> {
        let answered = self.call_telling(request, &|_| {}, take).await?;
        answered.outcome.ok_or_else(|| Failure::failed("the node said nothing"))
    }

    async fn call_telling(
        &self,
        request: &Request,
        tell: &(dyn Fn(String) + Sync),
        take: &(dyn Fn(Vec<Listed>) + Sync),
    ) -> Result<Answered, Failure> {
        let mut until = Instant::now() + REACH_MAX;
        let mut deaths = 0;
        loop {
            let mut client = match self.take() {
                Some(client) => client,
                None => self.connect(until).await?,
            };
            let error = match exchange(&mut client, request, tell, take).await {
                // Said by a node that is about to go.
                Ok(Err(failure)) if failure.exit == Exit::TryAgain && deaths < DEATHS_MAX => {
                    tokio::time::sleep(TRY_EVERY).await;
                    failure.message
                }
                Ok(answer) => {
                    self.put_back(client);
                    return answer;
                }
                Err(ClientError::Gone(error)) if deaths < DEATHS_MAX => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            tracing::debug!(error, "the node is gone; connecting again");
            deaths += 1;
            until = Instant::now() + REACH_MAX;
            self.forget_idle();
        }
    }

    fn take(&self) -> Option<Client> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, client: Client) {
        if !client.welcome().persistent {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }

    /// Connections to a node that is gone are gone with it.
    fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn connect(&self, until: Instant) -> Result<Client, Failure> {
        let socket = self.settings.socket();
        let mut failure = None;
        loop {
            let welcomed = tokio::time::timeout(WELCOME_MAX, Client::connect(&socket)).await;
            let error = match welcomed {
                Ok(Ok(client)) => {
                    if !client.welcome().persistent {
                        self.start_node().await?;
                    }
                    return Ok(client);
                }
                Ok(Err(ClientError::Gone(error))) => error.to_string(),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => "it says nothing".to_owned(),
            };
            if let Some(failure) = failure {
                return Err(failure);
            }
            // A child that found another peer on the store has failed too: one more try tells.
            failure = self.start_node().await?;
            if Instant::now() >= until {
                let text = format!("no node answers on {}: {error}", self.settings.dir.display());
                return Err(Failure::new(Exit::NoPeer, text));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Starts a node as a child, if none that this mount started is running; or says why the one that
    /// it started could not go on.
    async fn start_node(&self) -> Result<Option<Failure>, Failure> {
        let mut started = self.node.lock().await;
        if let Some(child) = &mut started.child {
            match child.state().await {
                State::Runs => return Ok(None),
                State::Ended => started.child = None,
                State::Failed(failure) => {
                    started.child = None;
                    return Ok(Some(failure));
                }
            }
        }
        if started.at.is_some_and(|at| at.elapsed() < START_EVERY) {
            return Ok(None);
        }
        started.at = Some(Instant::now());
        started.child = Some(ChildNode::start(&self.settings)?);
        Ok(None)
    }

    /// A connection beside the pool to a running peer, for a question that may take long. None is
    /// started for it, and a verb that owns the store is not kept.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when there is none, or it does not welcome in time.
    pub(super) async fn dial(&self) -> Result<Client, ClientError> {
        let socket = self.settings.socket();
        let welcomed = tokio::time::timeout(WELCOME_MAX, Client::connect(&socket));
        let client = welcomed.await.map_err(|_| std::io::Error::from(ErrorKind::TimedOut))??;
        if !client.welcome().persistent {
            return Err(std::io::Error::other("a verb owns the store").into());
        }
        Ok(client)
    }

    /// Starts a node if this mount has none that runs; what goes wrong shows at the next call.
    pub(super) async fn revive(&self) {
        match self.start_node().await {
            Ok(None) => {}
            Ok(Some(failure)) | Err(failure) => {
                tracing::debug!(error = failure.message, "no node could be started");
            }
        }
    }

    /// Ends the node that this mount started, if it did.
    pub(super) async fn close(&self) {
        self.forget_idle();
        let child = self.node.lock().await.child.take();
        if let Some(child) = child {
            child.end().await;
        }
    }
}

/// One question and its answer on a connection, which is of no use when this was dropped before its
/// end.
///
/// # Errors
/// The node went away, or what it said is a failure.
pub(super) async fn exchange(
    client: &mut Client,
    request: &Request,
    tell: &(dyn Fn(String) + Sync),
    take: &(dyn Fn(Vec<Listed>) + Sync),
) -> Result<Result<Answered, Failure>, ClientError> {
    client.send(request).await?;
    let mut answered = Answered::default();
    let mut parts: Vec<Bytes> = Vec::new();
    loop {
        match client.next().await? {
            Answer::Data(data) => parts.push(data),
            Answer::Response(Response::Listed(listed)) => take(listed),
            Answer::Response(Response::Done(outcome)) => {
                answered.outcome = Some(outcome);
                answered.data = join(parts);
                return Ok(Ok(answered));
            }
            Answer::Response(Response::Failed(failure)) => return Ok(Err(failure)),
            Answer::Response(Response::Phase(phase)) => tell(phase.text),
            Answer::Response(_) => {}
        }
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
        for part in parts {
            all.extend_from_slice(&part);
        }
        all.freeze()
    }
}
