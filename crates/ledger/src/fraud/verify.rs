//! Whether a proof of fraud proves it.
//!
//! First the facts, which cost a few hashes: the parts belong together and break a rule. Then the
//! signatures of the evidence. Each rule here is the negation of one in `tip.rs` or `authority.rs`,
//! restricted to what the accused entry itself commits to by its links and its root: only so can a
//! proof not be made against an honest signer.

use shoal_dag::Bytes;

use super::{Evidence, Fraud, FraudError, Leaf, LinkFault, LinkName, Usurpation};
use crate::authority::Authority;
use crate::entry::Links;
use crate::hash::EntryId;
use crate::tree::proof::verify_inclusion;
use crate::tree::{Peaks, leaf_hash};
use crate::{Entry, EntryKind, LedgerId, jump};

type Result<T> = std::result::Result<T, FraudError>;

impl Fraud {
    /// Checks the proof for that name, and with nothing else.
    pub fn verify(&self, name: LedgerId) -> Result<()> {
        if self.evidence().iter().any(|evidence| evidence.entry.ledger() != name) {
            return Err(FraudError::Unconnected);
        }
        self.verify_facts()?;
        for evidence in self.evidence() {
            evidence.verify(name)?;
        }
        match self {
            Self::Unauthorised { entry, by: Usurpation::AfterRemoval(changes) } => {
                verify_removal(entry, changes, name)
            }
            _ => Ok(()),
        }
    }

    /// Checks everything but the signatures of the evidence.
    pub(super) fn verify_facts(&self) -> Result<()> {
        match self {
            Self::Equivocation(pair) => verify_equivocation(&pair[0].entry, &pair[1].entry),
            Self::BadHistory { entry, previous, peaks } => {
                verify_history(&entry.entry, previous, peaks)
            }
            Self::BadLeaf { entry, leaf } => {
                connected(&entry.entry, leaf)?;
                breaks(as_entry(&entry.entry, &leaf.block, leaf.index).is_none())
            }
            Self::BadLink { entry, link, fault } => verify_link(&entry.entry, *link, fault),
            Self::TimeRegress { entry, earlier } => {
                connected(&entry.entry, earlier)?;
                let earlier = Entry::decode(earlier.block.clone())?;
                breaks(earlier.header().time_ms > entry.entry.header().time_ms)
            }
            Self::Unauthorised { entry, by } => verify_usurpation(&entry.entry, by),
        }
    }
}

fn breaks(rule: bool) -> Result<()> {
    if rule { Ok(()) } else { Err(FraudError::Harmless) }
}

fn belongs(holds: bool) -> Result<()> {
    if holds { Ok(()) } else { Err(FraudError::Unconnected) }
}

/// The leaf stands in the history that the entry signed.
fn connected(entry: &Entry, leaf: &Leaf) -> Result<()> {
    let root = &entry.header().history;
    let hash = leaf_hash(&leaf.block);
    belongs(verify_inclusion(&hash, leaf.index, entry.index(), root, &leaf.path))
}

/// The block as an entry that may stand at that index of the entry's history.
fn as_entry(entry: &Entry, block: &Bytes, index: u64) -> Option<Entry> {
    let found = Entry::decode(block.clone()).ok()?;
    let fits = found.ledger() == entry.ledger()
        && found.index() == index
        && found.position().epoch <= entry.position().epoch;
    fits.then_some(found)
}

fn links(entry: &Entry) -> Result<Links> {
    entry.header().links.ok_or(FraudError::Harmless)
}

fn verify_equivocation(a: &Entry, b: &Entry) -> Result<()> {
    let recoveries = [a, b].iter().all(|entry| entry.kind() == EntryKind::Recover);
    let one_place = a.position() == b.position();
    let one_epoch = recoveries && a.position().epoch == b.position().epoch;
    belongs(a.ledger() == b.ledger())?;
    breaks(a != b && (one_place || one_epoch))
}

/// The root must be that of the entry before, with that entry appended.
fn verify_history(entry: &Entry, previous: &Bytes, peaks: &[crate::Hash]) -> Result<()> {
    belongs(EntryId::of(previous) == links(entry)?.previous)?;
    let before = entry.index() - 1;
    let previous = as_entry(entry, previous, before).ok_or(FraudError::Unconnected)?;
    let range = Peaks::from_parts(before, peaks.to_vec()).ok_or(FraudError::Unconnected)?;
    belongs(range.root() == previous.header().history)?;
    let mut range = range;
    range.push(previous.leaf());
    breaks(range.root() != entry.header().history)
}

