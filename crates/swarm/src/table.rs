//! The slots of a swarm: every block that the engine currently has in view.
//!
//! A slot is one block with its state and the number of partial holders. Children of one branch
//! have consecutive numbers, in link order, so that a search over numbers is a walk in order and
//! a run of numbers is a run on disk. Slots that are missing and asked of nobody form the pool,
//! sorted by rarity into one [`BitSet`] per level: the rarest block that a peer holds is found
//! without looking at any other block.
//!
//! Invariants: a slot is in exactly one level if it is `Missing`, in none otherwise; at most
//! [`SLOTS_MAX`] slots exist; a CID has at most one slot that is not an alias.

use std::collections::BTreeMap;

use shoal_dag::Cid;

use crate::PeerNo;
use crate::bits::{BitSet, search};
use crate::limits::SLOTS_MAX;
use crate::random::{Print, PrintMap};

/// No slot, no branch.
pub(crate) const NONE: u32 = u32::MAX;

/// Rarity classes: 0 to 11 partial holders are told apart, then doublings.
const LEVELS: usize = 16;

/// Where a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The slot is not in use.
    Free,
    /// Known, not wanted.
    Idle,
    /// Wanted; the store has not been asked.
    Unknown,
    /// The store is being asked.
    Probing,
    /// Wanted, not here, asked of nobody: in the pool.
    Missing,
    /// Asked of a peer, under a sequence number of that peer.
    Asked(PeerNo, u64),
    /// The block itself is here; what is below it is not, or not known to be.
    Held,
    /// The block and everything below it is here.
    Complete,
    /// The same block as another slot.
    Alias(u32),
}

/// One block in view.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) cid: Cid,
    pub(crate) print: Print,
    /// Index of the branch that it hangs under, or [`NONE`].
    pub(crate) parent: u32,
    /// Index of the branch that it is, when mapped, or [`NONE`].
    pub(crate) branch: u32,
    pub(crate) depth: u16,
    /// Known to have links.
    pub(crate) links: bool,
    /// Everything below is wanted too.
    pub(crate) tree: bool,
    /// Partial holders; those that hold everything are not counted.
    pub(crate) holders: u16,
    /// As told by the link.
    pub(crate) size: u64,
    /// First byte in the file of the branch that it hangs under.
    pub(crate) offset: u64,
    pub(crate) state: State,
}

impl Slot {
    fn free() -> Self {
        Self {
            cid: Cid::default(),
            print: 0,
            parent: NONE,
            branch: NONE,
            depth: 0,
            links: false,
            tree: false,
            holders: 0,
            size: 0,
            offset: 0,
            state: State::Free,
        }
    }

    /// The block is here.
    pub(crate) fn present(&self) -> bool {
        matches!(self.state, State::Held | State::Complete)
    }

    /// Expected bytes of the block: a raw leaf's are its link's, another block's are guessed.
    pub(crate) fn bytes(&self) -> u32 {
        const RAW: u64 = 0x55;
        const GUESS: u64 = 64 << 10;
        let told = if self.size == 0 { GUESS } else { self.size };
        let most = if self.cid.codec() == RAW { shoal_dag::BLOCK_BYTES_MAX as u64 } else { GUESS };
        told.min(most) as u32
    }
}

/// All slots of a swarm.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    /// Free ranges: start to length, never adjacent.
    free: BTreeMap<u32, u32>,
    used: u32,
    index: PrintMap<u32>,
    levels: [BitSet; LEVELS],
    /// Slots in the pool.
    pub(crate) pool: u32,
    /// Slots asked of a peer.
    pub(crate) asked: u32,
}

