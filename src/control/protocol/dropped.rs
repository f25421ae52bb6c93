//! What `peers` says of those that are not connected any more.
//!
//! Part of the answer to `Peers`: the node ended these connections, for what the peer did or for room.
//! The list is bounded by the node.

use serde::{Deserialize, Serialize};

/// A peer whose connection was ended by the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedLine {
    /// Peer id.
    pub peer: String,
    /// The address that it had.
    pub address: String,
    /// Agent it named, if any.
    pub agent: String,
    /// When, in seconds since 1970.
    pub at_unix_s: u64,
    /// Why, in words.
    pub reason: String,
    /// What it did wrong by then, weighed.
    pub points: u32,
    /// The same by kind.
    pub violations: Vec<(String, u64)>,
}
