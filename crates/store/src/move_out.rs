//! Moving a whole file out of the store to where the user wants it.
//!
//! The cheapest way wins: a hard link (the user's file *is* then the blob, and the store refers to
//! it), else a reflink, else a copy. A kept blob is never linked, since the user may edit what he got.
//!
//! A linked blob is handed over in this order: link under the temporary name, the caller's rename,
//! [`MovedOut::finish`]: a note with the reference is written beside the presence records, and the
//! store's own name goes. The note stands for the index until the next checkpoint takes it in. A
//! process that dies before the note leaves a blob with two names, which the next open treats as one
//! that may have been edited.
//!
//! ```text
//! note: root hash 1, root digest 32, blob record (see `blob`)
//! ```

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use shoal_dag::Cid;

use crate::blob::{BlobId, BlobRecord, Fingerprint, Reference};
use crate::error::{ReadError, WriteError};
use crate::key::{Key, Place};
use crate::layout::create_new;
use crate::store::{Shared, Store};

/// A note is a path and a few numbers; more is not read.
const NOTE_BYTES_MAX: u64 = 8 * 1024;
/// One call of copy_file_range(2) is asked for this much.
const COPY_BYTES: usize = 1 << 30;

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
    record: BlobRecord,
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
        let key = Key::of(root).ok_or(WriteError::Unsupported { cid: *root })?;
        let Some((id, record)) = shared.whole(&key).map_err(ReadError::from)? else {
            return Ok(None);
        };
        let may_link = !copy && !record.kept && record.reference.is_none();
        let how = if may_link && link(&shared.layout.blob(id), temp, mode)? {
            Moved::Linked
        } else {
            let Some(whole) = self.whole_file(root)? else { return Ok(None) };
            let how = copy_to(&whole.file, temp, mode)?;
            if let Some(reference) = record.reference.as_ref().filter(|r| r.open().is_none()) {
                drop(fs::remove_file(temp));
                let path = reference.path.clone();
                return Err(ReadError::Changed { cid: *root, path }.into());
            }
            how
        };
        Ok(Some(MovedOut { store: self.clone(), how, root: key, id, record }))
    }
}

impl MovedOut {
    /// How the file got out.
    pub fn how(&self) -> Moved {
        self.how
    }

    /// Tells the store the final name, after the rename and after mode and times were set: a linked blob
    /// becomes a reference to it, and the store's own name goes.
    pub fn finish(self, path: &Path) -> Result<(), WriteError> {
        if self.how != Moved::Linked {
            return Ok(());
        }
        let failed = |error| WriteError::io(path, error);
        let full = fs::canonicalize(path).map_err(failed)?;
        let metadata = fs::metadata(&full).map_err(failed)?;
        let shared = &self.store.shared;
        let own = shared.layout.blob(self.id);
        let mine = fs::metadata(&own).map_err(|error| WriteError::io(&own, error))?;
        if (metadata.ino(), metadata.dev()) != (mine.ino(), mine.dev()) {
            return Err(WriteError::SourceChanged { path: full });
        }
        let fingerprint = Fingerprint::of(&metadata);
        let reference = Some(Reference { path: full, fingerprint, moved: true });
        // A pin may have come meanwhile: then the store takes a copy back.
        let now = shared.record(self.id).map_err(ReadError::from)?;
        let must_keep = now.is_some_and(|(record, _)| record.kept);
        let record = BlobRecord { reference, kept: false, ..self.record };
        let note = shared.layout.moved(self.id);
        write_note(&note, &self.root, &record).map_err(|error| WriteError::io(&note, error))?;
        let pressure = shared.overlay.change(|layer| {
            layer.blobs.insert(self.id, Some(record.clone()));
            layer.unlink.push(note);
        });
        shared.files.close(Place::Blob(self.id));
        shared.unlink(&[own]);
        if must_keep {
            shared.own_blob(self.id, record)?;
        }
        shared.relieve(pressure)
    }
}

/// Links the store's file to `temp` where both are on one file system and the file is ours.
fn link(from: &Path, temp: &Path, mode: u32) -> Result<bool, WriteError> {
    let is_ours = fs::metadata(from)
        .is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    if !is_ours {
        return Ok(false);
    }
    match fs::hard_link(from, temp) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(WriteError::io(temp, error));
        }
        Err(_) => return Ok(false),
    }
    let set = fs::set_permissions(temp, Permissions::from_mode(mode & 0o7777));
    set.map_err(|error| WriteError::io(temp, error))?;
    Ok(true)
}

/// Makes `temp` with the content of `from`; it is gone again after an error.
fn copy_to(from: &File, temp: &Path, mode: u32) -> Result<Moved, WriteError> {
    let to = create_new(temp).map_err(|error| WriteError::io(temp, error))?;
    let copied = clone_or_copy(from, &to).and_then(|how| {
        to.set_permissions(Permissions::from_mode(mode & 0o7777))?;
        Ok(how)
    });
    copied.map_err(|error| {
        drop(fs::remove_file(temp));
        WriteError::io(temp, error)
    })
}

/// Fills an empty file from another one.
pub(crate) fn clone_or_copy(from: &File, to: &File) -> io::Result<Moved> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(Moved::Reflinked);
    }
    let len = from.metadata()?.len();
    let mut done = 0;
    while done < len {
        let (mut at, mut out) = (done, done);
        let now = rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut out), COPY_BYTES);
        match now {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => done += copied as u64,
            Err(rustix::io::Errno::INTR) => {}
            // Across some file systems only read and write do it.
            Err(_) if done == 0 => {
                io::copy(&mut &*from, &mut &*to)?;
                return Ok(Moved::Copied);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Moved::Copied)
}

fn write_note(path: &Path, root: &Key, record: &BlobRecord) -> io::Result<()> {
    let mut bytes = vec![root.hash];
    bytes.extend_from_slice(&root.digest);
    bytes.extend_from_slice(&record.to_bytes());
    crate::layout::remove(path)?;
    let file = create_new(path)?;
    io::Write::write_all(&mut &file, &bytes)
}

/// Reads a note; `None` where there is none or it is torn.
pub(crate) fn read_note(path: &PathBuf) -> io::Result<Option<(Key, BlobRecord)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut bytes)?;
    let note = bytes.split_first().and_then(|(hash, rest)| {
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let record = BlobRecord::from_bytes(rest)?;
        Some((Key { digest: *digest, hash: *hash }, record))
    });
    Ok(note)
}

impl Shared {
    /// Copies the user's file that stands for a blob into the store's own file of the same id, synced.
    pub(crate) fn take_back(&self, id: BlobId, reference: &Reference) -> Result<(), WriteError> {
        let path = self.layout.blob(id);
        let changed = || WriteError::SourceChanged { path: reference.path.clone() };
        let from = reference.open().ok_or_else(changed)?;
        let dir = self.layout.blob_dir(id);
        crate::layout::make_dir(&dir).map_err(|error| WriteError::io(&dir, error))?;
        crate::layout::remove(&path).map_err(|error| WriteError::io(&path, error))?;
        let to = create_new(&path).map_err(|error| WriteError::io(&path, error))?;
        let copied = clone_or_copy(&from, &to).map_err(|error| WriteError::io(&path, error));
        if let Err(error) = copied.and_then(|_| reference.open().map(drop).ok_or_else(changed)) {
            self.unlink(&[path]);
            return Err(error);
        }
        self.disk.sync(&to, &path)?;
        self.disk.sync_dir(&dir)?;
        self.disk.sync_dir(&self.layout.blobs())
    }
}
