//! A walk over every distinct block below a root.
//!
//! For pins, garbage collection, fetching whole trees and counting. A block that many parents
//! link to is visited once, so a tree that doubles at every level costs its distinct blocks only.
//!
//! dag-cbor blocks are followed by their links. dag-pb blocks must be nodes of a file system, unless
//! the walk is [`TreeWalk::of_any_format`]: then their links are enough.
//!
//! Memory: 22 bytes for each distinct block (the first 20 bytes of its digest, which is the
//! shortest digest accepted, with hash function and codec), and the links still to be visited,
//! at most [`PENDING_MAX`].

use std::collections::HashSet;

use bytes::Bytes;

use super::{Budget, Cost, WalkError};
use crate::BLOCK_BYTES_MAX;
use crate::Cid;
use crate::cbor;
use crate::hash::{self, DAG_CBOR, DAG_PB, DIGEST_BYTES_MIN, RAW};
use crate::node::{Node, NodeError};
use crate::pb;

/// Links that may wait to be visited: about 170 MB. A block of 2 MiB has at most some 45,000 links,
/// and ordinary trees have a dozen levels of a few thousand.
pub const PENDING_MAX: usize = 1 << 20;

/// What a [`TreeWalk`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeStep {
    /// Give this block to [`TreeWalk::handle_block`], or tell that it is not needed by
    /// [`TreeWalk::skip`]. Polling again says the same.
    Need(Cid),
    /// Every distinct block was visited.
    Done,
}

/// What a block turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// Bytes of a file.
    Leaf,
    /// Links to parts of a file.
    Branch,
    /// A directory, or a shard of one.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Links without a meaning in a file system: dag-cbor, or any dag-pb where that is allowed.
    Other,
}

/// A walk over every distinct block below a root, the root included.
#[derive(Debug)]
pub struct TreeWalk {
    leaves: bool,
    any_format: bool,
    cost: Cost,
    seen: HashSet<Key>,
    /// Links still to be visited, by depth; the last is visited next.
    stack: Vec<Vec<Cid>>,
    pending: usize,
    asked: Option<Cid>,
    failed: Option<WalkError>,
}

/// A block in the set of those seen. Identity blocks are not in it: they are not stored.
type Key = ([u8; DIGEST_BYTES_MIN], u8, u8);

impl TreeWalk {
    /// A walk over everything below `root`.
    pub fn new(root: Cid, budget: Budget) -> Self {
        Self {
            leaves: true,
            any_format: false,
            cost: Cost::new(budget),
            seen: HashSet::new(),
            stack: vec![vec![root]],
            pending: 1,
            asked: None,
            failed: None,
        }
    }

    /// Passes over raw leaves: they are neither asked for nor counted nor remembered.
    #[must_use]
    pub const fn without_leaves(mut self) -> Self {
        self.leaves = false;
        self
    }

    /// Takes dag-pb blocks for what they link to, whether or not they are nodes of a file system.
    #[must_use]
    pub const fn of_any_format(mut self) -> Self {
        self.any_format = true;
        self
    }

