//! What one peer holds of one root, as far as it told.
//!
//! Bits about branches that are mapped go straight into a set over slots; bits about branches not
//! seen yet are kept by the branch's fingerprint, within [`KEPT_BYTES_MAX`], oldest dropped first.
//! Sub-trees told complete are remembered by fingerprint within [`COMPLETE_MAX`]. What is lost by
//! these bounds costs a source, never correctness.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::bits::BitSet;
use crate::limits::{COMPLETE_MAX, KEPT_BYTES_MAX, TELLING_MAX, TOLD_PER_TICK};
use crate::random::{Print, PrintSet};
use crate::swarm::exchange::Exchange;
use crate::{Holding, Message};

/// A peer in a swarm.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) holding: Holding,
    /// Slots whose own block it holds. Meaningless while it holds everything.
    pub(crate) has: BitSet,
    /// Slots that it refused or corrupted, whether it had announced them or was guessed to have them.
    pub(crate) not: BitSet,
    /// Where the next run of leaves begins.
    pub(crate) cursor: u32,
    /// When it was last told everything that is here.
    pub(crate) told_at: Option<Duration>,
    /// When it was last given a second chance to have what it was guessed to have.
    pub(crate) guessed_at: Option<Duration>,
    /// It is told nothing: it speaks of single blocks only.
    pub(crate) deaf: bool,
    /// Its part in the exchange of peers.
    pub(crate) exchange: Exchange,
    /// What it is still to be told.
    telling: VecDeque<Message>,
    complete: PrintSet,
    complete_order: VecDeque<Print>,
    kept: BTreeMap<Print, Vec<u8>>,
    kept_order: VecDeque<Print>,
    kept_bytes: usize,
}

impl Member {
    pub(crate) fn new(holding: Holding, cursor: u32) -> Self {
        Self {
            holding,
            has: BitSet::default(),
            not: BitSet::default(),
            cursor,
            told_at: None,
            guessed_at: None,
            deaf: false,
            exchange: Exchange::default(),
            telling: VecDeque::new(),
            complete: PrintSet::default(),
            complete_order: VecDeque::new(),
            kept: BTreeMap::new(),
            kept_order: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// Whether it holds everything.
    pub(crate) fn all(&self) -> bool {
        self.holding == Holding::All
    }

    /// Whether it can give the block of a slot, as it told.
    pub(crate) fn can_give(&self, slot: u32) -> bool {
        (self.all() || self.has.has(slot)) && !self.not.has(slot)
    }

    /// Whether it may have the block of an orphaned slot, as it holds a part of the root and has not
    /// said otherwise.
    pub(crate) fn may_have(&self, slot: u32, orphans: &BitSet) -> bool {
        self.holding == Holding::Part && orphans.has(slot) && !self.not.has(slot)
    }

    /// Puts messages behind those that it is still to be told. What is beyond [`TELLING_MAX`] is not
    /// told: that costs it a source, and the end of the tree tells it all in one message.
    pub(crate) fn tell(&mut self, messages: impl IntoIterator<Item = Message>) {
        if self.deaf {
            return;
        }
        let room = TELLING_MAX.saturating_sub(self.telling.len());
        self.telling.extend(messages.into_iter().take(room));
    }

    /// What it is told now: at most [`TOLD_PER_TICK`] messages.
    pub(crate) fn told_now(&mut self) -> impl Iterator<Item = Message> + '_ {
        let now = self.telling.len().min(TOLD_PER_TICK);
        self.telling.drain(..now)
    }

    /// Forgets what it is still to be told, because one message that follows says it all.
    pub(crate) fn untell(&mut self) {
        self.telling.clear();
    }

    /// Whether there is more to tell it.
    pub(crate) fn is_being_told(&self) -> bool {
        !self.telling.is_empty()
    }

    /// Forgets what it told, but for its bits over slots.
    pub(crate) fn forget_told(&mut self) {
        self.complete.clear();
        self.complete_order.clear();
        self.kept.clear();
        self.kept_order.clear();
        self.kept_bytes = 0;
    }

    /// Forgets what is counted in slots.
    pub(crate) fn forget_slots(&mut self) {
        self.has = BitSet::default();
        self.not = BitSet::default();
    }

    /// Whether it told that it holds everything below this branch.
    pub(crate) fn completed(&self, branch: Print) -> bool {
        self.complete.contains(&branch)
    }

    /// Remembers a complete sub-tree.
    pub(crate) fn complete(&mut self, branch: Print) {
        if !self.complete.insert(branch) {
            return;
        }
        self.complete_order.push_back(branch);
        if self.complete_order.len() > COMPLETE_MAX
            && let Some(oldest) = self.complete_order.pop_front()
        {
            self.complete.remove(&oldest);
        }
    }

    /// Keeps bits about a branch that is not mapped.
    pub(crate) fn keep(&mut self, branch: Print, first: u32, bits: &[u8]) {
        let (skip, shift) = (first as usize / 8, first % 8);
        let end = skip + bits.len() + usize::from(shift > 0);
        if end > KEPT_BYTES_MAX / 4 {
            return;
        }
        let kept = self.kept.entry(branch).or_insert_with(|| {
            self.kept_order.push_back(branch);
            self.kept_bytes += KEPT_OVERHEAD;
            Vec::new()
        });
        if kept.len() < end {
            self.kept_bytes += end - kept.len();
            kept.resize(end, 0);
        }
        for (at, byte) in bits.iter().enumerate() {
            kept[skip + at] |= byte << shift;
            if shift > 0 {
                kept[skip + at + 1] |= byte >> (8 - shift);
            }
        }
        while self.kept_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.kept_order.pop_front() else { break };
            self.take_kept_unordered(oldest);
        }
    }

