//! Adding content that a user gives: nothing is visible before the commit, all is durable after it.
//!
//! A batch stores a copy of its own of everything that the store does not *own*: what lies only in a
//! user's file, or in a blob that a later `get` may move out, is written again, so that a pin never
//! depends on it. Memory is bounded: beyond [`PENDING_ENTRIES_MAX`] entries or [`PENDING_FILES_MAX`]
//! files, what there is gets synced and indexed early, without the pins; an interrupted batch then
//! leaves unpinned content.

mod blob_writer;
mod ref_writer;
mod stored;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use shoal_dag::{Bytes, Cid};

use crate::blob::{BlobId, BlobRecord};
use crate::checkpoint::Commit;
use crate::disk::DiskFile;
use crate::error::{ReadError, WriteError};
use crate::gc::{Hold, Shield};
use crate::index::{Changes, Whole};
use crate::keep::checked_key;
use crate::key::{Digest, Entry, Key, inline};
use crate::pins::{PinOptions, check_name, encode_pin};
use crate::read::Found;
use crate::store::Store;

pub use blob_writer::BlobWriter;
pub use ref_writer::RefWriter;

/// Entries that wait for a commit: 4 GiB of 64 KiB leaves, 8 MB of memory.
const PENDING_ENTRIES_MAX: usize = 64 * 1024;
/// Blobs whose files are open until the commit: far below the usual 1,024 descriptors.
const PENDING_FILES_MAX: usize = 64;
/// Pins of one batch: one for each path that a command names.
const PENDING_PINS_MAX: usize = 1 << 20;

/// Roots that a batch holds one by one, 100 bytes each; with more it holds on to everything.
const HOLDS_MAX: usize = 64 * 1024;

/// How a batch adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// What is added may be given to peers.
    pub public: bool,
}

#[derive(Debug, Default)]
struct Pending {
    entries: HashMap<Digest, Entry>,
    /// Blocks of files that were there already, to be marked public.
    marks: Vec<(Digest, bool)>,
    blobs: HashMap<BlobId, BlobRecord>,
    wholes: HashMap<Digest, Whole>,
    files: Vec<(DiskFile, PathBuf)>,
    dirs: BTreeSet<PathBuf>,
    /// Presence records, of no use after the commit.
    unlink: Vec<PathBuf>,
    pins: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Something relies on what the index does not have yet.
    needs_drain: bool,
    /// Roots whose files got a second root.
    holds: Vec<Hold>,
    /// An early commit failed: this batch cannot be acknowledged any more.
    has_failed: bool,
}

/// Content on its way into the store. Threads may share it. Dropping it without
/// [`commit`](Batch::commit) forgets it.
#[derive(Debug)]
pub struct Batch {
    store: Store,
    options: BatchOptions,
    pending: Mutex<Pending>,
    /// What it relies on: no collection takes that before the batch is dropped.
    shield: Arc<Shield>,
}

impl Store {
    /// Begins a batch.
    pub fn batch(&self, options: BatchOptions) -> Batch {
        let shield = self.shared.shields.batch(self.shared.packs.number());
        Batch { store: self.clone(), options, pending: Mutex::default(), shield }
    }
}

impl Batch {
    /// Adds a small block or a branch. Stores nothing where the store owns it already. The caller has
    /// made the CID from these bytes.
    pub fn put(&self, cid: &Cid, data: &Bytes) -> Result<(), WriteError> {
        if inline(cid).is_some() {
            return Ok(());
        }
        let shared = &self.store.shared;
        shared.disk.check()?;
        let key = checked_key(cid, data)?;
        if self.pending.lock().entries.contains_key(&key.digest) {
            return Ok(());
        }
        self.shield(&key);
        if !self.relies_on(&key)? {
            let public = self.options.public;
            let entry = shared.packs.append(&shared.layout, key, public, data, |entry| entry)?;
            self.pending.lock().entries.insert(key.digest, entry);
        }
        self.flush_if_large()
    }

    /// Whether a block is one that [`put`](Self::put) would not write again. If so the batch relies on it
    /// from now on, as if it had been put.
    pub fn has(&self, cid: &Cid) -> Result<bool, WriteError> {
        if inline(cid).is_some() {
            return Ok(true);
        }
        let Some(key) = Key::of(cid) else { return Ok(false) };
        if self.pending.lock().entries.contains_key(&key.digest) {
            return Ok(true);
        }
        self.shield(&key);
        let has = self.relies_on(&key)?;
        self.flush_if_large()?;
        Ok(has)
    }

