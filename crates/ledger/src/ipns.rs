//! IPNS records, made and judged as boxo does, with a ledger's head inside.
//!
//! A record is a protobuf of at most 10 KiB (IPNS specification, "Record Serialization Format"):
//!
//! ```text
//! 1 value  2 signatureV1  3 validityType  4 validity  5 sequence  6 ttl  7 pubKey  8 signatureV2  9 data
//! ```
//!
//! `data` is a dag-cbor map and signatureV2 is over `ipns-signature:` and its bytes. Fields 1 to 6 are
//! the older format: they are written by default, never trusted, and must equal the map where they are
//! there. signatureV1 is never checked. What we add to the map is `_shoal`, a byte string with the
//! dag-cbor list `[1, block of the head]`; a stock validator reads past it.
//!
//! Reading has two steps, so that no expired record is ever taken for a live one: [`SignedRecord`]
//! is what its key signed, whenever; [`SignedRecord::live`] gives the [`Record`] that may be stored,
//! served and resolved, if its end of life has not come. An expired one still teaches the ledger its
//! entry.
//!
//! Anybody may put a record again, byte for byte. Only the name's key makes one with a later end.

mod data;
mod time;
mod wire;

use shoal_dag::{Bytes, Cid};

pub use time::Instant;

use crate::cbor::{CborError, Reader, Writer};
use crate::entry::Body;
use crate::key::{PublicKey, SecretKey};
use crate::{Entry, EntryError, LedgerId, PositionError};
use data::Data;
use wire::Wire;

/// Bytes of a record; larger ones are refused everywhere (IPNS specification).
pub const RECORD_BYTES_MAX: usize = 10 << 10;

/// Bytes of `_shoal`: an entry fits twice.
pub const SHOAL_BYTES_MAX: usize = 2 << 10;

/// Seconds for which resolvers may keep an answer, by default: as kubo does for its own.
pub const TTL_SECONDS_DEFAULT: u64 = 300;

/// Seconds from signing to the end of life, by default: a month, while the DHT forgets in two days.
pub const LIFE_SECONDS_DEFAULT: u64 = 30 * 24 * 3600;

/// What comes before the map in the bytes that are signed.
const SIGNED_PREFIX: &[u8] = b"ipns-signature:";

/// The version of what `_shoal` holds.
const SHOAL_VERSION: u64 = 1;

/// A record to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The path that the name stands for: `/ipfs/...` or `/ipns/...`.
    pub value: Bytes,
    /// Larger is newer.
    pub sequence: u64,
    /// The end of its life.
    pub end: Instant,
    /// Nanoseconds for which an answer may be kept.
    pub ttl_ns: u64,
    /// The content of `_shoal`.
    pub shoal: Option<Bytes>,
}

/// A record that its name's key signed, perhaps long ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRecord {
    bytes: Bytes,
    data: Data,
}

/// A record whose end has not come: the only kind that is stored, served or resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(SignedRecord);

impl Draft {
    /// The record for a head: its sequence is the head's position. `root` is the newest content root,
    /// which is the head's own unless the head is no update; a name without content has no record.
    pub fn of_head(head: &Entry, root: &Cid, end: Instant) -> Self {
        let mut shoal = Writer::default();
        shoal.array(2);
        shoal.uint(SHOAL_VERSION);
        shoal.bytes(head.block());
        Self {
            value: Bytes::from(format!("/ipfs/{root}")),
            sequence: head.position().sequence(),
            end,
            ttl_ns: TTL_SECONDS_DEFAULT * 1_000_000_000,
            shoal: Some(Bytes::from(shoal.finish())),
        }
    }

    /// Signs with the name's key. `v1` adds the older format, as kubo still does.
    pub fn sign(&self, key: &SecretKey, v1: bool) -> Result<SignedRecord, RecordError> {
        let data = Data {
            value: self.value.clone(),
            sequence: self.sequence,
            end: self.end,
            validity: Bytes::from(self.end.to_string()),
            ttl_ns: Some(self.ttl_ns),
            shoal: self.shoal.clone(),
        };
        let encoded = data.encode();
        let mut wire = Wire {
            signature_v2: key.sign(&[SIGNED_PREFIX, &encoded]).to_vec().into(),
            data: encoded.into(),
            ..Wire::default()
        };
        if v1 {
            wire.signature_v1 = key.sign(&[&data.value, &data.validity, b"EOL"]).to_vec().into();
            wire.value = data.value.clone();
            wire.validity_type = Some(0);
            wire.validity = data.validity.clone();
            wire.sequence = Some(data.sequence);
            wire.ttl_ns = Some(self.ttl_ns);
        }
        SignedRecord::read(wire.encode(), key.public().into())
    }
}

