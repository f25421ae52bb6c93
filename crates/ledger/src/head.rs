//! A head with all that a reader needs who holds no other entry.
//!
//! [`HeadProof`] links what a reader pinned to a newer head: the head, the mountain range under it,
//! the changes of keys in between, each shown to stand in the head's history, and a [`Common`]
//! beginning of both histories. Within an epoch that beginning is all that the reader pinned, so the
//! head extends it. Across a recovery it may be shorter: what comes after it in the reader's history
//! was cut off by the recovery keys.
//!
//! Nothing here is trusted: `reader.rs` checks every part. Sizes are logarithmic in the length of the
//! ledger and linear in the number of changes of keys.

mod codec;

pub(crate) use codec::position;

use crate::chain::Archive;
use crate::hash::Hash;
use crate::tree::proof::verify_inclusion;
use crate::tree::prove::{self, Nodes};
use crate::{Entry, EntryKind, Position};

/// What a reader has: its newest position and the root over all entries up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Have {
    /// The newest entry's position.
    pub position: Position,
    /// The root of the tree that ends with that entry.
    pub root: Hash,
}

impl Have {
    /// The size of that tree.
    pub fn size(&self) -> u64 {
        self.position.index.as_u64() + 1
    }
}

/// An entry and its path to a root that the context says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The entry; its index is where it stands.
    pub entry: Entry,
    /// The inclusion path of its leaf.
    pub path: Vec<Hash>,
}

impl Placed {
    /// The entry at that index of a branch, with its path to the root over the first `size` entries.
    pub fn prove(branch: &(impl Archive + ?Sized), index: u64, size: u64) -> Option<Self> {
        let path = prove::inclusion(branch, index, size)?;
        Some(Self { entry: branch.entry(index)?, path })
    }

    /// Whether the entry stands in the history of that size and root.
    pub fn stands_in(&self, size: u64, root: &Hash) -> bool {
        verify_inclusion(&self.entry.leaf(), self.entry.index(), size, root, &self.path)
    }
}

/// A beginning that two histories share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// How many entries it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Consistency from there to what the reader has.
    pub to_have: Vec<Hash>,
    /// Consistency from there to the entries before the head.
    pub to_head: Vec<Hash>,
}

/// A newer head for a reader, see the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadProof {
    /// The head.
    pub head: Entry,
    /// The peaks over the entries before it: they bag to its history root, and the reader goes on
    /// from them.
    pub peaks: Vec<Hash>,
    /// What both share.
    pub common: Common,
    /// The changes of keys before the head that the reader lacks, oldest first.
    pub control: Vec<Placed>,
}

impl HeadProof {
    /// Completes a proof that was asked for from a common beginning, for a reader that has more, on
    /// a branch which a recovery cut off: `old` has the nodes of that branch. So a reader that found
    /// the beginning itself ([`Bisect`]) needs no source that still has its branch.
    pub fn across(mut self, have: &Have, old: &(impl Nodes + ?Sized)) -> Option<Self> {
        self.common.to_have = prove::consistency(old, self.common.size, have.size())?;
        Some(self)
    }
}

/// The head of a branch, for a reader that has something of the same branch, or nothing. `None`
/// when what it has is not of this branch, or when the archive lacks a part.
pub fn prove(branch: &(impl Archive + ?Sized), have: Option<&Have>) -> Option<HeadProof> {
    prove_across(branch, have, branch)
}

/// As [`prove()`], for a reader on another branch that a recovery cut off: `old` has the nodes of the
/// reader's branch.
pub fn prove_across(
    branch: &(impl Archive + ?Sized),
    have: Option<&Have>,
    old: &(impl Nodes + ?Sized),
) -> Option<HeadProof> {
    let head = branch.entry(branch.len().checked_sub(1)?)?;
    let history = head.index();
    let size = match have {
        None => 0,
        Some(have) => shared(branch, have, old, history)?,
    };
    let to_have = match have {
        Some(have) if size < have.size() => prove::consistency(old, size, have.size())?,
        _ => Vec::new(),
    };
    let common = Common {
        size,
        root: prove::root(branch, size)?,
        to_have,
        to_head: prove::consistency(branch, size, history)?,
    };
    let peaks = prove::peaks(branch, history)?.hashes().to_vec();
    let control = control(branch, &head, size)?;
    Some(HeadProof { head, peaks, common, control })
}

