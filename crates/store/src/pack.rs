//! Packs: append-only files of small blocks and branches, one after the other.
//!
//! A record says its own digest, so that the index of a pack can be made again from the pack alone.
//! Records are only ever appended, by one writer under one lock; a record whose write failed is written
//! over by the next. What lies beyond the length that the index has committed is looked at when the
//! store is opened (see [`scan`]): records whose bytes have their digest count.
//!
//! ```text
//! file:   "shoal-pack\n\0", version u32; then records
//! record, little-endian, no padding
//!  0      4     8              40     41     42    48
//! +------+-----+--------------+------+------+-----+----------+
//! | ShP1 | len | digest       | hash | flags|  0  | len bytes|   flags: bit 0: may be given to
//! +------+-----+--------------+------+------+-----+----------+   peers; bit 7: a stretch of dead
//!                                                                records, digest zero, most of it
//!                                                                a hole; a record with any other
//!                                                                bit set is skipped
//! ```
//!
//! Lock order: the packs' lock, then the overlay's.

pub(crate) mod salvage;
pub(crate) mod scan;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use shoal_dag::BLOCK_BYTES_MAX;

use crate::disk::{Disk, DiskFile};
use crate::error::WriteError;
use crate::key::{Entry, Key, Place};
use crate::layout::Layout;

/// A pack is closed at this length and the next begun: big enough that 100 TB have 10^5 files, small
/// enough to be rewritten by a later collector.
const PACK_BYTES_MAX: u64 = 1 << 30;
const FILE_MAGIC: &[u8; 16] = b"shoal-pack\n\0\x01\0\0\0";
const RECORD_MAGIC: &[u8; 4] = b"ShP1";
pub(crate) const RECORD_HEADER_BYTES: u64 = 48;
const PUBLIC: u8 = 1;
/// A stretch of dead records: nothing of it counts, and its length may be that of a pack.
const HOLE: u8 = 0x80;
/// What a pack begins with takes so much.
pub(crate) const FILE_MAGIC_BYTES: u64 = FILE_MAGIC.len() as u64;

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) key: Key,
    pub(crate) len: u32,
    pub(crate) flags: u8,
}

impl RecordHeader {
    fn to_bytes(self) -> [u8; RECORD_HEADER_BYTES as usize] {
        let mut bytes = [0; RECORD_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..40].copy_from_slice(&self.key.digest);
        bytes[40] = self.key.hash;
        bytes[41] = self.flags;
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(RECORD_MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let [hash, flags, ..] = rest else { return None };
        let len = u32::from_le_bytes(*len);
        let key = Key { digest: *digest, hash: *hash };
        (len as usize <= BLOCK_BYTES_MAX || flags & HOLE != 0).then_some(Self {
            key,
            len,
            flags: *flags,
        })
    }
}

/// The header that a stretch of dead records gets, which has `len` bytes behind it.
pub(crate) fn hole_header(len: u32) -> [u8; RECORD_HEADER_BYTES as usize] {
    RecordHeader { key: Key { digest: [0; 32], hash: 0 }, len, flags: HOLE }.to_bytes()
}

/// The pack that is written now.
#[derive(Debug)]
struct Open {
    number: u32,
    file: Arc<DiskFile>,
    path: PathBuf,
    len: u64,
}

#[derive(Debug, Default)]
struct Writer {
    open: Option<Open>,
    /// Where the next write goes when none is open: the newest pack and its length.
    next: (u32, u64),
    /// Packs with unsynced bytes.
    dirty: Vec<(u32, Arc<DiskFile>, PathBuf)>,
    /// Packs that grew since the lengths were last committed.
    grown: Vec<(u32, u64)>,
    /// A pack was made and its directory is not synced.
    has_new_name: bool,
}

/// The packs of a store.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    writer: Mutex<Writer>,
}

impl Packs {
    /// Says where writing goes on: found at the opening of the store.
    pub(crate) fn resume(&self, number: u32, len: u64) {
        self.writer.lock().next = (number, len);
    }

    /// The pack that is written to now, or next.
    pub(crate) fn number(&self) -> u32 {
        self.writer.lock().next.0
    }

    /// Ends the pack that is written now, if it has records: the next one goes to a new pack. Returns
    /// the number of that one.
    pub(crate) fn roll(&self) -> u32 {
        let mut writer = self.writer.lock();
        if writer.next.1 > FILE_MAGIC.len() as u64 {
            writer.open = None;
            writer.next = (writer.next.0 + 1, 0);
        }
        writer.next.0
    }

