//! How a verb comes to a node: by owning the store, or by attaching to who owns it.
//!
//! Whoever takes the store's lock serves the control socket, so that a later verb attaches instead of
//! failing. The owner is the verb's own process; when its own work is done it stays until its last
//! client has left ([`Attached::finish`]). When an owner dies, its clients come back here and one of
//! them takes the lock. A lock whose holder does not answer within [`ANSWER_WAIT_MAX`] is exit 11.

use std::time::Duration;

use crate::{
    config::Settings,
    control::{client::Client, protocol::Failure},
};

/// How long a verb waits for the holder of the lock to answer on the socket.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A verb with a node to speak to.
#[derive(Debug)]
pub struct Attached {
    /// The connection.
    pub client: Client,
}

impl Attached {
    /// True when this process owns the store.
    pub fn owns(&self) -> bool {
        false
    }

    /// Ends the verb's part: an owner stays until its last client has left, then closes the store.
    pub async fn finish(self) {}
}

/// Attaches to the owner of the store, or owns it.
///
/// # Errors
/// Ready to be told: exit 11 when the owner does not answer, 1 when the store cannot be opened.
pub async fn attach(_settings: &Settings) -> Result<Attached, Failure> {
    std::future::pending().await
}

/// Attaches to a running peer only.
///
/// # Errors
/// Exit 10 when there is none.
pub async fn running(_settings: &Settings) -> Result<Client, Failure> {
    std::future::pending().await
}

/// A running peer in this process (`seed`).
#[derive(Debug)]
pub struct Peer {
    /// A connection to itself, for what `seed` was given.
    pub client: Client,
    /// `MULTIADDR/p2p/PEERID` of every address it listens on.
    pub addresses: Vec<String>,
}

impl Peer {
    /// Serves until `stop` resolves, then closes everything within 2 s.
    pub async fn serve_until(self, _stop: impl Future<Output = ()>) {}
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
pub async fn seed(_settings: &Settings) -> Result<Seeding, Failure> {
    std::future::pending().await
}
