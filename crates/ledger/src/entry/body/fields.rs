//! Fields that several kinds of body share, each with its bounds.
//!
//! Written and read in one place, so that a message or a set of keys has the same bounds and the
//! same single form wherever it stands. Every list is read from one byte string that is bounded by
//! the entry's own length.

use shoal_dag::Bytes;

use super::{KeySet, ROOT_BYTES_MAX};
use crate::cbor::{Keys, Reader, Writer};
use crate::entry::EntryError;
use crate::hash::Hash;
use crate::key::PublicKey;
use crate::{RECOVERY_KEYS_MAX, WRITERS_MAX};

type Result<T> = std::result::Result<T, EntryError>;

pub(super) fn ensure(holds: bool, field: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(EntryError::Field(field)) }
}

pub(super) fn write_text(writer: &mut Writer, key: &str, text: Option<&String>) {
    if let Some(text) = text {
        writer.text(key);
        writer.text(text);
    }
}

pub(super) fn text(
    reader: &mut Reader<'_>,
    keys: &mut Keys,
    key: &'static str,
    bytes_max: usize,
) -> Result<Option<String>> {
    if !keys.optional(reader, key)? {
        return Ok(None);
    }
    let text = reader.text()?;
    ensure((1..=bytes_max).contains(&text.len()), key)?;
    Ok(Some(text.to_owned()))
}

pub(super) fn write_uint(writer: &mut Writer, key: &str, value: Option<u64>) {
    if let Some(value) = value {
        writer.text(key);
        writer.uint(value);
    }
}

pub(super) fn uint(
    reader: &mut Reader<'_>,
    keys: &mut Keys,
    key: &'static str,
) -> Result<Option<u64>> {
    let there = keys.optional(reader, key)?;
    Ok(if there { Some(reader.uint()?) } else { None })
}

pub(super) fn write_digest(writer: &mut Writer, key: &str, digest: Option<&[u8; 32]>) {
    if let Some(digest) = digest {
        writer.text(key);
        writer.bytes(digest);
    }
}

pub(super) fn digest(
    reader: &mut Reader<'_>,
    keys: &mut Keys,
    key: &'static str,
) -> Result<Option<[u8; 32]>> {
    let there = keys.optional(reader, key)?;
    Ok(if there { Some(reader.array_of()?) } else { None })
}

pub(super) fn policy(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Option<Hash>> {
    Ok(digest(reader, keys, "pr")?.map(Hash::from_bytes))
}

/// The bytes of a CID, after its key.
pub(super) fn root(reader: &mut Reader<'_>) -> Result<Bytes> {
    let root = reader.bytes()?;
    ensure((2..=ROOT_BYTES_MAX).contains(&root.len()), "rt")?;
    Ok(Bytes::copy_from_slice(root))
}

pub(super) fn write_public_keys(writer: &mut Writer, key: &str, list: &[PublicKey]) {
    writer.text(key);
    writer.bytes(&list.iter().flat_map(|key| *key.as_bytes()).collect::<Vec<_>>());
}

/// Distinct, sound keys in one byte string.
pub(super) fn public_keys(
    reader: &mut Reader<'_>,
    keys: &mut Keys,
    key: &'static str,
    count_max: usize,
) -> Result<Vec<PublicKey>> {
    keys.expect(reader, key)?;
    let list: Vec<_> =
        digests(reader.bytes()?, key)?.into_iter().map(PublicKey::from_bytes).collect();
    ensure(list.len() <= count_max && all_differ(&list), key)?;
    ensure(list.iter().all(PublicKey::is_sound), key)?;
    Ok(list)
}

fn digests(bytes: &[u8], field: &'static str) -> Result<Vec<[u8; 32]>> {
    let (digests, rest) = bytes.as_chunks();
    ensure(rest.is_empty(), field)?;
    Ok(digests.to_vec())
}

fn all_differ<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().all(|(i, item)| !list[..i].contains(item))
}

pub(super) fn write_key_set(writer: &mut Writer, set: &KeySet) {
    writer.text("rk");
    writer.bytes(&set.recovery.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<_>>());
    writer.text("th");
    writer.uint(u64::from(set.threshold));
    write_public_keys(writer, "wr", &set.writers);
}

/// `rk`, `th` and `wr`.
pub(super) fn key_set(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<KeySet> {
    keys.expect(reader, "rk")?;
    let recovery: Vec<_> =
        digests(reader.bytes()?, "rk")?.into_iter().map(Hash::from_bytes).collect();
    ensure(recovery.len() <= RECOVERY_KEYS_MAX && all_differ(&recovery), "rk")?;
    keys.expect(reader, "th")?;
    let threshold = reader.uint()?;
    ensure(threshold <= recovery.len() as u64 && (threshold == 0) == recovery.is_empty(), "th")?;
    let writers = public_keys(reader, keys, "wr", WRITERS_MAX)?;
    ensure(!writers.is_empty(), "wr")?;
    Ok(KeySet { writers, recovery, threshold: threshold as u8 })
}
