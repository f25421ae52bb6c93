//! What a node tells the network layer when it starts, with every default as a constant.
//!
//! Nothing here can be changed while it runs. Addresses are plain TCP multiaddresses with or
//! without a trailing `/p2p/<peer id>`; names (`/dns4`) are not resolved.

use std::io;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, TransportError};

use crate::providers::ProviderRecord;
use crate::questions::DEADLINE;

/// Connections held at once by default, in both directions together: design section 2, promise 7.
pub const CONNECTIONS_DEFAULT: u32 = 100;
/// The most that it may be raised to: four crowds of 64, and what a home router tracks at ease.
pub const CONNECTIONS_MAX: u32 = 256;
/// Connections to one peer: two are made when both dial at once, the rest is room for redials.
pub(crate) const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Connections being set up from outside; each costs a handshake of a few hundred microseconds.
pub(crate) const PENDING_INCOMING_MAX: u32 = 64;
/// Connections being set up by us; alpha 3 times the lookups that run at once, with room.
pub(crate) const PENDING_OUTGOING_MAX: u32 = 64;
/// Dials per second in the long run: no scan, and fifty times what a quiet node needs.
pub(crate) const DIALS_PER_SECOND_DEFAULT: u32 = 50;
/// Dials that may be made at once after a pause; one bootstrap of a table of 100 peers.
pub(crate) const DIAL_BURST_DEFAULT: u32 = 100;

/// Which network a node takes part in (design 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Starts from the addresses given, may dial whatever those peers tell, uses no mDNS.
    Isolated,
    /// As isolated, and finds peers on the local network by mDNS.
    Lan,
}

/// Bounds on connections and dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, in both directions; three quarters of them may be incoming.
    pub connections_max: u32,
    /// Dials per second in the long run.
    pub dials_per_second: u32,
    /// Dials at once after a pause.
    pub dial_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_DEFAULT,
            dials_per_second: DIALS_PER_SECOND_DEFAULT,
            dial_burst: DIAL_BURST_DEFAULT,
        }
    }
}

/// Everything [`crate::start`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's identity.
    pub keypair: Keypair,
    /// The network it takes part in.
    pub network: Network,
    /// Where it listens; port 0 lets the system choose. Empty: it only dials.
    pub listen: Vec<Multiaddr>,
    /// Peers to start from, dialled again (with growing pauses) while nobody is connected.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether it answers lookups and keeps provider records for others (DHT server mode).
    pub server: bool,
    /// One command's life: no walks to fill the routing table, only the lookups asked for.
    pub short_lived: bool,
    /// Bounds on connections and dials.
    pub limits: Limits,
    /// Provider records of others, as [`crate::NetEvent::ProviderRecord`] had given them out.
    pub records: Vec<ProviderRecord>,
    /// Value records of others, key and value, as [`crate::NetEvent::ValueRecord`] had given them
    /// out.
    pub values: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the native protocol is spoken. Without it a node is one more Bitswap peer: how tests
    /// have two of our nodes speak Bitswap with each other.
    #[doc(hidden)]
    pub native: bool,
    /// How long a question and its answer may take; tests make it short.
    #[doc(hidden)]
    pub question_deadline: Duration,
}

impl Config {
    /// A node of its own: listens nowhere, knows nobody, answers lookups.
    pub fn new(keypair: Keypair, network: Network) -> Self {
        Self {
            keypair,
            network,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            server: true,
            short_lived: false,
            limits: Limits::default(),
            records: Vec::new(),
            values: Vec::new(),
            native: true,
            question_deadline: DEADLINE,
        }
    }
}

/// What the transport said: the operating system's refusal is only the source of its error, which shows
/// nothing itself.
fn why(error: &TransportError<io::Error>) -> String {
    match error {
        TransportError::Other(refused) => refused.to_string(),
        error @ TransportError::MultiaddrNotSupported(_) => error.to_string(),
    }
}

/// The network layer could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// An address cannot be listened on: taken, not ours, or not TCP. The user chooses another.
    #[error("failed to listen on {addr}: {}", why(source))]
    Listen {
        /// The address.
        addr: Multiaddr,
        /// What the transport said.
        source: TransportError<io::Error>,
    },
    /// The TLS certificate of this run or the transport could not be made.
    #[error("failed to set up the transport: {0}")]
    Transport(String),
    /// mDNS could not be started (no usable interface).
    #[error("failed to start mDNS: {0}")]
    Mdns(io::Error),
}
