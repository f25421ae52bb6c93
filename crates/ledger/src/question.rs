//! What one peer asks another about a name, and what it answers (`/shoal/ledger/1`).
//!
//! A [`Question`] names a ledger and says what of it is wanted; [`answer`] makes the [`Answer`] from
//! the branch that the answerer follows. It is a pure function of the archive: which branch counts,
//! who may ask how often, and what becomes of an answer is the node's business.
//!
//! Nothing in an answer is trusted. A head and a later one go to [`crate::Reader::accept`], an entry
//! to [`Placed::stands_in`], an answer by time to [`ByTime::verify`], proofs of fraud to
//! [`crate::Reader::witness`], a record to [`crate::ipns::SignedRecord::read`]; entries of a range
//! are replayed, and a bare root only leads a bisection whose result is proven.
//!
//! Bounds: [`QUESTION_BYTES_MAX`] and [`ANSWER_BYTES_MAX`], which decoding checks before it reads; an
//! answer that would be larger is cut where that can be (a range, proofs of fraud), else unknown.

mod codec;

use shoal_dag::Bytes;

use crate::by_time::{self, ByTime};
use crate::chain::Archive;
use crate::head::{self, Have, HeadProof, Placed};
use crate::ipns::RECORD_BYTES_MAX;
use crate::reader::FRAUDS_MAX;
use crate::tree::prove::{self, Nodes};
use crate::{ENTRY_BYTES_MAX, Entry, Fraud, Hash, LedgerId};

/// Bytes of a question: the longest takes about 130; the rest is room for later versions.
pub const QUESTION_BYTES_MAX: usize = 8 << 10;

/// Bytes of an answer: twice a full range, and far above any head whose keys changed a hundred times.
pub const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Entries of one range: at most 256 KiB, so that replication goes on in steps that fit an answer.
pub const RANGE_MAX: u64 = 256;

// A full range, each entry with the head of its byte string, always fits.
const _: () = assert!(RANGE_MAX as usize * (ENTRY_BYTES_MAX + 3) + 16 <= ANSWER_BYTES_MAX);

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The newest head, with a proof from what the asker has, or from nothing.
    Head {
        /// The name.
        name: LedgerId,
        /// What the asker has.
        have: Option<Have>,
    },
    /// The newest head for a newcomer whose link has a checkpoint at that index
    /// ([`head::prove_after`]).
    HeadAfter {
        /// The name.
        name: LedgerId,
        /// The index of the checkpoint.
        index: u64,
    },
    /// One entry.
    Get {
        /// The name.
        name: LedgerId,
        /// Where it stands.
        index: u64,
        /// The path leads to the root over that many entries.
        size: u64,
    },
    /// The entries around a time in the history that the asker has.
    ByTime {
        /// The name.
        name: LedgerId,
        /// The history.
        have: Have,
        /// Unix milliseconds.
        time_ms: u64,
    },
    /// Entries one after the other.
    Range {
        /// The name.
        name: LedgerId,
        /// The first.
        from: u64,
        /// How many, at most [`RANGE_MAX`].
        count: u64,
    },
    /// The root over the first entries: to find where two histories part ([`head::Bisect`]).
    Root {
        /// The name.
        name: LedgerId,
        /// Over how many.
        size: u64,
    },
    /// The proofs of fraud that are known.
    Forks {
        /// The name.
        name: LedgerId,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The answerer knows nothing of the name, or lacks that part of it.
    Unknown,
    /// The newest head. Proven from what the asker has where it is newer; from nothing where the
    /// asker has more than the answerer can judge; and with nothing behind it where the asker has
    /// the same.
    Head {
        /// The head.
        proof: Box<HeadProof>,
        /// The newest IPNS record known, at most [`RECORD_BYTES_MAX`] bytes.
        record: Option<Bytes>,
        /// The proofs of fraud known, at most [`FRAUDS_MAX`].
        frauds: Vec<Fraud>,
    },
    /// What the asker has is not of the answerer's history, and no recovery that the answerer can
    /// show leads from the one to the other. The asker finds where they part by asking for roots:
    /// within an epoch that is a fraud; beyond a recovery it asks for the head again from the common
    /// beginning, and completes the proof itself ([`HeadProof::across`]).
    Diverged {
        /// The answerer's head, proven from nothing.
        head: Box<HeadProof>,
        /// As in a head.
        record: Option<Bytes>,
        /// As in a head.
        frauds: Vec<Fraud>,
    },
    /// The entry that was asked for.
    Entry(Box<Placed>),
    /// The entries around the time.
    ByTime(Box<ByTime>),
    /// Entries from the first that was asked for, without gaps; fewer where the history or the
    /// answer ends.
    Entries(Vec<Entry>),
    /// A root.
    Root(Hash),
    /// The proofs of fraud known.
    Forks(Vec<Fraud>),
}

