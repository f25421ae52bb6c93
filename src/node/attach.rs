//! How a verb comes to a node: by owning the store, or by attaching to who owns it.
//!
//! Whoever takes the store's lock serves the control socket, so that a later verb attaches instead of
//! failing. The owner is the verb's own process; when its own work is done it stays until its last
//! client has left ([`Attached::finish_until`]). When an owner dies, its clients come back here and one of
//! them takes the lock. A lock whose holder does not answer within [`ANSWER_WAIT_MAX`] is exit 11.

use std::{sync::Arc, time::Duration};

use shoal_store::{Holder, OpenError, Store};
use tokio::{net::UnixStream, time::Instant};

use super::Node;
use crate::{
    config::Settings,
    control::{
        client::{Client, ClientError},
        protocol::Failure,
        server,
    },
    exit::Exit,
};

/// How long a verb waits for the holder of the lock to answer on the socket. An owner that starts
/// needs milliseconds between the lock and the socket; one that ends needs up to 2 s.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Pause between two looks at a lock that somebody else holds: there is no event to await.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A verb with a node to speak to.
#[derive(Debug)]
pub struct Attached {
    /// The connection.
    pub client: Client,
    node: Option<Arc<Node>>,
}

impl Attached {
    /// True when this process owns the store.
    pub fn owns(&self) -> bool {
        self.node.is_some()
    }

    /// Ends the verb's part: an owner stays until its last client has left or `stop` resolves, then
    /// closes the store.
    pub async fn finish_until(self, stop: impl Future<Output = ()>) {
        let Self { client, node } = self;
        drop(client);
        if let Some(node) = node {
            tokio::select! {
                () = node.left_alone() => {}
                () = stop => {}
            }
            node.shut_down().await;
        }
    }

    /// Ends at once, for a verb that was interrupted: clients that are left take the store over.
    pub async fn abandon(self) {
        let Self { client, node } = self;
        drop(client);
        if let Some(node) = node {
            node.shut_down().await;
        }
    }
}

/// Attaches to the owner of the store, or owns it.
///
/// # Errors
/// Ready to be told: exit 11 when the owner does not answer, 1 when the store cannot be opened.
pub async fn attach(settings: &Settings) -> Result<Attached, Failure> {
    let until = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        let holder = match own(settings, false).await? {
            Owned::Here(node) => {
                let client = connect_within(&node).await?;
                return Ok(Attached { client, node: Some(node) });
            }
            Owned::Elsewhere(holder) => holder,
        };
        if let Knock::Answered(client) = knock(settings, until).await? {
            return Ok(Attached { client, node: None });
        }
        if Instant::now() >= until {
            return Err(Failure::open(&settings.dir, holder));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Attaches to a running peer only.
///
/// # Errors
/// Exit 10 when there is none, 11 when the owner of the store does not answer.
pub async fn running(settings: &Settings) -> Result<Client, Failure> {
    let until = Instant::now() + ANSWER_WAIT_MAX;
    match knock(settings, until).await? {
        Knock::Answered(client) if client.welcome().persistent => return Ok(client),
        Knock::Silence => {
            if let Some(Holder { pid, command }) = Store::holder(&settings.dir) {
                return Err(Failure::open(&settings.dir, OpenError::InUse { pid, command }));
            }
        }
        Knock::Answered(_) | Knock::Nobody => {}
    }
    let text = format!("no running peer on {}", settings.dir.display());
    Err(Failure::new(Exit::NoPeer, text).hint("start one with: shoal seed"))
}

/// A running peer in this process (`seed`).
#[derive(Debug)]
pub struct Peer {
    /// A connection to itself, for what `seed` was given.
    pub client: Client,
    /// `MULTIADDR/p2p/PEERID` of every address it listens on.
    pub addresses: Vec<String>,
    node: Arc<Node>,
}

impl Peer {
    /// Serves until `stop` resolves, then closes everything within 2 s.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        drop(self.client);
        self.node.shut_down().await;
    }
}

/// What `seed` found.
#[derive(Debug)]
pub enum Seeding {
    /// This process is now the running peer; it listens and can answer.
    Here(Peer),
    /// Another process is.
    Elsewhere(Client),
}

/// Becomes the running peer, or finds the one that there is; waits for a short-lived owner to leave.
///
/// # Errors
/// As [`attach`].
pub async fn seed(settings: &Settings) -> Result<Seeding, Failure> {
    let mut until = Instant::now() + ANSWER_WAIT_MAX;
    loop {
        let holder = match own(settings, true).await? {
            Owned::Here(node) => {
                let addresses = node.go_online().await?;
                let client = connect_within(&node).await?;
                return Ok(Seeding::Here(Peer { client, addresses, node }));
            }
            Owned::Elsewhere(holder) => holder,
        };
        match knock(settings, until).await? {
            Knock::Answered(client) if client.welcome().persistent => {
                return Ok(Seeding::Elsewhere(client));
            }
            // A verb that owns the store for a while answers: it will leave.
            Knock::Answered(_) => until = Instant::now() + ANSWER_WAIT_MAX,
            _ if Instant::now() >= until => return Err(Failure::open(&settings.dir, holder)),
            _ => {}
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

enum Owned {
    Here(Arc<Node>),
    Elsewhere(OpenError),
}

async fn own(settings: &Settings, persistent: bool) -> Result<Owned, Failure> {
    match Node::open(settings, persistent).await {
        Ok(node) => Ok(Owned::Here(node)),
        Err(super::NodeError::Store(holder @ OpenError::InUse { .. })) => {
            Ok(Owned::Elsewhere(holder))
        }
        Err(super::NodeError::Store(error)) => Err(Failure::open(&settings.dir, error)),
        Err(super::NodeError::Socket(error)) => {
            Err(Failure::io("serve the control socket", &settings.socket(), &error))
        }
    }
}

/// What came of a knock.
enum Knock {
    /// A node is there.
    Answered(Client),
    /// Nobody listens on the socket.
    Nobody,
    /// Somebody listens and says nothing: stopped, or busy for too long.
    Silence,
}

/// Connects to the socket of who owns the store, waiting for an answer until then.
async fn knock(settings: &Settings, until: Instant) -> Result<Knock, Failure> {
    use std::io::ErrorKind::{PermissionDenied, WouldBlock};
    match tokio::time::timeout_at(until, Client::connect(&settings.socket())).await {
        Ok(Ok(client)) => Ok(Knock::Answered(client)),
        Ok(Err(ClientError::Gone(error))) if error.kind() == PermissionDenied => {
            Err(Failure::io("attach to the node at", &settings.socket(), &error)
                .hint("the node belongs to another user"))
        }
        // So many wait already that the queue of the socket is full.
        Ok(Err(ClientError::Gone(error))) if error.kind() == WouldBlock => Ok(Knock::Silence),
        Ok(Err(ClientError::Gone(_))) => Ok(Knock::Nobody),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Ok(Knock::Silence),
    }
}

async fn connect_within(node: &Arc<Node>) -> Result<Client, Failure> {
    let (ours, theirs) = UnixStream::pair()
        .map_err(|error| Failure::failed(format!("cannot make a socket pair: {error}")))?;
    tokio::spawn(server::serve(Arc::clone(node), theirs));
    Ok(Client::over(ours).await?)
}
