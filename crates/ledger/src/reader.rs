//! The state of one reader of one name: what it accepted, and what it knows against it.
//!
//! A reader pins the newest head that it verified, with the mountain range up to it and the control
//! entries behind it; that is a few KiB whatever the length of the ledger. From there:
//!
//! - [`Reader::accept`] takes a newer head with its [`HeadProof`]: **accepted**, or refused with a
//!   reason. Positions never go back, and within an epoch a new history extends the old one.
//! - [`Reader::hear`] judges a bare head: known, newer (ask for a proof), older (compare), conflicting.
//! - [`Reader::witness`] takes a fraud proof. A fraud in the pinned epoch freezes the name: it is
//!   **forked**, and [`Reader::serves`] goes back to what was before it, while the pin stays.
//! - A head from the future is held, not refused, until its time has come.
//!
//! **Stale**: not confirmed for a while; **superseded**: a recovery was seen that this reader has no
//! proof for yet; **tombstoned**: the head ends the ledger. A fork is left by a recovery, or by
//! [`Reader::choose`], the one act that may leave a pinned history, on a user's word.
//!
//! Clocks are arguments, and decide about holding and staleness only.

mod check;
mod codec;

use std::fmt;

use crate::authority::Authority;
use crate::fraud::{Evidence, Fraud, FraudError};
use crate::hash::Hash;
use crate::head::{Have, HeadProof};
use crate::tree::Peaks;
use crate::{Entry, EntryKind, Epoch, LedgerId, Position};

pub use check::Refusal;

/// How far an entry's time may be ahead of the local clock before it is held: clocks of honest
/// machines differ by less.
pub const FUTURE_MS_MAX: u64 = 600_000;

/// Fraud proofs kept per name, one per epoch, newest epochs first: one freezes a name, and an epoch
/// that is over needs none.
pub const FRAUDS_MAX: usize = 4;

/// What a link to a name can say about its history: `#epoch.index.` and the first 8 bytes of the
/// root over all entries up to there. It protects a newcomer from older and from other histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position that whoever made the link had seen.
    pub position: Position,
    /// The beginning of the root there.
    pub root: [u8; 8],
}

/// What a reader verified last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    head: Entry,
    /// Over all entries, the head included.
    peaks: Peaks,
    /// The genesis, each recovery, and the writers entries of the newest epoch.
    chain: Vec<Entry>,
    authority: Authority,
}

/// How a name stands with a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing was accepted yet.
    Unknown,
    /// The head was confirmed lately.
    Ok,
    /// Nobody confirmed the head for a while.
    Stale,
    /// The head ends the ledger.
    Tombstoned,
    /// A recovery was seen that goes beyond the head.
    Superseded,
    /// Two histories were signed; what is served is what both share, as far as is known.
    Forked,
}

/// What a head that was heard of means to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is the pinned head.
    Known,
    /// It is newer: ask for a proof from what the reader has, if it has anything.
    Newer(Option<Have>),
    /// It is older, in the same epoch: compare it with the entry at that index of the pinned history.
    Older {
        /// Where to compare.
        index: u64,
    },
    /// It belongs to an epoch that a recovery ended.
    Ended,
    /// It stands where the pinned head stands and is another entry: show both, see
    /// [`crate::fraud::Fraud::equivocation`].
    Conflict,
    /// It belongs to another ledger.
    Foreign,
}

/// What happened to a reader that accepted a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The position now.
    pub position: Position,
    /// The first index of the former history that is no longer part of it: a recovery cut it off.
    pub cut_off_from: Option<u64>,
}

/// One reader of one name.
#[derive(Clone)]
pub struct Reader {
    name: LedgerId,
    checkpoint: Option<Checkpoint>,
    pin: Option<Pin>,
    /// By epoch, newest first.
    frauds: Vec<Fraud>,
    /// The head of the branch that the user chose when the name was forked.
    chosen: Option<Position>,
    /// The newest position of a verified recovery that was not adopted.
    seen_recovery: Option<Position>,
    confirmed_until_ms: u64,
}

impl Reader {
    /// A reader that has seen nothing of the name, but perhaps a link with a checkpoint.
    pub fn new(name: LedgerId, checkpoint: Option<Checkpoint>) -> Self {
        Self {
            name,
            checkpoint,
            pin: None,
            frauds: Vec::new(),
            chosen: None,
            seen_recovery: None,
            confirmed_until_ms: 0,
        }
    }

    /// The name that is read.
    pub fn name(&self) -> LedgerId {
        self.name
    }

