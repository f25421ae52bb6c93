//! A walk through the entries of one directory, in one block or sharded.
//!
//! It gives the entries block by block and holds of a sharded directory only the links to shards
//! that it has not come to yet: at most the slots of one shard per level. Entries come in the order
//! of the blocks: of a sharded directory that is the order of the hashes of their names.
//!
//! Every shard is checked against its [`Place`]. So a name comes once, and a shard that stands in two
//! places fails in the second: a walk costs no more than the directory has entries, whatever its
//! writer intended.

use bytes::Bytes;

use super::{Budget, Cost, WalkError};
use crate::Cid;
use crate::hamt::{Place, Shard};
use crate::hash;
use crate::node::{Dirent, Node};
use crate::unixfs::Metadata;

/// What is wrong where a shard should be.
pub(super) const NO_SHARD: &str = "something else than a shard among shards";

/// What a [`DirectoryWalk`] wants or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryStep {
    /// Give this block to [`DirectoryWalk::handle_block`]. Polling again says the same.
    Need(Cid),
    /// The entries of one block; never none. Names are not checked; those of a directory in one
    /// block may repeat, and then the first counts.
    Entries(Vec<Dirent>),
    /// There are no more.
    Done,
}

/// A walk through the entries of a directory.
#[derive(Debug)]
pub struct DirectoryWalk {
    root: Cid,
    cost: Cost,
    /// Metadata of the root, once it is known.
    meta: Option<Metadata>,
    stack: Vec<Frame>,
    next: Next,
    failed: Option<WalkError>,
}

/// A shard whose own shards are still to be visited.
#[derive(Debug)]
struct Frame {
    cid: Cid,
    /// Shards in its slots; the last is visited next.
    shards: Vec<Wanted>,
}

#[derive(Debug)]
enum Next {
    /// Find out by looking at the stack.
    Search,
    /// This block has to be counted, then asked for.
    Visit(Wanted),
    /// This block was asked for.
    Asked(Wanted),
    /// These are to be given out.
    Give(Vec<Dirent>),
    /// Nothing is left.
    Done,
}

/// A block that is to be looked at, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    cid: Cid,
    place: Place,
}

impl DirectoryWalk {
    /// A walk through the directory `root`.
    pub const fn new(root: Cid, budget: Budget) -> Self {
        Self {
            root,
            cost: Cost::new(budget),
            meta: None,
            stack: Vec::new(),
            next: Next::Visit(Wanted { cid: root, place: Place::ROOT }),
            failed: None,
        }
    }

    /// Metadata of the directory, once its root is known.
    pub const fn meta(&self) -> Option<&Metadata> {
        self.meta.as_ref()
    }

    /// Says what the walk wants or gives next.
    ///
    /// # Errors
    /// Every [`WalkError`] but `NotAsked`; the walk is over, polling again gives the same error.
    pub fn poll(&mut self) -> Result<DirectoryStep, WalkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.step();
        self.failed = step.as_ref().err().cloned();
        step
    }

    fn step(&mut self) -> Result<DirectoryStep, WalkError> {
        loop {
            match &mut self.next {
                Next::Asked(wanted) => return Ok(DirectoryStep::Need(wanted.cid)),
                Next::Done => return Ok(DirectoryStep::Done),
                Next::Give(entries) => {
                    let entries = std::mem::take(entries);
                    self.next = Next::Search;
                    return Ok(DirectoryStep::Entries(entries));
                }
                Next::Visit(wanted) => {
                    let wanted = *wanted;
                    self.cost.visit(&wanted.cid, self.stack.len() + 1)?;
                    self.next = Next::Asked(wanted);
                    if let Some(data) = hash::identity(&wanted.cid) {
                        self.handle_block(&wanted.cid, Bytes::copy_from_slice(data))?;
                    }
                }
                Next::Search => self.next = self.search(),
            }
        }
    }

    fn search(&mut self) -> Next {
        while let Some(frame) = self.stack.last_mut() {
            if let Some(wanted) = frame.shards.pop() {
                return Next::Visit(wanted);
            }
            self.stack.pop();
        }
        Next::Done
    }

    /// Gives the block that [`DirectoryStep::Need`] named, verified against its CID.
    ///
    /// # Errors
    /// Every [`WalkError`]; [`WalkError::NotADirectory`] when the root is none. The walk still
    /// wants the block then, and polling says so.
    pub fn handle_block(&mut self, cid: &Cid, data: Bytes) -> Result<(), WalkError> {
        let wanted = match &self.next {
            Next::Asked(wanted) if wanted.cid == *cid => *wanted,
            _ => return Err(WalkError::NotAsked(Box::new(*cid))),
        };
        self.cost.read(data.len())?;
        let node = Node::decode(cid, data).map_err(|reason| WalkError::node(cid, reason))?;
        match node {
            Node::Directory { entries, meta } if wanted.place.is_root() => {
                self.meta = Some(meta);
                self.give(entries);
                Ok(())
            }
            Node::Shard(shard) => self.handle_shard(wanted, shard),
            _ if wanted.place.is_root() => Err(WalkError::NotADirectory(Box::new(*cid))),
            _ => Err(WalkError::misplaced(cid, NO_SHARD)),
        }
    }

    fn handle_shard(
        &mut self,
        Wanted { cid, place }: Wanted,
        shard: Shard,
    ) -> Result<(), WalkError> {
        place.check(&shard).map_err(|what| WalkError::misplaced(&cid, what))?;
        let (mut shards, mut entries) = (Vec::new(), Vec::new());
        for link in shard.links {
            if link.is_shard() {
                let place = place.below(shard.fanout, link.slot);
                shards.push(Wanted { cid: link.cid, place });
            } else {
                entries.push(Dirent { name: link.name, cid: link.cid, dag_size: link.dag_size });
            }
        }
        shards.reverse();
        self.meta.get_or_insert(shard.meta);
        self.stack.push(Frame { cid, shards });
        self.give(entries);
        Ok(())
    }

    fn give(&mut self, entries: Vec<Dirent>) {
        self.next = if entries.is_empty() { Next::Search } else { Next::Give(entries) };
    }

    /// The shard that links to the block asked for; none links to the root.
    pub fn parent(&self) -> Option<Cid> {
        self.stack.last().map(|frame| frame.cid)
    }

    /// The root of the directory.
    pub const fn root(&self) -> Cid {
        self.root
    }

    /// The blocks that the walk will need next, the one asked for first, as far as the shards seen
    /// so far tell. At most `n`; identity CIDs are left out.
    pub fn ahead(&self, n: usize) -> Vec<Cid> {
        let first = match &self.next {
            Next::Asked(wanted) | Next::Visit(wanted) => Some(wanted.cid),
            Next::Search | Next::Give(_) | Next::Done => None,
        };
        let frames = self.stack.iter().rev();
        let rest = frames.flat_map(|frame| frame.shards.iter().rev().map(|wanted| wanted.cid));
        let stored = |cid: &Cid| hash::identity(cid).is_none();
        first.into_iter().chain(rest).filter(stored).take(n).collect()
    }
}
