//! A walk through the bytes of a file.
//!
//! It needs only the branches and leaves that the range touches, gives leaves in the order of the
//! file and clipped to the range, and holds one decoded branch per level. A part whose real size
//! is not the one its parent gave is an error, never zeros and never a short read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Budget, Cost, WalkError};
use crate::Cid;
use crate::hash::{self, RAW};
use crate::node::{FileNode, Node};

/// What a [`FileWalk`] wants or gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Give this block to [`FileWalk::handle_block`]. Polling again says the same.
    Need(Cid),
    /// The next bytes of the range.
    Leaf {
        /// Where in the file they are, clipped to the range asked for.
        range: Range<u64>,
        /// The block that they are in.
        cid: Cid,
        /// The bytes, a slice of the block.
        data: Bytes,
    },
    /// Where the next leaf lies (only from [`FileWalk::places`]). Not clipped.
    Place {
        /// Where in the file it is.
        range: Range<u64>,
        /// The leaf, which was not asked for.
        cid: Cid,
    },
    /// The range is complete.
    Done,
}

/// A walk through a range of a file.
#[derive(Debug)]
pub struct FileWalk {
    range: Range<u64>,
    places: bool,
    cost: Cost,
    size: Option<u64>,
    stack: Vec<Frame>,
    next: Next,
    failed: Option<WalkError>,
}

/// An open branch.
#[derive(Debug)]
struct Frame {
    node: Arc<FileNode>,
    /// Index of the link to look at next.
    index: usize,
    /// Where in the file that link begins.
    offset: u64,
}

/// A block that is to be looked at: its place in the file and the size that its parent gives it.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    cid: Cid,
    start: u64,
    size: Option<u64>,
}

#[derive(Debug)]
enum Next {
    /// Find out by looking at the stack.
    Search,
    /// This block has to be counted, then asked for.
    Visit(Wanted),
    /// This block was asked for.
    Asked(Wanted),
    /// This is to be given out.
    Give(Step),
}

impl FileWalk {
    /// A walk through the bytes `range` of the file `root`. A range that goes beyond the end of
    /// the file ends there.
    pub const fn new(root: Cid, range: Range<u64>, budget: Budget) -> Self {
        Self {
            range,
            places: false,
            cost: Cost::new(budget),
            size: None,
            stack: Vec::new(),
            failed: None,
            next: Next::Visit(Wanted { cid: root, start: 0, size: None }),
        }
    }

    /// A walk that says where the raw leaves lie and does not ask for them.
    ///
    /// Leaves of other kinds, and a root that is a leaf, are asked for as ever: only their bytes
    /// tell that they are leaves, or how long they are. Sizes of leaves are then claims.
    pub const fn places(root: Cid, range: Range<u64>, budget: Budget) -> Self {
        let mut walk = Self::new(root, range, budget);
        walk.places = true;
        walk
    }

