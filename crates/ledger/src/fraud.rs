//! Proofs that whoever may sign a ledger broke its rules.
//!
//! A proof stands for itself: whoever knows the name can check it, offline, in the time of a few
//! signatures, and nobody can make one without the key of a writer (or a recovery key). Of the five
//! kinds only the equivocation needs no path at all: any two histories that part come down to two
//! entries for one place.
//!
//! | kind | shows |
//! |---|---|
//! | equivocation | two entries for one position, or two recoveries that open one epoch |
//! | bad history | a history root that is not the one before plus the entry before, or a leaf that is no entry of this ledger at its index |
//! | bad link | a `pv`, `jp` or `ct` that names another entry than the rules say |
//! | time regress | a time before that of an earlier entry |
//! | unauthorised | an entry after a tombstone, after its signer was removed, or on top of an entry that nobody might sign |
//!
//! The signer is shown by [`Evidence`]: the entry with the control entries behind it, or alone when
//! the name's own key signed it in epoch 0. (That key can equivocate at the genesis whenever its
//! holder likes, so taking its word on any entry of epoch 0 gives it no new power; from epoch 1 on,
//! where a recovery may have dismissed it, its word alone counts for nothing.)
//!
//! Records that somebody stripped, or signed again with a later end of life, are no fraud.

mod codec;
mod find;
mod verify;

use std::fmt;

pub use find::{accuse, conflict};
use shoal_dag::Bytes;

use crate::authority::{Authority, AuthorityError};
use crate::chain::Archive;
use crate::hash::Hash;
use crate::head::chain_before;
use crate::key::PublicKey;
use crate::{Body, Entry, EntryError, Epoch, LedgerId, Position};

/// An entry, and why its signer might sign.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The entry.
    pub entry: Entry,
    /// The control entries before it, genesis first, as [`Authority::replay`] takes them. Empty when
    /// the entry is a genesis, or of epoch 0 and signed by the name's own key.
    pub chain: Vec<Entry>,
}

/// Which link of an entry is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkName {
    /// `pv`
    Previous,
    /// `jp`
    Jump,
    /// `ct`
    Control,
}

/// A block at an index of the history that an entry signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The index.
    pub index: u64,
    /// The block there.
    pub block: Bytes,
    /// The path to the entry's history root.
    pub path: Vec<Hash>,
}

/// How a link is shown to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFault {
    /// The block that it names is no entry that may be linked so.
    Names(Bytes),
    /// The entry that it must name, in the history, is another one.
    Misses(Leaf),
    /// A newer control entry stands in the history than the one (its block) that `ct` names.
    Outdated {
        /// The block that `ct` names.
        named: Bytes,
        /// The newer one.
        newer: Leaf,
    },
}

/// What an entry stands on that nobody might sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usurpation {
    /// A tombstone, earlier in its history.
    AfterEnd(Leaf),
    /// A change of keys, later than the one that it links, after which its signer was no writer: the
    /// control entries from the linked one on, in its history.
    AfterRemoval(Vec<Leaf>),
    /// An entry in its history that its own control entries give nobody the right to sign so.
    OnTop {
        /// The entry.
        leaf: Leaf,
        /// The control entries behind it, as [`Authority::replay`] takes them.
        chain: Vec<Entry>,
    },
}

/// A proof of fraud.
#[derive(Clone, PartialEq, Eq)]
pub enum Fraud {
    /// Two entries where the rules allow one.
    Equivocation(Box<[Evidence; 2]>),
    /// A history root that does not follow from the entry before.
    BadHistory {
        /// The entry.
        entry: Evidence,
        /// The block that it links as the one before.
        previous: Bytes,
        /// The peaks of the history of the one before.
        peaks: Vec<Hash>,
    },
    /// A leaf of its history that is no entry of this ledger at that index.
    BadLeaf {
        /// The entry.
        entry: Evidence,
        /// The leaf.
        leaf: Leaf,
    },
    /// A link that is wrong.
    BadLink {
        /// The entry.
        entry: Evidence,
        /// Which link.
        link: LinkName,
        /// What is wrong with it.
        fault: LinkFault,
    },
    /// A time before that of an earlier entry.
    TimeRegress {
        /// The entry.
        entry: Evidence,
        /// An earlier one with a later time.
        earlier: Leaf,
    },
    /// An entry that nobody might sign there.
    Unauthorised {
        /// The entry.
        entry: Evidence,
        /// Why nobody might.
        by: Usurpation,
    },
}

