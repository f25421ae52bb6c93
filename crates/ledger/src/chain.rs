//! A whole branch of a ledger, and what can be proven from one.
//!
//! [`Archive`] is what a keeper of entries must answer for proofs to be made: entries by index, tree
//! nodes, and where keys changed. A store on disk implements it over its tables. [`Chain`] implements
//! it in memory, for tools, tests and ledgers that fit; it takes only entries that a full replay
//! finds valid.

use crate::Entry;
use crate::hash::Hash;
use crate::tip::{Invalid, Tip};
use crate::tree::prove::{Levels, Nodes};

/// One branch of a ledger, as its keeper has it.
pub trait Archive: Nodes {
    /// How many entries there are.
    fn len(&self) -> u64;

    /// The entry at an index.
    fn entry(&self, index: u64) -> Option<Entry>;

    /// The index of the newest entry before `index` that changed keys.
    fn control_before(&self, index: u64) -> Option<u64>;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A branch in memory, every entry of it checked.
#[derive(Debug, Clone)]
pub struct Chain {
    entries: Vec<Entry>,
    levels: Levels,
    controls: Vec<u64>,
    tip: Tip,
}

impl Chain {
    /// A ledger of one entry.
    pub fn begin(genesis: Entry) -> Result<Self, Invalid> {
        let tip = Tip::begin(genesis.clone())?;
        let mut levels = Levels::default();
        levels.push(genesis.leaf());
        Ok(Self { entries: vec![genesis], levels, controls: vec![0], tip })
    }

    /// A ledger of those entries, if each is valid where it stands.
    pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Result<Self, Invalid> {
        let mut entries = entries.into_iter();
        let first = entries.next().ok_or(Invalid::Index { expected: 0 })?;
        let mut chain = Self::begin(first)?;
        entries.try_for_each(|entry| chain.push(entry))?;
        Ok(chain)
    }

    /// Appends an entry, if it is valid here.
    pub fn push(&mut self, entry: Entry) -> Result<(), Invalid> {
        self.tip.extend(entry.clone())?;
        if entry.kind().is_control() {
            self.controls.push(entry.index());
        }
        self.levels.push(entry.leaf());
        self.entries.push(entry);
        Ok(())
    }

    /// The branch up to an index and with it: where a recovery may begin.
    pub fn up_to(&self, index: u64) -> Result<Self, Invalid> {
        Self::replay(self.entries.iter().take(index as usize + 1).cloned())
    }

    /// The end of the branch.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The newest entry whose time is at or before `time_ms`: times never decrease, so there is one
    /// answer, found by bisection.
    pub fn at_time(&self, time_ms: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.header().time_ms <= time_ms);
        after.checked_sub(1).map(|index| &self.entries[index])
    }
}

impl Nodes for Chain {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.levels.node(level, index)
    }
}

impl Archive for Chain {
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
