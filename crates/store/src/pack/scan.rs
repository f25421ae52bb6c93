//! Looking at the end of a pack that the index has not committed.
//!
//! After a power loss the tail may hold anything: torn records, pages of zeros, a good record behind
//! a bad one. A record counts when its bytes have its digest. One with a sound header and wrong bytes
//! is stepped over; where no header is, the scan ends, since nothing beyond was acknowledged.

use std::fs::File;
use std::io;
use std::path::Path;

use shoal_dag::hash::HashKind;

use super::{FILE_MAGIC, HOLE, PUBLIC, RECORD_HEADER_BYTES, RecordHeader};
use crate::files::read_at;
use crate::key::{Entry, Key, Place};

/// The hash function of a code.
pub(crate) fn kind(hash: u8) -> Option<HashKind> {
    [HashKind::Blake3, HashKind::Sha256].into_iter().find(|kind| kind.code() == u64::from(hash))
}

/// Have these bytes this digest?
pub(crate) fn matches(key: &Key, data: &[u8]) -> bool {
    kind(key.hash).is_some_and(|kind| kind.digest(data) == key.digest)
}

/// Reads records from `from` on, gives the good ones to `each`, and returns where the last of them
/// ends.
pub(crate) fn scan(
    path: &Path,
    number: u32,
    from: u64,
    mut each: impl FnMut(Key, Entry),
) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut at = from;
    if at == 0 {
        if read_at(&file, 0, FILE_MAGIC.len())? != FILE_MAGIC {
            return Ok(0);
        }
        at = FILE_MAGIC.len() as u64;
    }
    let mut end = at;
    loop {
        let bytes = read_at(&file, at, RECORD_HEADER_BYTES as usize)?;
        let Some(header) = RecordHeader::from_bytes(&bytes) else { return Ok(end) };
        let offset = at + RECORD_HEADER_BYTES;
        if header.flags & HOLE != 0 {
            at = offset + u64::from(header.len);
            if at > file.metadata()?.len() {
                return Ok(end);
            }
            end = at;
            continue;
        }
        let data = read_at(&file, offset, header.len as usize)?;
        if data.len() < header.len as usize {
            return Ok(end);
        }
        at = offset + u64::from(header.len);
        if header.flags & !PUBLIC == 0 && matches(&header.key, &data) {
            end = at;
            let (len, hash) = (header.len, header.key.hash);
            let public = header.flags & PUBLIC != 0;
            let place = Place::Pack(number);
            each(header.key, Entry { place, offset, len, hash, public });
        }
    }
}