impl Evidence {
    /// Evidence with the fewest control entries that show the signer.
    pub fn of(entry: Entry, chain: &[Entry]) -> Self {
        let alone = Self { entry, chain: Vec::new() };
        if alone.verify(alone.entry.ledger()).is_ok() {
            return alone;
        }
        Self { entry: alone.entry, chain: chain.to_vec() }
    }

    /// Evidence for the entry at that index of a branch.
    pub fn from_archive(branch: &(impl Archive + ?Sized), index: u64) -> Option<Self> {
        let entry = branch.entry(index)?;
        let chain = chain_before(branch, &entry)?;
        Some(Self::of(entry, &chain))
    }

    /// Whether the entry is signed by someone who might sign it, for all that its own links say.
    pub fn verify(&self, name: LedgerId) -> Result<(), AuthorityError> {
        if self.entry.ledger() != name {
            return Err(AuthorityError::Ledger);
        }
        if !self.chain.is_empty() {
            return Authority::replay(name, &self.chain)?.admit(&self.entry).map(drop);
        }
        let beginning = self.entry.position().epoch == Epoch::default();
        if !beginning {
            return Err(AuthorityError::NoGenesis);
        }
        let signed = self.entry.is_signed_by(&[PublicKey::from(name)]);
        if signed { Ok(()) } else { Err(AuthorityError::Signature) }
    }

    /// The keys that signed the entry, if the evidence holds.
    pub fn signers(&self, name: LedgerId) -> Vec<PublicKey> {
        if let Body::Recover(recover) = self.entry.body() {
            return recover.revealed.clone();
        }
        let of_chain = Authority::replay(name, &self.chain).ok().and_then(|authority| {
            authority.writers().get(usize::from(self.entry.header().signer)).copied()
        });
        vec![of_chain.unwrap_or_else(|| name.into())]
    }
}

impl Fraud {
    /// The proof that those two entries contradict each other; none if they do not. The same proof
    /// whichever comes first.
    pub fn equivocation(a: Evidence, b: Evidence) -> Option<Self> {
        let pair = if a.entry.block() <= b.entry.block() { [a, b] } else { [b, a] };
        let fraud = Self::Equivocation(Box::new(pair));
        fraud.verify_facts().is_ok().then_some(fraud)
    }

    /// The evidence in it, at most two pieces.
    pub fn evidence(&self) -> &[Evidence] {
        match self {
            Self::Equivocation(pair) => &pair[..],
            Self::BadHistory { entry, .. }
            | Self::BadLeaf { entry, .. }
            | Self::BadLink { entry, .. }
            | Self::TimeRegress { entry, .. }
            | Self::Unauthorised { entry, .. } => std::slice::from_ref(entry),
        }
    }

    /// Where the rules are broken: what stands before it is not touched by this proof.
    pub fn position(&self) -> Position {
        let positions = self.evidence().iter().map(|evidence| evidence.entry.position());
        positions.min().expect("there is evidence")
    }

    /// Whether the histories part exactly there, as far as the proof shows: two entries that sign
    /// different pasts part earlier.
    pub fn is_exact(&self) -> bool {
        let mut pasts = self.evidence().iter().map(|evidence| evidence.entry.header().history);
        let first = pasts.next();
        pasts.all(|past| Some(past) == first)
    }

    /// The keys that did it.
    pub fn guilty(&self, name: LedgerId) -> Vec<PublicKey> {
        let mut keys: Vec<_> =
            self.evidence().iter().flat_map(|evidence| evidence.signers(name)).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} under {} control entries", self.entry, self.chain.len())
    }
}

impl fmt::Debug for Fraud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Equivocation(_) => "Equivocation",
            Self::BadHistory { .. } => "BadHistory",
            Self::BadLeaf { .. } => "BadLeaf",
            Self::BadLink { .. } => "BadLink",
            Self::TimeRegress { .. } => "TimeRegress",
            Self::Unauthorised { .. } => "Unauthorised",
        };
        write!(f, "{kind}{:?}", self.evidence())
    }
}

/// Why a proof of fraud proves nothing; whoever sent it broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FraudError {
    /// Whoever signed the entries is not shown to be one who may.
    #[error("the evidence shows no signer of this name: {0}")]
    Evidence(#[from] AuthorityError),
    /// It accuses an epoch that grew from another genesis than the pinned one: whoever has the name's
    /// key can make one up, with recovery keys of their own.
    #[error("it belongs to a history with another beginning")]
    Beginning,
    /// What it shows breaks no rule.
    #[error("it shows nothing that breaks a rule")]
    Harmless,
    /// A path or a link does not lead where it should.
    #[error("a part of it does not belong to the entry that it accuses")]
    Unconnected,
    /// An entry in it is none.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

#[cfg(test)]
mod tests;
