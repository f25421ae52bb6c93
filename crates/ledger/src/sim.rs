//! Simulations: nodes that follow a name, and everybody who would lie to them.
//!
//! Compiled for tests only. A [`Node`] is a reader with the branch that it follows, as a follower
//! keeps it; it learns only by [`Node::meet`], which does what a node does with a head that it hears
//! of: proof, comparison, bisection, fraud proof. `explore.rs` walks every interleaving of a small
//! world, `random.rs` makes seeded runs with adversaries and short histories, `cluster.rs` long ones
//! over the messages of the protocol, judged afterwards by `history.rs` alone. `adversaries.rs` has
//! each adversary of the report by itself, `crash.rs` cuts a writer off at every point, `replay.rs`
//! holds validity against a naive reading of the rules. Where a check can be switched off, it must
//! then be found missing.
//!
//! Which test shows which invariant (numbers of the report, section 5):
//!
//! 1. Accepted means valid by a full replay: `replay.rs`, `tip/tests.rs`, `authority/tests.rs`,
//!    `reader/tests.rs`; canonical bytes: `entry/tests.rs`, `cbor/tests.rs`, `adversaries/bytes.rs`.
//! 2. Positions never decrease, and a root extends the one before, over any order, loss, repetition
//!    and restart: `explore.rs`, `random.rs`, `cluster/runs.rs`, `reader/codec.rs`.
//! 3. Consistency holds for all sizes and for no flipped bit; the range is RFC 6962: `tree/tests.rs`.
//! 4. Two divergent heads give one proof, which any verifier takes; the honest give none:
//!    `adversaries/histories.rs`, `random.rs`, `cluster/runs.rs`, `fraud/tests.rs`; stripped and
//!    renewed records: `adversaries/records.rs`.
//! 5. One byte string per position leaves a process: `crash.rs`, `writer/tests.rs`, `cluster/runs.rs`.
//! 6. Readers converge, and selection is a join: `random.rs`, `cluster/runs.rs`, `replay.rs`,
//!    `ipns/tests.rs`.
//! 7. Witnesses (k of n): not here. Their entries have a format and change nothing yet, see
//!    `adversaries/histories.rs`.
//! 8. By time is what a linear scan finds: `by_time.rs`, `tip/tests.rs`, `question/tests.rs`. That the
//!    timing of writes does not matter to a root is for whoever makes roots.
//! 9. Entry to record and back, and what others make of the record: `ipns/tests.rs`,
//!    `adversaries/records.rs`.

mod adversaries;
mod cluster;
mod crash;
mod dice;
mod explore;
mod history;
mod random;
mod replay;
mod shelf;

use crate::chain::{Archive, Chain};
use crate::fraud::{Fraud, FraudError, conflict};
use crate::head::prove_across;
use crate::reader::{Heard, Reader, Refusal, Status};
use crate::sample::name;
use crate::tree::prove;
use crate::{EntryId, Position};

/// Which of a node's checks work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checks {
    /// Divergent heads are paired and proven.
    pub(crate) fork: bool,
    /// A head must extend what was pinned.
    pub(crate) extend: bool,
}

pub(crate) const ALL: Checks = Checks { fork: true, extend: true };

/// A follower of one name.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) reader: Reader,
    pub(crate) branch: Option<Chain>,
    checks: Checks,
    /// Verified heads that wait for their time: not followed yet, and compared like any other.
    held: Vec<Chain>,
    /// Every head that it was shown, for the judge.
    seen: Vec<Chain>,
}

