//! The trait by which blocks enter and leave the network without this crate knowing the store.
//!
//! The node implements it over the store. Its methods are called in the task that owns a peer's
//! stream, so that a block makes no hop between tasks: they may do local disk I/O that is served
//! by the page cache, and must not wait for the network or for a person.

use bytes::Bytes;
use shoal_dag::Cid;
use shoal_swarm::Place;

#[cfg(test)]
pub(crate) mod memory;

/// Where a peer's stream gets the blocks that it serves and puts those that it received.
pub trait Blocks: Send + Sync + 'static {
    /// Reads the block of `cid` to be sent to a peer.
    ///
    /// With `cached_ok` any block that is here may leave; without it only one that the user gave
    /// to the network. What is returned as found has been checked against its CID on this read.
    fn read(&self, cid: &Cid, cached_ok: bool) -> BlockRead;

    /// The length of this block, if it is here and the user gave it to the network. For those
    /// who ask what is here: nothing is read, so it may be slightly out of date. Where it is not
    /// defined, Bitswap peers are given only what the engine knows to be fetched.
    fn public_len(&self, _cid: &Cid) -> Option<u32> {
        None
    }

    /// Keeps `data`, which has been verified against `cid`.
    ///
    /// `data` may be a view of a larger receive buffer (up to 4 MiB): who wants to hold on to it
    /// copies it.
    fn keep(&self, cid: &Cid, place: Option<&Place>, data: Bytes) -> Result<(), KeepError>;
}

/// Outcome of reading a block that is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockRead {
    /// The block, verified.
    Found(Bytes),
    /// It is not here, or may not leave.
    Absent,
    /// It is here and its bytes do not match its CID. The peer is told that it is absent.
    Corrupt,
}

/// The store could not keep a block; the world's fault (full disk, I/O), not the peer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to keep a block: {reason}")]
pub struct KeepError {
    /// What the store said.
    pub reason: String,
}
