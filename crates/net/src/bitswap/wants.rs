//! What one peer wants of us and has not got.
//!
//! A wish is taken while there is room ([`WANTS_MAX`]) and the peer has not made us look up more
//! than [`LOOKUPS_PER_SECOND`]; what is beyond is answered "not here" where the peer asked to be
//! told, and forgotten. Nothing waits here for a block that may come later: whoever still wants it
//! asks again, as kubo does every half minute.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use shoal_dag::{Cid, hash};
use shoal_swarm::Want;

use super::message::{Entry, Wish};
use crate::blocks::Blocks;
use crate::gate::TokenBucket;

/// Wants of one peer at once: what kubo keeps of one, and so what its clients are used to.
pub(crate) const WANTS_MAX: usize = 1_024;
/// Lookups that one peer may cause per second in the long run: each is a few microseconds.
pub(crate) const LOOKUPS_PER_SECOND: u32 = 20_000;
/// Lookups at once after a pause: two of the longest wantlists that kubo sends.
const LOOKUP_BURST: u32 = 65_536;
/// A block of so many bytes is sent to whoever asks whether it is here, as kubo does: it is not
/// much longer than the answer.
const SMALL_BYTES_MAX: u32 = 1_024;

/// A wish that was handed to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    block: bool,
    send_dont_have: bool,
}

/// What follows from a wantlist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// For the engine.
    pub(super) wants: Vec<Want>,
    /// Taken back.
    pub(super) cancelled: Vec<Cid>,
    /// To be told at once that they are not here.
    pub(super) absent: Vec<Cid>,
    /// Entries that were not looked at: the peer asks more than it may.
    pub(super) flooded: u32,
}

/// The wants of one peer.
#[derive(Debug)]
pub(super) struct Wants {
    wants: HashMap<Cid, Wanted>,
    lookups: TokenBucket,
}

impl Wants {
    /// It wants nothing.
    pub(super) fn new(now: Instant) -> Self {
        let lookups = TokenBucket::new(LOOKUPS_PER_SECOND, LOOKUP_BURST, now);
        Self { wants: HashMap::new(), lookups }
    }

    /// Takes a wantlist in.
    pub(super) fn take(
        &mut self,
        full: bool,
        mut entries: Vec<Entry>,
        blocks: &dyn Blocks,
        now: Instant,
    ) -> Change {
        let mut change = Change::default();
        if full {
            let named: HashSet<Cid> = entries.iter().map(|entry| entry.cid).collect();
            let gone = self.wants.keys().filter(|cid| !named.contains(*cid));
            change.cancelled = gone.copied().collect();
            self.wants.retain(|cid, _| named.contains(cid));
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.priority));
        for entry in &entries {
            self.take_one(entry, blocks, now, &mut change);
        }
        change
    }

    fn take_one(&mut self, entry: &Entry, blocks: &dyn Blocks, now: Instant, change: &mut Change) {
        let Entry { cid, wish, send_dont_have, .. } = *entry;
        if wish == Wish::Cancel {
            if self.wants.remove(&cid).is_some() {
                change.cancelled.push(cid);
            }
            return;
        }
        let block = wish == Wish::Block;
        let known = self.wants.get(&cid).copied();
        if known.is_some_and(|known| known.block || !block) {
            return;
        }
        if !self.lookups.take(now) {
            change.flooded += 1;
            return;
        }
        let room = known.is_some() || self.wants.len() < WANTS_MAX;
        if !room || hash::check(&cid).is_err() {
            if send_dont_have {
                change.absent.push(cid);
            }
            return;
        }
        let public = blocks.public_len(&cid);
        let block = block || public.is_some_and(|len| len <= SMALL_BYTES_MAX);
        self.wants.insert(cid, Wanted { block, send_dont_have });
        change.wants.push(Want { cid, block, public });
    }

    /// A block is about to be sent: whether it is still wanted.
    pub(super) fn is_wanted(&self, cid: &Cid) -> bool {
        self.wants.get(cid).is_some_and(|wanted| wanted.block)
    }

    /// A block was sent.
    pub(super) fn sent(&mut self, cid: &Cid) {
        self.wants.remove(cid);
    }

    /// It is here: whether the peer is to be told so, which it is if that is all that it asked.
    pub(super) fn affirmed(&mut self, cid: &Cid) -> bool {
        let asked = self.wants.get(cid).is_some_and(|wanted| !wanted.block);
        if asked {
            self.wants.remove(cid);
        }
        asked
    }

    /// It will not be sent: whether the peer is to be told so.
    pub(super) fn refused(&mut self, cid: &Cid) -> bool {
        self.wants.remove(cid).is_some_and(|wanted| wanted.send_dont_have)
    }
}

#[cfg(test)]
mod tests;