impl SignedRecord {
    /// Reads a record of that name and checks all but its end of life.
    pub fn read(bytes: impl Into<Bytes>, name: LedgerId) -> Result<Self, RecordError> {
        let bytes = bytes.into();
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { bytes: bytes.len() });
        }
        let wire = Wire::decode(&bytes)?;
        if wire.signature_v2.is_empty() || wire.data.is_empty() {
            return Err(RecordError::NoV2);
        }
        if !wire.public_key.is_empty() && wire.public_key[..] != name.to_cid_bytes()[4..] {
            return Err(RecordError::Key);
        }
        let data = Data::decode(&wire.data)?;
        let key = PublicKey::from(name);
        if !key.verifies(&[SIGNED_PREFIX, &wire.data], &wire.signature_v2) {
            return Err(RecordError::Signature);
        }
        if wire.has_v1() {
            data.check_v1(&wire)?;
        }
        Ok(Self { bytes, data })
    }

    /// The record, if its end has not come.
    pub fn live(self, now: Instant) -> Result<Record, RecordError> {
        let end = self.data.end;
        if now > end { Err(RecordError::Expired { end }) } else { Ok(Record(self)) }
    }

    /// The bytes, to be put again as they are.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The path that the name stands for.
    pub fn value(&self) -> &Bytes {
        &self.data.value
    }

    /// Larger is newer.
    pub fn sequence(&self) -> u64 {
        self.data.sequence
    }

    /// The end of its life.
    pub fn end(&self) -> Instant {
        self.data.end
    }

    /// Nanoseconds for which the answer may be kept.
    pub fn ttl_ns(&self) -> u64 {
        self.data.ttl_ns.unwrap_or(0)
    }

    /// The head that it carries; none for a plain record, and for one from which a program that knows
    /// no `_shoal` left it out. The entry is of this name and of the record's sequence and value; who
    /// might sign it is for a reader to find out.
    pub fn head(&self, name: LedgerId) -> Result<Option<Entry>, HeadError> {
        let Some(shoal) = &self.data.shoal else { return Ok(None) };
        if shoal.len() > SHOAL_BYTES_MAX {
            return Err(HeadError::TooLong { bytes: shoal.len() });
        }
        let mut reader = Reader::new(shoal);
        reader.array_exact(2)?;
        let version = reader.uint()?;
        if version != SHOAL_VERSION {
            return Err(HeadError::Version(version));
        }
        let head = Entry::decode(reader.bytes()?.to_vec())?;
        reader.end()?;
        if head.ledger() != name || head.position().sequence() != self.data.sequence {
            return Err(HeadError::Mismatch);
        }
        let root = match head.body() {
            Body::Update(update) => update.root_cid(),
            _ => return Ok(Some(head)),
        };
        let value = root.map(|root| format!("/ipfs/{root}"));
        let fits = value.is_some_and(|value| value.as_bytes() == &self.data.value[..]);
        if fits { Ok(Some(head)) } else { Err(HeadError::Mismatch) }
    }

    /// Whether it is what somebody who knows no `_shoal` made of the record of that head: the same
    /// name, value and sequence. It is no fork, and says nothing new.
    pub fn is_stripped_of(&self, head: &Self) -> bool {
        self.data.shoal.is_none()
            && head.data.shoal.is_some()
            && self.data.value == head.data.value
            && self.data.sequence == head.data.sequence
    }
}

impl Record {
    /// Reads a record of that name, checks it, and refuses it if its end has come.
    pub fn read(
        bytes: impl Into<Bytes>,
        name: LedgerId,
        now: Instant,
    ) -> Result<Self, RecordError> {
        SignedRecord::read(bytes, name)?.live(now)
    }

    /// What it says.
    pub fn signed(&self) -> &SignedRecord {
        &self.0
    }
}

/// Of two records of one name the one that every implementation keeps: the higher sequence, then the
/// later end, then the larger bytes (boxo `ipns/record.go`, `compare`). A semilattice: order and
/// repetition do not matter.
pub fn select<'a>(a: &'a SignedRecord, b: &'a SignedRecord) -> &'a SignedRecord {
    let key = |record: &'a SignedRecord| (record.data.sequence, record.data.end, &record.bytes);
    if key(a) >= key(b) { a } else { b }
}

/// The key under which the DHT keeps the records of a name: `/ipns/` and the name's multihash.
pub fn routing_key(name: LedgerId) -> Vec<u8> {
    [b"/ipns/", &name.to_cid_bytes()[2..]].concat()
}

/// Why bytes are no record of that name, or none to be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// More than [`RECORD_BYTES_MAX`] bytes.
    #[error("an IPNS record of {bytes} bytes, above {RECORD_BYTES_MAX}")]
    TooLong {
        /// The bytes of the record.
        bytes: usize,
    },
    /// Not a protobuf.
    #[error("not a protobuf")]
    Wire,
    /// No signatureV2 or no data: a record of the older format alone.
    #[error("a record without a second signature")]
    NoV2,
    /// The public key in it is not the name's.
    #[error("the key in the record is not the name's")]
    Key,
    /// The data is not the dag-cbor map that it must be.
    #[error("the data of the record: {0}")]
    Data(#[from] CborError),
    /// A field of the data that is missing or out of its range.
    #[error("field {0} of the record is missing or out of its range")]
    Field(&'static str),
    /// Not signed by the name's key.
    #[error("wrong signature")]
    Signature,
    /// A field of the older format that is not what was signed.
    #[error("field {0} of the older format differs from the signed one")]
    V1(&'static str),
    /// Its end has come; its owner can make another.
    #[error("expired at {end}")]
    Expired {
        /// The end.
        end: Instant,
    },
}

/// Why the `_shoal` of a record is not used. The record itself is as good as a plain one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// More than [`SHOAL_BYTES_MAX`] bytes.
    #[error("_shoal of {bytes} bytes, above {SHOAL_BYTES_MAX}")]
    TooLong {
        /// The bytes of the field.
        bytes: usize,
    },
    /// Not the list that it must be.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A version that this program does not know.
    #[error("_shoal of version {0}")]
    Version(u64),
    /// No entry in it.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A position that does not exist.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// An entry of another name, sequence or value than the record's.
    #[error("the entry in the record is not the one that the record is about")]
    Mismatch,
}

#[cfg(test)]
mod tests;
