//! Figures that the node shows: progress of a session, and what is known of a peer.
//!
//! Plain copies taken on request; nothing is decided from them.

use std::time::Duration;

use crate::{PeerNo, ViolationKind};

/// How far a session is. Sessions of the same root share a swarm. Counted from the session's
/// [`Event::Open`](crate::Event::Open): what was received, arrived again and was sent, whichever
/// session wanted it. The rest says how the swarm stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of verified blocks that arrived and were wanted.
    pub bytes_received: u64,
    /// Their number.
    pub blocks_received: u64,
    /// Blocks that were in the store already, as far as the walk came.
    pub blocks_present: u64,
    /// Blocks that arrived again.
    pub duplicates: u64,
    /// Their bytes.
    pub duplicate_bytes: u64,
    /// Bytes received from each peer that gave any, by peer number; of peers that are gone too, until
    /// the session closes, within [`GIVERS_MAX`](crate::limits::GIVERS_MAX) (those gone that gave
    /// least are dropped first).
    pub per_peer: Vec<(PeerNo, u64)>,
    /// Connected peers that take part in the swarm.
    pub peers_joined: u32,
    /// Those that hold everything.
    pub peers_with_all: u32,
    /// Blocks asked for and not received.
    pub outstanding: u32,
    /// Their expected bytes.
    pub outstanding_bytes: u64,
    /// Blocks that the walk has seen so far.
    pub known_blocks: u64,
    /// Blocks known to be missing and asked of nobody.
    pub missing: u32,
    /// Cumulative size of the root as its own block tells it; 0 until that is known. A hint.
    pub size_hint: u64,
    /// Bytes sent to peers of this swarm.
    pub bytes_sent: u64,
    /// Whether every tree want is satisfied.
    pub complete: bool,
}

/// What is known of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Verified, wanted bytes that it gave.
    pub bytes_received: u64,
    /// Bytes that it was given.
    pub bytes_sent: u64,
    /// Blocks asked of it and not received.
    pub outstanding: u32,
    /// Its requests that wait here.
    pub queued: u32,
    /// Bytes per second that it delivers, over the last window in which it was asked.
    pub rate: u64,
    /// Least time between an ask and its block, if measured.
    pub latency: Option<Duration>,
    /// Swarms that it takes part in.
    pub swarms: u32,
    /// Violations by kind.
    pub violations: Vec<(ViolationKind, u32)>,
    /// What they weigh together; the connection ends at [`POINTS_MAX`](crate::limits::POINTS_MAX).
    pub points: u32,
}