    /// Bytes of the whole file, once the root is known. A claim until the walk has seen it all.
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    /// Says what the walk wants or gives next.
    ///
    /// # Errors
    /// Every [`WalkError`] but `NotAsked`; the walk is over, polling again gives the same error.
    pub fn poll(&mut self) -> Result<Step, WalkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.step();
        self.failed = step.as_ref().err().cloned();
        step
    }

    fn step(&mut self) -> Result<Step, WalkError> {
        loop {
            match &mut self.next {
                Next::Asked(wanted) => return Ok(Step::Need(wanted.cid)),
                Next::Give(step) => {
                    let step = std::mem::replace(step, Step::Done);
                    if step != Step::Done {
                        self.next = Next::Search;
                    }
                    return Ok(step);
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

    /// Gives the block that [`Step::Need`] named, verified against its CID.
    ///
    /// # Errors
    /// Every [`WalkError`]. The walk still wants the block then, and polling says so.
    pub fn handle_block(&mut self, cid: &Cid, data: Bytes) -> Result<(), WalkError> {
        let wanted = self.asked(cid)?;
        self.cost.read(data.len())?;
        match Node::decode(cid, data).map_err(|reason| WalkError::node(cid, reason))? {
            Node::Leaf { data, .. } => self.handle_leaf(wanted, data),
            Node::File(node) => self.open(wanted, Arc::new(node)),
            Node::Directory { .. } | Node::Shard(_) | Node::Symlink { .. } => {
                Err(WalkError::NotAFile(Box::new(*cid)))
            }
        }
    }

    /// Gives the branch that [`Step::Need`] named, decoded from its block before: callers that
    /// read a file often keep its branches so.
    ///
    /// # Errors
    /// As [`Self::handle_block`].
    pub fn handle_branch(&mut self, cid: &Cid, node: Arc<FileNode>) -> Result<(), WalkError> {
        let wanted = self.asked(cid)?;
        self.open(wanted, node)
    }

    /// The blocks that the walk will need next, the one asked for first, as far as the branches
    /// seen so far tell. At most `n`; identity CIDs are left out.
    pub fn ahead(&self, n: usize) -> Vec<Cid> {
        let first = match &self.next {
            Next::Asked(wanted) | Next::Visit(wanted) => Some(wanted.cid),
            Next::Search | Next::Give(_) => None,
        };
        let rest = self.stack.iter().rev().flat_map(|frame| {
            let mut offset = frame.offset;
            let links = frame.node.links[frame.index..].iter().map(move |link| {
                let start = offset;
                offset = offset.saturating_add(link.size);
                (start, link)
            });
            links
                .take_while(|(start, _)| *start < self.range.end)
                .filter(|(start, link)| self.touches(*start, link.size))
                .map(|(_, link)| link.cid)
        });
        let stored = |cid: &Cid| hash::identity(cid).is_none();
        first.into_iter().chain(rest).filter(stored).take(n).collect()
    }

    fn asked(&self, cid: &Cid) -> Result<Wanted, WalkError> {
        match &self.next {
            Next::Asked(wanted) if wanted.cid == *cid => Ok(*wanted),
            _ => Err(WalkError::NotAsked(Box::new(*cid))),
        }
    }

    fn check_size(&mut self, wanted: &Wanted, actual: u64) -> Result<(), WalkError> {
        match wanted.size {
            Some(claimed) if claimed != actual => {
                Err(WalkError::Size { cid: Box::new(wanted.cid), claimed, actual })
            }
            Some(_) => Ok(()),
            None => {
                self.size = Some(actual);
                self.range.end = self.range.end.min(actual);
                Ok(())
            }
        }
    }

    fn handle_leaf(&mut self, wanted: Wanted, data: Bytes) -> Result<(), WalkError> {
        self.check_size(&wanted, data.len() as u64)?;
        self.give(wanted.cid, wanted.start, &data);
        Ok(())
    }

    fn open(&mut self, wanted: Wanted, node: Arc<FileNode>) -> Result<(), WalkError> {
        self.check_size(&wanted, node.size)?;
        let inline = node.inline.clone();
        let offset = wanted.start + inline.len() as u64;
        self.stack.push(Frame { node, index: 0, offset });
        self.give(wanted.cid, wanted.start, &inline);
        Ok(())
    }

    /// Gives out bytes that begin at `start`, as far as they are in the range.
    fn give(&mut self, cid: Cid, start: u64, data: &Bytes) {
        let end = start + data.len() as u64;
        let range = start.max(self.range.start)..end.min(self.range.end);
        self.next = if range.is_empty() {
            Next::Search
        } else {
            let part = (range.start - start) as usize..(range.end - start) as usize;
            Next::Give(Step::Leaf { range, cid, data: data.slice(part) })
        };
    }

    fn touches(&self, start: u64, size: u64) -> bool {
        size > 0 && start < self.range.end && start.saturating_add(size) > self.range.start
    }

    fn search(&mut self) -> Next {
        while let Some(frame) = self.stack.last_mut() {
            let Some(link) = frame.node.links.get(frame.index).copied() else {
                self.stack.pop();
                continue;
            };
            let start = frame.offset;
            if start >= self.range.end {
                self.stack.clear();
                break;
            }
            frame.index += 1;
            // A branch's sizes add up to 64 bits and it begins where its parent's sizes say, so
            // the end of a part is at most the end of the root.
            frame.offset = start.saturating_add(link.size);
            if !self.touches(start, link.size) {
                continue;
            }
            if self.places && link.cid.codec() == RAW {
                let range = start..start.saturating_add(link.size);
                return Next::Give(Step::Place { range, cid: link.cid });
            }
            return Next::Visit(Wanted { cid: link.cid, start, size: Some(link.size) });
        }
        Next::Give(Step::Done)
    }
}
