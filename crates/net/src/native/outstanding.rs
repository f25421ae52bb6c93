//! What was asked of one peer and has not come yet.
//!
//! A block is accepted only if it stands here; each ask is good for one block. What was cancelled
//! stays for a while, because its bytes may be on the way already: they are then kept like any
//! other, not held against the peer.

use std::collections::{HashMap, VecDeque};

use shoal_dag::Cid;
use shoal_swarm::{Ask, Place};

/// Blocks asked for at once over one stream: a pipeline of 32 MiB in the smallest leaves has
/// 2,048.
pub(crate) const OUTSTANDING_MAX: usize = 8192;
/// Cancelled requests that are remembered.
pub(crate) const CANCELLED_MAX: usize = 1024;

#[derive(Debug)]
struct Slot {
    place: Option<Place>,
    times: u32,
    cancelled: bool,
}

/// The open requests of one stream.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    slots: HashMap<Cid, Slot>,
    cancelled: VecDeque<Cid>,
}

impl Outstanding {
    /// Remembers an ask; false if there are too many already.
    pub(crate) fn ask(&mut self, ask: &Ask) -> bool {
        if self.slots.len() >= OUTSTANDING_MAX && !self.slots.contains_key(&ask.cid) {
            return false;
        }
        let slot = self.slots.entry(ask.cid).or_insert_with(|| Slot {
            place: None,
            times: 0,
            cancelled: false,
        });
        slot.place = ask.place.or(slot.place);
        slot.times += 1;
        slot.cancelled = false;
        true
    }

    /// The request was taken back; its block may still come.
    pub(crate) fn cancel(&mut self, cids: &[Cid]) {
        for cid in cids {
            let Some(slot) = self.slots.get_mut(cid).filter(|slot| !slot.cancelled) else {
                continue;
            };
            slot.cancelled = true;
            self.cancelled.push_back(*cid);
        }
        while self.cancelled.len() > CANCELLED_MAX {
            let oldest = self.cancelled.pop_front();
            if let Some(cid) = oldest.filter(|cid| self.is_cancelled(cid)) {
                self.slots.remove(&cid);
            }
        }
    }

    /// Whether a block is asked for and was not taken back.
    pub(crate) fn is_open(&self, cid: &Cid) -> bool {
        self.slots.get(cid).is_some_and(|slot| !slot.cancelled)
    }

    /// The peer will not send these.
    pub(crate) fn refuse(&mut self, cids: &[Cid]) {
        for cid in cids {
            self.slots.remove(cid);
        }
    }

    /// A block came: what was asked, if it was.
    pub(crate) fn take(&mut self, cid: &Cid) -> Option<Ask> {
        let slot = self.slots.get_mut(cid)?;
        let ask = Ask { cid: *cid, place: slot.place };
        slot.times -= 1;
        if slot.times == 0 {
            self.slots.remove(cid);
        }
        Some(ask)
    }

    fn is_cancelled(&self, cid: &Cid) -> bool {
        self.slots.get(cid).is_some_and(|slot| slot.cancelled)
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::Version;
    use shoal_dag::hash::{HashKind, RAW, cid_of};

    use super::*;

    fn ask(n: usize) -> Ask {
        let data = n.to_le_bytes();
        Ask { cid: cid_of(HashKind::Blake3, RAW, Version::V1, &data), place: None }
    }

    #[test]
    fn each_ask_is_good_for_one_block() {
        let mut open = Outstanding::default();
        assert!(open.ask(&ask(1)) && open.ask(&ask(1)));
        assert!(open.take(&ask(1).cid).is_some());
        assert!(open.take(&ask(1).cid).is_some());
        assert!(open.take(&ask(1).cid).is_none());
        assert!(open.take(&ask(2).cid).is_none());
    }

    #[test]
    fn cancelled_blocks_may_still_come_but_refused_ones_may_not() {
        let mut open = Outstanding::default();
        assert!(open.ask(&ask(1)) && open.ask(&ask(2)));
        open.cancel(&[ask(1).cid, ask(3).cid]);
        open.refuse(&[ask(2).cid]);
        assert!(open.take(&ask(1).cid).is_some());
        assert!(open.take(&ask(2).cid).is_none());
    }

    #[test]
    fn both_lists_are_bounded() {
        let mut open = Outstanding::default();
        assert!((0..OUTSTANDING_MAX).all(|n| open.ask(&ask(n))));
        assert!(!open.ask(&ask(OUTSTANDING_MAX)));
        let cids: Vec<_> = (0..OUTSTANDING_MAX).map(|n| ask(n).cid).collect();
        open.cancel(&cids);
        assert_eq!(open.slots.len(), CANCELLED_MAX);
        assert_eq!(open.cancelled.len(), CANCELLED_MAX);
        assert!(open.take(&cids[OUTSTANDING_MAX - 1]).is_some(), "the newest are remembered");
        assert!(open.take(&cids[0]).is_none());
    }

    #[test]
    fn asking_again_after_a_cancel_makes_it_open_again() {
        let mut open = Outstanding::default();
        assert!(open.ask(&ask(0)));
        open.cancel(&[ask(0).cid]);
        assert!(open.ask(&ask(0)));
        let others: Vec<_> = (1..=CANCELLED_MAX + 1).map(ask).collect();
        assert!(others.iter().all(|other| open.ask(other)));
        open.cancel(&others.iter().map(|other| other.cid).collect::<Vec<_>>());
        assert!(open.take(&ask(0).cid).is_some());
    }
}
