//! Turns bytes into CIDs, blocks and trees, and back.
//!
//! The package is pure: no clock, no randomness, no file, no socket, no task. It owns the formats
//! that decide a CID: the hash and CID rules ([`hash`]), the text of CIDs and paths ([`path`]),
//! dag-pb ([`pb`]), the links of dag-cbor ([`cbor`]), UnixFS ([`unixfs`], [`node`], [`hamt`]), the
//! profiles ([`profile`]), the chunkers ([`chunk`]), the tree builders ([`build`]), the walks over
//! trees ([`walk`]) and CAR ([`car`]).
//!
//! Invariants: what a profile makes of given bytes never changes (vectors in `tests/` freeze it);
//! no decoder panics or allocates by a length that a stranger declared; every walk has a budget.
//!
//! It does not keep blocks, fetch them, or know files on disk.
//! Specifications: multiformats CID, ipld dag-pb, ipfs UnixFS 1.5 and IPIP-0499,
//! ipld CAR v1 and v2.
//!
//! A file there and back:
//!
//! ```
//! use std::collections::HashMap;
//!
//! use shoal_dag::build::{FileBuilder, LeafBlock, leaf};
//! use shoal_dag::chunk::Chunker;
//! use shoal_dag::walk::{Budget, FileWalk, Step};
//! use shoal_dag::{Bytes, Metadata, Profile};
//!
//! let content = vec![7; 1_000_000];
//! let (mut blocks, mut out) = (HashMap::new(), Vec::new());
//! let mut builder = FileBuilder::new(Profile::Shoal, Metadata::NONE);
//! let mut chunker = Chunker::new(&Profile::Shoal);
//! let mut rest = &content[..];
//! while let Some(len) = chunker.cut(rest, true) {
//!     let leaf = leaf(builder.leaf_form(), &rest[..len]);
//!     let block = match &leaf.block {
//!         LeafBlock::Raw => Bytes::copy_from_slice(&rest[..len]),
//!         LeafBlock::Wrapped(block) => block.clone(),
//!     };
//!     blocks.insert(leaf.cid, block);
//!     builder.push(leaf.link(), &mut out);
//!     rest = &rest[len..];
//! }
//! let root = builder.finish(&mut out).cid;
//! blocks.extend(out.into_iter().map(|block| (block.cid, block.data)));
//!
//! let mut walk = FileWalk::new(root, 0..u64::MAX, Budget::FILE);
//! let mut read = Vec::new();
//! loop {
//!     match walk.poll().expect("the tree is honest") {
//!         Step::Need(cid) => walk.handle_block(&cid, blocks[&cid].clone()).expect("asked for"),
//!         Step::Leaf { data, .. } => read.extend_from_slice(&data),
//!         Step::Place { .. } => unreachable!("only from `FileWalk::places`"),
//!         Step::Done => break,
//!     }
//! }
//! assert_eq!(read, content);
//! ```
#![forbid(unsafe_code)]

pub mod build;
pub mod car;
pub mod cbor;
pub mod chunk;
pub mod hamt;
pub mod hash;
mod murmur;
pub mod name;
pub mod node;
pub mod path;
pub mod pb;
pub mod profile;
pub mod unixfs;
pub mod varint;
pub mod walk;
mod wire;

pub use bytes::Bytes;
pub use cid::Version;

pub use crate::node::Node;
pub use crate::profile::Profile;
pub use crate::unixfs::{Metadata, Mtime};
pub use crate::wire::WireError;

/// The address of a block. It has room for identity CIDs of [`hash::IDENTITY_BYTES_MAX`] bytes: what
/// is longer does not parse.
pub type Cid = cid::CidGeneric<{ hash::IDENTITY_BYTES_MAX }>;

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
