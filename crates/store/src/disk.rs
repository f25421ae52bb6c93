//! The one layer through which this package changes the disk, and the poison that a failed sync leaves.
//!
//! Every call that makes, writes, renames, removes or syncs something goes through a [`Disk`] or a
//! [`DiskFile`]: no other file of this package calls the operating system for it (a test reads the
//! sources). In production the layer does the call and nothing else. A test gives it a [`DiskWatch`],
//! which sees every change in the order in which they happen and may log it, refuse it or leave it out:
//! so crashes are simulated at any point. Reading is not watched.
//!
//! After fsync(2) failed, the kernel may have dropped the pages that it could not write and marked
//! them clean, so a second fsync proves nothing. From then on no commit is acknowledged until the
//! store is opened again. A full disk found by a write is no such failure.
//!
//! Opening again is not enough by itself: what the kernel dropped can still be read from its cache, looks
//! synced and is gone with the power. So the first sync that fails leaves an empty file `sync-failed`, and
//! who finds it writes again whatever was not indexed before he relies on it (see `recovery`).

mod file;
mod watch;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::WriteError;

pub(crate) use file::DiskFile;
pub use watch::{Change, DiskWatch};

/// The store's way to the disk. Clones are one disk: a failed sync of one poisons all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    poisoned: AtomicBool,
    /// The file that the first failed sync makes.
    mark: OnceLock<PathBuf>,
    /// Makes syncs fail while it is true. For tests.
    fail: Option<Arc<AtomicBool>>,
    /// Sees every change. For tests.
    watch: Option<Arc<dyn DiskWatch>>,
}

impl Disk {
    /// A disk whose syncs fail while `fail` is true, and whose changes `watch` sees.
    pub(crate) fn new(fail: Option<Arc<AtomicBool>>, watch: Option<Arc<dyn DiskWatch>>) -> Self {
        Self { inner: Arc::new(Inner { fail, watch, ..Inner::default() }) }
    }

    /// Says where the first failed sync leaves its mark.
    pub(crate) fn mark_failure_at(&self, path: PathBuf) {
        self.inner.mark.get_or_init(|| path);
    }

    /// An error once a sync has failed.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        if self.inner.poisoned.load(Ordering::Acquire) { Err(WriteError::Poisoned) } else { Ok(()) }
    }

    /// fsync(2) of a directory in which a name was made or removed.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), WriteError> {
        let synced = self.sync_dir_io(path);
        synced.map_err(|source| WriteError::Io { path: path.to_owned(), source })
    }

    /// As [`sync_dir`](Self::sync_dir), with the error of the operating system.
    pub(crate) fn sync_dir_io(&self, path: &Path) -> io::Result<()> {
        let synced = self.sync_users_dir(path);
        self.poison_if_failed(synced, || path.display().to_string())
    }

    /// fsync(2) of a directory of the user's: one that fails says nothing about the store's files.
    pub(crate) fn sync_users_dir(&self, path: &Path) -> io::Result<()> {
        self.change(&Change::SyncDir { path }, || {
            self.fail_if_told()?;
            File::open(path)?.sync_all()
        })
    }

    /// Makes a directory of mode 0700 unless it is there; says whether it was made.
    pub(crate) fn make_dir(&self, path: &Path) -> io::Result<bool> {
        self.make_dir_with(path, 0o700)
    }

    /// Makes what is missing of the directories above `path`, with the mode that the umask leaves.
    pub(crate) fn make_parents(&self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
            return Ok(());
        };
        if parent.is_dir() {
            return Ok(());
        }
        self.make_parents(parent)?;
        self.make_dir_with(parent, 0o777).map(drop)
    }

    fn make_dir_with(&self, path: &Path, mode: u32) -> io::Result<bool> {
        let make = || DirBuilder::new().mode(mode).create(path);
        match self.change(&Change::MakeDir { path }, make) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a new file of mode 0600, open for reading and writing; fails where the name exists.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let mut made = None;
        self.change(&Change::Create { path }, || {
            made = Some(options.open(path)?);
            Ok(())
        })?;
        let file = made.ok_or(io::ErrorKind::NotFound)?;
        Ok(DiskFile::new(self, file))
    }

    /// Opens a file for reading and writing; one of mode 0600 is made, empty, where there is none.
    pub(crate) fn open_or_create(&self, path: &Path) -> io::Result<DiskFile> {
        loop {
            match self.open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => return opened,
            }
            match self.create_new(path) {
                // Somebody else made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
    }

    /// Opens a file that is there for reading and writing.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile::new(self, file))
    }

    /// Opens a file that is there for reading, and to be synced.
    pub(crate) fn open_to_sync(&self, path: &Path) -> io::Result<DiskFile> {
        Ok(DiskFile::new(self, File::open(path)?))
    }

    /// Gives a file another name, in place of what has it.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(&Change::Rename { from, to }, || fs::rename(from, to))
    }

    /// Gives a file a second name; fails where that exists.
    pub(crate) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(&Change::Link { from, to }, || fs::hard_link(from, to))
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        match self.change(&Change::Remove { path }, || fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets the permission bits of a name.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let set = || fs::set_permissions(path, Permissions::from_mode(mode));
        self.change(&Change::Mode { path }, set)
    }

    /// Does a change, under the eyes of who watches.
    fn change(
        &self,
        change: &Change<'_>,
        mut call: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        match &self.inner.watch {
            None => call(),
            Some(watch) => watch.around(change, &mut call),
        }
    }

    fn fail_if_told(&self) -> io::Result<()> {
        let failing = self.inner.fail.as_ref().is_some_and(|fail| fail.load(Ordering::Acquire));
        if failing { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }

    fn poison_if_failed(
        &self,
        synced: io::Result<()>,
        what: impl FnOnce() -> String,
    ) -> io::Result<()> {
        if let Err(error) = &synced {
            let was_poisoned = self.inner.poisoned.swap(true, Ordering::AcqRel);
            tracing::error!(path = what(), %error, "sync failed; writing stops");
            if let Some(mark) = self.inner.mark.get().filter(|_| !was_poisoned)
                && let Err(error) = self.open_or_create(mark)
            {
                tracing::error!(path = %mark.display(), %error, "cannot mark a failed sync");
            }
        }
        synced
    }
}
