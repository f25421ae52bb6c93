//! Syncs, and the poison that a failed one leaves.
//!
//! After fsync(2) failed, the kernel may have dropped the pages that it could not write and marked
//! them clean, so a second fsync proves nothing. From then on no commit is acknowledged until the
//! store is opened again. A full disk found by a write is no such failure.

use std::fs::File;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Advice;

use crate::error::WriteError;

/// The only way to a sync in this package.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    poisoned: AtomicBool,
    /// Makes syncs fail while it is true. For tests.
    fail: Option<Arc<AtomicBool>>,
}

impl Disk {
    /// A disk whose syncs fail while `fail` is true.
    pub(crate) fn new(fail: Option<Arc<AtomicBool>>) -> Self {
        Self { poisoned: AtomicBool::new(false), fail }
    }

    /// An error once a sync has failed.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        if self.poisoned.load(Ordering::Acquire) { Err(WriteError::Poisoned) } else { Ok(()) }
    }

    /// fdatasync(2) of a file.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> Result<(), WriteError> {
        self.done(rustix::fs::fdatasync(file).map_err(Into::into), path)
    }

    /// Asks the kernel to begin writing a range out, without waiting: the sync that comes finds less to
    /// do. It proves nothing. (Advice that the range is not needed does it; what is still dirty stays in
    /// the cache.)
    pub(crate) fn begin(file: &File, range: Range<u64>) {
        let len = NonZeroU64::new(range.end.saturating_sub(range.start));
        if let Err(error) = rustix::fs::fadvise(file, range.start, len, Advice::DontNeed) {
            // The sync will take its time, and nothing else changes.
            tracing::debug!(%error, "cannot ask for a write-out");
        }
    }

    /// fsync(2) of a directory in which a name was made or removed.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<(), WriteError> {
        self.done(File::open(path).and_then(|dir| dir.sync_all()), path)
    }

    fn done(&self, result: std::io::Result<()>, path: &Path) -> Result<(), WriteError> {
        let failing = self.fail.as_ref().is_some_and(|fail| fail.load(Ordering::Acquire));
        let result = if failing { Err(rustix::io::Errno::IO.into()) } else { result };
        result.map_err(|source| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(path = %path.display(), error = %source, "sync failed; writing stops");
            WriteError::Io { path: path.to_owned(), source }
        })
    }
}
