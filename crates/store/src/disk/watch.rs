//! What a test sees of the changes of the disk, and how it takes part in them.
//!
//! A [`DiskWatch`] stands around each change: it may do it, refuse it with an error, or leave it out
//! and say that it was done (as a disk that lies about a sync does). Calls come from all threads of a
//! store; one that wants them in one order holds a lock of its own while it does them. What fills a
//! file without passing through memory (a reflink, a copy by the kernel) is told as [`Change::Fill`]:
//! the watcher reads the range afterwards. Nothing here is used outside tests.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::Path;

/// One change of the disk.
#[derive(Debug)]
#[non_exhaustive]
pub enum Change<'a> {
    /// A directory is made.
    MakeDir {
        /// Its path.
        path: &'a Path,
    },
    /// An empty file is made.
    Create {
        /// Its path.
        path: &'a Path,
    },
    /// Bytes are written: the parts one after the other.
    Write {
        /// The open file.
        file: &'a File,
        /// Where the first part begins.
        offset: u64,
        /// What is written.
        parts: [&'a [u8]; 2],
    },
    /// A range is filled from another file.
    Fill {
        /// The open file.
        file: &'a File,
        /// Where it begins.
        offset: u64,
        /// How many bytes are filled at most.
        len: u64,
    },
    /// A file is cut or made longer.
    SetLen {
        /// The open file.
        file: &'a File,
        /// Its new length.
        len: u64,
    },
    /// Space is taken; the file grows to `len` where it was shorter.
    Allocate {
        /// The open file.
        file: &'a File,
        /// How many bytes from the start on.
        len: u64,
    },
    /// A range becomes a hole: zeros that take no space. The length stays.
    Punch {
        /// The open file.
        file: &'a File,
        /// Where it begins.
        offset: u64,
        /// How long it is.
        len: u64,
    },
    /// A name becomes another one, in place of what had that.
    Rename {
        /// The name that goes.
        from: &'a Path,
        /// The name that comes.
        to: &'a Path,
    },
    /// A file gets a second name.
    Link {
        /// The name that it has.
        from: &'a Path,
        /// The name that comes.
        to: &'a Path,
    },
    /// A name goes.
    Remove {
        /// The name.
        path: &'a Path,
    },
    /// Permission bits are set.
    Mode {
        /// The name.
        path: &'a Path,
    },
    /// fdatasync(2) of a file.
    Sync {
        /// The open file.
        file: &'a File,
    },
    /// fsync(2) of a directory.
    SyncDir {
        /// Its path.
        path: &'a Path,
    },
}

/// Stands around every change that a store makes. For tests.
pub trait DiskWatch: Debug + Send + Sync {
    /// Does `change` by calling `call`, once, or does not; the store believes the answer.
    fn around(
        &self,
        change: &Change<'_>,
        call: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()>;
}
