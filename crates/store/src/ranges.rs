//! A set of byte ranges that never overlap, merged where they touch.
//!
//! It says which bytes of a partial blob are taken. At worst (every other leaf present) it holds half
//! as many ranges as the blob has leaves.

use std::collections::BTreeMap;

/// The set: start to end.
#[derive(Debug, Default)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a range unless it touches one byte that is in the set; says whether it was added.
    pub(crate) fn claim(&mut self, start: u64, len: u64) -> bool {
        let end = start + len;
        if len == 0 || self.overlaps(start, end) {
            return false;
        }
        let mut merged = (start, end);
        if let Some((before, until)) = self.before(start)
            && until == start
        {
            self.0.remove(&before);
            merged.0 = before;
        }
        if let Some(after) = self.0.remove(&end) {
            merged.1 = after;
        }
        self.0.insert(merged.0, merged.1);
        true
    }

    /// Takes a range out again that was added before.
    pub(crate) fn release(&mut self, start: u64, len: u64) {
        let end = start + len;
        let Some((from, until)) = self.before(start + 1).filter(|range| range.1 >= end) else {
            return;
        };
        self.0.remove(&from);
        if from < start {
            self.0.insert(from, start);
        }
        if end < until {
            self.0.insert(end, until);
        }
    }

    /// Is every byte of the range in the set?
    pub(crate) fn covers(&self, start: u64, len: u64) -> bool {
        self.before(start + 1).is_some_and(|range| range.1 >= start + len)
    }

    /// The last range that begins before `position`.
    fn before(&self, position: u64) -> Option<(u64, u64)> {
        self.0.range(..position).next_back().map(|(start, end)| (*start, *end))
    }

    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.before(end).is_some_and(|range| range.1 > start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_a_bitmap(steps in prop::collection::vec((0u64..24, 1u64..6, any::<bool>()), 0..60)) {
            let mut ranges = Ranges::default();
            let mut bits = [false; 32];
            for (start, len, claim) in steps {
                let span = start as usize..(start + len) as usize;
                let all = bits[span.clone()].iter().all(|bit| *bit);
                prop_assert_eq!(ranges.covers(start, len), all);
                if claim {
                    let free = bits[span.clone()].iter().all(|bit| !bit);
                    prop_assert_eq!(ranges.claim(start, len), free);
                    if free {
                        bits[span].fill(true);
                    }
                } else if all {
                    ranges.release(start, len);
                    bits[span].fill(false);
                }
            }
        }
    }
}
