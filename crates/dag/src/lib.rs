//! Turns bytes into CIDs, blocks and trees, and back.
//!
//! The package is pure: no clock, no randomness, no file, no socket, no task. It owns the formats
//! that decide a CID: the hash and CID rules ([`hash`]), the text of CIDs and paths ([`path`]),
//! dag-pb ([`pb`]), UnixFS ([`unixfs`], [`node`]), the profiles ([`profile`]), the chunkers
//! ([`chunk`]), the tree builders ([`build`]) and the walks over trees ([`walk`]).
//!
//! Invariants: what a profile makes of given bytes never changes (vectors in `tests/` freeze it);
//! no decoder panics or allocates by a length that a stranger declared; every walk has a budget.
//!
//! It does not keep blocks, fetch them, or know files on disk.
//! Specifications: multiformats CID, ipld dag-pb, ipfs UnixFS 1.5 and IPIP-0499.
#![forbid(unsafe_code)]

pub mod build;
pub mod chunk;
pub mod hash;
pub mod name;
pub mod node;
pub mod path;
pub mod pb;
pub mod profile;
pub mod unixfs;
pub mod walk;
mod wire;

pub use bytes::Bytes;
pub use cid::{Cid, Version};

pub use crate::node::Node;
pub use crate::profile::Profile;
pub use crate::unixfs::{Metadata, Mtime};
pub use crate::wire::WireError;

/// Largest block that is made, kept, served or accepted: the limit that Bitswap peers share
/// (kubo since 0.40).
pub const BLOCK_BYTES_MAX: usize = 2 << 20;

/// Bytes together with the CID that they have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Address of `data`.
    pub cid: Cid,
    /// The bytes, at most [`BLOCK_BYTES_MAX`].
    pub data: Bytes,
}
