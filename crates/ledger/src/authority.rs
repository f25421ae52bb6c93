//! Who may sign the next entry.
//!
//! The authority of an entry is the state after the control entries before it: a genesis sets it,
//! writers entries change the writers, a recovery replaces it and opens the next epoch. So it costs
//! as many entries as there were changes of keys, whatever the length of the ledger.
//!
//! Rules:
//! - A genesis is signed by the key that names the ledger, whoever the writers are.
//! - Any writer may sign a writers entry, and so take the baton from a lost device; every other kind
//!   takes the active writer. Two writers who take it at once fork the ledger, and the proof names
//!   both.
//! - A recovery is signed by exactly `threshold` keys whose commitments the ledger made when its
//!   epoch began. No writers entry can change those, so a thief of a writer's key can neither
//!   recover nor prevent it. With no recovery key there is no recovery.
//! - A removed key signs nothing later, unless the writers add it again.

use crate::entry::{Body, KeySet, Recover, Writers};
use crate::hash::{EntryId, Hash};
use crate::key::PublicKey;
use crate::{Entry, EntryKind, Epoch, LedgerId, WRITERS_MAX};

/// The keys of a ledger at one place of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    ledger: LedgerId,
    epoch: Epoch,
    writers: Vec<PublicKey>,
    active: usize,
    recovery: Vec<Hash>,
    threshold: u8,
    policy: Option<Hash>,
    control: EntryId,
}

impl Authority {
    /// What a genesis sets, if the key that names the ledger signed it.
    pub fn begin(genesis: &Entry) -> Result<Self, AuthorityError> {
        let Body::Genesis(body) = genesis.body() else {
            return Err(AuthorityError::NoGenesis);
        };
        if !genesis.is_signed_by(&[genesis.ledger().into()]) {
            return Err(AuthorityError::Signature);
        }
        Ok(Self::of_keys(genesis, &body.keys, body.policy))
    }

    fn of_keys(entry: &Entry, keys: &KeySet, policy: Option<Hash>) -> Self {
        Self {
            ledger: entry.ledger(),
            epoch: entry.position().epoch,
            writers: keys.writers.clone(),
            active: 0,
            recovery: keys.recovery.clone(),
            threshold: keys.threshold,
            policy,
            control: entry.id(),
        }
    }

    /// The state after a chain of control entries: a genesis, then writers entries that each link
    /// the control entry before them, and recoveries. Writers entries of an epoch that a recovery in
    /// the chain ended may be left out: it replaces all that they set.
    pub fn replay<'a>(
        ledger: LedgerId,
        chain: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, AuthorityError> {
        let mut chain = chain.into_iter();
        let first = chain.next().ok_or(AuthorityError::NoGenesis)?;
        if first.ledger() != ledger {
            return Err(AuthorityError::Ledger);
        }
        chain.try_fold(Self::begin(first)?, |authority, entry| {
            if entry.kind().is_control() {
                authority.admit(entry)
            } else {
                Err(AuthorityError::NoControl)
            }
        })
    }

    /// The state after that entry, if it may stand directly under this authority.
    pub fn admit(&self, entry: &Entry) -> Result<Self, AuthorityError> {
        if entry.ledger() != self.ledger {
            return Err(AuthorityError::Ledger);
        }
        match entry.body() {
            Body::Genesis(_) => Err(AuthorityError::SecondGenesis),
            Body::Recover(body) => self.admit_recovery(entry, body),
            Body::Writers(body) => {
                self.check_writer(entry)?;
                self.after_change(entry, body)
            }
            _ => self.check_writer(entry).map(|()| self.clone()),
        }
    }

    /// Checks all but what only [`Self::admit`] of a recovery checks.
    fn check_writer(&self, entry: &Entry) -> Result<(), AuthorityError> {
        if entry.position().epoch != self.epoch {
            return Err(AuthorityError::Epoch { expected: self.epoch });
        }
        if entry.header().links.is_none_or(|links| links.control != self.control) {
            return Err(AuthorityError::Control);
        }
        let signer = usize::from(entry.header().signer);
        let key = self.writers.get(signer).ok_or(AuthorityError::Signer)?;
        if entry.kind() != EntryKind::Writers && signer != self.active {
            return Err(AuthorityError::NotActive);
        }
        if entry.is_signed_by(&[*key]) { Ok(()) } else { Err(AuthorityError::Signature) }
    }