impl Table {
    /// Slots in use.
    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// One more than the highest slot number so far.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn slot(&self, at: u32) -> &Slot {
        &self.slots[at as usize]
    }

    pub(crate) fn slot_mut(&mut self, at: u32) -> &mut Slot {
        &mut self.slots[at as usize]
    }

    /// The slot of a CID, never an alias.
    pub(crate) fn find(&self, print: Print, cid: &Cid) -> Option<u32> {
        self.index.get(&print).copied().filter(|at| self.slot(*at).cid == *cid)
    }

    /// The slot that stands for this one.
    pub(crate) fn resolve(&self, at: u32) -> u32 {
        match self.slot(at).state {
            State::Alias(primary) => primary,
            _ => at,
        }
    }

    /// Finds room for consecutive slots; `None` when there is none.
    pub(crate) fn allocate(&mut self, count: u32) -> Option<u32> {
        let hole = self.free.iter().find(|(_, len)| **len >= count).map(|(at, len)| (*at, *len));
        let base = if let Some((at, len)) = hole {
            self.free.remove(&at);
            if len > count {
                self.free.insert(at + count, len - count);
            }
            at
        } else {
            let base = self.end();
            if base as usize + count as usize > SLOTS_MAX {
                return None;
            }
            self.slots.resize_with(base as usize + count as usize, Slot::free);
            base
        };
        self.used += count;
        Some(base)
    }

    /// Fills a slot that was allocated; an alias when the block has a slot already.
    pub(crate) fn fill(&mut self, at: u32, slot: Slot) -> State {
        let state = if let Some(primary) = self.find(slot.print, &slot.cid) {
            State::Alias(primary)
        } else {
            self.index.insert(slot.print, at);
            slot.state
        };
        self.slots[at as usize] = Slot { state, ..slot };
        state
    }

    /// Makes a slot as it is before anything is known of it but its name.
    pub(crate) fn fresh(cid: Cid, print: Print) -> Slot {
        Slot { cid, print, state: State::Idle, ..Slot::free() }
    }

    /// Gives slots back. None of them may be in the pool or asked.
    pub(crate) fn release(&mut self, base: u32, count: u32) {
        for at in base..base + count {
            let slot = &mut self.slots[at as usize];
            if self.index.get(&slot.print) == Some(&at) {
                self.index.remove(&slot.print);
            }
            *slot = Slot::free();
        }
        self.used -= count;
        let (mut start, mut len) = (base, count);
        if let Some((before, before_len)) = self.free.range(..base).next_back()
            && before + before_len == base
        {
            (start, len) = (*before, before_len + len);
        }
        if let Some(after_len) = self.free.remove(&(base + count)) {
            len += after_len;
        }
        self.free.insert(start, len);
    }

    /// Changes a slot's state and keeps the pool in step.
    pub(crate) fn change(&mut self, at: u32, state: State) {
        let slot = &mut self.slots[at as usize];
        let (old, level) = (slot.state, level(slot.holders));
        slot.state = state;
        match old {
            State::Missing => {
                self.levels[level].clear(at);
                self.pool -= 1;
            }
            State::Asked(..) => self.asked -= 1,
            _ => {}
        }
        match state {
            State::Missing => {
                self.levels[level].set(at);
                self.pool += 1;
            }
            State::Asked(..) => self.asked += 1,
            _ => {}
        }
    }

    /// One partial holder more, or one less.
    pub(crate) fn count_holder(&mut self, at: u32, more: bool) {
        let slot = &mut self.slots[at as usize];
        let old = level(slot.holders);
        slot.holders =
            if more { slot.holders.saturating_add(1) } else { slot.holders.saturating_sub(1) };
        let new = level(slot.holders);
        if slot.state == State::Missing && old != new {
            self.levels[old].clear(at);
            self.levels[new].set(at);
        }
    }

    /// The rarest pool slot that is in `held` (anything when `None`) and not in `except`, searching
    /// each level from `start`.
    pub(crate) fn rarest(&self, start: u32, held: Option<&BitSet>, except: &BitSet) -> Option<u32> {
        self.levels.iter().filter(|level| level.count() > 0).find_map(|level| match held {
            Some(held) => search(start, &[level, held], except),
            None => search(start, &[level], except),
        })
    }

    /// Panics where a level is not what it is counted from.
    #[track_caller]
    pub(crate) fn check_levels(&self) {
        for at in 0..self.end() {
            let slot = self.slot(at);
            let levels = self.levels.iter().enumerate().filter(|(_, set)| set.has(at));
            let levels: Vec<usize> = levels.map(|(number, _)| number).collect();
            let expected: Vec<usize> =
                (slot.state == State::Missing).then(|| level(slot.holders)).into_iter().collect();
            assert_eq!(levels, expected, "slot {at}: {slot:?}");
        }
        let mut last = None;
        for (start, len) in &self.free {
            assert!(*len > 0 && last.is_none_or(|end| end < *start), "{:?}", self.free);
            last = Some(start + len);
        }
        let free: u32 = self.free.values().sum();
        assert_eq!(free + self.used, self.end());
    }
}

fn level(holders: u16) -> usize {
    let exact = usize::from(holders);
    if exact < 12 {
        return exact;
    }
    (12 + (exact / 12).ilog2() as usize).min(LEVELS - 1)
}

#[cfg(test)]
mod tests;
