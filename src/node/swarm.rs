//! The swarm task: it owns the engine and the network, and nobody else touches them.
//!
//! Everything reaches it as a [`Command`] over a bounded queue or as an event of the network; it carries
//! the engine's actions out and publishes, per session, a [`View`] that those who wait can watch. The
//! network starts with the first miss, or at once for a running peer. There is no lock here: the task
//! ([`task`]) is the only owner of swarm state, and work on the disk goes to the blocking pool and
//! comes back as a message.

use std::{sync::Arc, time::Duration};

use shoal_dag::Cid;
use shoal_store::Store;
use shoal_swarm::{Place, SessionId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        Settings,
        bandwidth::{Rates, Timetable},
    },
    control::protocol::{Failure, PeerLine, dropped::DroppedLine},
    node::names::line::Line,
};

mod bandwidth;
mod candidates;
mod dropped;
mod exchange;
mod publish;
mod remembered;
mod search;
mod task;
mod view;

pub(crate) use task::keypair;

pub use view::{Search, View};

/// Commands that wait for the task; a requester then waits too.
const COMMANDS_MAX: usize = 256;

/// What others ask of the task.
#[derive(Debug)]
pub enum Command {
    /// Start the network; answers with the addresses that it listens on.
    Online(oneshot::Sender<Result<Vec<String>, Failure>>),
    /// Take part in the swarm of a root.
    Open {
        /// The root.
        root: Cid,
        /// Tell the DHT that we hold a part of it as soon as we do.
        announce: bool,
        /// The new session.
        reply: oneshot::Sender<(SessionId, watch::Receiver<View>)>,
    },
    /// End a session.
    Close(SessionId),
    /// Fetch a block or a tree.
    Want {
        /// For which session.
        session: SessionId,
        /// What.
        want: Box<Want>,
        /// Resolves when it is in the store; dropped when the session closes first.
        done: oneshot::Sender<()>,
    },
    /// Take a want back.
    Unwant(SessionId, Cid),
    /// Publish provider records for exactly these roots, besides those of open sessions.
    Announce(Vec<Cid>),
    /// Follow these limits from now on, if any are given, and tell which hold.
    Limit {
        /// The new limits.
        set: Option<Timetable>,
        /// What holds now, and by which timetable.
        reply: oneshot::Sender<(Rates, Timetable)>,
    },
    /// Tell about connections and counters.
    Report(oneshot::Sender<Report>),
    /// The counters of one session.
    Settle(SessionId, oneshot::Sender<View>),
}

/// A block or tree to fetch.
#[derive(Debug, Clone)]
pub struct Want {
    /// The block, or the top of the tree.
    pub cid: Cid,
    /// The branch that it hangs under, when known.
    pub under: Option<Cid>,
    /// Where its bytes lie in their file.
    pub place: Option<Place>,
    /// In how much time a reader needs it.
    pub within: Option<Duration>,
    /// Everything below it too.
    pub tree: bool,
}

/// State of the network, for `peers` and `status`.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Our peer id.
    pub peer: String,
    /// Addresses that we listen on, with our peer id.
    pub addresses: Vec<String>,
    /// Connected peers.
    pub peers: Vec<PeerLine>,
    /// Peers whose connections were ended here lately.
    pub dropped: Vec<DroppedLine>,
    /// Roots published.
    pub announced: u64,
    /// Roots still to be published.
    pub announce_queue: u64,
    /// Sessions open.
    pub sessions: u64,
    /// Bytes of blocks sent since start.
    pub sent: u64,
    /// Bytes of blocks received since start.
    pub received: u64,
    /// Faults of peers, by kind.
    pub violations: Vec<(String, u64)>,
}

/// A way to reach the task.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<bool>,
    pins_changed: Arc<tokio::sync::Notify>,
}

/// Starts the task.
pub fn start(
    settings: &Settings,
    store: Store,
    persistent: bool,
    names: Arc<Line>,
    stop: CancellationToken,
) -> Handle {
    let (commands, queue) = mpsc::channel(COMMANDS_MAX);
    let (end, ended) = watch::channel(false);
    let task = task::Task::new(settings.clone(), store, persistent, queue, names);
    tokio::spawn(async move {
        // Also when the task panics: a node without it would answer "try again" for ever.
        let stopping = stop.clone().drop_guard();
        task.run(stop).await;
        drop(stopping);
        let _nobody_waits = end.send(true);
    });
    Handle { commands, ended, pins_changed: Arc::default() }
}

impl Handle {
    /// Starts the network, if it is not up.
    ///
    /// # Errors
    /// The network cannot be started.
    pub async fn online(&self) -> Result<Vec<String>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Online(reply)).await;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Opens a session on the swarm of `root`.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn open(
        &self,
        root: Cid,
        announce: bool,
    ) -> Result<(SessionId, watch::Receiver<View>), Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Open { root, announce, reply }).await;
        answer.await.map_err(|_| stopping())
    }

    /// Sends a command; one that comes while the task ends is dropped with its reply.
    pub async fn tell(&self, command: Command) {
        let _stopping = self.commands.send(command).await;
    }

    /// Sends a command from where nothing can be awaited.
    pub fn tell_later(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) {
            let commands = self.commands.clone();
            tokio::spawn(async move {
                let _stopping = commands.send(command).await;
            });
        }
    }

    /// State of the network.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn report(&self) -> Result<Report, Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Report(reply)).await;
        answer.await.map_err(|_| stopping())
    }

    /// The bandwidth limits in force, after setting new ones if there are any.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn limit(&self, set: Option<Timetable>) -> Result<(Rates, Timetable), Failure> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::Limit { set, reply }).await;
        answer.await.map_err(|_| stopping())
    }

    /// Says that pins or other things to announce have changed.
    pub fn pins_changed(&self) {
        self.pins_changed.notify_one();
    }

    /// Resolves after [`Self::pins_changed`].
    pub async fn until_pins_change(&self) {
        self.pins_changed.notified().await;
    }

    /// Resolves when the task has closed the network.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ended = ended.wait_for(|ended| *ended).await;
    }
}

fn stopping() -> Failure {
    Failure::new(crate::exit::Exit::TryAgain, "the node is stopping")
}
