//! Reading a whole pack for what is right in it, whatever else is damaged.
//!
//! Unlike the scan of a tail this looks at everything and trusts no length: where a record is wrong, the
//! next one is looked for byte by byte. A record counts when its bytes have a digest that its header says,
//! or one that differs from it in a few bits (then the header has the damage). Whatever is found is
//! its own proof; only the public mark is the header's word.

use std::fs::File;
use std::io;
use std::path::Path;

use shoal_dag::BLOCK_BYTES_MAX;
use shoal_dag::hash::HashKind;

use super::scan::{kind, matches};
use super::{FILE_MAGIC, PUBLIC, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader};
use crate::files::read_at;
use crate::key::{Digest, Entry, Key, Place};

/// Flag of a stretch of dead records, whose digest is zero.
const HOLE: u8 = 0x80;
/// Digests that differ in no more bits are one with damage.
const WRONG_BITS_MAX: u32 = 8;
/// Looked through at once for the next record.
const SEARCH_BYTES: usize = 1024 * 1024;

/// What a pack came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Salvaged {
    /// Where the last good record ends.
    pub(crate) end: u64,
    /// Bytes that were no record.
    pub(crate) damaged: u64,
}

/// Gives every good record of a pack to `each`; an error of it ends the reading.
pub(crate) fn salvage<E: From<io::Error>>(
    path: &Path,
    number: u32,
    mut each: impl FnMut(Key, Entry) -> Result<(), E>,
) -> Result<Salvaged, E> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut at = FILE_MAGIC.len() as u64;
    let mut done = Salvaged { end: at, damaged: 0 };
    if read_at(&file, 0, FILE_MAGIC.len())? != FILE_MAGIC {
        done.damaged = at.min(len);
    }
    while at < len {
        match record(&file, number, at, len)? {
            Record::Good(key, entry) => {
                at = entry.offset + u64::from(entry.len);
                done.end = at;
                each(key, entry)?;
            }
            Record::Hole(end) => {
                (at, done.end) = (end, end);
            }
            Record::None => {
                let next = next_magic(&file, at + 1)?.unwrap_or(len);
                done.damaged += next - at;
                at = next;
            }
        }
    }
    Ok(done)
}

enum Record {
    Good(Key, Entry),
    /// Up to here.
    Hole(u64),
    None,
}

fn record(file: &File, number: u32, at: u64, file_len: u64) -> io::Result<Record> {
    let bytes = read_at(file, at, RECORD_HEADER_BYTES as usize)?;
    let Some(RecordHeader { key, len, flags }) = RecordHeader::from_bytes(&bytes) else {
        return Ok(Record::None);
    };
    let offset = at + RECORD_HEADER_BYTES;
    let end = offset + u64::from(len);
    if flags & HOLE != 0 && key.digest == [0; 32] {
        // Its length may be damaged: only where it leads to a record, or to the end.
        let follows = read_at(file, end, RECORD_MAGIC.len())?;
        let is_sound = end == file_len || follows == RECORD_MAGIC;
        return Ok(if is_sound { Record::Hole(end) } else { Record::None });
    }
    if len as usize > BLOCK_BYTES_MAX {
        return Ok(Record::None);
    }
    let data = read_at(file, offset, len as usize)?;
    let found = (data.len() == len as usize).then(|| digest_of(&key, &data)).flatten();
    Ok(found.map_or(Record::None, |key| {
        let (place, public) = (Place::Pack(number), flags == PUBLIC);
        Record::Good(key, Entry { place, offset, len, hash: key.hash, public })
    }))
}

/// The key of these bytes, where it is the one of the header but for some damage.
fn digest_of(said: &Key, data: &[u8]) -> Option<Key> {
    if matches(said, data) {
        return Some(*said);
    }
    let kinds = kind(said.hash).map_or(vec![HashKind::Blake3, HashKind::Sha256], |kind| vec![kind]);
    let keys = kinds.into_iter().map(|kind| {
        let digest: Digest = kind.digest(data);
        Key { digest, hash: kind.code() as u8 }
    });
    let wrong = |key: &Key| -> u32 {
        key.digest.iter().zip(said.digest).map(|(a, b)| (a ^ b).count_ones()).sum()
    };
    keys.into_iter().find(|key| wrong(key) <= WRONG_BITS_MAX)
}

