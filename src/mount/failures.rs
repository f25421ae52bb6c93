//! What could not be had lately, so that nobody waits for it again and again.
//!
//! The kernel asks once more for the page of a failed read-ahead that somebody waits for; `ls -l` asks for
//! every name of a listing by itself after the listing failed. Both would multiply a deadline that has
//! just passed. For [`KEPT`] after it, the same is waited for shortly only; then once more in full.
//! What is on this machine is answered all the same: only waiting for others is cut short.

use std::{
    collections::{HashSet, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use shoal_dag::Cid;

/// How long a failure counts.
const KEPT: Duration = Duration::from_secs(5);

/// Ranges remembered: what the kernel reads ahead at once.
const RANGES_MAX: usize = 128;

/// Things remembered: a few windows of a listing.
const THINGS_MAX: usize = 4096;

/// Failures by waiting in vain.
#[derive(Debug, Default)]
pub(super) struct Failures {
    ranges: VecDeque<(Cid, Range<u64>, Instant)>,
    things: HashSet<Cid>,
    things_at: Option<Instant>,
}

impl Failures {
    /// Was a read at this place waited for in vain?
    pub(super) fn has_range(&mut self, file: &Cid, offset: u64, now: Instant) -> bool {
        self.ranges.retain(|(_, _, at)| is_fresh(*at, now));
        self.ranges.iter().any(|(of, range, _)| of == file && range.contains(&offset))
    }

    /// A read was.
    pub(super) fn note_range(&mut self, file: Cid, range: Range<u64>, now: Instant) {
        if self.ranges.len() >= RANGES_MAX {
            self.ranges.pop_front();
        }
        self.ranges.push_back((file, range, now));
    }

    /// Were all of these waited for in vain? Things that failed together stay together: one that is
    /// tried again, in vain, speaks for all.
    pub(super) fn has_things(&self, cids: &[Cid], now: Instant) -> bool {
        self.things_at.is_some_and(|at| is_fresh(at, now))
            && cids.iter().all(|cid| self.things.contains(cid))
    }

    /// These were.
    pub(super) fn note_things(&mut self, cids: impl IntoIterator<Item = Cid>, now: Instant) {
        for cid in cids {
            if self.things.len() >= THINGS_MAX {
                self.things.clear();
            }
            self.things.insert(cid);
            self.things_at = Some(now);
        }
    }

    /// This one is there now.
    pub(super) fn forget_thing(&mut self, cid: &Cid) {
        self.things.remove(cid);
    }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < KEPT
}

#[cfg(test)]
mod tests {
    use shoal_dag::{
        Version,
        hash::{self, HashKind},
    };

    use super::*;

    fn cid(number: u8) -> Cid {
        hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, &[number])
    }

    #[test]
    fn a_range_is_waited_for_in_full_again_after_a_while() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        failures.note_range(cid(1), 100..200, now);
        assert!(failures.has_range(&cid(1), 150, now));
        assert!(!failures.has_range(&cid(1), 200, now), "behind it");
        assert!(!failures.has_range(&cid(2), 150, now), "another file");
        assert!(!failures.has_range(&cid(1), 150, now + KEPT));
    }

    #[test]
    fn one_of_a_listing_is_tried_for_all() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert!(!failures.has_things(&[cid(1)], now));
        failures.note_things([cid(1), cid(2), cid(3)], now);
        assert!(failures.has_things(&[cid(1), cid(2)], now));
        assert!(!failures.has_things(&[cid(1), cid(4)], now), "one was not tried");
        assert!(!failures.has_things(&[cid(1)], now + KEPT));
        failures.note_things([cid(1)], now + KEPT);
        assert!(failures.has_things(&[cid(3)], now + KEPT));
        failures.forget_thing(&cid(3));
        assert!(!failures.has_things(&[cid(3)], now + KEPT));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for offset in 0..1000 {
            failures.note_range(cid(1), offset..offset + 1, now);
        }
        assert_eq!(failures.ranges.len(), RANGES_MAX);
        assert!(failures.has_range(&cid(1), 999, now) && !failures.has_range(&cid(1), 0, now));
    }
}