    /// Takes out the bits kept about a branch, which start at link 0.
    pub(crate) fn take_kept(&mut self, branch: Print) -> Option<Vec<u8>> {
        let bits = self.take_kept_unordered(branch)?;
        self.kept_order.retain(|print| *print != branch);
        Some(bits)
    }

    fn take_kept_unordered(&mut self, branch: Print) -> Option<Vec<u8>> {
        let bits = self.kept.remove(&branch)?;
        self.kept_bytes -= bits.len() + KEPT_OVERHEAD;
        Some(bits)
    }
}

/// What one kept bitmap costs besides its bits.
const KEPT_OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_bits_are_joined_at_any_offset() {
        let mut member = Member::new(Holding::Part, 0);
        member.keep(1, 3, &[0b101]);
        member.keep(1, 12, &[0b1000_0001]);
        assert_eq!(member.take_kept(1), Some(vec![0b0010_1000, 0b0001_0000, 0b0000_1000]));
        assert_eq!(member.take_kept(1), None);
        assert_eq!(member.kept_bytes, 0);
    }

    #[test]
    fn a_member_is_told_bit_by_bit_and_within_bounds() {
        let root = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku".parse().unwrap();
        let mut member = Member::new(Holding::Part, 0);
        member.tell(std::iter::repeat_n(Message::Leave { root }, TELLING_MAX + 5));
        let mut told = 0;
        while member.is_being_told() {
            let now = member.told_now().count();
            assert!(now <= TOLD_PER_TICK);
            told += now;
        }
        assert_eq!(told, TELLING_MAX);
    }

    #[test]
    fn the_oldest_bits_go_first() {
        let mut member = Member::new(Holding::Part, 0);
        for branch in 0..10_000 {
            member.keep(branch, 0, &[1; 512]);
            member.complete(branch);
        }
        assert!(member.kept_bytes <= KEPT_BYTES_MAX);
        assert!(member.take_kept(0).is_none());
        assert!(member.take_kept(9_999).is_some());
        for branch in 10_000..10_000 + COMPLETE_MAX as u64 {
            member.complete(branch);
        }
        assert!(!member.completed(9_999));
        assert_eq!(member.complete.len(), COMPLETE_MAX);
    }
}
