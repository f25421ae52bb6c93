//! The parts that heads, answers and proofs of fraud have in common as bytes.
//!
//! Canonical dag-cbor like entries: blocks are byte strings, hashes are one byte string of 32 bytes
//! each, absent values are empty lists. Counts and lengths are bounded before anything is read.

use shoal_dag::Bytes;

use crate::cbor::{CborError, Reader, Writer};
use crate::tree::proof::PATH_MAX;
use crate::{ENTRY_BYTES_MAX, Entry, EntryError, Hash};

/// Control entries that one message may bring: more than anyone rotates keys in an epoch.
pub const CHAIN_MAX: usize = 4096;

/// Why bytes are no message of a ledger; whoever sent them must mend them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not canonical dag-cbor of the right form.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// An entry in it is none.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// A kind that this program does not know, or a part above its bound.
    #[error("a message of an unknown kind, or above its bounds")]
    Format,
}

type Result<T> = std::result::Result<T, DecodeError>;

pub(crate) fn write_blocks(out: &mut Writer, entries: &[Entry]) {
    out.array(entries.len());
    for entry in entries {
        out.bytes(entry.block());
    }
}

pub(crate) fn write_hashes(out: &mut Writer, hashes: &[Hash]) {
    out.bytes(&hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<_>>());
}

/// A block of at most the bytes of an entry, whatever is in it.
pub(crate) fn block(input: &mut Reader<'_>) -> Result<Bytes> {
    let block = input.bytes()?;
    if block.len() > ENTRY_BYTES_MAX {
        return Err(DecodeError::Format);
    }
    Ok(Bytes::copy_from_slice(block))
}

pub(crate) fn entry(input: &mut Reader<'_>) -> Result<Entry> {
    Ok(Entry::decode(block(input)?)?)
}

/// The head of a list of at most [`CHAIN_MAX`] items.
pub(crate) fn count(input: &mut Reader<'_>) -> Result<usize> {
    let count = input.array()?;
    if count > CHAIN_MAX { Err(DecodeError::Format) } else { Ok(count) }
}

pub(crate) fn blocks(input: &mut Reader<'_>) -> Result<Vec<Entry>> {
    (0..count(input)?).map(|_| entry(input)).collect()
}

pub(crate) fn hashes(input: &mut Reader<'_>) -> Result<Vec<Hash>> {
    let (hashes, rest) = input.bytes()?.as_chunks();
    if !rest.is_empty() || hashes.len() > PATH_MAX {
        return Err(DecodeError::Format);
    }
    Ok(hashes.iter().copied().map(Hash::from_bytes).collect())
}

/// A value or an empty list.
pub(crate) fn optional<T>(
    input: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
) -> Result<Option<T>> {
    match input.array()? {
        0 => Ok(None),
        1 => read(input).map(Some),
        _ => Err(DecodeError::Format),
    }
}

/// Writes a list of one value, or an empty one.
pub(crate) fn write_optional<T>(
    out: &mut Writer,
    value: Option<&T>,
    write: impl FnOnce(&mut Writer, &T),
) {
    out.array(usize::from(value.is_some()));
    if let Some(value) = value {
        write(out, value);
    }
}