    /// What a link said, until a head was accepted that fits it.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    /// What was verified last.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// The position and root to ask for proofs from.
    pub fn have(&self) -> Option<Have> {
        self.pin.as_ref().map(Pin::have)
    }

    /// Judges a head without a proof. It is not verified: what comes of it must be.
    pub fn hear(&self, head: &Entry) -> Heard {
        let Some(pin) = &self.pin else {
            return if head.ledger() == self.name { Heard::Newer(None) } else { Heard::Foreign };
        };
        let (theirs, ours) = (head.position(), pin.head.position());
        if head.ledger() != self.name {
            Heard::Foreign
        } else if *head == pin.head {
            Heard::Known
        } else if theirs > ours {
            Heard::Newer(Some(pin.have()))
        } else if theirs == ours {
            Heard::Conflict
        } else if theirs.epoch < ours.epoch {
            Heard::Ended
        } else {
            Heard::Older { index: head.index() }
        }
    }

    /// Takes a newer head, if the proof holds; else nothing changes. `now_ms` decides only whether a
    /// head is from the future.
    pub fn accept(&mut self, proof: &HeadProof, now_ms: u64) -> Result<Accepted, Refusal> {
        let (pin, cut_off_from) = self.check(proof)?;
        let time_ms = pin.head.header().time_ms;
        if time_ms > now_ms.saturating_add(FUTURE_MS_MAX) {
            return Err(Refusal::Future { time_ms });
        }
        let position = pin.head.position();
        self.pin = Some(pin);
        self.frauds = self
            .frauds
            .iter()
            .filter(|fraud| self.is_of_pinned_beginning(fraud))
            .cloned()
            .collect();
        self.checkpoint = None;
        self.seen_recovery = self.seen_recovery.filter(|seen| *seen > position);
        Ok(Accepted { position, cut_off_from })
    }

    /// Notes that a source vouches for the pinned head until then: the end of life of an IPNS record
    /// that carries it, or now and a time to live after a direct answer.
    pub fn confirm(&mut self, head: &Entry, until_ms: u64) {
        if self.pin.as_ref().is_some_and(|pin| pin.head == *head) {
            self.confirmed_until_ms = self.confirmed_until_ms.max(until_ms);
        }
    }

    /// Takes a fraud proof, if it holds for this name. True if it says something new. One that is
    /// kept already costs a comparison: sources send theirs along with every head.
    pub fn witness(&mut self, fraud: Fraud) -> Result<bool, FraudError> {
        if self.frauds.contains(&fraud) {
            return Ok(false);
        }
        fraud.verify(self.name)?;
        if !self.is_of_pinned_beginning(&fraud) {
            return Err(FraudError::Beginning);
        }
        if self.is_settled(&fraud) {
            return Ok(false);
        }
        let before = self.frauds.clone();
        self.frauds = select_frauds(before.iter().chain([&fraud]));
        Ok(self.frauds != before)
    }

    /// The fraud proofs that are kept, newest epoch first: to be shown, and passed on once.
    pub fn frauds(&self) -> &[Fraud] {
        &self.frauds
    }

    /// Notes a recovery beyond the pinned head, for which there is no proof yet.
    pub fn note_recovery(&mut self, recovery: &Entry) -> Result<(), Refusal> {
        let pin = self.pin.as_ref().ok_or(Refusal::Nothing)?;
        if recovery.kind() != EntryKind::Recover {
            return Err(Refusal::Nothing);
        }
        pin.authority.admit(recovery)?;
        self.seen_recovery = self.seen_recovery.max(Some(recovery.position()));
        Ok(())
    }

    /// Leaves a fork on the user's word: the branch of that proof is the one to follow from now on,
    /// whatever was pinned, and the frauds of its epoch are settled. A later fork of that branch
    /// freezes the name again. Refused where nothing is forked.
    pub fn choose(&mut self, proof: &HeadProof) -> Result<Accepted, Refusal> {
        if self.freezing().is_none() {
            return Err(Refusal::Nothing);
        }
        let fresh = Self::new(self.name, None);
        let (pin, _) = fresh.check(proof)?;
        let position = pin.head.position();
        if self.pin.as_ref().is_some_and(|pin| pin.head.position().epoch > position.epoch) {
            return Err(Refusal::Older);
        }
        self.chosen = Some(position);
        self.frauds = self.frauds.iter().filter(|fraud| !self.is_settled(fraud)).cloned().collect();
        self.pin = Some(pin);
        Ok(Accepted { position, cut_off_from: None })
    }