    /// Says which block is needed next.
    ///
    /// # Errors
    /// [`WalkError::Cid`], [`WalkError::Budget`], and what is wrong with an identity block; the walk
    /// is over, polling again gives the same error.
    pub fn poll(&mut self) -> Result<TreeStep, WalkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.step();
        self.failed = step.as_ref().err().cloned();
        step
    }

    fn step(&mut self) -> Result<TreeStep, WalkError> {
        loop {
            if let Some(cid) = self.asked {
                return Ok(TreeStep::Need(cid));
            }
            let Some(links) = self.stack.last_mut() else {
                return Ok(TreeStep::Done);
            };
            let Some(cid) = links.pop() else {
                self.stack.pop();
                continue;
            };
            self.pending -= 1;
            if !self.leaves && cid.codec() == RAW {
                continue;
            }
            if let Some(data) = hash::identity(&cid) {
                self.cost.visit(&cid, self.stack.len())?;
                self.asked = Some(cid);
                self.handle_block(&cid, Bytes::copy_from_slice(data))?;
            } else if self.seen.insert(key(&cid)) {
                self.cost.visit(&cid, self.stack.len())?;
                self.asked = Some(cid);
            }
        }
    }

    /// Gives the block that was asked for, verified against its CID; says what it is.
    ///
    /// # Errors
    /// Every [`WalkError`] but `Cid`. The walk still wants the block then.
    pub fn handle_block(&mut self, cid: &Cid, data: Bytes) -> Result<BlockKind, WalkError> {
        self.check_asked(cid)?;
        self.cost.read(data.len())?;
        let read = if self.any_format { links_of(cid, &data) } else { node_of(cid, data) };
        let (kind, mut links) = read.map_err(|reason| WalkError::node(cid, reason))?;
        links.reverse();
        if self.pending + links.len() > PENDING_MAX {
            return Err(WalkError::Budget { what: "pending links", max: PENDING_MAX as u64 });
        }
        self.pending += links.len();
        self.asked = None;
        if !links.is_empty() {
            self.stack.push(links);
        }
        Ok(kind)
    }

    /// Passes over the block that was asked for, and all that only it links to. For raw leaves
    /// that need no bytes, or for trees known to be complete.
    ///
    /// # Errors
    /// [`WalkError::NotAsked`].
    pub fn skip(&mut self, cid: &Cid) -> Result<(), WalkError> {
        self.check_asked(cid)?;
        self.asked = None;
        Ok(())
    }

    /// The blocks that the walk will need next, the one asked for first, as far as the blocks seen
    /// so far tell. At most `n`, each once unless it is linked to more than once among them.
    pub fn ahead(&self, n: usize) -> Vec<Cid> {
        let fresh = |cid: &&Cid| {
            hash::identity(cid).is_none()
                && (self.leaves || cid.codec() != RAW)
                && !self.seen.contains(&key(cid))
        };
        let rest = self.stack.iter().rev().flat_map(|links| links.iter().rev()).filter(fresh);
        self.asked.iter().chain(rest).take(n).copied().collect()
    }

    /// Distinct blocks visited so far.
    pub const fn nodes(&self) -> u64 {
        self.cost.nodes
    }

    fn check_asked(&self, cid: &Cid) -> Result<(), WalkError> {
        if self.asked == Some(*cid) { Ok(()) } else { Err(WalkError::NotAsked(Box::new(*cid))) }
    }
}

/// What a block is and links to, as a node of a file system; dag-cbor by its links.
fn node_of(cid: &Cid, data: Bytes) -> Result<(BlockKind, Vec<Cid>), NodeError> {
    if cid.codec() == DAG_CBOR {
        return links_of(cid, &data);
    }
    let node = Node::decode(cid, data)?;
    let kind = match node {
        Node::Leaf { .. } => BlockKind::Leaf,
        Node::File(_) => BlockKind::Branch,
        Node::Directory { .. } | Node::Shard(_) => BlockKind::Directory,
        Node::Symlink { .. } => BlockKind::Symlink,
    };
    Ok((kind, node.links().collect()))
}

/// What a block links to, by its codec alone.
fn links_of(cid: &Cid, data: &[u8]) -> Result<(BlockKind, Vec<Cid>), NodeError> {
    if data.len() > BLOCK_BYTES_MAX {
        return Err(NodeError::TooLarge(data.len()));
    }
    let links = match cid.codec() {
        RAW => return Ok((BlockKind::Leaf, Vec::new())),
        DAG_CBOR => cbor::links(data)?,
        DAG_PB => {
            pb::data(data)?;
            pb::links(data).map(|link| link.map(|link| link.hash)).collect::<Result<_, _>>()?
        }
        _ => return Err(NodeError::Unsupported("this codec")),
    };
    Ok((BlockKind::Other, links))
}

fn key(cid: &Cid) -> Key {
    let mut head = [0; DIGEST_BYTES_MIN];
    let digest = cid.hash().digest();
    let len = digest.len().min(DIGEST_BYTES_MIN);
    head[..len].copy_from_slice(&digest[..len]);
    // Allowed codes are below 256; of others only the error matters, which comes before.
    (head, cid.codec() as u8, cid.hash().code() as u8)
}
