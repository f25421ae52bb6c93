//! Reading and hashing blocks at their places, with several threads.
//!
//! A part of the sorted list is cut into pieces of one place or a run of them; each thread takes the
//! next piece. A block that looks wrong is looked up again: it may have moved or gone since the list
//! was made.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use shoal_dag::BLOCK_BYTES_MAX;
use shoal_dag::hash::RAW;

use super::places::{self, PLACES_AT_ONCE, Placed};
use super::{BadBlock, Checked, Fault, VerifyReport};
use crate::blob::{BlobId, BlobRecord};
use crate::error::{ReadError, WriteError};
use crate::files::read_at;
use crate::index::snapshot::Snapshot;
use crate::key::{Key, Place};
use crate::pack::scan::matches;
use crate::pack::{RECORD_HEADER_BYTES, RecordHeader};
use crate::store::Shared;

/// Threads that hash: two keep up with a fast disk, and more than four with none.
const THREADS_MAX: usize = 4;
/// Blocks that a thread takes at once: 16 MiB of leaves of 64 KiB.
const PIECE_BLOCKS: usize = 256;
/// How often the caller is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How many bytes of each blob the blocks of the index cover.
pub(super) type Covered = HashMap<BlobId, u64>;

/// Checks all blocks of a snapshot.
pub(super) fn blocks(
    shared: &Shared,
    snapshot: &Snapshot,
    report: &mut VerifyReport,
    go_on: &mut impl FnMut(Checked) -> bool,
) -> Result<Covered, WriteError> {
    let mut covered = Covered::new();
    let mut after: Option<Placed> = None;
    loop {
        let part = places::next(snapshot, after.as_ref(), PLACES_AT_ONCE);
        let part = part.map_err(ReadError::from)?;
        let Some(last) = part.last() else { return Ok(covered) };
        after = Some(*last);
        for placed in &part {
            if let Place::Blob(id) = placed.place {
                *covered.entry(id).or_default() += u64::from(placed.len);
            }
        }
        check_part(shared, &part, report, go_on)?;
        if report.is_cut_short {
            return Ok(covered);
        }
    }
}

/// What the threads share.
struct Work<'a> {
    shared: &'a Shared,
    part: &'a [Placed],
    next: AtomicUsize,
    blocks: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
    found: Mutex<Vec<(Placed, Fault)>>,
    failed: Mutex<Option<ReadError>>,
}

