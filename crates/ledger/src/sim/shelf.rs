//! A branch as a follower's store keeps it: it can be cut back, and checks nothing by itself.
//!
//! What is put on it was checked by a [`crate::Tip`] before. Unlike [`crate::chain::Chain`] it
//! forgets from an index on without a replay, as a store does when a recovery cuts a branch off.

use crate::chain::Archive;
use crate::tree::prove::{Levels, Nodes};
use crate::{Entry, Hash};

/// Entries of one branch, oldest first, and the tree over them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf {
    entries: Vec<Entry>,
    levels: Levels,
    controls: Vec<u64>,
}

impl Shelf {
    pub(crate) fn push(&mut self, entry: Entry) {
        assert_eq!(entry.index(), self.len(), "a shelf has no gaps");
        if entry.kind().is_control() {
            self.controls.push(entry.index());
        }
        self.levels.push(entry.leaf());
        self.entries.push(entry);
    }

    /// Forgets the entries from that index on.
    pub(crate) fn truncate(&mut self, len: u64) {
        self.entries.truncate(len as usize);
        self.levels.truncate(len);
        self.controls.retain(|control| *control < len);
    }

    /// A copy of its first entries.
    pub(crate) fn beginning(&self, len: u64) -> Self {
        let mut copy = Self::default();
        self.entries.iter().take(len as usize).for_each(|entry| copy.push(entry.clone()));
        copy
    }

    pub(crate) fn head(&self) -> Option<&Entry> {
        self.entries.last()
    }

    pub(crate) fn has(&self, entry: &Entry) -> bool {
        self.entries.get(entry.index() as usize) == Some(entry)
    }
}

impl Nodes for Shelf {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.levels.node(level, index)
    }
}

impl Archive for Shelf {
    fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        self.entries.get(usize::try_from(index).ok()?).cloned()
    }

    fn control_before(&self, index: u64) -> Option<u64> {
        let before = self.controls.partition_point(|control| *control < index);
        before.checked_sub(1).map(|at| self.controls[at])
    }
}