impl Node {
    pub(crate) fn new(checks: Checks) -> Self {
        Self {
            reader: Reader::new(name(), None),
            branch: None,
            checks,
            held: Vec::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.reader.pin().map(|pin| pin.head().position())
    }

    /// Hears of the head of that branch from somebody who has all of it, and of their fraud proofs.
    pub(crate) fn meet(&mut self, theirs: &Chain, frauds: &[Fraud], now_ms: u64) {
        if !self.seen.iter().any(|seen| seen.tip().head() == theirs.tip().head()) {
            self.seen.push(theirs.clone());
        }
        if self.checks.fork {
            for fraud in frauds {
                let taken = self.reader.witness(fraud.clone());
                assert!(matches!(taken, Ok(_) | Err(FraudError::Beginning)), "{taken:?}");
            }
        }
        for held in self.held.iter().filter(|_| self.checks.fork) {
            if let Some(fraud) = conflict(held, theirs) {
                self.reader.witness(fraud).expect("what two histories show is a proof");
            }
        }
        match self.reader.hear(theirs.tip().head()) {
            Heard::Known | Heard::Ended | Heard::Foreign => {}
            Heard::Newer(_) if self.checks.extend => self.follow(theirs, now_ms),
            Heard::Newer(_) => self.follow_blindly(theirs),
            Heard::Older { .. } | Heard::Conflict => self.compare(theirs),
        }
    }

    /// The process ends, and begins again with what was on its disk: the reader's bytes, the branch.
    pub(crate) fn crash(&mut self) {
        self.reader = Reader::decode(&self.reader.encode()).expect("as it was written");
        self.held.clear();
    }

    fn follow(&mut self, theirs: &Chain, now_ms: u64) {
        let have = self.reader.have();
        let old = self.branch.as_ref().unwrap_or(theirs);
        match prove_across(theirs, have.as_ref(), old) {
            Some(proof) => match self.reader.accept(&proof, now_ms) {
                Ok(_) => self.branch = Some(theirs.clone()),
                Err(Refusal::Future { .. }) => self.held.push(theirs.clone()),
                Err(_) => {}
            },
            None => self.compare(theirs),
        }
    }

    /// The broken variant: whatever is newer replaces what was pinned.
    fn follow_blindly(&mut self, theirs: &Chain) {
        let mut reader = Reader::new(name(), None);
        let proof = crate::head::prove(theirs, None).expect("a whole branch");
        if reader.accept(&proof, u64::MAX).is_ok() {
            self.reader = reader;
            self.branch = Some(theirs.clone());
        }
    }

    /// Compares histories; where they differ, the first two entries that do are a proof.
    fn compare(&mut self, theirs: &Chain) {
        let Some(ours) = self.branch.clone().filter(|_| self.checks.fork) else { return };
        if let Some(fraud) = conflict(&ours, theirs) {
            self.reader.witness(fraud).expect("what two histories show is a proof");
        }
    }

    /// Whether it was shown two histories of its newest epoch, neither of which continues the other.
    fn saw_a_fork(&self) -> bool {
        let epoch = self.position().map(|position| position.epoch);
        let of_epoch = |chain: &&Chain| Some(chain.tip().head().position().epoch) == epoch;
        let seen: Vec<_> = self.seen.iter().filter(of_epoch).collect();
        let parts = |a: &Chain, b: &Chain| {
            let shorter = a.len().min(b.len());
            prove::root(a, shorter) != prove::root(b, shorter)
        };
        seen.iter().enumerate().any(|(i, a)| seen[..i].iter().any(|b| parts(a, b)))
    }

    /// What must hold of a node at any time, and of the step from its former self.
    pub(crate) fn judge(&self, before: &Self) -> Result<(), String> {
        if self.position() < before.position() {
            return Err(format!("went back from {:?} to {:?}", before.position(), self.position()));
        }
        let same_epoch = self.position().map(|position| position.epoch)
            == before.position().map(|position| position.epoch);
        if let (Some(now), Some(then), true) = (&self.branch, &before.branch, same_epoch) {
            let kept = now.entries().starts_with(then.entries());
            if !kept {
                return Err("left its history within an epoch".to_owned());
            }
        }
        let forked = self.reader.status(0) == Status::Forked;
        match (self.saw_a_fork(), forked) {
            (true, false) => Err("saw a fork and has no proof of it".to_owned()),
            _ if self.reader.frauds().len() > 3 => Err("more than a proof per epoch".to_owned()),
            (false, true) if self.reader.frauds().is_empty() => {
                Err("forked for nothing".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Everything that decides what it does next.
    fn key(&self) -> (Option<EntryId>, Vec<Vec<u8>>) {
        let head = self.reader.pin().map(|pin| pin.head().id());
        (head, self.reader.frauds().iter().map(Fraud::encode).collect())
    }
}
