//! Which version a name had at a time, with a proof.
//!
//! Times in entries never decrease, so the newest entry at or before a time is found by bisection, and
//! shown by two neighbours: it, and the one after it, which is later. Whoever holds a verified root
//! checks both without any other entry; a source can neither leave out a version nor make one up.
//! Times are the signers' claims: what bounds them from outside is an anchor's business.

use crate::Entry;
use crate::chain::Archive;
use crate::head::{Have, Placed};

/// The answer to "what was it then", for the history that was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByTime {
    /// The newest entry at or before the time; none when the ledger began later.
    pub at: Option<Placed>,
    /// The entry after it; none when `at` is the newest of all.
    pub next: Option<Placed>,
}

/// Looks up a time in the history that the asker has. `None` when the archive lacks a part of it.
pub fn prove(branch: &(impl Archive + ?Sized), have: &Have, time_ms: u64) -> Option<ByTime> {
    let (mut not_after, mut after) = (0, have.size());
    while not_after < after {
        let middle = not_after + (after - not_after) / 2;
        if branch.entry(middle)?.header().time_ms <= time_ms {
            not_after = middle + 1;
        } else {
            after = middle;
        }
    }
    let place = |index| Placed::prove(branch, index, have.size());
    let at = match not_after.checked_sub(1) {
        Some(index) => Some(place(index)?),
        None => None,
    };
    let next = if not_after < have.size() { Some(place(not_after)?) } else { None };
    Some(ByTime { at, next })
}

impl ByTime {
    /// The entry, if this answers the question about that history.
    pub fn verify(&self, have: &Have, time_ms: u64) -> Result<Option<&Entry>, ByTimeError> {
        let mut both = self.at.iter().chain(&self.next);
        if !both.all(|placed| placed.stands_in(have.size(), &have.root)) {
            return Err(ByTimeError::NotInHistory);
        }
        let begins = self.at.as_ref().map_or(0, |at| at.entry.index() + 1);
        let neighbours = match &self.next {
            Some(next) => next.entry.index() == begins,
            None => begins == have.size(),
        };
        let time =
            |placed: &Option<Placed>| placed.as_ref().map(|placed| placed.entry.header().time_ms);
        let around = time(&self.at).is_none_or(|at| at <= time_ms)
            && time(&self.next).is_none_or(|next| next > time_ms);
        if neighbours && around {
            Ok(self.at.as_ref().map(|at| &at.entry))
        } else {
            Err(ByTimeError::NotTheAnswer)
        }
    }
}

/// Why an answer is none; ask another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ByTimeError {
    /// An entry that does not stand in the history that was asked about.
    #[error("an entry that is not shown to be in the history")]
    NotInHistory,
    /// Entries that are no neighbours, or do not enclose the time.
    #[error("not the entries around that time")]
    NotTheAnswer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::*;

    #[test]
    fn every_time_is_answered_as_a_linear_scan_does() {
        let mut chain = chain(6, 0);
        // Some entries of one time: the newest of them is the answer.
        for root in 0..3 {
            let draft = chain.tip().draft(update(root), &key(OWNER).public(), 0).unwrap();
            chain.push(draft.sign(&[&key(OWNER)]).unwrap()).unwrap();
        }
        grow(&mut chain, 13, 0);
        let have =
            Have { position: chain.tip().head().position(), root: chain.tip().peaks().root() };
        for time in (0..14_000).step_by(500) {
            let answer = prove(&chain, &have, time).unwrap();
            let linear = chain.entries().iter().rev().find(|entry| entry.header().time_ms <= time);
            assert_eq!(answer.verify(&have, time), Ok(linear), "{time}");
        }
    }

    #[test]
    fn an_answer_leaves_nothing_out() {
        let chain = chain(9, 0);
        let have =
            Have { position: chain.tip().head().position(), root: chain.tip().peaks().root() };
        let right = prove(&chain, &have, 5_500).unwrap();
        let place = |index| Placed::prove(&chain, index, 9);
        let wrong = |at, next| ByTime { at, next }.verify(&have, 5_500).map(drop);
        assert_eq!(right.verify(&have, 5_500).unwrap().unwrap().index(), 4);
        assert_eq!(wrong(place(3), place(4)), Err(ByTimeError::NotTheAnswer));
        assert_eq!(wrong(place(3), place(5)), Err(ByTimeError::NotTheAnswer));
        assert_eq!(wrong(place(5), place(6)), Err(ByTimeError::NotTheAnswer));
        assert_eq!(wrong(place(4), None), Err(ByTimeError::NotTheAnswer));
        assert_eq!(wrong(None, place(5)), Err(ByTimeError::NotTheAnswer));
        assert_eq!(wrong(None, None), Err(ByTimeError::NotTheAnswer));
        let mut moved = right;
        moved.at.as_mut().unwrap().path.swap(0, 1);
        assert_eq!(moved.verify(&have, 5_500), Err(ByTimeError::NotInHistory));
    }
}
