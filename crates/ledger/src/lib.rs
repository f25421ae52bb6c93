//! Proves which root a name had, when, and after which version.
//!
//! A name is an Ed25519 key with a ledger: a chain of signed entries, each a dag-cbor pair
//! `[map, signature]` of at most [`ENTRY_BYTES_MAX`] bytes. Every entry commits to all earlier ones
//! by the RFC 6962 root over them, so every entry is a checkpoint: a reader at one version accepts
//! a later one with a proof of logarithmic size, and two divergent heads reduce to one proof of
//! constant size that anybody can check who knows only the name.
//!
//! Where to begin reading: `entry.rs` (the format), `tree.rs` (the history root), `tip.rs` (what makes
//! the next entry valid, for a writer and for a full verifier alike).
//!
//! Invariants:
//! - Validity never depends on a clock or on a rate: times in entries are claims.
//! - Positions of one reader never go back, by (epoch, index).
//! - An unknown kind or an unreachable position is refused when it is read, never mapped to another.
//!
//! Pure: no clock, no randomness, no files, no network, no tasks. It never touches the store and
//! never resolves a petname.

#![forbid(unsafe_code)]

pub mod authority;
pub mod by_time;
mod cbor;
pub mod chain;
pub mod entry;
pub mod file_proof;
pub mod fraud;
mod hash;
pub mod head;
mod id;
pub mod ipns;
pub mod jump;
mod key;
mod kind;
mod position;
pub mod proof_file;
pub mod question;
pub mod reader;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod sim;
pub mod tip;
pub mod tree;
mod wire;
pub mod writer;

pub use authority::{Authority, AuthorityError};
pub use cbor::CborError;
pub use entry::{Body, Draft, Entry, EntryError};
pub use file_proof::FileProof;
pub use fraud::{Evidence, Fraud, FraudError};
pub use hash::{EntryId, Hash};
pub use id::{CidError, LEDGER_CID_BYTES, LedgerId, NameError};
pub use key::{PublicKey, SIGNATURE_BYTES, SecretKey};
pub use kind::{EntryKind, UnknownKind};
pub use position::{EPOCH_MAX, Epoch, INDEX_MAX, Index, Position, PositionError, Version};
pub use proof_file::ProofFile;
pub use question::{Answer, Question};
pub use reader::{Reader, Refusal, Status};
pub use tip::Tip;
pub use wire::{CHAIN_MAX, DecodeError};

/// Bytes of one encoded entry, signature included: it must fit the ten KiB of an IPNS record many
/// times over, and the largest honest entry (a full message and both links) takes 572 bytes.
pub const ENTRY_BYTES_MAX: usize = 1024;

/// Bytes of the message that an update carries, so that it can never push an entry over its limit.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// Keys that may sign at one time; a reader holds the whole set while it replays control entries.
pub const WRITERS_MAX: usize = 32;

/// Recovery keys that a name commits to in advance, by hash; did:plc bounds them alike.
pub const RECOVERY_KEYS_MAX: usize = 5;
