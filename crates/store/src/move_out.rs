//! Moving a whole file out of the store to where the user wants it.
//!
//! The cheapest way wins: a hard link (the user's file *is* then the blob, and the store refers to
//! it), else a reflink, else a copy. A kept blob is never linked, since the user may edit what he got,
//! and no blob is linked twice.
//!
//! A linked blob is handed over in this order: an empty note (see [`note`]) beside the presence
//! records, link under the temporary name, the caller's rename, [`MovedOut::finish`]: the note is
//! filled and the overlay says that the blob is a reference. The next checkpoint commits that, and only
//! then the store's own name goes, so no sync is paid here and a power loss finds the bytes under one
//! of the two names. A process that dies before the note is filled leaves a blob with two names, which
//! the next open treats as one that may have been edited.
//!
//! Whoever changes which file a blob's record leads to holds the lock of [`Shared::homes`].

mod copy;
pub(crate) mod note;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shoal_dag::Cid;

use crate::blob::{BlobId, BlobRecord, Fingerprint, Reference};
use crate::error::{ReadError, WriteError};
use crate::keep::root_key;
use crate::key::{Key, Place};
use crate::store::{Shared, Store};

use copy::{clone_or_copy, copy_to, link};
use note::{announce, write_note};

/// How a file got out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The store's file itself was linked there; the store will refer to it.
    Linked,
    /// It shares its extents with the store's file.
    Reflinked,
    /// It is a copy.
    Copied,
}

/// A file that is out under its temporary name. Call [`finish`](MovedOut::finish) after the rename.
#[derive(Debug)]
#[must_use = "finish it after the rename, else the store keeps its own name for a linked file"]
pub struct MovedOut {
    store: Store,
    how: Moved,
    root: Key,
    id: BlobId,
}

impl Store {
    /// Puts the content of `root` at `temp`, which must not exist, with the permission bits `mode`.
    /// `None` when the file is not whole in one blob. A blob that is kept (pinned) or a reference is
    /// never linked; with `copy` nothing is. The bytes are not hashed here: a file that was not settled
    /// just now is checked with [`verify_whole`](Self::verify_whole) first.
    pub fn move_out(
        &self,
        root: &Cid,
        temp: &Path,
        mode: u32,
        copy: bool,
    ) -> Result<Option<MovedOut>, WriteError> {
        let shared = &self.shared;
        let Some(key) = root_key(root)? else { return Ok(None) };
        let Some((id, record)) = shared.whole(&key).map_err(ReadError::from)? else {
            return Ok(None);
        };
        let out = |how| MovedOut { store: self.clone(), how, root: key, id };
        if !copy && shared.claim_link(id)? {
            // From here on dropping it gives the claim back.
            let out = out(Moved::Linked);
            let note = shared.layout.moved(id);
            announce(&shared.disk, &note).map_err(|error| WriteError::io(&note, error))?;
            if link(&shared.disk, &shared.layout.blob(id), temp, mode)? {
                return Ok(Some(out));
            }
            shared.unlink(&[note]);
        }
        let Some(whole) = self.whole_file(root)? else { return Ok(None) };
        let how = copy_to(&shared.disk, &whole.file, temp, mode)?;
        if let Some(reference) = record.reference.as_ref().filter(|r| r.open().is_none()) {
            drop(shared.disk.remove(temp));
            let path = reference.path.clone();
            return Err(ReadError::changed(*root, path).into());
        }
        Ok(Some(out(how)))
    }
}

impl MovedOut {
    /// How the file got out.
    pub fn how(&self) -> Moved {
        self.how
    }

    /// Tells the store the final name, after the rename and after mode and times were set: a linked blob
    /// becomes a reference to it, and the store's own name goes with the next checkpoint.
    pub fn finish(self, path: &Path) -> Result<(), WriteError> {
        if self.how != Moved::Linked {
            return Ok(());
        }
        let failed = |error| WriteError::io(path, error);
        let full = fs::canonicalize(path).map_err(failed)?;
        let metadata = fs::metadata(&full).map_err(failed)?;
        let shared = &self.store.shared;
        let fingerprint = Fingerprint::of(&metadata);
        let reference = Reference { path: full, fingerprint, moved: true };
        shared.hand_over(self.id, &self.root, reference, metadata.ino())
    }
}

impl Drop for MovedOut {
    fn drop(&mut self) {
        if self.how == Moved::Linked {
            self.store.shared.homes.lock().remove(&self.id);
        }
    }
}

impl Shared {
    /// May this blob be linked out now? Then nobody else may until the claim is given back.
    fn claim_link(&self, id: BlobId) -> Result<bool, WriteError> {
        let mut homes = self.homes.lock();
        let record = self.record(id).map_err(ReadError::from)?;
        let may = record.is_some_and(|(record, _)| {
            !record.kept && !record.sparse && record.reference.is_none()
        });
        Ok(may && homes.insert(id))
    }

