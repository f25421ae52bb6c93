//! CAR: blocks in a row, with their CIDs, to be carried in a file or a pipe.
//!
//! [`CarReader`] is a machine: it is given bytes as they come and says what they were. It reads
//! versions 1 and 2; of version 2 it reads the payload and passes over the index, which it never
//! trusts. Every block was checked against its CID before it is given out. [`mod@write`] makes both
//! versions.
//!
//! Invariants: memory is bounded by what was fed and one section, never by a length that the bytes
//! declare; a section is refused as soon as its length is known to be too large. An error names
//! the byte at which the trouble begins.
//!
//! It does not keep blocks and does not know which are missing below a root.
//! Specifications: IPLD CAR v1 and v2, of v2 index format 0x0401 (`MultihashIndexSorted`).

mod header;
pub mod index;
mod read;
pub mod write;

use thiserror::Error;

use crate::Cid;

use crate::BLOCK_BYTES_MAX;
use crate::cbor::CborError;
use crate::hash::{CidError, Mismatch};

pub use header::Header;
pub use read::{CarReader, Event};

/// Largest header of a version 1 payload, in bytes: 16,384 roots have 700 KB; usual are 60 bytes.
pub const HEADER_BYTES_MAX: usize = 1 << 20;
/// Most roots of a header: each is a tree to be walked and pinned.
pub const ROOTS_MAX: usize = 1 << 14;
/// Longest binary CID: four numbers of 9 bytes and an identity digest of 128.
pub const CID_BYTES_MAX: usize = 4 * 9 + 128;
/// Largest section, in bytes: a CID and a block.
pub const SECTION_BYTES_MAX: usize = BLOCK_BYTES_MAX + CID_BYTES_MAX;
/// What a version 2 file begins with: a header that says version 2.
pub(crate) const PRAGMA: [u8; 11] =
    [0x0a, 0xa1, 0x67, b'v', b'e', b'r', b's', b'i', b'o', b'n', 0x02];
/// Bytes of the header of version 2: characteristics and three places.
pub(crate) const V2_HEADER_BYTES: usize = 40;
/// Bytes before the payload of version 2 at least.
pub(crate) const V2_PAYLOAD_MIN: u64 = (PRAGMA.len() + V2_HEADER_BYTES) as u64;

/// Why bytes are not a CAR, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault} at byte {offset}")]
pub struct CarError {
    /// Byte of the stream at which the faulty part begins.
    pub offset: u64,
    /// What is wrong.
    pub fault: CarFault,
}

/// What is wrong with a CAR. Its writer, or whoever carried it, is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CarFault {
    /// The bytes end before the part is complete.
    #[error("the CAR ends within {0}")]
    Truncated(&'static str),
    /// A length of more than 63 bits or with superfluous bytes.
    #[error("malformed length")]
    Varint,
    /// A header or section that is empty where it cannot be.
    #[error("{0} of no bytes")]
    Empty(&'static str),
    /// A header or section that is larger than allowed.
    #[error("{what} of {len} bytes, more than {max}")]
    TooLarge {
        /// Header or section.
        what: &'static str,
        /// Its declared length.
        len: u64,
        /// The most allowed.
        max: u64,
    },
    /// The header is not the dag-cbor that it must be.
    #[error("malformed CAR header: {0}")]
    Header(#[from] CborError),
    /// The header has other keys than `roots` and `version`, or one of them twice.
    #[error("malformed CAR header: not a map of roots and version")]
    HeaderKeys,
    /// Neither version 1 nor 2, or a payload that is not of version 1.
    #[error("CAR version {0} is not supported here")]
    Version(u64),
    /// More roots than [`ROOTS_MAX`].
    #[error("a CAR of {0} roots, more than {ROOTS_MAX}")]
    Roots(u64),
    /// The places of version 2 contradict each other.
    #[error("malformed CARv2 header: {0}")]
    Places(&'static str),
    /// A section does not begin with a CID.
    #[error("a section begins with a malformed CID")]
    Cid,
    /// The bytes of a block are not those that its CID names.
    #[error("a block does not match its CID {0}")]
    Mismatch(Box<Cid>),
}

/// A block that was passed over: it cannot be checked, so it cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Byte of the stream at which its section begins.
    pub offset: u64,
    /// Its CID, where the type can hold it.
    pub cid: Option<Cid>,
    /// Why.
    pub reason: CidError,
}

impl CarFault {
    const fn at(self, offset: u64) -> CarError {
        CarError { offset, fault: self }
    }

    /// The bytes are not what their CID says; otherwise they are no CAR.
    pub const fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch(_))
    }
}

/// Checks a block of any codec: which bytes a CID names does not depend on how they are read.
fn verify(cid: &Cid, data: &[u8]) -> Result<Result<(), CidError>, CarFault> {
    match crate::hash::verify_digest(cid, data) {
        Ok(()) => Ok(Ok(())),
        Err(Mismatch::Digest(cid)) => Err(CarFault::Mismatch(cid)),
        Err(Mismatch::Cid(reason)) => Ok(Err(reason)),
    }
}

#[cfg(test)]
mod tests;