    /// Notes a pack whose tail was read again into the overlay: its bytes were never synced.
    pub(crate) fn found(&self, number: u32, len: u64, file: DiskFile, path: PathBuf) {
        let mut writer = self.writer.lock();
        writer.dirty.push((number, Arc::new(file), path));
        writer.grown.push((number, len));
        writer.has_new_name = true;
    }

    /// Appends a block and tells `made` of its entry, before the next append begins.
    pub(crate) fn append<T>(
        &self,
        layout: &Layout,
        key: Key,
        public: bool,
        data: &[u8],
        made: impl FnOnce(Entry) -> T,
    ) -> Result<T, WriteError> {
        let header =
            RecordHeader { key, len: data.len() as u32, flags: if public { PUBLIC } else { 0 } };
        let mut writer = self.writer.lock();
        let offset = writer.write(layout, &header.to_bytes(), data)?;
        let place = Place::Pack(writer.next.0);
        Ok(made(Entry { place, offset, len: header.len, hash: key.hash, public }))
    }

    /// The lengths to commit after a sync: everything below them is in the overlay or a batch.
    pub(crate) fn lens(&self) -> Vec<(u32, u64)> {
        self.writer.lock().grown.clone()
    }

    /// These lengths are committed.
    pub(crate) fn committed(&self, lens: &[(u32, u64)]) {
        self.writer.lock().grown.retain(|row| !lens.contains(row));
    }

    /// Syncs what was written.
    pub(crate) fn sync(&self, layout: &Layout, disk: &Disk) -> Result<(), WriteError> {
        let (dirty, has_new_name) = {
            let mut writer = self.writer.lock();
            (std::mem::take(&mut writer.dirty), std::mem::take(&mut writer.has_new_name))
        };
        for (_, file, path) in &dirty {
            file.sync(path)?;
        }
        if has_new_name { disk.sync_dir(&layout.packs()) } else { Ok(()) }
    }

    /// The packs with their lengths, as far as they are written.
    pub(crate) fn all(&self, committed: &[(u32, u64)]) -> Vec<(u32, u64)> {
        let writer = self.writer.lock();
        let newer = |number: u32| writer.grown.iter().any(|row| row.0 == number);
        let old = committed.iter().filter(|row| !newer(row.0));
        old.chain(&writer.grown).copied().collect()
    }
}

impl Writer {
    /// Writes a record and returns where its data begins.
    fn write(&mut self, layout: &Layout, header: &[u8], data: &[u8]) -> Result<u64, WriteError> {
        let open = self.open(layout)?;
        let (at, total) = (open.len, (header.len() + data.len()) as u64);
        if let Err(error) = open.file.write_both_at(header, data, at) {
            // Best effort: a torn record is skipped at the next open anyway.
            drop(open.file.set_len(at));
            return Err(WriteError::io(&open.path, error));
        }
        open.len += total;
        let (number, len) = (open.number, open.len);
        let (file, path) = (Arc::clone(&open.file), open.path.clone());
        self.next = (number, len);
        if self.dirty.last().is_none_or(|last| last.0 != number) {
            self.dirty.push((number, file, path));
        }
        match self.grown.last_mut().filter(|last| last.0 == number) {
            Some(last) => last.1 = len,
            None => self.grown.push((number, len)),
        }
        Ok(at + RECORD_HEADER_BYTES)
    }

    /// The pack to write to: the open one, the newest one, or a new one.
    fn open(&mut self, layout: &Layout) -> Result<&mut Open, WriteError> {
        if self.open.as_ref().is_some_and(|open| open.len >= PACK_BYTES_MAX) {
            self.open = None;
            self.next = (self.next.0 + 1, 0);
        }
        if self.open.is_none() {
            let (number, len) = self.next;
            let path = layout.pack(number);
            let made = layout.disk().open_or_create(&path).and_then(|file| {
                if len == 0 {
                    file.write_all_at(FILE_MAGIC, 0)?;
                }
                Ok(file)
            });
            let file = Arc::new(made.map_err(|error| WriteError::io(&path, error))?);
            self.has_new_name |= len == 0;
            let len = len.max(FILE_MAGIC.len() as u64);
            self.open = Some(Open { number, file, path, len });
        }
        Ok(self.open.as_mut().expect("it was opened above"))
    }
}
