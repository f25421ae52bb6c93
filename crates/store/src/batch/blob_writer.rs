//! Writing the content of one file into a blob of its own.
//!
//! The blob's file and an empty presence record are made first; the record goes when the blob is
//! committed, so that an add that dies leaves nothing that the next open would not remove.
//!
//! A leaf that the store has already is not written: the blob gets a hole there, which is filled at the
//! end or stays (see [`holes`](crate::holes)). A leaf of zeros is a hole too, and reads right as it is.
//! Where the file system shares extents, the blob can begin as a clone of the user's file; then nothing
//! is written at all.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use shoal_dag::Cid;

use super::{Batch, PENDING_ENTRIES_MAX};
use crate::BLOB_BYTES_MIN;
use crate::blob::{BlobId, BlobRecord, PartialState};
use crate::disk::DiskFile;
use crate::error::{ReadError, WriteError};
use crate::holes::{Filling, Hole, Holes};
use crate::index::Whole;
use crate::key::{Digest, Entry, Key, Place};
use crate::partial::{BLOB_BYTES_MAX, create_blob};
use crate::presence::Header;

/// The disk begins with this much while the rest is still hashed: of 1 GiB the commit then takes 0.02 s
/// and not 0.3 s. Less than a device's queue would slow the writer, more leaves more for the end.
const WRITE_OUT_BYTES: u64 = 8 * 1024 * 1024;

/// Content of one file, written from its start to its end into a blob of its own.
/// Dropped without [`finish`](BlobWriter::finish) it removes the file.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    batch: &'a Batch,
    id: BlobId,
    file: Option<DiskFile>,
    path: PathBuf,
    marker: PathBuf,
    len: u64,
    /// The kernel was asked to write out what lies before this.
    writing_out: u64,
    entries: HashMap<Digest, Entry>,
    /// Some entries are in the index already.
    is_spilled: bool,
    /// All bytes are there from the start.
    is_clone: bool,
    holes: Holes,
    twin: Twin,
}

/// A whole file with the same leaves at the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Twin {
    /// Nothing was seen yet.
    Any,
    /// All leaves so far lie there.
    Of(BlobId),
    /// There is none.
    None,
}

impl Twin {
    /// After one more leaf, which is stored there.
    fn after(self, stored: Option<&Entry>, offset: u64) -> Self {
        match (self, stored) {
            (Self::Any, Some(Entry { place: Place::Blob(id), offset: at, .. }))
                if *at == offset =>
            {
                Self::Of(*id)
            }
            (Self::Of(known), Some(Entry { place: Place::Blob(id), offset: at, .. }))
                if known == *id && *at == offset =>
            {
                self
            }
            _ => Self::None,
        }
    }
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(batch: &'a Batch) -> Result<Self, WriteError> {
        let shared = &batch.store.shared;
        shared.disk.check()?;
        let boot_id = shared.boot_id.clone();
        let header = Header { root: None, size: 0, boot_id, is_list: false };
        let (id, file, _) = create_blob(&shared.layout, &header)?;
        Ok(Self {
            batch,
            id,
            file: Some(file),
            path: shared.layout.blob(id),
            marker: shared.layout.presence(id),
            len: 0,
            writing_out: 0,
            entries: HashMap::new(),
            is_spilled: false,
            is_clone: false,
            holes: Holes::default(),
            twin: Twin::Any,
        })
    }

    /// One whose file is a clone of the user's; `None` where that cannot be.
    pub(super) fn cloning(batch: &'a Batch, source: &File) -> Result<Option<Self>, WriteError> {
        let is_large = source.metadata().is_ok_and(|metadata| metadata.len() >= BLOB_BYTES_MIN);
        if !is_large || !batch.store.shared.reflinks() {
            return Ok(None);
        }
        let mut writer = Self::new(batch)?;
        // Dropping removes the file: of another file system, for one.
        writer.is_clone = writer.file().clone_from(source).is_ok();
        Ok(writer.is_clone.then_some(writer))
    }

    /// Opens the clone for reading, for a writer that [`Batch::clone_of`] made: the content, which
    /// nobody else changes. What is read there is appended here as ever.
    pub fn reader(&self) -> Result<File, WriteError> {
        File::open(&self.path).map_err(|error| WriteError::io(&self.path, error))
    }

    fn file(&self) -> &DiskFile {
        self.file.as_ref().expect("it is taken by finish only")
    }

