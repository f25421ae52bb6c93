//! The node: one process that owns a store and serves its control socket.
//!
//! It composes the packages and decides nothing that they decide. [`Node`] holds the store, the settings
//! and a handle to the swarm task; [`service`] turns requests into work:
//!
//! - [`add`] files to blocks; [`read`] paths, ranges and listings; [`get`] and [`export`] trees to disk;
//! - [`swarm`] the one task that owns the engine and the network, and [`sessions`] what a fetch sees of it;
//! - [`verify`] everything hashed again, and mended;
//! - [`gc`] what nothing needs is removed;
//! - [`blocks`] the store as the network sees it; [`sharing`] what is announced and served; [`records`] what
//!   the DHT is kept for;
//! - [`names`] ledgers: what is signed, followed, resolved and answered.
//!
//! Three kinds of task only: the swarm task, workers (`sharing`), and one task per connection, control
//! or network. Disk work of a request runs on the blocking pool. Shutdown: the token is cancelled, the
//! control socket removed, the network closed, the store's last entries written, within 2 s.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use shoal_store::{OpenError, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    control::{protocol::Failure, server, socket},
};

pub mod add;
pub mod attach;
pub mod blocks;
pub mod car;
pub mod directory;
pub mod export;
pub mod failure;
pub mod gc;
pub mod get;
pub mod names;
pub mod pin;
pub mod read;
pub mod rebase;
pub mod records;
pub mod remove;
pub mod seed;
pub mod service;
pub mod sessions;
pub mod sharing;
pub mod status;
pub mod swarm;
pub mod verify;

/// How long shutting down may take: then the process ends anyway, which loses nothing acknowledged.
const SHUT_DOWN_MAX: Duration = Duration::from_millis(1800);

/// The count of control connections of a node that takes no more.
pub const CLOSED: usize = usize::MAX;

/// What this process calls itself to those who find its store in use.
static CALLED: OnceLock<String> = OnceLock::new();

/// Says what this process calls itself, such as `shoal seed`. The first call counts.
pub fn call_this(command: String) {
    let _first = CALLED.set(command);
}

/// Why a node cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The store; [`OpenError::InUse`] means that another node owns it.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The control socket.
    #[error("cannot serve the control socket")]
    Socket(#[from] io::Error),
}

/// A store with its socket and its swarm task.
pub struct Node {
    settings: Settings,
    store: Store,
    persistent: bool,
    started: Instant,
    clients: watch::Sender<usize>,
    stop: CancellationToken,
    swarm: swarm::Handle,
    sessions: sessions::Sessions,
    branches: read::Branches,
    names: names::Names,
    rebase: rebase::Worker,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("dir", &self.settings.dir).finish_non_exhaustive()
    }
}

impl Node {
    /// Takes the store's lock and serves its control socket. No network yet: it starts with the first
    /// miss, or with [`Self::go_online`].
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn open(settings: &Settings, persistent: bool) -> Result<Arc<Self>, NodeError> {
        let options = shoal_store::Options {
            command: CALLED.get().cloned().unwrap_or_else(|| "shoal".to_owned()),
            ..shoal_store::Options::default()
        };
        let dir = settings.dir.clone();
        let store = blocking(move || Store::open(&dir, options)).await?;
        let listener = socket::bind(&settings.socket())?;
        let stop = CancellationToken::new();
        let names = names::Names::new(&store);
        let line = Arc::clone(names.line());
        let node = Arc::new(Self {
            swarm: swarm::start(settings, store.clone(), persistent, line, stop.clone()),
            settings: settings.clone(),
            names,
            store,
            persistent,
            started: Instant::now(),
            clients: watch::Sender::new(0),
            stop,
            sessions: sessions::Sessions::default(),
            branches: read::Branches::default(),
            rebase: rebase::Worker::default(),
        });
        tokio::spawn(server::accept(Arc::clone(&node), listener));
        tokio::spawn(names::follow::run(Arc::clone(&node)));
        tokio::spawn(rebase::run(Arc::clone(&node)));
        Ok(node)
    }

    /// Starts the network and what was remembered; the addresses that it listens on.
    ///
    /// # Errors
    /// The addresses cannot be listened on.
    pub async fn go_online(self: &Arc<Self>) -> Result<Vec<String>, Failure> {
        self.with_store(sharing::unshare::work).await?;
        let addresses = self.swarm.online().await?;
        if self.persistent {
            tokio::spawn(sharing::run(Arc::clone(self)));
            tokio::spawn(gc::run(Arc::clone(self)));
        }
        Ok(addresses)
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What the node was told.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The swarm task.
    pub const fn swarm(&self) -> &swarm::Handle {
        &self.swarm
    }

    /// The sessions that readers share.
    pub const fn sessions(&self) -> &sessions::Sessions {
        &self.sessions
    }

    /// Branches of files decoded lately.
    pub const fn branches(&self) -> &read::Branches {
        &self.branches
    }

    /// The names.
    pub const fn names(&self) -> &names::Names {
        &self.names
    }

    /// True for a running peer.
    pub const fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Time since it was opened.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The count of control connections, [`CLOSED`] once no more are taken.
    pub const fn clients(&self) -> &watch::Sender<usize> {
        &self.clients
    }

    /// The worker that makes newest versions whole.
    pub const fn rebase(&self) -> &rebase::Worker {
        &self.rebase
    }

    /// Whether the node is told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the node is told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Resolves when no control connection is left, and from then on takes none: a verb that comes now
    /// is turned away before it says anything, and takes the store over.
    pub async fn left_alone(&self) {
        let mut count = self.clients.subscribe();
        loop {
            // The reference holds the lock that the next line takes.
            drop(count.wait_for(|count| *count == 0).await);
            let closed = self.clients.send_if_modified(|count| {
                let alone = *count == 0;
                if alone {
                    *count = CLOSED;
                }
                alone
            });
            if closed {
                return;
            }
        }
    }

    /// Ends everything in order; see the module's first lines.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        // The socket goes first, so that a verb that comes now does not wait for an answer.
        let _missing = std::fs::remove_file(self.settings.socket());
        let closing = async {
            self.swarm.ended().await;
            let store = self.store.clone();
            if let Err(error) = blocking(move || store.checkpoint()).await {
                tracing::warn!(%error, "the store's last entries could not be written");
            }
        };
        if tokio::time::timeout(SHUT_DOWN_MAX, closing).await.is_err() {
            tracing::warn!("shutting down took too long; ending anyway");
        }
    }

    /// Runs disk work on the blocking pool.
    pub async fn with_store<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> T + Send + 'static,
    {
        let store = self.store.clone();
        blocking(move || work(&store)).await
    }
}

/// Runs `work` on the blocking pool; a panic there is a panic here.
pub(crate) async fn blocking<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody waits for the value any more.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Seconds since 1970; 0 where the clock is before.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
