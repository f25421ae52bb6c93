//! Writing the content of one file into a blob of its own.
//!
//! The blob's file and an empty presence record are made first; the record goes when the blob is
//! committed, so that an add that dies leaves nothing that the next open would not remove.

use std::path::PathBuf;

use shoal_dag::Cid;

use super::{Batch, PENDING_ENTRIES_MAX};
use crate::blob::{BlobId, BlobRecord, PartialState};
use crate::disk::DiskFile;
use crate::error::WriteError;
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
    entries: Vec<(Digest, Entry)>,
    /// Some entries are in the index already.
    is_spilled: bool,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(batch: &'a Batch) -> Result<Self, WriteError> {
        let shared = &batch.store.shared;
        shared.disk.check()?;
        let boot_id = shared.boot_id.clone();
        let header = Header { root: None, size: 0, boot_id, is_list: false };
        let (id, file, _) = create_blob(&shared.layout, &header)?;
        let (path, marker) = (shared.layout.blob(id), shared.layout.presence(id));
        let (file, entries) = (Some(file), Vec::new());
        let (len, writing_out, is_spilled) = (0, 0, false);
        Ok(Self { batch, id, file, path, marker, len, writing_out, entries, is_spilled })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let len = self.len + bytes.len() as u64;
        if len > BLOB_BYTES_MAX {
            return Err(WriteError::TooLarge { what: "the file", found: len, max: BLOB_BYTES_MAX });
        }
        let file = self.file.as_ref().expect("it is taken by finish only");
        file.write_all_at(bytes, self.len).map_err(|error| WriteError::io(&self.path, error))?;
        self.len = len;
        if self.len - self.writing_out >= WRITE_OUT_BYTES {
            file.begin_write_out(self.writing_out..self.len);
            self.writing_out = self.len;
        }
        Ok(())
    }

    /// Says that `len` bytes from `offset` are the block `cid`. They must have been written.
    pub fn leaf(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        let entry = leaf_entry(self.batch, self.id, cid, (offset, len), self.len)?;
        self.entries.extend(entry);
        if self.entries.len() >= PENDING_ENTRIES_MAX { self.spill() } else { Ok(()) }
    }

    /// Ends the blob: it is the whole content of `root`. Where the store owns that already, what was
    /// written goes again.
    pub fn finish(mut self, root: &Cid) -> Result<(), WriteError> {
        let key = Key::of(root).ok_or(WriteError::Unsupported { cid: *root })?;
        self.batch.shield(&key);
        let entries = std::mem::take(&mut self.entries);
        if !self.is_spilled && self.is_owned_already(&key)? {
            let public = self.batch.options.public;
            let marks = entries.iter().filter(|_| public).map(|(digest, _)| (*digest, true));
            self.batch.pending.lock().marks.extend(marks);
            // Dropping removes the file.
            drop(self);
            return Ok(());
        }
        let file = self.file.take().expect("it is taken here only");
        {
            let mut pending = self.batch.pending.lock();
            pending.entries.extend(entries);
            pending.blobs.insert(self.id, self.record(false));
            pending.wholes.insert(key.digest, Whole { blob: self.id, hash: key.hash });
            pending.files.push((file, self.path.clone()));
            pending.unlink.push(self.marker.clone());
            self.batch.store.shared.note_dirs(self.id, &mut pending.dirs);
        }
        self.batch.flush_if_large()
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
            pending.entries.extend(self.entries.drain(..));
            pending.blobs.insert(self.id, self.record(true));
            pending.files.push((file, self.path.clone()));
            self.batch.store.shared.note_dirs(self.id, &mut pending.dirs);
        }
        self.is_spilled = true;
        self.batch.flush(false)
    }

    fn record(&self, is_partial: bool) -> BlobRecord {
        let partial = is_partial.then_some(PartialState { root: None, records: 0 });
        BlobRecord {
            len: self.len,
            kept: true,
            damaged: false,
            sparse: false,
            partial,
            reference: None,
        }
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
