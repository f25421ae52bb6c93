//! What each kind of entry says beyond its header: the map `bd`.
//!
//! Keys stand in this order; those with `?` are absent rather than empty or null.
//!
//! ```text
//! genesis    nk? text <= 64, no bytes 16 (nonce), pr? bytes 32, rk, th, wr
//! update     ms? text <= 256, nf? uint, pr? bytes 32, rb? uint < n, rt bytes (content root), sz? uint
//! writers    ac uint < 32, ad bytes 32*k, pr? bytes 32, rm uint < 2^32
//! recover    ks bytes 32*k (k = threshold, ascending), pr? bytes 32, rk, th, wr
//! anchor     at uint <= n, pf? bytes <= 512, rt? bytes (CID of the proof), ty uint < 256
//! merge      hd list of [id bytes 32, ep uint, n uint, entry bytes 32], ids ascending, 1 to 8
//! tombstone  fw? bytes 32 (a ledger to follow instead), ms? text <= 256
//! ```
//!
//! `wr` is 1 to 32 public keys of 32 bytes, one after the other, distinct; the first is the active
//! one. `rk` is 0 to 5 SHA-256 values of recovery keys, distinct, and `th` how many of those keys a
//! recovery takes: 0 exactly when there are none. A writers entry says what changes, because 32 keys
//! would not fit one entry: `rm` has bit i set for the writer at position i to be removed, `ad` is
//! appended, and `ac` is the active writer's position in the result. An anchor has exactly one of
//! `pf` (inline) and `rt`. A content root is bytes and no link, so that pinning the chain does not
//! pin every version's content; 2 to 100 bytes, and whether they are a CID that anyone can fetch is
//! no matter of validity. `pr` is the hash of a witness policy.
//!
//! No kind but genesis and recover touches recovery keys: a thief of a writer's key cannot.

mod codec;
mod fields;

use shoal_dag::{Bytes, Cid};

use crate::hash::{EntryId, Hash};
use crate::key::PublicKey;
use crate::{EntryKind, LedgerId, Position};

/// How deep values nest in a body: a merge has a map, a list, and lists in it.
pub(super) const DEPTH_MAX: u32 = 3;

/// Bytes of a content root: every CID in use fits twice over.
pub const ROOT_BYTES_MAX: usize = 100;

/// Bytes of a proof that an anchor carries itself; larger ones are stored and named by their CID.
pub const ANCHOR_BYTES_MAX: usize = 512;

/// Bytes of the name that a ledger claims for itself.
pub const NICKNAME_BYTES_MAX: usize = 64;

/// Heads that one merge joins: more do not fit one entry.
pub const MERGE_HEADS_MAX: usize = 8;

/// Kinds of anchor that there can be.
const ANCHOR_KINDS: u64 = 256;

/// The body of an entry, by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Begins the ledger.
    Genesis(Genesis),
    /// A new content root.
    Update(Update),
    /// Changes who may sign.
    Writers(Writers),
    /// Opens the next epoch.
    Recover(Recover),
    /// A proof from outside.
    Anchor(Anchor),
    /// Joins the heads of other ledgers.
    Merge(Merge),
    /// Ends the ledger.
    Tombstone(Tombstone),
}

/// Who may sign, and who may recover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    /// The writers, the active one first (`wr`).
    pub writers: Vec<PublicKey>,
    /// Commitments to recovery keys (`rk`), see [`PublicKey::commitment`].
    pub recovery: Vec<Hash>,
    /// How many of those keys a recovery takes (`th`).
    pub threshold: u8,
}

/// The body of a genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// What the name calls itself (`nk`): shown in quotes, never used to look it up.
    pub nickname: Option<String>,
    /// Makes two ledgers begun alike differ (`no`).
    pub nonce: [u8; 16],
    /// Hash of the witness policy (`pr`).
    pub policy: Option<Hash>,
    /// The first keys.
    pub keys: KeySet,
}

/// The body of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What the publisher says of it (`ms`).
    pub message: Option<String>,
    /// Number of files (`nf`).
    pub files: Option<u64>,
    /// Hash of the witness policy (`pr`).
    pub policy: Option<Hash>,
    /// The index of the entry whose root this brings back (`rb`).
    pub rolled_back_to: Option<u64>,
    /// The content root as the bytes of a CID (`rt`).
    pub root: Bytes,
    /// Bytes of content (`sz`).
    pub size: Option<u64>,
}

