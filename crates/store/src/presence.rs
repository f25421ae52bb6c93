//! The presence record beside a blob that is not whole: which leaves it has, written as they come.
//!
//! It is how a fetch survives the death of the process without a sync or an index commit per leaf. A
//! record is appended after its leaf's bytes were written, so under the same boot of the machine every
//! record is true: the kernel holds the bytes. After another boot a record that the index has not taken
//! in counts only after its bytes were hashed.
//!
//! ```text
//! header, 96 bytes, little-endian
//!  0          8      9      10    16             48      56             96
//! +----------+------+------+-----+--------------+-------+--------------+
//! | shoalprs | kind | hash |  0  | root digest  | size  | boot id text |   kind: 0 add, 1 fetch,
//! +----------+------+------+-----+--------------+-------+--------------+   2 list
//! record, 48 bytes
//!  0             32       40    44     45      46  48
//! +-------------+--------+-----+------+-------+---+
//! | leaf digest | offset | len | hash | flags | 0 |   flags: bit 0: may be given to peers
//! +-------------+--------+-----+------+-------+---+
//! ```

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::disk::{Disk, DiskFile};
use crate::key::{Digest, Key};

const MAGIC: &[u8; 8] = b"shoalprs";
const HEADER_BYTES: u64 = 96;
const RECORD_BYTES: u64 = 48;
/// Where the boot id begins in the header.
const BOOT_AT: usize = 56;
/// Records are read this many at a time: 192 KiB.
const READ_RECORDS: u64 = 4096;

/// What a presence record says about its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// The root of the file that is fetched; `None` for an add.
    pub(crate) root: Option<Key>,
    /// The length of the whole content.
    pub(crate) size: u64,
    /// The boot under which the records were written.
    pub(crate) boot_id: String,
    /// The blob is not growing: these are the leaves of a sparse one, for who makes the index again.
    pub(crate) is_list: bool,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        if self.is_list {
            bytes[8] = 2;
        }
        if let Some(root) = self.root {
            bytes[8] = 1;
            bytes[9] = root.hash;
            bytes[16..48].copy_from_slice(&root.digest);
        }
        bytes[48..56].copy_from_slice(&self.size.to_le_bytes());
        for (to, from) in bytes[56..].iter_mut().zip(self.boot_id.bytes()) {
            *to = from;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES as usize]) -> Option<Self> {
        if &bytes[..8] != MAGIC || bytes[8] > 2 {
            return None;
        }
        let root = (bytes[8] == 1)
            .then(|| Some(Key { digest: bytes[16..48].try_into().ok()?, hash: bytes[9] }));
        let boot_id = bytes[56..].split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self {
            root: root.flatten(),
            size: u64::from_le_bytes(bytes[48..56].try_into().ok()?),
            boot_id: String::from_utf8(boot_id.to_vec()).ok()?,
            is_list: bytes[8] == 2,
        })
    }
}

/// A leaf that is at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) digest: Digest,
    pub(crate) hash: u8,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) public: bool,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD_BYTES as usize] {
        let mut bytes = [0; RECORD_BYTES as usize];
        bytes[..32].copy_from_slice(&self.digest);
        bytes[32..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.len.to_le_bytes());
        bytes[44] = self.hash;
        bytes[45] = u8::from(self.public);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (digest, rest) = bytes.split_first_chunk::<32>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let [hash, flags, ..] = rest else { return None };
        Some(Self {
            digest: *digest,
            hash: *hash,
            offset: u64::from_le_bytes(*offset),
            len: u32::from_le_bytes(*len),
            public: flags & 1 != 0,
        })
    }
}

/// An open presence record.
#[derive(Debug)]
pub(crate) struct Presence {
    file: DiskFile,
    /// How many records it has.
    pub(crate) count: u64,
}

impl Presence {
    /// Makes the record of a new blob.
    pub(crate) fn create(disk: &Disk, path: &Path, header: &Header) -> io::Result<Self> {
        let file = disk.create_new(path)?;
        file.write_all_at(&header.to_bytes(), 0)?;
        Ok(Self { file, count: 0 })
    }

