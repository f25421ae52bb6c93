//! Finding one entry of a directory by its name, in one block or sharded.
//!
//! Of a sharded directory only the shards on the way that the hash of the name tells are needed,
//! one per level: for a million entries that is three. They are checked as [`super::DirectoryWalk`]
//! checks them.

use bytes::Bytes;

use super::directory::NO_SHARD;
use super::{Cost, WalkError};
use crate::Cid;
use crate::hamt::{self, Place, Shard};
use crate::hash;
use crate::node::{Dirent, Node};
use crate::walk::Budget;

/// What a [`Lookup`] wants or knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupStep {
    /// Give this block to [`Lookup::handle_block`]. Polling again says the same.
    Need(Cid),
    /// The entry. Polling again says the same.
    Found(Dirent),
    /// The directory has no such entry. Polling again says the same.
    Absent,
}

/// A search for one name in one directory.
#[derive(Debug)]
pub struct Lookup {
    name: Vec<u8>,
    hash: u64,
    cost: Cost,
    place: Place,
    trail: Vec<(Cid, usize)>,
    next: Next,
    failed: Option<WalkError>,
}

#[derive(Debug)]
enum Next {
    Visit(Cid),
    Asked(Cid),
    End(Option<Dirent>),
}

impl Lookup {
    /// A search for `name` in the directory `root`.
    pub fn new(root: Cid, name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            hash: hamt::hash(name),
            // The bits of a hash end it after 21 levels.
            cost: Cost::new(Budget::FILE),
            place: Place::ROOT,
            trail: Vec::new(),
            next: Next::Visit(root),
            failed: None,
        }
    }

    /// Says what is wanted next, or what was found.
    ///
    /// # Errors
    /// Every [`WalkError`] but `NotAsked`; the search is over, polling again gives the same error.
    pub fn poll(&mut self) -> Result<LookupStep, WalkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.step();
        self.failed = step.as_ref().err().cloned();
        step
    }

    fn step(&mut self) -> Result<LookupStep, WalkError> {
        loop {
            match &self.next {
                Next::Asked(cid) => return Ok(LookupStep::Need(*cid)),
                Next::End(Some(entry)) => return Ok(LookupStep::Found(entry.clone())),
                Next::End(None) => return Ok(LookupStep::Absent),
                Next::Visit(cid) => {
                    let cid = *cid;
                    self.cost.visit(&cid, self.trail.len() + 1)?;
                    self.next = Next::Asked(cid);
                    if let Some(data) = hash::identity(&cid) {
                        self.handle_block(&cid, Bytes::copy_from_slice(data))?;
                    }
                }
            }
        }
    }

    /// Gives the block that [`LookupStep::Need`] named, verified against its CID.
    ///
    /// # Errors
    /// Every [`WalkError`]; [`WalkError::NotADirectory`] when the root is none. The search still
    /// wants the block then, and polling says so.
    pub fn handle_block(&mut self, cid: &Cid, data: Bytes) -> Result<(), WalkError> {
        match &self.next {
            Next::Asked(asked) if asked == cid => {}
            _ => return Err(WalkError::NotAsked(Box::new(*cid))),
        }
        self.cost.read(data.len())?;
        let node = Node::decode(cid, data).map_err(|reason| WalkError::node(cid, reason))?;
        match node {
            Node::Directory { entries, .. } if self.place.is_root() => {
                let at = entries.iter().position(|entry| entry.name == self.name);
                self.trail.extend(at.map(|at| (*cid, at)));
                self.next = Next::End(at.and_then(|at| entries.into_iter().nth(at)));
                Ok(())
            }
            Node::Shard(shard) => self.handle_shard(*cid, &shard),
            _ if self.place.is_root() => Err(WalkError::NotADirectory(Box::new(*cid))),
            _ => Err(WalkError::misplaced(cid, NO_SHARD)),
        }
    }

    fn handle_shard(&mut self, cid: Cid, shard: &Shard) -> Result<(), WalkError> {
        self.place.check(shard).map_err(|what| WalkError::misplaced(&cid, what))?;
        self.next = match shard.find(self.hash, self.place) {
            Some((at, link)) if link.is_shard() => {
                self.trail.push((cid, at));
                self.place = self.place.below(shard.fanout, link.slot);
                Next::Visit(link.cid)
            }
            Some((at, link)) if link.name == self.name => {
                self.trail.push((cid, at));
                let (name, cid, dag_size) = (link.name.clone(), link.cid, link.dag_size);
                Next::End(Some(Dirent { name, cid, dag_size }))
            }
            _ => Next::End(None),
        };
        Ok(())
    }

    /// The blocks on the way so far, the root first, each with the index of the link that was
    /// followed. Once the entry is found, the last is the block that links to it.
    pub fn trail(&self) -> &[(Cid, usize)] {
        &self.trail
    }
}