    /// The fraud that freezes the name, if any: one of the pinned epoch or a later one, not settled.
    fn freezing(&self) -> Option<&Fraud> {
        let epoch = self.pin.as_ref().map(|pin| pin.head.position().epoch);
        let newest = |fraud: &&Fraud| Some(fraud.position().epoch) >= epoch;
        self.frauds.iter().find(newest)
    }

    /// Whether the user's choice answered that fraud: it lies below the chosen head, or it may be an
    /// echo of a fork that does, since it does not show where its histories part.
    fn is_settled(&self, fraud: &Fraud) -> bool {
        let position = fraud.position();
        self.chosen.is_some_and(|chosen| {
            position.epoch == chosen.epoch && (position <= chosen || !fraud.is_exact())
        })
    }

    /// Whether the fraud's epoch may be one of the pinned history. In epoch 0 every genesis of the
    /// name counts; later ones must have grown from the pinned genesis.
    fn is_of_pinned_beginning(&self, fraud: &Fraud) -> bool {
        let Some(pin) = &self.pin else { return true };
        let later = |evidence: &&Evidence| evidence.entry.position().epoch > Epoch::default();
        let mut later = fraud.evidence().iter().filter(later);
        later.all(|evidence| evidence.chain.first() == pin.chain.first())
    }

    /// How the name stands.
    pub fn status(&self, now_ms: u64) -> Status {
        let Some(pin) = &self.pin else {
            return if self.freezing().is_some() { Status::Forked } else { Status::Unknown };
        };
        if self.freezing().is_some() {
            Status::Forked
        } else if self.seen_recovery.is_some() {
            Status::Superseded
        } else if pin.head.kind() == EntryKind::Tombstone {
            Status::Tombstoned
        } else if now_ms > self.confirmed_until_ms {
            Status::Stale
        } else {
            Status::Ok
        }
    }

    /// The index up to which the history may be served: the head's, or where a fork is known, the one
    /// before it. None if nothing is left.
    pub fn serves(&self) -> Option<u64> {
        let head = self.pin.as_ref()?.head.index();
        match self.freezing() {
            None => Some(head),
            Some(fraud) => {
                fraud.position().index.as_u64().checked_sub(1).map(|last| last.min(head))
            }
        }
    }
}

impl Pin {
    /// The newest entry.
    pub fn head(&self) -> &Entry {
        &self.head
    }

    /// The control entries behind it: with them, others can check who signed it.
    pub fn chain(&self) -> &[Entry] {
        &self.chain
    }

    /// Who may sign the next entry.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The mountain range over all entries, the head included.
    pub fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// Its position and root.
    pub fn have(&self) -> Have {
        Have { position: self.head.position(), root: self.peaks.root() }
    }

    /// What a link can carry to protect whoever follows it.
    pub fn checkpoint(&self) -> Checkpoint {
        let root = self.peaks.root();
        let root = root.as_bytes().first_chunk().expect("a root has more than 8 bytes");
        Checkpoint { position: self.head.position(), root: *root }
    }
}

impl Checkpoint {
    fn fits(&self, root: &Hash) -> bool {
        root.as_bytes().starts_with(&self.root)
    }
}

/// Of all those frauds, one per epoch, the newest epochs first: the lowest index, then the smallest
/// bytes. A join: in whatever order and how often proofs come, the same ones are kept.
pub fn select_frauds<'a>(frauds: impl IntoIterator<Item = &'a Fraud>) -> Vec<Fraud> {
    let mut all: Vec<_> = frauds.into_iter().collect();
    all.sort_by_cached_key(|fraud| {
        let position = fraud.position();
        (std::cmp::Reverse(position.epoch), position.index, fraud.encode())
    });
    all.dedup_by_key(|fraud| fraud.position().epoch);
    all.truncate(FRAUDS_MAX);
    all.into_iter().cloned().collect()
}

/// Of two verified heads of one name the one to follow: the later position, and at one position (a
/// fork) the larger bytes, so that the answer does not depend on the order.
pub fn select<'a>(a: &'a Entry, b: &'a Entry) -> &'a Entry {
    let key = |entry: &'a Entry| (entry.position(), entry.block());
    if key(a) >= key(b) { a } else { b }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.pin.as_ref().map(|pin| &pin.head);
        write!(f, "Reader({:?} {head:?} {} frauds)", self.name, self.frauds.len())
    }
}

#[cfg(test)]
mod tests;