/// Where the next bytes are that a record may begin with.
fn next_magic(file: &File, from: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    loop {
        let bytes = read_at(file, at, SEARCH_BYTES)?;
        let found = bytes.windows(RECORD_MAGIC.len()).position(|window| window == RECORD_MAGIC);
        if let Some(found) = found {
            return Ok(Some(at + found as u64));
        }
        if bytes.len() < SEARCH_BYTES {
            return Ok(None);
        }
        at += (SEARCH_BYTES - RECORD_MAGIC.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::disk::Disk;
    use crate::layout::Layout;
    use crate::pack::Packs;

    fn pack(layout: &Layout, count: u8) -> Vec<(Key, Entry)> {
        layout.disk().make_dir(&layout.packs()).unwrap();
        let packs = Packs::default();
        let add = |n: u8| {
            let data = vec![n; 2000 + usize::from(n)];
            let digest = HashKind::Blake3.digest(&data);
            let key = Key { digest, hash: 0x1e };
            (key, packs.append(layout, key, n.is_multiple_of(2), &data, |entry| entry).unwrap())
        };
        (0..count).map(add).collect()
    }

    fn read(layout: &Layout) -> (Vec<(Key, Entry)>, Salvaged) {
        let mut found = Vec::new();
        let done = salvage(&layout.pack(0), 0, |key, entry| {
            found.push((key, entry));
            Ok::<_, io::Error>(())
        });
        (found, done.unwrap())
    }

    #[test]
    fn a_wrong_bit_costs_one_record_at_most_and_in_a_header_mostly_none() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), Disk::default());
        let records = pack(&layout, 12);
        let path = layout.pack(0);
        let good = fs::read(&path).unwrap();
        assert_eq!(read(&layout).0, records);
        for byte in (0..good.len()).step_by(97).chain(16..64).chain(2064..2112) {
            let mut bad = good.clone();
            bad[byte] ^= 1 << (byte % 8);
            fs::write(&path, bad).unwrap();
            let (found, done) = read(&layout);
            let place = |(_, entry): &&(Key, Entry)| {
                let end = entry.offset + u64::from(entry.len);
                entry.offset - RECORD_HEADER_BYTES <= byte as u64 && (byte as u64) < end
            };
            let hit = records.iter().find(place);
            let others = |all: &[(Key, Entry)]| -> Vec<_> {
                all.iter().filter(|row| hit.is_none_or(|hit| hit.0 != row.0)).copied().collect()
            };
            assert_eq!(others(&found), others(&records), "byte {byte}");
            let Some(hit) = hit else { continue };
            let within = byte as u64 + RECORD_HEADER_BYTES - hit.1.offset;
            let is_kept = found.iter().any(|row| row.0 == hit.0 && row.1.offset == hit.1.offset);
            let is_in_digest = (8..40).contains(&within);
            assert!(is_kept || !is_in_digest, "byte {byte}: its bytes say what it is");
            assert!(is_kept != (done.damaged > 0), "byte {byte}");
        }
    }

    #[test]
    fn a_torn_end_and_a_stretch_of_zeros_are_stepped_over() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), Disk::default());
        let records = pack(&layout, 5);
        let path = layout.pack(0);
        let mut bytes = fs::read(&path).unwrap();
        let third = (records[2].1.offset - RECORD_HEADER_BYTES) as usize;
        bytes[third..third + 100].fill(0);
        bytes.extend_from_slice(b"ShP1 and no more");
        fs::write(&path, &bytes).unwrap();
        let (found, done) = read(&layout);
        let expected: Vec<_> = [0, 1, 3, 4].map(|n| records[n]).to_vec();
        assert_eq!(found, expected);
        assert_eq!(done.end, records[4].1.offset + u64::from(records[4].1.len));
        fs::write(&path, b"").unwrap();
        assert_eq!(read(&layout).0, []);
    }
}
