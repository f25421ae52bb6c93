//! Why the index did not answer, and how a panic of redb's becomes such an answer.
//!
//! An error here is the index's own: what callers of the store can do about it is `error`'s to say.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::error::{OpenError, ReadError, WriteError};

/// Why the index did not answer.
#[derive(Debug)]
pub(crate) struct IndexError {
    reason: String,
    pub(super) kind: Failure,
    /// The file that is not what it should be, where it is not the one of redb.
    path: Option<PathBuf>,
    /// What the operating system refused, if it was that.
    refused: Option<io::Error>,
    /// What a write of another file than redb's came to.
    write: Option<Box<WriteError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Full,
    /// redb works no more before its file is opened again.
    Io,
    Other,
}

impl IndexError {
    pub(super) fn other(reason: String) -> Self {
        Self { reason, kind: Failure::Other, path: None, refused: None, write: None }
    }

    /// A file of the index whose bytes are not what was written.
    pub(crate) fn damaged(path: &Path, what: &str) -> Self {
        let reason = format!("{} is damaged: {what}", path.display());
        Self { path: Some(path.to_owned()), ..Self::other(reason) }
    }

    /// What the operating system refused.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let reason = format!("{}: {error}", path.display());
        Self { path: Some(path.to_owned()), refused: Some(error), ..Self::other(reason) }
    }

    /// What a write of a run or of the journal came to.
    pub(crate) fn write(error: WriteError) -> Self {
        let reason = error.to_string();
        Self { write: Some(Box::new(error)), ..Self::other(reason) }
    }

    /// What the opener of the store in whose `index` this happened gets: a file that the operating system
    /// refuses is not damaged.
    pub(crate) fn of_open(self, index: &Path) -> OpenError {
        if let Some(error) = self.write {
            return OpenError::of_write(index, *error);
        }
        let path = self.path.unwrap_or_else(|| index.to_owned());
        match self.refused {
            Some(refused) => OpenError::io(path, refused),
            None => OpenError::Damaged { path, reason: self.reason },
        }
    }

    /// What a writer gets; `index` is redb's file.
    pub(super) fn of_write(self, index: &Path) -> WriteError {
        match (self.write, self.kind) {
            (Some(error), _) => *error,
            (None, Failure::Full) => WriteError::Full { path: index.to_owned() },
            (None, _) => WriteError::Index { reason: self.reason },
        }
    }
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> Self {
        let error = error.into();
        let kind = match &error {
            redb::Error::Io(io) if io.kind() == io::ErrorKind::StorageFull => Failure::Full,
            redb::Error::Io(_) | redb::Error::PreviousIo => Failure::Io,
            _ => Failure::Other,
        };
        let reason = error.to_string();
        let refused = match error {
            // One that redb made itself says that the file is not what it should be.
            redb::Error::Io(io) if io.raw_os_error().is_some() => Some(io),
            _ => None,
        };
        Self { kind, refused, ..Self::other(reason) }
    }
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        Self::Index { reason: error.reason }
    }
}

/// Runs something of redb's and turns its panic into an error.
///
/// The process's panic hook runs before the panic is caught, and the default one prints a line to
/// stderr. The hook belongs to the program and is not touched here; it can ask [`is_guarded`]. No check
/// before the open would spare it: redb finds most damage only in the page that it reads.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    let outer = GUARDED.replace(true);
    let caught = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    caught.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let reason = format!("its pages are damaged ({})", said.unwrap_or("no detail"));
        Err(IndexError::other(reason))
    })
}

thread_local! {
    /// A panic of this thread is caught in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would be caught by the store and become an error: for the
/// program's panic hook, which may then be silent.
pub fn is_guarded() -> bool {
    GUARDED.get()
}
