//! Open files for reading, and positioned reads.
//!
//! Keeps the descriptors of the packs and the store's own blobs that were read last. Users' files are
//! never kept open: they are checked at each open.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::key::{Entry, Place};
use crate::layout::Layout;
use crate::store::Shared;

/// Descriptors that are kept open: a quarter of the usual limit of 1,024 for the process.
const FILES_OPEN_MAX: usize = 256;
/// The unit of stat(2)'s block count.
const DISK_BLOCK_BYTES: u64 = 512;

#[derive(Debug, Default)]
struct Lru {
    files: HashMap<Place, (Arc<File>, u64)>,
    clock: u64,
    /// Files closed so far.
    closed: u64,
}

/// The files that were read last.
#[derive(Debug, Default)]
pub(crate) struct Files {
    lru: Mutex<Lru>,
}

impl Files {
    /// Opens a pack or a blob of the store for reading.
    pub(crate) fn open(&self, layout: &Layout, place: Place) -> io::Result<Arc<File>> {
        let closed = match self.known(place) {
            Ok(file) => return Ok(file),
            Err(closed) => closed,
        };
        let file = Arc::new(File::open(layout.place(place))?);
        let mut lru = self.lru.lock();
        if lru.closed != closed {
            // It may be one whose name went meanwhile: kept open, it would keep its space.
            return Ok(file);
        }
        if lru.files.len() >= FILES_OPEN_MAX {
            let oldest =
                lru.files.iter().min_by_key(|(_, (_, used))| *used).map(|(place, _)| *place);
            oldest.and_then(|place| lru.files.remove(&place));
        }
        lru.clock += 1;
        let now = lru.clock;
        lru.files.insert(place, (Arc::clone(&file), now));
        Ok(file)
    }

    /// The open file, or how many were closed so far.
    fn known(&self, place: Place) -> Result<Arc<File>, u64> {
        let mut lru = self.lru.lock();
        lru.clock += 1;
        let (now, closed) = (lru.clock, lru.closed);
        let (file, used) = lru.files.get_mut(&place).ok_or(closed)?;
        *used = now;
        Ok(Arc::clone(file))
    }

    /// Closes a file, because its name is to go or to mean another file.
    pub(crate) fn close(&self, place: Place) {
        let mut lru = self.lru.lock();
        lru.closed += 1;
        lru.files.remove(&place);
    }
}

/// The length of the file that was asked for last: leaves that follow each other mostly lie in one.
#[derive(Debug, Default)]
pub(crate) struct FileEnds(Option<(Place, u64)>);

impl FileEnds {
    /// Does the store's own file of an entry reach to its end?
    pub(crate) fn holds(&mut self, shared: &Shared, entry: &Entry) -> bool {
        let end = entry.offset.saturating_add(u64::from(entry.len));
        if self.0.is_none_or(|(place, len)| place != entry.place || len < end) {
            let file = shared.files.open(&shared.layout, entry.place);
            let len = file.and_then(|file| file.metadata()).map(|metadata| metadata.len());
            self.0 = len.ok().map(|len| (entry.place, len));
        }
        self.0.is_some_and(|(_, len)| len >= end)
    }
}

/// Reads `len` bytes at `offset` without clearing memory first; fewer at the end of the file. The
/// caller bounds `len`.
pub(crate) fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        let spare = rustix::buffer::spare_capacity(&mut bytes);
        match rustix::io::pread(file, spare, at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// What a file takes on the disk, holes not counted.
pub(crate) fn taken(metadata: &Metadata) -> u64 {
    metadata.blocks() * DISK_BLOCK_BYTES
}
