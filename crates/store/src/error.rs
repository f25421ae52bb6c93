//! What can go wrong in a store, split by what the caller can do about it.
//!
//! [`OpenError`]: before there is a store; the user mends it. [`ReadError`]: a block is here but its
//! bytes cannot be given; fetch it again or name the file. [`WriteError`]: nothing was acknowledged;
//! free space, reopen, or give up. No variant carries bytes of a block. What the operating
//! system said is part of every sentence, since most who show an error show no chain of causes.

use std::io;
use std::path::PathBuf;

use shoal_dag::Cid;

/// Why a directory could not be opened as a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the store's lock. Wait, attach to it, or end it.
    #[error("it is in use by {}", holder(*pid, command))]
    InUse {
        /// The holder's process id; 0 when nothing says who it is.
        pid: u32,
        /// The holder's command, as it gave it in [`Options::command`](crate::Options::command).
        command: String,
    },
    /// A newer version of the program made this store.
    #[error("its format is {found}, this version knows {known}")]
    NewerFormat {
        /// The format that the directory states.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// The directory is not a store: it has files but no valid `format`.
    #[error("{} is not a store: {reason}", path.display())]
    NotAStore {
        /// The directory or file that was looked at.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The index cannot be read. The data is not lost: [`Store::rebuild`](crate::Store::rebuild) makes the
    /// index again from it.
    #[error(
        "{} is damaged: {reason}; shoal verify --rebuild-index makes the index again from the data",
        path.display()
    )]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What the reader of the file said.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file that was worked on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

const fn what_became(gone: bool) -> &'static str {
    if gone { "is gone" } else { "was changed" }
}

fn holder(pid: u32, command: &str) -> String {
    match pid {
        0 => "an unknown process".to_owned(),
        pid => format!("{command} (pid {pid})"),
    }
}

/// Why a block that the index knows could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes on disk do not match the CID. Fetch it again after
    /// [`Store::forget_block`](crate::Store::forget_block).
    #[error("read {cid}: its bytes in {} are corrupt", path.display())]
    Corrupt {
        /// The block that was asked for.
        cid: Cid,
        /// The file that holds the wrong bytes.
        path: PathBuf,
    },
    /// The block lies in a file of the user that was edited, replaced or removed since.
    #[error("read {cid}: the referenced file {} {}", path.display(), what_became(*gone))]
    Changed {
        /// The block or root that was asked for.
        cid: Cid,
        /// The user's file.
        path: PathBuf,
        /// Nothing was there any more.
        gone: bool,
    },
    /// The index could not be read.
    #[error("read the index: {reason}")]
    Index {
        /// What the index said.
        reason: String,
    },
    /// The operating system refused.
    #[error("read {}: {source}", path.display())]
    Io {
        /// The file that was worked on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why a write was not done or not acknowledged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk or the quota is full. The store goes on working; free some space.
    #[error("write {}: no space left", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// An earlier sync failed, so that nobody knows what is on the disk. Open the store again.
    #[error("write: an earlier sync failed; the store must be opened again")]
    Poisoned,
    /// The store keeps SHA-256 and BLAKE3 digests of 32 bytes only.
    #[error("write {cid}: its hash function is not one that the store keeps")]
    Unsupported {
        /// The CID that was given.
        cid: Cid,
    },
    /// Something is above its documented bound.
    #[error("write: {what} has {found} bytes, the most is {max}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The bound.
        max: u64,
    },
    /// A referenced file changed while it was added.
    #[error("write: {} changed while it was added", path.display())]
    SourceChanged {
        /// The user's file.
        path: PathBuf,
    },
    /// What had to be copied inside the store could not be read.
    #[error("write: cannot copy what is in the store: {0}")]
    Read(#[source] Box<ReadError>),
    /// The index could not be written.
    #[error("write the index: {reason}")]
    Index {
        /// What the index said.
        reason: String,
    },
    /// The operating system refused.
    #[error("write {}: {source}", path.display())]
    Io {
        /// The file that was worked on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        Self::Read(Box::new(error))
    }
}

impl WriteError {
    /// Sorts an I/O error of a write into "full" and "the rest".
    pub(crate) fn io(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }
}

impl ReadError {
    /// A block of a user's file that is no longer what was added.
    pub(crate) fn changed(cid: Cid, path: PathBuf) -> Self {
        let gone = path.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        Self::Changed { cid, path, gone }
    }

    /// An I/O error of a read.
    pub(crate) fn io(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.into(), source: source.into() }
    }
}

impl OpenError {
    /// What a write that belongs to an open came to; `path` is the file where the error names none.
    pub(crate) fn of_write(path: &std::path::Path, error: WriteError) -> Self {
        match error {
            WriteError::Io { path, source } => Self::Io { path, source },
            WriteError::Full { path } => Self::io(path, io::ErrorKind::StorageFull),
            other => Self::Damaged { path: path.to_owned(), reason: other.to_string() },
        }
    }

    /// An I/O error of an open.
    pub(crate) fn io(path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::Io { path: path.into(), source: source.into() }
    }
}
