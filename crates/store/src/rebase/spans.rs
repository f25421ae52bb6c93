//! The leaves of a file whose branches are in the store, in order, with their places.
//!
//! Leaves are not read. Memory is that of one open branch a level and of the group that is asked for.

use shoal_dag::Cid;
use shoal_dag::hash::RAW;
use shoal_dag::walk::{Budget, FileWalk, Step};

use crate::error::{ReadError, WriteError};
use crate::store::Shared;

/// Leaves that are looked up at once.
pub(super) const LEAVES_AT_ONCE: usize = 1024;

/// A leaf in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) cid: Cid,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// A walk over the leaves of one file.
pub(super) struct Spans<'a> {
    shared: &'a Shared,
    root: Cid,
    walk: FileWalk,
}

impl<'a> Spans<'a> {
    /// The leaves of `root`.
    pub(super) fn of(shared: &'a Shared, root: &Cid) -> Self {
        let walk = FileWalk::places(*root, 0..u64::MAX, Budget::FILE);
        Self { shared, root: *root, walk }
    }

    /// The next leaves, at most `count`; none at the end. A branch that is not here, or a leaf that is no
    /// slice of the file, is an error that names it.
    pub(super) fn group(&mut self, count: usize) -> Result<Vec<Span>, WriteError> {
        let mut group = Vec::new();
        while group.len() < count {
            match self.next()? {
                Some(span) => group.push(span),
                None => break,
            }
        }
        Ok(group)
    }

    fn next(&mut self) -> Result<Option<Span>, WriteError> {
        loop {
            let step = self.walk.poll().map_err(|_| self.broken(&self.root))?;
            let (cid, range) = match step {
                Step::Place { cid, range } => (cid, range),
                Step::Leaf { cid, range, .. } if cid.codec() == RAW => (cid, range),
                Step::Leaf { cid, .. } => return Err(self.broken(&cid)),
                Step::Done => return Ok(None),
                Step::Need(cid) => {
                    let data = self.shared.read(&cid, false)?.ok_or_else(|| self.broken(&cid))?;
                    self.walk.handle_block(&cid, data).map_err(|_| self.broken(&cid))?;
                    continue;
                }
            };
            let len = u32::try_from(range.end - range.start).map_err(|_| self.broken(&cid))?;
            return Ok(Some(Span { cid, offset: range.start, len }));
        }
    }

    fn broken(&self, cid: &Cid) -> WriteError {
        ReadError::Corrupt { cid: *cid, path: self.shared.layout.root().to_owned() }.into()
    }
}
