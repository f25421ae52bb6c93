//! Walks over trees, as machines: they say which block they need and are given it.
//!
//! [`FileWalk`] goes through the bytes of a file, or of a range of it, in order; [`DirectoryWalk`]
//! through the entries of a directory, and [`Lookup`] finds one of them; [`TreeWalk`] goes through
//! every distinct block below a root, once. None of them fetches, waits or stores: the same code serves
//! a local read, a fetch from peers, the mount and the tests.
//!
//! Blocks given to a walk must have been verified against their CID (the store and the swarm do);
//! walks check everything else: allowed CIDs, well-formed nodes, real sizes against claimed ones.
//! Every walk has a [`Budget`], because a tree of a few kilobytes can describe 2^60 bytes.

mod directory;
mod file;
mod lookup;
mod tree;

pub use directory::{DirectoryStep, DirectoryWalk};
pub use file::{FileWalk, Step};
pub use lookup::{Lookup, LookupStep};
pub use tree::{BlockKind, PENDING_MAX, TreeStep, TreeWalk};

use thiserror::Error;

use crate::Cid;
use crate::hash::CidError;
use crate::node::NodeError;

/// How much a walk may cost before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Blocks that are looked at, those visited again counted again.
    pub nodes_max: u64,
    /// Bytes of the blocks that are looked at.
    pub bytes_max: u64,
    /// Blocks on the way from the root to any block, the root included.
    pub depth_max: u32,
}

impl Budget {
    /// For one file: 2^28 blocks (16 TiB in leaves of 64 KiB), 2^45 bytes, depth 32 (with two
    /// links per branch that is every file; kubo's and ours have at most 4 levels at 1 TiB).
    pub const FILE: Self = Self { nodes_max: 1 << 28, bytes_max: 1 << 45, depth_max: 32 };

    /// For one directory: 2^24 blocks (16 entries and more in each: at least 2^28 entries as they are
    /// written here), 2^40 bytes, depth 32 (the bits of a hash last for 21 levels at most).
    pub const DIRECTORY: Self = Self { nodes_max: 1 << 24, bytes_max: 1 << 40, depth_max: 32 };

    /// For a tree: 2^24 distinct blocks (about 22 bytes of memory each), 2^45 bytes, depth 1,024
    /// (paths are shorter: PATH_MAX is 4,096 bytes, two bytes a level).
    pub const TREE: Self = Self { nodes_max: 1 << 24, bytes_max: 1 << 45, depth_max: 1024 };
}

/// Why a walk cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A link names a CID of a kind that is not handled: the tree's writer is at fault.
    #[error("link to {cid}: {reason}")]
    Cid {
        /// The CID.
        cid: Box<Cid>,
        /// What is wrong with it.
        reason: CidError,
    },
    /// A block is not what it should be: the tree's writer is at fault, or it is not supported.
    #[error("block {cid}: {reason}")]
    Node {
        /// CID of the block.
        cid: Box<Cid>,
        /// What is wrong with it.
        reason: NodeError,
    },
    /// A block has another size than its parent says: the tree's writer lies.
    #[error("block {cid} has {actual} bytes of the file, not {claimed} as its parent says")]
    Size {
        /// CID of the block.
        cid: Box<Cid>,
        /// What its parent claims.
        claimed: u64,
        /// What it has.
        actual: u64,
    },
    /// The root, or a part of a file, is a directory or a symbolic link.
    #[error("{0} is not a file")]
    NotAFile(Box<Cid>),
    /// What should be a directory is a file or a symbolic link.
    #[error("{0} is not a directory")]
    NotADirectory(Box<Cid>),
    /// A shard of a directory is where it cannot be, or has what cannot be in it: the directory's
    /// writer is at fault.
    #[error("block {cid}: {what}")]
    Misplaced {
        /// CID of the shard.
        cid: Box<Cid>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The tree costs more than the budget allows.
    #[error("the tree exceeds the budget of {max} {what}")]
    Budget {
        /// What there is too much of.
        what: &'static str,
        /// How much was allowed.
        max: u64,
    },
    /// The caller gave a block that the walk did not ask for: the caller is at fault.
    #[error("block {0} was not asked for")]
    NotAsked(Box<Cid>),
}

impl WalkError {
    fn node(cid: &Cid, reason: NodeError) -> Self {
        Self::Node { cid: Box::new(*cid), reason }
    }

    fn misplaced(cid: &Cid, what: &'static str) -> Self {
        Self::Misplaced { cid: Box::new(*cid), what }
    }
}

/// What a walk has cost so far.
#[derive(Debug)]
struct Cost {
    budget: Budget,
    nodes: u64,
    bytes: u64,
}

impl Cost {
    const fn new(budget: Budget) -> Self {
        Self { budget, nodes: 0, bytes: 0 }
    }

    /// Counts a block before it is asked for.
    fn visit(&mut self, cid: &Cid, depth: usize) -> Result<(), WalkError> {
        crate::hash::check(cid).map_err(|reason| WalkError::Cid { cid: Box::new(*cid), reason })?;
        let depth_max = u64::from(self.budget.depth_max);
        if depth as u64 > depth_max {
            return Err(WalkError::Budget { what: "levels", max: depth_max });
        }
        self.nodes += 1;
        if self.nodes > self.budget.nodes_max {
            return Err(WalkError::Budget { what: "blocks", max: self.budget.nodes_max });
        }
        Ok(())
    }

    /// Counts the bytes of a block.
    fn read(&mut self, len: usize) -> Result<(), WalkError> {
        self.bytes = self.bytes.saturating_add(len as u64);
        if self.bytes > self.budget.bytes_max {
            return Err(WalkError::Budget { what: "bytes", max: self.budget.bytes_max });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