    fn after_change(&self, entry: &Entry, change: &Writers) -> Result<Self, AuthorityError> {
        let removed = |position: usize| change.removed >> position & 1 == 1;
        let out_of_range = (self.writers.len()..u32::BITS as usize).any(removed);
        let kept = (0..self.writers.len()).filter(|position| !removed(*position));
        let mut writers: Vec<_> = kept.map(|position| self.writers[position]).collect();
        let known = change.added.iter().any(|key| writers.contains(key));
        writers.extend(&change.added);
        let active = usize::from(change.active);
        if out_of_range || known || writers.len() > WRITERS_MAX || active >= writers.len() {
            return Err(AuthorityError::Set);
        }
        let policy = change.policy.or(self.policy);
        Ok(Self { writers, active, policy, control: entry.id(), ..self.clone() })
    }

    fn admit_recovery(&self, entry: &Entry, body: &Recover) -> Result<Self, AuthorityError> {
        if entry.position().epoch.as_u64() != self.epoch.as_u64() + 1 {
            return Err(AuthorityError::Epoch { expected: self.epoch });
        }
        let committed = |key: &PublicKey| self.recovery.contains(&key.commitment());
        if body.revealed.len() != usize::from(self.threshold)
            || !body.revealed.iter().all(committed)
        {
            return Err(AuthorityError::Recovery);
        }
        if !entry.is_signed_by(&body.revealed) {
            return Err(AuthorityError::Signature);
        }
        Ok(Self::of_keys(entry, &body.keys, body.policy))
    }

    /// The ledger.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The epoch that the entries under it belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The writers, by the position that entries name them by.
    pub fn writers(&self) -> &[PublicKey] {
        &self.writers
    }

    /// The one writer who may sign anything but a writers entry.
    pub fn active(&self) -> PublicKey {
        self.writers[self.active]
    }

    /// Commitments to the recovery keys, and how many of the keys a recovery takes.
    pub fn recovery(&self) -> (&[Hash], u8) {
        (&self.recovery, self.threshold)
    }

    /// Hash of the witness policy that the epoch began with, or that a writers entry of it set later.
    pub fn policy(&self) -> Option<Hash> {
        self.policy
    }

    /// The newest control entry: what the next entry links as `ct`.
    pub fn control(&self) -> EntryId {
        self.control
    }
}

/// Why an entry may not stand where it stands; only who signed it can do better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// Its chain of control entries does not begin with a genesis.
    #[error("no genesis at the beginning")]
    NoGenesis,
    /// A genesis that is not the first entry.
    #[error("a second genesis")]
    SecondGenesis,
    /// An entry in a chain of control entries that changes no keys.
    #[error("an entry that changes no keys among those that do")]
    NoControl,
    /// It belongs to another ledger.
    #[error("an entry of another ledger")]
    Ledger,
    /// It stands in another epoch.
    #[error("another epoch than {} or the one that a recovery opens", expected.as_u64())]
    Epoch {
        /// The epoch of the keys it was held against.
        expected: Epoch,
    },
    /// It does not link the newest control entry.
    #[error("its control link is not the newest change of keys")]
    Control,
    /// It names a writer that does not exist.
    #[error("no writer at the position that it names")]
    Signer,
    /// Its writer has not got the baton.
    #[error("its writer is not the active one")]
    NotActive,
    /// A signature is not that of the key that must sign.
    #[error("wrong signature")]
    Signature,
    /// The keys of a recovery are not those that the ledger committed to, or too few or too many.
    #[error("not the recovery keys that were committed to")]
    Recovery,
    /// A change of writers that leaves none, more than 32, one twice, or no active one.
    #[error("a change of writers that cannot be made")]
    Set,
}

#[cfg(test)]
mod tests;