    /// The blob is the user's file from now on, unless a pin came meanwhile: then the store takes a copy.
    fn hand_over(
        &self,
        id: BlobId,
        root: &Key,
        reference: Reference,
        ino: u64,
    ) -> Result<(), WriteError> {
        let homes = self.homes.lock();
        let known = self.record(id).map_err(ReadError::from)?;
        let Some((record, _)) = known.filter(|(record, _)| record.reference.is_none()) else {
            // Forgotten meanwhile.
            return Ok(());
        };
        if record.kept {
            drop(homes);
            return self.part(id);
        }
        let own = self.layout.blob(id);
        let mine = fs::metadata(&own).map_err(|error| WriteError::io(&own, error))?;
        if (ino, reference.fingerprint.dev()) != (mine.ino(), mine.dev()) {
            return Err(WriteError::SourceChanged { path: reference.path });
        }
        let record = BlobRecord { reference: Some(reference), ..record };
        let note = self.layout.moved(id);
        write_note(&self.disk, &note, root, &record)
            .map_err(|error| WriteError::io(&note, error))?;
        let pressure = self.overlay.change(|layer| {
            layer.blobs.insert(id, Some(record));
            layer.unlink.push(note);
            layer.handed.push(id);
        });
        drop(homes);
        self.files.close(Place::Blob(id));
        self.relieve(pressure)
    }

    /// Removes the store's own names of blobs that the index knows under the user's name, or not at all.
    pub(crate) fn unlink_handed(&self, ids: &[BlobId]) {
        let _homes = self.homes.lock();
        for id in ids {
            let own = self.layout.blob(*id);
            let is_elsewhere = match self.record(*id) {
                Ok(None) => true,
                Ok(Some((record, _))) => record.reference.is_some_and(|user| user.path != own),
                Err(_) => false,
            };
            if is_elsewhere {
                self.unlink(&[own]);
                self.files.close(Place::Blob(*id));
            }
        }
    }

    /// Gives a kept blob a file of its own where the user has a second name for it.
    pub(crate) fn part(&self, id: BlobId) -> Result<(), WriteError> {
        let own = self.layout.blob(id);
        let is_shared = fs::metadata(&own).is_ok_and(|metadata| metadata.nlink() > 1);
        if !is_shared {
            return Ok(());
        }
        let from = File::open(&own).map_err(|error| WriteError::io(&own, error))?;
        self.copy_home(id, &from, || true, |record| record.reference.is_none().then_some(record))
            .map(drop)
    }

    /// Makes a moved blob the store's own again, with a synced copy of the user's file. `false` when the
    /// blob is gone.
    pub(crate) fn take_back(&self, id: BlobId, reference: &Reference) -> Result<bool, WriteError> {
        let changed = || WriteError::SourceChanged { path: reference.path.clone() };
        let from = reference.open().ok_or_else(changed)?;
        let is_intact = || reference.open().is_some();
        let becomes = |record: BlobRecord| {
            let is_same = record.reference.as_ref() == Some(reference);
            is_same.then_some(BlobRecord { kept: true, reference: None, ..record })
        };
        if self.copy_home(id, &from, is_intact, becomes)? {
            return Ok(true);
        }
        // Somebody else took it back, or forgot it, or the file changed.
        match self.record(id).map_err(ReadError::from)? {
            Some((record, _)) if record.reference.is_none() => Ok(true),
            Some(_) => Err(changed()),
            None => Ok(false),
        }
    }

    /// Puts a synced copy of `from` under the blob's own name, where it is `intact` after the copy and the
    /// record still `becomes` something by it.
    fn copy_home(
        &self,
        id: BlobId,
        from: &File,
        intact: impl FnOnce() -> bool,
        becomes: impl FnOnce(BlobRecord) -> Option<BlobRecord>,
    ) -> Result<bool, WriteError> {
        let (path, dir) = (self.layout.blob(id), self.layout.blob_dir(id));
        self.disk.make_dir(&dir).map_err(|error| WriteError::io(&dir, error))?;
        let temp = self.layout.copy(BlobId::draw());
        let failed = |error| WriteError::io(&temp, error);
        let to = self.disk.create_new(&temp).map_err(failed)?;
        let done = clone_or_copy(from, &to).map_err(failed);
        let done = done.and_then(|_| to.sync(&temp));
        if done.is_err() || !intact() {
            self.unlink(&[temp]);
            return done.map(|()| false);
        }
        let pressure = {
            let _homes = self.homes.lock();
            let known = self.record(id).map_err(ReadError::from)?;
            let Some(record) = known.and_then(|(record, _)| becomes(record)) else {
                self.unlink(&[temp]);
                return Ok(false);
            };
            self.disk.rename(&temp, &path).map_err(|error| WriteError::io(&path, error))?;
            self.overlay.change(|layer| {
                layer.blobs.insert(id, Some(record));
                // A note of an earlier move would undo this at the next open.
                layer.unlink.push(self.layout.moved(id));
            })
        };
        self.files.close(Place::Blob(id));
        self.disk.sync_dir(&dir)?;
        self.disk.sync_dir(&self.layout.blobs())?;
        self.relieve(pressure)?;
        Ok(true)
    }
}
