//! The state of a writer: what keeps an honest machine from forking its own ledger.
//!
//! Two rules, as a machine whose owner does the storing, asking and sending:
//!
//! 1. **Sign, store, then send.** [`Writer::sign`] makes the next entry and hands it out as
//!    [`Unstored`], which has no bytes to send. Only [`Writer::stored`], called when the entry is
//!    durable, gives the entry. A crash in between leaves either the stored entry or nothing that
//!    anybody saw; a retry sends the same bytes.
//! 2. **Catch up before the first signature.** A writer that was just opened signs nothing until
//!    enough sources said what they know of the name: its own files may be an old copy. A source that
//!    knows more puts it behind, and it signs again when it has adopted what is missing. A source that
//!    knows another entry for one of its places has the name forked: it signs no more.
//!
//! [`Writer::force`] is the user's word for signing without the sources: where the copy is older than
//! what others have, it makes the fork that the rules prevent.

use crate::entry::{Body, EntryError};
use crate::key::SecretKey;
use crate::tip::{DraftError, Invalid, Tip};
use crate::{Entry, EntryId, Position};

/// A writer of one ledger on one machine.
#[derive(Debug, Clone)]
pub struct Writer {
    tip: Tip,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// So many more sources must answer.
    CatchUp {
        missing: usize,
    },
    /// A source has a later entry of ours.
    Behind {
        newest: Position,
    },
    /// A source has another entry at one of our places.
    Forked {
        at: Position,
    },
    Ready,
    /// Signed, and not known to be stored.
    Signed(EntryId),
}

/// An entry that is signed and must not be sent yet.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "store it, then tell the writer"]
pub struct Unstored(Entry);

impl Unstored {
    /// The entry, for nothing but storing.
    pub fn to_store(&self) -> &Entry {
        &self.0
    }
}

/// What the answer of a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It knows nothing that this machine does not.
    Nothing,
    /// It knows later entries: another machine uses this key, or this one was set back.
    Ahead,
    /// It knows another entry at one place: the ledger is forked.
    Fork,
}

impl Writer {
    /// A writer at the end of what this machine stored, which catches up from that many sources
    /// before it signs.
    pub fn open(tip: Tip, sources: usize) -> Self {
        let phase = if sources == 0 { Phase::Ready } else { Phase::CatchUp { missing: sources } };
        Self { tip, phase }
    }

    /// The end of the ledger as this machine has it.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Takes what one source, each counted once, knows to be the head; `own` is our entry at the
    /// head's place, if our history is that long. The head must have been verified.
    pub fn heard(&mut self, head: Option<&Entry>, own: Option<&Entry>) -> Answer {
        let Some(head) = head else { return self.agree() };
        let ours = self.tip.head().position();
        let there = head.position();
        if there > ours {
            let newest = match self.phase {
                Phase::Behind { newest } => newest.max(there),
                _ => there,
            };
            if !matches!(self.phase, Phase::Forked { .. }) {
                self.phase = Phase::Behind { newest };
            }
            return Answer::Ahead;
        }
        let other = own.is_some_and(|own| own.position() == there && own != head);
        if other {
            self.phase = Phase::Forked { at: there };
            return Answer::Fork;
        }
        self.agree()
    }

    fn agree(&mut self) -> Answer {
        if let Phase::CatchUp { missing } = self.phase {
            let missing = missing.saturating_sub(1);
            self.phase = if missing == 0 { Phase::Ready } else { Phase::CatchUp { missing } };
        }
        Answer::Nothing
    }

    /// Takes the next entry that another copy of this ledger signed.
    pub fn adopt(&mut self, entry: Entry) -> Result<(), Invalid> {
        self.tip.extend(entry)?;
        match self.phase {
            Phase::Behind { newest } if self.tip.head().position() < newest => {}
            Phase::CatchUp { .. } | Phase::Forked { .. } => {}
            _ => self.phase = Phase::Ready,
        }
        Ok(())
    }

    /// Signs without having caught up, on the user's word.
    pub fn force(&mut self) {
        if matches!(self.phase, Phase::CatchUp { .. } | Phase::Behind { .. }) {
            self.phase = Phase::Ready;
        }
    }

    /// Makes the next entry with those keys: the writer's one, or those that a recovery reveals.
    pub fn sign(
        &mut self,
        body: Body,
        keys: &[&SecretKey],
        time_ms: u64,
    ) -> Result<Unstored, WriteError> {
        match &self.phase {
            Phase::Ready => {}
            Phase::CatchUp { missing } => return Err(WriteError::CatchUp { missing: *missing }),
            Phase::Behind { newest } => return Err(WriteError::Behind { newest: *newest }),
            Phase::Forked { at } => return Err(WriteError::Forked { at: *at }),
            Phase::Signed(_) => return Err(WriteError::NotStored),
        }
        let writer = keys.first().ok_or(WriteError::NoKey)?.public();
        let entry = self.tip.draft(body, &writer, time_ms)?.sign(keys)?;
        let mut after = self.tip.clone();
        after.extend(entry.clone())?;
        self.phase = Phase::Signed(entry.id());
        Ok(Unstored(entry))
    }

    /// Takes back that the entry is durable, and gives it to be sent. None if that is not the entry
    /// that was signed last.
    pub fn stored(&mut self, unstored: Unstored) -> Option<Entry> {
        if self.phase != Phase::Signed(unstored.0.id()) {
            return None;
        }
        self.tip.extend(unstored.0.clone()).ok()?;
        self.phase = Phase::Ready;
        Some(unstored.0)
    }
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Too few sources have answered; ask more, or let the user force it.
    #[error("{missing} more sources must say what they know of the name")]
    CatchUp {
        /// How many.
        missing: usize,
    },
    /// Another machine uses this key, or this one was set back: fetch what is missing.
    #[error("entries up to {newest} exist that this machine has not got")]
    Behind {
        /// The newest one heard of.
        newest: Position,
    },
    /// Another entry was signed for one of our places: a recovery is needed.
    #[error("the ledger is forked at {at}")]
    Forked {
        /// The place.
        at: Position,
    },
    /// The entry signed before is not stored; after a failed store the writer must be opened again.
    #[error("the entry signed before is not stored")]
    NotStored,
    /// No key to sign with.
    #[error("no key to sign with")]
    NoKey,
    /// There is no next entry, or not by this key.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// The entry would be none.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The entry would not be valid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

#[cfg(test)]
mod tests;