fn verify_link(entry: &Entry, link: LinkName, fault: &LinkFault) -> Result<()> {
    let Links { previous, jump, control } = links(entry)?;
    let (id, target) = match link {
        LinkName::Previous => (previous, entry.index().checked_sub(1)),
        LinkName::Jump => (jump, jump::target(entry.index())),
        LinkName::Control => (control, None),
    };
    match fault {
        LinkFault::Names(block) => {
            belongs(EntryId::of(block) == id)?;
            breaks(!may_be_linked(entry, link, block, target))
        }
        LinkFault::Misses(leaf) => {
            connected(entry, leaf)?;
            breaks(target == Some(leaf.index) && EntryId::of(&leaf.block) != id)
        }
        LinkFault::Outdated { named, newer } => {
            belongs(link == LinkName::Control && EntryId::of(named) == id)?;
            verify_outdated(entry, named, newer)
        }
    }
}

/// Whether a link of that name may name that block.
fn may_be_linked(entry: &Entry, link: LinkName, block: &Bytes, target: Option<u64>) -> bool {
    let Ok(named) = Entry::decode(block.clone()) else { return false };
    let index = target.unwrap_or_else(|| named.index());
    let earlier = index < entry.index() && as_entry(entry, block, index).is_some();
    earlier && (link != LinkName::Control || named.kind().is_control())
}

/// A control entry in the history that is newer than the linked one, or stands in its place.
fn verify_outdated(entry: &Entry, named: &Bytes, newer: &Leaf) -> Result<()> {
    connected(entry, newer)?;
    let named = Entry::decode(named.clone())?;
    let control = Entry::decode(newer.block.clone()).is_ok_and(|newer| newer.kind().is_control());
    let other_there = newer.index == named.index() && newer.block != *named.block();
    breaks(other_there || (newer.index > named.index() && control))
}

fn verify_usurpation(entry: &Entry, by: &Usurpation) -> Result<()> {
    match by {
        Usurpation::AfterEnd(leaf) => {
            connected(entry, leaf)?;
            breaks(Entry::decode(leaf.block.clone())?.kind() == EntryKind::Tombstone)
        }
        Usurpation::AfterRemoval(changes) => {
            breaks(!changes.is_empty())?;
            changes.iter().try_for_each(|change| connected(entry, change))
        }
        Usurpation::OnTop { leaf, chain } => {
            connected(entry, leaf)?;
            let below = as_entry(entry, &leaf.block, leaf.index).ok_or(FraudError::Unconnected)?;
            verify_on_top(entry.ledger(), &below, chain)
        }
    }
}

/// The chain is the one that the entry below itself links, and gives nobody the right to sign it so.
/// That it is linked matters most for a recovery: the commitments must be those of its own history,
/// not of another genesis that whoever stole the name's key made up.
fn verify_on_top(name: LedgerId, below: &Entry, chain: &[Entry]) -> Result<()> {
    let Some(last) = chain.last() else {
        let genesis = below.kind() == EntryKind::Genesis;
        return breaks(genesis && Authority::begin(below).is_err());
    };
    let same_epoch = below.position().epoch == last.position().epoch;
    let opens = below.kind() == EntryKind::Recover
        && below.position().epoch.as_u64() == last.position().epoch.as_u64() + 1;
    belongs(links(below)?.control == last.id() && (same_epoch || opens))?;
    breaks(Authority::replay(name, chain)?.admit(below).is_err())
}

/// The changes of keys follow the control entry that the entry links, are valid, and the key that
/// signed the entry is no writer after them.
fn verify_removal(entry: &Evidence, changes: &[Leaf], name: LedgerId) -> Result<()> {
    let signer = entry.signers(name);
    let mut authority = Authority::replay(name, &entry.chain)?;
    for change in changes {
        authority = authority.admit(&Entry::decode(change.block.clone())?)?;
    }
    breaks(signer.iter().all(|key| !authority.writers().contains(key)))
}