/// The head of a branch for somebody who has it: with nothing behind it, since it is known there.
pub fn prove_same(branch: &(impl Archive + ?Sized)) -> Option<HeadProof> {
    let head = branch.entry(branch.len().checked_sub(1)?)?;
    let peaks = prove::peaks(branch, head.index())?.hashes().to_vec();
    let (size, root) = (head.index(), head.header().history);
    let common = Common { size, root, to_have: Vec::new(), to_head: Vec::new() };
    Some(HeadProof { head, peaks, common, control: Vec::new() })
}

/// The head of a branch for a newcomer whose link has a checkpoint at that index.
pub fn prove_after(branch: &(impl Archive + ?Sized), index: u64) -> Option<HeadProof> {
    let mut proof = prove(branch, None)?;
    let history = proof.head.index();
    let size = (index + 1).min(history);
    let to_head = prove::consistency(branch, size, history)?;
    proof.common = Common { size, root: prove::root(branch, size)?, to_have: Vec::new(), to_head };
    Some(proof)
}

/// How many entries the branch shares with what the reader has; `None` when the branches differ and
/// no recovery says which one counts.
fn shared(
    branch: &(impl Archive + ?Sized),
    have: &Have,
    old: &(impl Nodes + ?Sized),
    history: u64,
) -> Option<u64> {
    let same =
        |size| prove::root(branch, size).is_some_and(|root| Some(root) == prove::root(old, size));
    if have.size() <= history && prove::root(branch, have.size()) == Some(have.root) {
        return Some(have.size());
    }
    let opened = |entry: &Entry| entry.position().epoch > have.position.epoch;
    if prove::root(old, have.size()) != Some(have.root) || !opened(&branch.entry(history)?) {
        return None;
    }
    let mut search = Bisect::new(0, have.size().min(history) + 1);
    while let Some(size) = search.ask() {
        search.answer(size, same(size));
    }
    Some(search.first_difference())
}

/// The changes of keys below the head that the reader lacks.
fn control(branch: &(impl Archive + ?Sized), head: &Entry, known: u64) -> Option<Vec<Placed>> {
    let mut found = Vec::new();
    let mut before = head.index();
    while let Some(index) = branch.control_before(before).filter(|index| *index >= known) {
        found.push(branch.entry(index)?);
        before = index;
    }
    found.reverse();
    needed(&mut found, head);
    found.iter().map(|entry| Placed::prove(branch, entry.index(), head.index())).collect()
}

/// A search for the first entry in which two histories differ: whose key to blame, and what both
/// still share. Asks for roots, log2 of the length times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bisect {
    shared: u64,
    differs: u64,
}

impl Bisect {
    /// Two histories that share `shared` entries (0 if nothing is known) and whose roots differ at
    /// size `differs`, which is larger.
    pub fn new(shared: u64, differs: u64) -> Self {
        Self { shared, differs: differs.max(shared + 1) }
    }

    /// The size at which to compare roots next; none when the search is over.
    pub fn ask(&self) -> Option<u64> {
        let apart = self.differs - self.shared;
        (apart > 1).then(|| self.shared + apart / 2)
    }

    /// Takes the answer for that size: whether the roots are the same.
    pub fn answer(&mut self, size: u64, same: bool) {
        if same {
            self.shared = self.shared.max(size);
        } else {
            self.differs = self.differs.min(size);
        }
    }

    /// The index of the first entry that differs, once there is nothing to ask.
    pub fn first_difference(&self) -> u64 {
        self.shared
    }
}

/// The control entries before that one in a branch, genesis first, as
/// [`crate::Authority::replay`] takes them.
pub(crate) fn chain_before(branch: &(impl Archive + ?Sized), entry: &Entry) -> Option<Vec<Entry>> {
    let mut chain = Vec::new();
    let mut before = entry.index();
    while let Some(control) = branch.control_before(before).filter(|control| *control < before) {
        chain.push(branch.entry(control)?);
        before = control;
    }
    chain.reverse();
    needed(&mut chain, entry);
    Some(chain)
}

/// Leaves out the writers entries of epochs that a recovery ended: it replaces all that they said.
pub(crate) fn needed(control: &mut Vec<Entry>, head: &Entry) {
    let epoch = head.position().epoch;
    control.retain(|entry| entry.kind() != EntryKind::Writers || entry.position().epoch == epoch);
}