impl Question {
    /// The name that is asked about.
    pub fn name(&self) -> LedgerId {
        match self {
            Self::Head { name, .. }
            | Self::HeadAfter { name, .. }
            | Self::Get { name, .. }
            | Self::ByTime { name, .. }
            | Self::Range { name, .. }
            | Self::Root { name, .. }
            | Self::Forks { name } => *name,
        }
    }
}

/// Answers from the branch of the asked name that counts here, and what else is known of the name.
pub fn answer(
    branch: &(impl Archive + ?Sized),
    frauds: &[Fraud],
    record: Option<&Bytes>,
    question: &Question,
) -> Answer {
    answer_across(branch, branch, frauds, record, question)
}

/// As [`answer`], with the nodes of a branch that a recovery cut off, for those who still have that
/// one: the caller found it by the root at the asker's size.
pub fn answer_across(
    branch: &(impl Archive + ?Sized),
    old: &(impl Nodes + ?Sized),
    frauds: &[Fraud],
    record: Option<&Bytes>,
    question: &Question,
) -> Answer {
    let frauds = || frauds.iter().take(FRAUDS_MAX).cloned().collect();
    let made = match question {
        Question::Head { have, .. } => {
            newest(branch, old, have.as_ref()).map(|newest| newest.with(record, frauds()))
        }
        Question::HeadAfter { index, .. } => head::prove_after(branch, *index)
            .map(|proof| Newest::Proven(proof).with(record, frauds())),
        Question::Get { index, size, .. } => within(branch, *size)
            .and_then(|size| Placed::prove(branch, *index, size))
            .map(|placed| Answer::Entry(Box::new(placed))),
        Question::ByTime { have, time_ms, .. } => around(branch, have, *time_ms),
        Question::Range { from, count, .. } => range(branch, *from, *count),
        Question::Root { size, .. } => {
            within(branch, *size).and_then(|size| prove::root(branch, size)).map(Answer::Root)
        }
        Question::Forks { .. } => Some(Answer::Forks(frauds())),
    };
    made.map_or(Answer::Unknown, Answer::cut)
}

/// A head, and whether the asker's history is known to be another one.
enum Newest {
    Proven(HeadProof),
    Diverged(HeadProof),
}

impl Newest {
    fn with(self, record: Option<&Bytes>, frauds: Vec<Fraud>) -> Answer {
        let record = record.filter(|record| record.len() <= RECORD_BYTES_MAX).cloned();
        match self {
            Self::Proven(proof) => Answer::Head { proof: Box::new(proof), record, frauds },
            Self::Diverged(head) => Answer::Diverged { head: Box::new(head), record, frauds },
        }
    }
}

fn newest(
    branch: &(impl Archive + ?Sized),
    old: &(impl Nodes + ?Sized),
    have: Option<&Have>,
) -> Option<Newest> {
    if let Some(proof) = head::prove_across(branch, have, old) {
        return Some(Newest::Proven(proof));
    }
    let have = have?;
    if let Some(size) = within(branch, have.size())
        && prove::root(branch, size)? == have.root
    {
        // The same head; or an older one, and a part of the proof is not here.
        let same = size == branch.len();
        return head::prove_same(branch).filter(|_| same).map(Newest::Proven);
    }
    let proof = head::prove(branch, None)?;
    // Someone further on than this branch may well have a history that begins with it.
    let ahead = have.position > proof.head.position();
    Some(if ahead { Newest::Proven(proof) } else { Newest::Diverged(proof) })
}

/// A size that the branch has: nothing beyond it is looked up, whatever a stranger asks for.
fn within(branch: &(impl Archive + ?Sized), size: u64) -> Option<u64> {
    (size <= branch.len()).then_some(size)
}

fn around(branch: &(impl Archive + ?Sized), have: &Have, time_ms: u64) -> Option<Answer> {
    let size = within(branch, have.size())?;
    if prove::root(branch, size)? != have.root {
        return None;
    }
    by_time::prove(branch, have, time_ms).map(|found| Answer::ByTime(Box::new(found)))
}

fn range(branch: &(impl Archive + ?Sized), from: u64, count: u64) -> Option<Answer> {
    let end = from.checked_add(count.min(RANGE_MAX))?.min(branch.len());
    let entries: Vec<_> = (from..end).map_while(|index| branch.entry(index)).collect();
    (!entries.is_empty()).then_some(Answer::Entries(entries))
}

#[cfg(test)]
mod tests;
