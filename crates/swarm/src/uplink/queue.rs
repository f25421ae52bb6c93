//! A peer's queue of requests, and how often each block has been sent.
//!
//! Owns the order within one queue and the memory of sent blocks: copies, true length, and whether
//! the only copy was confirmed. That memory is two bounded generations; what falls out of it counts
//! as never sent, which costs a little evenness and no correctness.

use std::collections::VecDeque;
use std::time::Duration;

use shoal_dag::Cid;

use crate::Prefix;
use crate::limits::{LEAST_SENT_SCAN_MAX, SENT_MAX};
use crate::random::{Print, PrintMap};
use crate::uplink::accounts::Holder;

/// One request that waits.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) cid: Cid,
    pub(crate) print: Print,
    pub(crate) swarm: u32,
    /// Expected bytes.
    pub(crate) bytes: u32,
    pub(crate) cached_ok: bool,
    pub(crate) deadline: Option<Duration>,
    /// When it came.
    pub(crate) at: Duration,
    /// Newcomer's allowance for its root.
    pub(crate) allowance: u64,
}

/// Takes the earliest deadline, else the block sent least often (the first one when nobody else
/// waits: then order is worth more than rarity).
pub(crate) fn next(queue: &mut VecDeque<Entry>, sent: &Sent, alone: bool) -> Option<Entry> {
    let seen = queue.iter().take(LEAST_SENT_SCAN_MAX).enumerate();
    let urgent =
        seen.clone().filter_map(|(at, entry)| Some((entry.deadline?, at))).min().map(|(_, at)| at);
    let least = || seen.clone().min_by_key(|(_, entry)| sent.times(entry.print)).map(|(at, _)| at);
    let at = match urgent {
        Some(at) => at,
        None if alone => 0,
        None => least()?,
    };
    queue.remove(at)
}

/// What is remembered of a block that was sent.
#[derive(Debug, Clone, Copy)]
struct Record {
    times: u32,
    len: u32,
    /// Who got the first copy.
    first: Holder,
    /// Bytes counted as confirmed for it.
    confirmed: u32,
    /// A confirmation was taken back: it does not count again.
    closed: bool,
}

/// How often blocks were sent, in two generations: when the newer one is full the older is dropped.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    new: PrintMap<Record>,
    old: PrintMap<Record>,
}

impl Sent {
    fn record(&self, print: Print) -> Option<&Record> {
        self.new.get(&print).or_else(|| self.old.get(&print))
    }

    fn record_mut(&mut self, print: Print) -> Option<&mut Record> {
        match self.new.get_mut(&print) {
            Some(record) => Some(record),
            None => self.old.get_mut(&print),
        }
    }

    pub(crate) fn times(&self, print: Print) -> u32 {
        self.record(print).map_or(0, |record| record.times)
    }

    /// The length that a block had when it was sent before.
    pub(crate) fn len(&self, print: Print) -> Option<u32> {
        self.record(print).map(|record| record.len).filter(|len| *len > 0)
    }

    /// A block is sent once more.
    pub(crate) fn count(&mut self, print: Print, to: Holder) {
        let fresh = Record { times: 0, len: 0, first: to, confirmed: 0, closed: false };
        let mut record =
            self.old.remove(&print).or_else(|| self.new.remove(&print)).unwrap_or(fresh);
        record.times = record.times.saturating_add(1);
        if self.new.len() >= SENT_MAX {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(print, record);
    }

    pub(crate) fn learnt(&mut self, print: Print, len: u32) {
        if let Some(record) = self.record_mut(print) {
            record.len = len;
        }
    }

    /// A peer in `by` has the block: whose account that counts for, if we gave one copy only and
    /// to another prefix, and it does not count yet.
    pub(crate) fn confirmable(&self, print: Print, by: Prefix) -> Option<Holder> {
        let record = self.record(print)?;
        let counts = record.times == 1 && record.first.0 != by;
        (counts && record.confirmed == 0 && !record.closed).then_some(record.first)
    }

    /// A block counts as confirmed.
    pub(crate) fn confirm(&mut self, print: Print, bytes: u32) {
        if let Some(record) = self.record_mut(print) {
            record.confirmed = bytes;
        }
    }

    /// Somebody asks for the block: whose confirmation is taken back, and how much.
    pub(crate) fn asked_again(&mut self, print: Print) -> Option<(Holder, u32)> {
        let record = self.record_mut(print)?;
        let bytes = std::mem::take(&mut record.confirmed);
        if bytes == 0 {
            return None;
        }
        record.closed = true;
        Some((record.first, bytes))
    }
}
