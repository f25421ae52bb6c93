//! Taking a user's file as a blob where it is, without a copy.
//!
//! The file is looked at before it is read and after: size, mtime, ctime, inode and device must be
//! the same, on the open descriptor and at its path. Its bytes are not synced: they are the user's.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use shoal_dag::Cid;

use super::blob_writer::leaf_entry;
use super::{Batch, PENDING_ENTRIES_MAX};
use crate::blob::{BlobId, BlobRecord, Fingerprint, PartialState, Reference};
use crate::error::WriteError;
use crate::index::Whole;
use crate::key::{Digest, Entry, Key};

/// A user's file that becomes a blob where it is. Dropped without [`finish`](RefWriter::finish) it
/// leaves nothing.
#[derive(Debug)]
pub struct RefWriter<'a> {
    batch: &'a Batch,
    id: BlobId,
    file: File,
    path: PathBuf,
    fingerprint: Fingerprint,
    size: u64,
    entries: Vec<(Digest, Entry)>,
}

impl<'a> RefWriter<'a> {
    pub(super) fn new(batch: &'a Batch, path: &Path) -> Result<Self, WriteError> {
        let failed = |error| WriteError::io(path, error);
        let full = fs::canonicalize(path).map_err(failed)?;
        // NONBLOCK: opening a fifo would wait for its writer.
        let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&full).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(std::io::ErrorKind::InvalidInput.into()));
        }
        let (fingerprint, size) = (Fingerprint::of(&metadata), metadata.len());
        let (id, entries) = (BlobId::draw(), Vec::new());
        Ok(Self { batch, id, file, path: full, fingerprint, size, entries })
    }

    /// The open file: read the content from here.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file's length when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Says that `len` bytes from `offset` of the file are the block `cid`.
    pub fn leaf(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        let entry = leaf_entry(self.batch, self.id, cid, (offset, len), self.size)?;
        self.entries.extend(entry);
        if self.entries.len() >= PENDING_ENTRIES_MAX { self.spill() } else { Ok(()) }
    }

    /// Ends the reference: the file is the whole content of `root`. Where the store owns that content,
    /// or refers to this very file already, nothing is added.
    pub fn finish(mut self, root: &Cid) -> Result<(), WriteError> {
        let key = Key::of(root).ok_or(WriteError::Unsupported { cid: *root })?;
        self.check_unchanged()?;
        self.batch.shield(&key);
        let known = self.batch.whole(&key)?;
        let is_known = known.is_some_and(|(_, record)| {
            record.is_owned() || record.reference.as_ref() == Some(&self.reference())
        });
        let entries = std::mem::take(&mut self.entries);
        {
            let mut pending = self.batch.pending.lock();
            if is_known {
                let public = self.batch.options.public;
                let marks = entries.iter().filter(|_| public).map(|(digest, _)| (*digest, true));
                pending.marks.extend(marks);
            } else {
                pending.entries.extend(entries);
                pending.blobs.insert(self.id, self.record(false));
                pending.wholes.insert(key.digest, Whole { blob: self.id, hash: key.hash });
            }
        }
        self.batch.flush_if_large()
    }

    fn spill(&mut self) -> Result<(), WriteError> {
        {
            let mut pending = self.batch.pending.lock();
            pending.entries.extend(self.entries.drain(..));
            pending.blobs.insert(self.id, self.record(true));
        }
        self.batch.flush(false)
    }

    fn check_unchanged(&self) -> Result<(), WriteError> {
        let is_same = |metadata: fs::Metadata| Fingerprint::of(&metadata) == self.fingerprint;
        let open = self.file.metadata().is_ok_and(is_same);
        if open && fs::metadata(&self.path).is_ok_and(is_same) {
            return Ok(());
        }
        Err(WriteError::SourceChanged { path: self.path.clone() })
    }

    fn reference(&self) -> Reference {
        Reference { path: self.path.clone(), fingerprint: self.fingerprint, moved: false }
    }

    fn record(&self, is_partial: bool) -> BlobRecord {
        let partial = is_partial.then_some(PartialState { root: None, records: 0 });
        let reference = Some(self.reference());
        BlobRecord {
            len: self.size,
            kept: false,
            damaged: false,
            sparse: false,
            partial,
            reference,
        }
    }
}