fn check_part(
    shared: &Shared,
    part: &[Placed],
    report: &mut VerifyReport,
    go_on: &mut impl FnMut(Checked) -> bool,
) -> Result<(), WriteError> {
    let before = report.checked;
    let work = Work {
        shared,
        part,
        next: AtomicUsize::new(0),
        blocks: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        found: Mutex::default(),
        failed: Mutex::default(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let teller = std::thread::current();
    std::thread::scope(|scope| {
        let run = || {
            work.run();
            teller.unpark();
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        while !report.is_cut_short && running.iter().any(|thread| !thread.is_finished()) {
            std::thread::park_timeout(TELL_EVERY);
            if !go_on(work.so_far(before)) {
                work.stop.store(true, Ordering::Relaxed);
                report.is_cut_short = true;
            }
        }
    });
    if let Some(error) = work.failed.into_inner() {
        return Err(error.into());
    }
    report.checked.blocks += work.blocks.into_inner();
    report.checked.bytes += work.bytes.into_inner();
    let mut found = work.found.into_inner();
    found.sort_unstable_by_key(|found| found.0);
    let mut last_reference = None;
    for (_, fault) in found {
        if let Fault::Reference { blob, .. } = &fault {
            // Every block of the file says the same.
            if last_reference.replace(*blob) == Some(*blob) {
                continue;
            }
        }
        report.add(fault);
    }
    Ok(())
}

impl Work<'_> {
    fn so_far(&self, before: Checked) -> Checked {
        Checked {
            blocks: before.blocks + self.blocks.load(Ordering::Relaxed),
            bytes: before.bytes + self.bytes.load(Ordering::Relaxed),
            faults: before.faults + self.found.lock().len() as u64,
        }
    }

    fn run(&self) {
        loop {
            let from = self.next.fetch_add(PIECE_BLOCKS, Ordering::Relaxed);
            let Some(piece) = self.part.get(from..) else { return };
            let piece = &piece[..piece.len().min(PIECE_BLOCKS)];
            if piece.is_empty() || self.stop.load(Ordering::Relaxed) {
                return;
            }
            let done = piece
                .chunk_by(|one, other| one.place == other.place)
                .try_for_each(|blocks| self.check_place(blocks));
            if let Err(error) = done {
                self.stop.store(true, Ordering::Relaxed);
                self.failed.lock().get_or_insert(error);
                return;
            }
        }
    }

    /// Checks blocks of one file.
    fn check_place(&self, blocks: &[Placed]) -> Result<(), ReadError> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let opened = open(self.shared, first.place)?;
        for placed in blocks {
            let is_right = match &opened {
                Opened::File(file) => is_right(file, placed)?,
                Opened::Nothing | Opened::Changed(..) => false,
            };
            self.blocks.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(placed.len.into(), Ordering::Relaxed);
            if !is_right && let Some(fault) = self.confirm(placed, &opened)? {
                self.found.lock().push((*placed, fault));
            }
        }
        Ok(())
    }

    /// What is wrong with a block that looked wrong, if it still is.
    fn confirm(&self, placed: &Placed, opened: &Opened) -> Result<Option<Fault>, ReadError> {
        let key = Key { digest: placed.digest, hash: placed.hash };
        let Some(found) = self.shared.find(&key)? else { return Ok(None) };
        if (found.entry.place, found.entry.offset) != (placed.place, placed.offset) {
            return Ok(None);
        }
        if let Opened::Changed(path, blob) = opened {
            let (path, blob) = (path.clone(), *blob);
            let gone = path.symlink_metadata().is_err();
            return Ok(Some(Fault::Reference { path, gone, blob }));
        }
        if let Opened::File(_) = opened
            && let Opened::File(again) = open(self.shared, placed.place)?
            && is_right(&again, placed)?
        {
            return Ok(None);
        }
        let cid = key.cid(RAW);
        let path = found.path(self.shared);
        let (offset, len, place) = (placed.offset, placed.len, placed.place);
        Ok(Some(Fault::Block(BadBlock { cid, path, offset, len, place })))
    }
}

/// The file of a place.
enum Opened {
    File(Arc<File>),
    Nothing,
    /// A user's file that is not what it was.
    Changed(std::path::PathBuf, BlobId),
}

fn open(shared: &Shared, place: Place) -> Result<Opened, ReadError> {
    if let Place::Blob(id) = place {
        let Some((record, _)) = shared.record(id)? else { return Ok(Opened::Nothing) };
        if let BlobRecord { reference: Some(reference), .. } = record {
            return Ok(match reference.open() {
                Some(file) => Opened::File(Arc::new(file)),
                None => Opened::Changed(reference.path, id),
            });
        }
    }
    match shared.files.open(&shared.layout, place) {
        Ok(file) => Ok(Opened::File(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Opened::Nothing),
        Err(error) => Err(ReadError::io(shared.layout.place(place), error)),
    }
}

/// Have the bytes at this place the digest, and does a pack's record say the same?
fn is_right(file: &File, placed: &Placed) -> Result<bool, ReadError> {
    let key = Key { digest: placed.digest, hash: placed.hash };
    let failed = |error| ReadError::io(format!("{file:?}"), error);
    let len = placed.len as usize;
    if len > BLOCK_BYTES_MAX {
        return Ok(false);
    }
    let Place::Pack(_) = placed.place else {
        let data = read_at(file, placed.offset, len).map_err(failed)?;
        return Ok(data.len() == len && matches(&key, &data));
    };
    let Some(at) = placed.offset.checked_sub(RECORD_HEADER_BYTES) else { return Ok(false) };
    let record = read_at(file, at, len + RECORD_HEADER_BYTES as usize).map_err(failed)?;
    let Some((header, data)) = record.split_at_checked(RECORD_HEADER_BYTES as usize) else {
        return Ok(false);
    };
    let says = RecordHeader::from_bytes(header);
    let is_said = says.is_some_and(|says| says.key == key && says.len == placed.len);
    Ok(is_said && data.len() == len && matches(&key, data))
}