    /// Finds a block that the store owns, and marks it as this batch has its own.
    fn relies_on(&self, key: &Key) -> Result<bool, WriteError> {
        let Some(found) = self.store.shared.here(key)?.filter(Found::is_owned) else {
            return Ok(false);
        };
        let mut pending = self.pending.lock();
        pending.needs_drain |= found.is_fresh;
        if self.options.public && !found.entry.public {
            pending.marks.push((key.digest, true));
        }
        Ok(true)
    }

    /// Begins a blob.
    pub fn blob(&self) -> Result<BlobWriter<'_>, WriteError> {
        BlobWriter::new(self)
    }

    /// Begins a blob as a clone of the user's file, which takes no space of its own as long as neither
    /// changes; `None` where the file is small, or the file systems cannot.
    pub fn clone_of(&self, source: &File) -> Result<Option<BlobWriter<'_>>, WriteError> {
        BlobWriter::cloning(self, source)
    }

    /// Begins a reference to a user's file, which is opened and looked at now.
    pub fn reference(&self, path: &Path) -> Result<RefWriter<'_>, WriteError> {
        RefWriter::new(self, path)
    }

    /// Gives the whole file of `other` a second root (same bytes, other metadata). Says whether `other`
    /// is a whole file of this batch or of the store.
    pub fn alias(&self, root: &Cid, other: &Cid) -> Result<bool, WriteError> {
        let key = Key::of(root).ok_or(WriteError::Unsupported { cid: *root })?;
        let hold = self.store.hold(other);
        let other = Key::of(other).ok_or(WriteError::Unsupported { cid: *other })?;
        self.shield(&key);
        self.shield(&other);
        let found = self.whole(&other)?;
        if let Some((blob, _)) = found {
            let whole = Whole { blob, hash: key.hash };
            self.pending.lock().wholes.insert(key.digest, whole);
            self.keep_hold(hold);
        }
        Ok(found.is_some())
    }

    /// Pins a root with the commit.
    pub fn pin(&self, cid: &Cid, options: PinOptions) -> Result<(), WriteError> {
        check_name(&options)?;
        let options = self.store.named(cid, options)?;
        let hold = self.store.hold(cid);
        self.keep_hold(hold);
        let pins = &mut self.pending.lock().pins;
        if pins.len() >= PENDING_PINS_MAX {
            let max = PENDING_PINS_MAX as u64;
            return Err(WriteError::TooLarge {
                what: "the batch's list of pins",
                found: max + 1,
                max,
            });
        }
        pins.push((cid.hash().to_bytes(), Some(encode_pin(cid, &options))));
        Ok(())
    }

    /// Says that the batch relies on this block, before it is looked up.
    fn shield(&self, key: &Key) {
        self.store.shared.shields.entering().shield(&self.shield, key);
    }

    /// As [`shield`](Self::shield), for many.
    fn shield_all(&self, cids: &[Cid]) {
        let entering = self.store.shared.shields.entering();
        for key in cids.iter().filter_map(Key::of) {
            entering.shield(&self.shield, &key);
        }
    }

    /// Says that the batch relies on everything that is here below a root, from before it is looked for
    /// to the end of the batch.
    pub fn hold(&self, root: &Cid) {
        self.keep_hold(self.store.hold(root));
    }

    /// Keeps a root from being collected as long as the batch lives.
    fn keep_hold(&self, hold: Hold) {
        let holds = &mut self.pending.lock().holds;
        if holds.len() < HOLDS_MAX {
            holds.push(hold);
        } else {
            self.shield.fill();
        }
    }

    /// Makes everything durable and visible, pins last. After `Ok` nothing is lost.
    pub fn commit(self) -> Result<(), WriteError> {
        self.flush(true)
    }

    /// Makes what was put so far durable and visible, without the pins: of a batch that is dropped then,
    /// that much stays as unpinned content.
    pub fn settle(&self) -> Result<(), WriteError> {
        if self.pending.lock().needs_drain {
            self.store.checkpoint()?;
        }
        self.flush(false)
    }

    /// A whole file that a pin may rely on or that the user gave by reference: of this batch first.
    fn whole(&self, root: &Key) -> Result<Option<(BlobId, BlobRecord)>, WriteError> {
        let shared = &self.store.shared;
        {
            let pending = self.pending.lock();
            let id = pending.wholes.get(&root.digest).filter(|whole| whole.hash == root.hash);
            let id = id.map(|whole| whole.blob);
            if let Some((id, record)) = id.and_then(|id| Some((id, pending.blobs.get(&id)?))) {
                return Ok(Some((id, record.clone())));
            }
        }
        let Some((id, record)) = shared.whole(root).map_err(ReadError::from)? else {
            return Ok(None);
        };
        let is_given = record.reference.as_ref().is_some_and(|reference| !reference.moved);
        if !record.is_owned() && !is_given {
            return Ok(None);
        }
        self.pending.lock().needs_drain |= !shared.overlay.is_empty();
        Ok(Some((id, record)))
    }

    /// Is this blob whole, the store's own and of this length? One of this batch counts.
    fn is_whole(&self, id: BlobId, len: u64) -> Result<bool, WriteError> {
        let is_such =
            |record: &BlobRecord| record.is_owned() && record.is_whole() && record.len == len;
        if let Some(record) = self.pending.lock().blobs.get(&id) {
            return Ok(is_such(record));
        }
        let known = self.store.shared.record(id).map_err(ReadError::from)?;
        Ok(known.is_some_and(|(record, _)| is_such(&record)))
    }

    fn flush_if_large(&self) -> Result<(), WriteError> {
        let is_large = {
            let pending = self.pending.lock();
            pending.entries.len() + pending.marks.len() >= PENDING_ENTRIES_MAX
                || pending.blobs.len() >= PENDING_FILES_MAX
        };
        if is_large { self.flush(false) } else { Ok(()) }
    }

    /// Commits what is pending, with the pins when it is the last time.
    fn flush(&self, is_last: bool) -> Result<(), WriteError> {
        let mut pending = {
            let mut pending = self.pending.lock();
            if pending.has_failed {
                let reason = "an earlier part of this batch failed".to_owned();
                return Err(WriteError::Index { reason });
            }
            let mut taken = std::mem::take(&mut *pending);
            if !is_last {
                pending.pins = std::mem::take(&mut taken.pins);
                pending.needs_drain = taken.needs_drain;
                pending.holds = std::mem::take(&mut taken.holds);
            }
            taken
        };
        let changes = Changes {
            entries: pending.entries.drain().collect(),
            marks: std::mem::take(&mut pending.marks),
            blobs: pending.blobs.drain().map(|(id, record)| (id, Some(record))).collect(),
            wholes: pending.wholes.drain().map(|(key, whole)| (key, Some(whole))).collect(),
            pins: std::mem::take(&mut pending.pins),
            ..Changes::default()
        };
        let mut orphans: Vec<PathBuf> = pending.unlink.clone();
        orphans.extend(pending.files.iter().map(|file| file.1.clone()));
        let commit = Commit {
            changes,
            files: std::mem::take(&mut pending.files),
            dirs: std::mem::take(&mut pending.dirs),
            unlink: std::mem::take(&mut pending.unlink),
            drain: is_last && pending.needs_drain,
        };
        let done = self.store.shared.commit(commit);
        if done.is_err() {
            self.pending.lock().has_failed = true;
            self.forget_files(&orphans);
        }
        done
    }

    /// Removes blobs that no commit took. After an error of the index nobody knows whether it did: then
    /// the next open of the store decides.
    fn forget_files(&self, paths: &[PathBuf]) {
        if self.store.shared.disk.check().is_ok() {
            let is_known = |path: &PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str());
                let record =
                    name.and_then(BlobId::parse).map(|id| self.store.shared.index.blob(id));
                !matches!(record, Some(Ok(None)))
            };
            let unknown: Vec<_> = paths.iter().filter(|path| !is_known(path)).cloned().collect();
            self.store.shared.unlink(&unknown);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let pending = std::mem::take(self.pending.get_mut());
        let mut paths: Vec<PathBuf> = pending.files.into_iter().map(|file| file.1).collect();
        paths.extend(pending.unlink);
        self.forget_files(&paths);
    }
}