    /// Appends bytes, whatever the store has. Say what leaves they are with [`leaf`](Self::leaf).
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.twin = Twin::None;
        self.put(bytes, self.len)?;
        self.advance(bytes.len())
    }

    /// Says that `len` bytes from `offset` are the block `cid`. They must have been written.
    pub fn leaf(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        self.note(cid, offset, len)?;
        if self.entries.len() >= PENDING_ENTRIES_MAX { self.spill() } else { Ok(()) }
    }

    /// Appends leaves with their lengths, whose bytes these are. Those that the store has are not
    /// written again.
    pub fn append(&mut self, leaves: &[(Cid, u32)], bytes: &[u8]) -> Result<(), WriteError> {
        let said: u64 = leaves.iter().map(|leaf| u64::from(leaf.1)).sum();
        if said != bytes.len() as u64 {
            let (found, max) = (said, bytes.len() as u64);
            return Err(WriteError::TooLarge { what: "the leaves of a piece", found, max });
        }
        let start = self.len;
        self.advance(bytes.len())?;
        let stored = self.batch.stored(leaves)?;
        // What is to be written and lies together goes in one call.
        let (mut from, mut at) = (0, 0);
        for ((cid, len), stored) in leaves.iter().zip(&stored) {
            let end = at + *len as usize;
            let offset = start + at as u64;
            if self.skips(cid, (offset, *len), stored.as_ref(), &bytes[at..end])? {
                self.put(&bytes[from..at], start + from as u64)?;
                from = end;
            }
            at = end;
        }
        self.put(&bytes[from..], start + from as u64)?;
        self.write_out();
        if self.entries.len() >= PENDING_ENTRIES_MAX {
            self.spill()?;
        }
        self.batch.flush_if_large()
    }

    /// Notes the next leaf; `true` when its bytes need not be written.
    fn skips(
        &mut self,
        cid: &Cid,
        (offset, len): (u64, u32),
        stored: Option<&Entry>,
        bytes: &[u8],
    ) -> Result<bool, WriteError> {
        self.twin = self.twin.after(stored, offset);
        let own = || Some(*self.entries.get(&Key::of(cid)?.digest)?);
        let home = stored.copied().or_else(own);
        // The file is long enough in the end, and what was not written reads as zeros.
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        let Some((home, key)) = home.zip(Key::of(cid)) else {
            self.note(cid, offset, len)?;
            return Ok(is_zero);
        };
        if !is_zero && !self.is_clone {
            let hole = Hole { key, offset, len, home: (home.place, home.offset) };
            let reflinks = self.batch.store.shared.reflinks();
            if self.holes.push(hole, reflinks) {
                self.fill()?;
            }
        }
        Ok(true)
    }

    /// Notes a leaf that has its home here.
    fn note(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        let entry = leaf_entry(self.batch, self.id, cid, (offset, len), self.len)?;
        if let Some((digest, entry)) = entry {
            // Where it stands twice the first place stays.
            self.entries.entry(digest).or_insert(entry);
        }
        Ok(())
    }

    fn advance(&mut self, len: usize) -> Result<(), WriteError> {
        let len = self.len + len as u64;
        if len > BLOB_BYTES_MAX {
            return Err(WriteError::TooLarge { what: "the file", found: len, max: BLOB_BYTES_MAX });
        }
        self.len = len;
        Ok(())
    }

    fn put(&self, bytes: &[u8], offset: u64) -> Result<(), WriteError> {
        if bytes.is_empty() || self.is_clone {
            return Ok(());
        }
        let written = self.file().write_all_at(bytes, offset);
        written.map_err(|error| WriteError::io(&self.path, error))
    }

    fn write_out(&mut self) {
        if self.len - self.writing_out >= WRITE_OUT_BYTES && !self.is_clone {
            self.file().begin_write_out(self.writing_out..self.len);
            self.writing_out = self.len;
        }
    }

    /// Fills the holes so far, or decides that they stay. A leaf that turns out to be corrupt is
    /// forgotten, so that adding the file again stores it anew.
    fn fill(&mut self) -> Result<(), WriteError> {
        let holes = self.holes.decide(self.len);
        let batch = self.batch;
        let mine = |key: &Key| self.entries.get(&key.digest).copied();
        let find = |key: &Key| match mine(key) {
            Some(entry) => Ok(Some(crate::read::Found { entry, record: None, is_fresh: true })),
            None => batch.find(key),
        };
        let shared = &batch.store.shared;
        let filling = Filling { shared, to: self.file(), path: &self.path, find: &find };
        let done = filling.fill(&holes);
        if let Err(WriteError::Read(error)) = &done
            && let ReadError::Corrupt { cid, .. } | ReadError::Changed { cid, .. } = &**error
            && let Some(key) = Key::of(cid)
        {
            shared.forget(&key)?;
        }
        done
    }

    /// Ends the blob: it is the whole content of `root`. Where the store has that already, also under
    /// another root with the same leaves, what was written goes again.
    pub fn finish(mut self, root: &Cid) -> Result<(), WriteError> {
        let key = Key::of(root).ok_or(WriteError::Unsupported { cid: *root })?;
        self.batch.shield(&key);
        if !self.is_spilled && (self.is_owned_already(&key)? || self.has_twin(&key)?) {
            let public = self.batch.options.public;
            let digests = self.entries.keys().filter(|_| public);
            let marks = digests.map(|digest| (*digest, true));
            self.batch.pending.lock().marks.extend(marks);
            // Dropping removes the file.
            drop(self);
            return Ok(());
        }
        self.fill()?;
        let record = self.record(false);
        let file = self.file.take().expect("it is taken here only");
        let is_long = file.metadata().is_ok_and(|metadata| metadata.len() == self.len);
        if !is_long {
            // It ends with a hole.
            file.set_len(self.len).map_err(|error| WriteError::io(&self.path, error))?;
        }
        {
            let mut pending = self.batch.pending.lock();
            pending.entries.extend(self.entries.drain());
            pending.blobs.insert(self.id, record);
            pending.wholes.insert(key.digest, Whole { blob: self.id, hash: key.hash });
            pending.files.push((file, self.path.clone()));
            pending.unlink.push(self.marker.clone());
            self.batch.store.shared.note_dirs(self.id, &mut pending.dirs);
        }
        self.batch.flush_if_large()
    }

    /// Is all of the content stored, in one file with the same leaves at the same places? Then the root
    /// gets that file. Also when the same root has a sparse file already.
    fn has_twin(&self, root: &Key) -> Result<bool, WriteError> {
        if !self.entries.is_empty() {
            return Ok(false);
        }
        if let Twin::Of(id) = self.twin
            && self.batch.is_whole(id, self.len)?
        {
            let whole = Whole { blob: id, hash: root.hash };
            self.batch.pending.lock().wholes.insert(root.digest, whole);
            return Ok(true);
        }
        let known = self.batch.store.shared.blob_of(root).map_err(ReadError::from)?;
        Ok(known.is_some_and(|(_, record)| record.is_owned() && record.sparse))
    }

    /// Has the store a file of its own with this content? One that is gone or cut short is marked as
    /// damaged in the index, so that its leaves lead to the new one.
    fn is_owned_already(&self, root: &Key) -> Result<bool, WriteError> {
        let known = self.batch.whole(root)?.filter(|(_, record)| record.is_owned());
        let Some((id, record)) = known else { return Ok(false) };
        let shared = &self.batch.store.shared;
        let is_of_this_batch = self.batch.pending.lock().blobs.contains_key(&id);
        let path = shared.layout.blob(id);
        if is_of_this_batch || std::fs::metadata(&path).is_ok_and(|file| file.len() == record.len) {
            return Ok(true);
        }
        tracing::error!(path = %path.display(), "a file of the store is missing or cut short");
        shared.damage(id)?;
        shared.checkpoint()?;
        Ok(false)
    }

    /// Puts the entries so far into the index, so that a file of any size fits into memory.
    fn spill(&mut self) -> Result<(), WriteError> {
        let file = self.file.as_ref().expect("it is taken by finish only");
        let file = file.try_clone().map_err(|error| WriteError::io(&self.path, error))?;
        {
            let mut pending = self.batch.pending.lock();
            pending.entries.extend(self.entries.drain());
            pending.blobs.insert(self.id, self.record(true));
            pending.files.push((file, self.path.clone()));
            self.batch.store.shared.note_dirs(self.id, &mut pending.dirs);
        }
        self.is_spilled = true;
        self.batch.flush(false)
    }

    fn record(&self, is_partial: bool) -> BlobRecord {
        let partial = is_partial.then_some(PartialState { root: None, records: 0 });
        let sparse = self.holes.stay();
        BlobRecord { len: self.len, kept: true, damaged: false, sparse, partial, reference: None }
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        if self.file.is_none() {
            return;
        }
        let mut gone = vec![self.marker.clone()];
        if !self.is_spilled {
            gone.push(self.path.clone());
        }
        self.batch.store.shared.unlink(&gone);
    }
}

/// The entry of a leaf within a blob of `size` bytes; none for a CID that carries its bytes.
pub(super) fn leaf_entry(
    batch: &Batch,
    id: BlobId,
    cid: &Cid,
    (offset, len): (u64, u32),
    size: u64,
) -> Result<Option<(Digest, Entry)>, WriteError> {
    if crate::key::inline(cid).is_some() {
        return Ok(None);
    }
    let key = Key::of(cid).ok_or(WriteError::Unsupported { cid: *cid })?;
    batch.shield(&key);
    let end = offset.saturating_add(u64::from(len));
    if end > size {
        return Err(WriteError::TooLarge { what: "the leaf's end", found: end, max: size });
    }
    let public = batch.options.public;
    let place = Place::Blob(id);
    Ok(Some((key.digest, Entry { place, offset, len, hash: key.hash, public })))
}
