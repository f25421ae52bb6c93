//! Builds the blocks of files, directories and symbolic links, as the profile says.
//!
//! A file is built in two steps that can run on different threads: [`leaf()`] hashes a chunk, alone
//! and in any order; [`FileBuilder`] takes what came out, in the order of the file, and makes the
//! branches. Nothing here holds a file: memory is one open branch per level of the tree. A directory
//! is collected by [`DirectoryBuilder`], in one block or sharded as its size demands.
//!
//! Invariant: blocks and CIDs depend on content, metadata and profile only. Blocks come out before
//! any block that links to them. Nothing is stored: the caller keeps what comes out.

mod directory;
mod file;
mod leaf;
mod sharded;

pub use directory::{DirectoryBuilder, DirectoryError, symlink};
pub use file::{Built, FileBuilder};
pub use leaf::{Leaf, LeafBlock, LeafForm, LeafRef, leaf};
pub use sharded::ENTRIES_MAX;

use bytes::Bytes;

use crate::hash::{self, DAG_PB};
use crate::profile::Profile;
use crate::{Block, pb};

/// Encodes a node whose links are sorted and gives it its CID.
fn block_of(profile: Profile, node: &pb::PbNode<'_>) -> Block {
    let data = node.encode().expect("builders sort their links");
    let cid = hash::cid_of(profile.hash(), DAG_PB, profile.cid_version(), &data);
    Block { cid, data: Bytes::from(data) }
}

#[cfg(test)]
mod tests;
