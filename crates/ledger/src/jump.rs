//! Jump links: which earlier entry an entry links besides the one before it.
//!
//! Skew-binary jump pointers (Myers, "An applicative random-access stack", 1983): entry n jumps back
//! by the smallest weight (2^k - 1) in the skew-binary form of n. From any entry any earlier one is
//! then at most about 2 log2(n) links away, so a reader that can only fetch blocks still reaches
//! version i of a million in some thirty fetches. The target depends on n alone: a wrong link can
//! be proven wrong.

use crate::hash::EntryId;

/// The longest spine below 2^40 entries: at most two entries of each of 40 weights, and the first.
const SPINE_MAX: usize = 82;

/// The index that entry `index` jumps to; none for the first entry.
pub fn target(index: u64) -> Option<u64> {
    let mut rest = index;
    let mut weight = 0;
    while rest > 0 {
        // The largest 2^k - 1 that is at most `rest`.
        weight = (1_u64 << (u64::BITS - 1 - (rest + 1).leading_zeros())) - 1;
        rest -= weight;
    }
    index.checked_sub(weight.max(1))
}

/// The way by jump and previous links from one index to an earlier one, both included: at each
/// entry the jump if it does not overshoot, else the entry before.
pub fn way(from: u64, to: u64) -> Vec<u64> {
    let mut way = vec![from];
    let mut at = from;
    while at > to {
        at = target(at).filter(|jump| *jump >= to).unwrap_or(at - 1);
        way.push(at);
    }
    way
}

/// The indices that the spine of a ledger holds whose newest entry is that one, oldest first: those
/// on the way by jumps to the first.
pub fn spine(newest: u64) -> Vec<u64> {
    let mut indices: Vec<_> = std::iter::successors(Some(newest), |at| target(*at)).collect();
    indices.reverse();
    indices
}

/// The entries on the way by jumps from the newest entry to the first: all that is needed to know
/// the jump link of the next one. Grows with the logarithm of the length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spine {
    /// Oldest first; the last is the newest entry.
    entries: Vec<(u64, EntryId)>,
}

impl Spine {
    /// The spine of those entries, oldest first, if they are the ones that [`spine()`] says.
    pub fn from_parts(entries: Vec<(u64, EntryId)>) -> Option<Self> {
        let fits = entries.last().is_none_or(|(newest, _)| {
            let indices = spine(*newest);
            indices.iter().eq(entries.iter().map(|(index, _)| index))
        });
        fits.then_some(Self { entries })
    }

    /// The jump link of the next entry; none if there is no entry yet.
    pub fn next(&self) -> Option<EntryId> {
        let (newest, _) = self.entries.last()?;
        let jump = target(newest + 1)?;
        let found = self.entries.binary_search_by_key(&jump, |(index, _)| *index);
        found.ok().map(|at| self.entries[at].1)
    }

    /// Appends the next entry, and forgets those that its jump leaves out.
    pub fn push(&mut self, entry: EntryId) {
        let index = self.entries.last().map_or(0, |(newest, _)| newest + 1);
        if let Some(jump) = target(index) {
            let kept = self.entries.partition_point(|(at, _)| *at <= jump);
            self.entries.truncate(kept);
        }
        self.entries.push((index, entry));
        debug_assert!(self.entries.len() <= SPINE_MAX);
    }

    /// What it holds, oldest first.
    pub fn entries(&self) -> &[(u64, EntryId)] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::INDEX_MAX;

    #[test]
    fn targets_follow_the_rule_of_the_paper() {
        // jump(n) skips two equal jumps if they are of one length, else one entry.
        let mut jumps = vec![0_u64];
        assert_eq!(target(0), None);
        for index in 1..5_000 {
            let (before, jump) = (index - 1, jumps[index as usize - 1]);
            let further = jumps[jump as usize];
            let equal = before != jump && before - jump == jump - further;
            let expected = if equal { further } else { before };
            assert_eq!(target(index), Some(expected), "{index}");
            jumps.push(expected);
        }
    }

    #[test]
    fn ways_are_short() {
        let longest = (0..100_000).step_by(7).map(|to| way(100_000, to).len() - 1).max();
        // The report counts at most 36 links at 10^5.
        assert!(longest.unwrap() <= 36, "{longest:?}");
        assert_eq!(way(7, 0), [7, 0]);
        assert_eq!(way(3, 3), [3]);
        assert_eq!(way(6, 4), [6, 5, 4]);
    }

    #[test]
    fn the_spine_knows_every_next_jump() {
        let id = |index: u64| EntryId::of(&index.to_be_bytes());
        let mut spine = Spine::default();
        assert_eq!(spine.next(), None);
        for index in 0..3_000 {
            assert_eq!(spine.next(), target(index).map(id), "{index}");
            spine.push(id(index));
            assert!(spine.entries().len() <= 2 * 12 + 1, "{index}");
            let parts: Vec<_> = super::spine(index).into_iter().map(|at| (at, id(at))).collect();
            assert_eq!(Spine::from_parts(parts.clone()).as_ref(), Some(&spine), "{index}");
            let cut = Spine::from_parts(parts[1..].to_vec());
            assert_eq!(cut.is_some(), index == 0, "{index}");
        }
        assert_eq!(Spine::from_parts(Vec::new()), Some(Spine::default()));
        assert!(super::spine(INDEX_MAX).len() <= SPINE_MAX);
    }
}