    /// Writes a new record with everything in it, and syncs it.
    pub(crate) fn write_all(
        disk: &Disk,
        path: &Path,
        header: &Header,
        records: &[Record],
    ) -> io::Result<()> {
        let mut presence = Self::create(disk, path, header)?;
        for records in records.chunks(READ_RECORDS as usize) {
            let bytes: Vec<u8> = records.iter().flat_map(|record| record.to_bytes()).collect();
            let at = HEADER_BYTES + presence.count * RECORD_BYTES;
            presence.file.write_all_at(&bytes, at)?;
            presence.count += records.len() as u64;
        }
        presence.file.sync_data()
    }

    /// Says in a record that it was written under another boot, so that the next open hashes what it leads
    /// to. One whose header is damaged is left as it is.
    pub(crate) fn distrust(disk: &Disk, path: &Path) -> io::Result<()> {
        let Some((presence, _)) = Self::open(disk, path)? else { return Ok(()) };
        presence.file.write_all_at(&[0; HEADER_BYTES as usize - BOOT_AT], BOOT_AT as u64)
    }

    /// Opens a record; `None` where its header is not one. A torn record at its end does not count.
    pub(crate) fn open(disk: &Disk, path: &Path) -> io::Result<Option<(Self, Header)>> {
        let file = disk.open_or_create(path)?;
        let len = file.metadata()?.len();
        let mut bytes = [0; HEADER_BYTES as usize];
        if len < HEADER_BYTES {
            return Ok(None);
        }
        file.read_exact_at(&mut bytes, 0)?;
        let count = (len - HEADER_BYTES) / RECORD_BYTES;
        Ok(Header::from_bytes(&bytes).map(|header| (Self { file, count }, header)))
    }

    /// Appends a record. One that fails half-way is written over by the next.
    pub(crate) fn append(&mut self, record: Record) -> io::Result<()> {
        let at = HEADER_BYTES + self.count * RECORD_BYTES;
        self.file.write_all_at(&record.to_bytes(), at)?;
        self.count += 1;
        Ok(())
    }

    /// Gives the records from number `from` on to `each`.
    pub(crate) fn each(&self, from: u64, mut each: impl FnMut(Record)) -> io::Result<()> {
        let mut at = from.min(self.count);
        while at < self.count {
            let now = (self.count - at).min(READ_RECORDS);
            let mut bytes = vec![0; (now * RECORD_BYTES) as usize];
            self.file.read_exact_at(&mut bytes, HEADER_BYTES + at * RECORD_BYTES)?;
            bytes
                .chunks_exact(RECORD_BYTES as usize)
                .filter_map(Record::from_bytes)
                .for_each(&mut each);
            at += now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_a_torn_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("presence");
        let header = Header {
            root: Some(Key { digest: [3; 32], hash: 0x1e }),
            size: 77,
            boot_id: "f0b2d3a4-0000-1111-2222-333344445555".to_owned(),
            is_list: false,
        };
        let mut presence = Presence::create(&Disk::default(), &path, &header).unwrap();
        let record = Record { digest: [9; 32], hash: 0x12, offset: 5, len: 6, public: true };
        presence.append(record).unwrap();
        presence.append(Record { offset: 11, ..record }).unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
        let (opened, found) = Presence::open(&Disk::default(), &path).unwrap().unwrap();
        assert_eq!(found, header);
        let mut records = Vec::new();
        opened.each(0, |record| records.push(record)).unwrap();
        assert_eq!(records, [record]);
    }

    #[test]
    fn garbage_is_no_header() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("presence");
        for garbage in [vec![], vec![0; 50], vec![0; 96], vec![0xff; 200]] {
            std::fs::write(&path, garbage).unwrap();
            assert!(Presence::open(&Disk::default(), &path).unwrap().is_none());
        }
    }
}