/// The body of a writers entry: what changes in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writers {
    /// Position of the active writer in the resulting set (`ac`).
    pub active: u8,
    /// Keys appended to the set (`ad`).
    pub added: Vec<PublicKey>,
    /// Hash of the witness policy (`pr`).
    pub policy: Option<Hash>,
    /// Bit i is set to remove the writer at position i (`rm`).
    pub removed: u32,
}

/// The body of a recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recover {
    /// The recovery keys that sign it, ascending (`ks`); they are no secret from here on.
    pub revealed: Vec<PublicKey>,
    /// Hash of the witness policy (`pr`).
    pub policy: Option<Hash>,
    /// The keys of the new epoch.
    pub keys: KeySet,
}

/// What kind of proof an anchor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorKind {
    /// 0: a checkpoint with the cosignatures of witnesses (C2SP).
    Witness,
    /// 1: an OpenTimestamps receipt.
    Timestamp,
    /// 2: an inclusion proof in a log of ledger heads.
    Log,
    /// 3: a public beacon, which dates the entry from below.
    Beacon,
    /// Any other code below 256: kept and not understood, since it changes nothing here.
    Other(u8),
}

/// Where the proof of an anchor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorProof {
    /// In the entry (`pf`).
    Inline(Bytes),
    /// In the block of that CID (`rt`).
    Stored(Bytes),
}

/// The body of an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The size of the tree whose root the proof is about (`at`).
    pub size: u64,
    /// The proof.
    pub proof: AnchorProof,
    /// What kind of proof it is (`ty`).
    pub kind: AnchorKind,
}

/// One head that a merge joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeHead {
    /// The other ledger.
    pub ledger: LedgerId,
    /// Its head's position.
    pub position: Position,
    /// Its head.
    pub entry: EntryId,
}

/// The body of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The heads, ascending by ledger (`hd`).
    pub heads: Vec<MergeHead>,
}

/// The body of a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// A ledger to follow instead (`fw`).
    pub forward: Option<LedgerId>,
    /// Why it ends (`ms`).
    pub message: Option<String>,
}

impl Update {
    /// An update that says only its root.
    pub fn of_root(root: impl Into<Bytes>) -> Self {
        Self {
            message: None,
            files: None,
            policy: None,
            rolled_back_to: None,
            root: root.into(),
            size: None,
        }
    }

    /// The root as a CID; none if the bytes are not exactly one.
    pub fn root_cid(&self) -> Option<Cid> {
        let cid = Cid::try_from(&self.root[..]).ok()?;
        (cid.to_bytes() == self.root[..]).then_some(cid)
    }
}

impl AnchorKind {
    /// The number that stands for it.
    pub fn code(self) -> u8 {
        match self {
            Self::Witness => 0,
            Self::Timestamp => 1,
            Self::Log => 2,
            Self::Beacon => 3,
            Self::Other(code) => code,
        }
    }

    /// The kind of a number.
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Witness,
            1 => Self::Timestamp,
            2 => Self::Log,
            3 => Self::Beacon,
            other => Self::Other(other),
        }
    }
}

impl Body {
    /// The kind of entry that it makes.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Genesis(_) => EntryKind::Genesis,
            Self::Update(_) => EntryKind::Update,
            Self::Writers(_) => EntryKind::Writers,
            Self::Recover(_) => EntryKind::Recover,
            Self::Anchor(_) => EntryKind::Anchor,
            Self::Merge(_) => EntryKind::Merge,
            Self::Tombstone(_) => EntryKind::Tombstone,
        }
    }

    /// How many signatures it takes.
    pub(super) fn signatures(&self) -> usize {
        match self {
            Self::Recover(recover) => recover.revealed.len(),
            _ => 1,
        }
    }

    /// Whether what it says about earlier entries can be true at that index.
    pub(super) fn fits(&self, index: u64) -> bool {
        match self {
            Self::Update(update) => update.rolled_back_to.is_none_or(|to| to < index),
            Self::Anchor(anchor) => anchor.size <= index,
            _ => true,
        }
    }
}
