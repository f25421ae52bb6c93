//! Mounting a tree, waiting for its end, and taking it down.
//!
//! Owns the life of one mount: checks of the mountpoint, the handshake, the thread that serves.
//! [`Mounted`] ends the mount when dropped. The mount table is the truth about what is mounted where:
//! nothing here trusts a memory of it.
//!
//! Invariant: [`Mounted::start`] returns only when the mount is in the mount table and answers.
//! Does not daemonise, catch signals or talk to a node.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::tree::{Tree, TreeError};
use crate::unmount::UnmountError;

/// How a tree is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// What stands in the mount table as the source; say which tree it is.
    pub fs_name: String,
    /// Hand whole local files to the kernel, which then reads them without this process. Takes
    /// effect only with privilege (CAP_SYS_ADMIN) on Linux 6.9 or later; default yes.
    pub passthrough: bool,
    /// Let other users than the one who mounts see the mount; default no.
    pub allow_other: bool,
    /// Threads that take requests from the kernel and answer what is in memory; 1 to 16. Default:
    /// the number of cores, from two to four (more did not help on two cores).
    pub event_loops: usize,
    /// When a metadata request that the tree has not answered gets `EIO`. A guard above the tree's
    /// own deadline of 10 s; default 15 s.
    pub metadata_guard: Duration,
    /// The same for reads. A read that makes progress may be slow, so this is long: 120 s.
    pub read_guard: Duration,
    /// Read-ahead of the kernel for files that are not passed through, in KiB; set where this process
    /// may write to sysfs. The kernel grants only 128 KiB by itself. Default 1,024.
    pub read_ahead_kib: u32,
}

/// Default of [`MountOptions::metadata_guard`].
pub const METADATA_GUARD_DEFAULT: Duration = Duration::from_secs(15);

/// Default of [`MountOptions::read_guard`].
pub const READ_GUARD_DEFAULT: Duration = Duration::from_secs(120);

impl Default for MountOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            fs_name: "shoal".to_owned(),
            passthrough: true,
            allow_other: false,
            event_loops: cores.clamp(2, 4),
            metadata_guard: METADATA_GUARD_DEFAULT,
            read_guard: READ_GUARD_DEFAULT,
            read_ahead_kib: 1024,
        }
    }
}

/// Why a tree could not be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The mountpoint is missing or not a directory. Mend: make the directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// A living mount of ours is on that directory. Mend: unmount it or choose another.
    #[error("{} is already a shoal mount of {source_name}", path.display())]
    AlreadyMounted {
        /// The mountpoint.
        path: PathBuf,
        /// What is mounted there.
        source_name: String,
    },
    /// This system has no FUSE. Mend: load the module, or pass /dev/fuse into the container.
    #[error("no usable /dev/fuse: {detail}")]
    NoFuse {
        /// What opening it said.
        detail: String,
    },
    /// This user may not mount. Mend: install `fusermount3`, or be root.
    #[error("not allowed to mount on {}: {detail}", path.display())]
    NotAllowed {
        /// The mountpoint.
        path: PathBuf,
        /// What the helper or the kernel said.
        detail: String,
    },
    /// The root of the tree could not be read, so there is nothing to show.
    #[error("cannot read the root of the tree")]
    Tree(#[source] TreeError),
    /// A dead mount on that directory could not be cleared away.
    #[error("cannot clear a dead mount")]
    Stale(#[source] UnmountError),
    /// The system failed otherwise.
    #[error("failed to mount on {}", path.display())]
    Io {
        /// The mountpoint.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A mount that this process serves. Dropping it takes the mount down (detached when it is in use).
#[derive(Debug)]
pub struct Mounted {
    mountpoint: PathBuf,
}

/// Takes down a mount of this process from another thread, say at a signal.
#[derive(Clone, Debug)]
pub struct Unmounter {
    mountpoint: PathBuf,
}

impl Mounted {
    /// Mounts `tree` on the directory `mountpoint`. A dead shoal mount there is cleared away first.
    pub fn start(
        tree: Arc<dyn Tree>,
        mountpoint: &Path,
        options: &MountOptions,
    ) -> Result<Self, MountError> {
        let _ = (tree, options);
        Err(MountError::NotADirectory {
            path: mountpoint.into(),
        })
    }

    /// Where it is mounted, resolved.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Something that can take this mount down while a thread sits in [`Mounted::wait`].
    pub fn unmounter(&self) -> Unmounter {
        Unmounter {
            mountpoint: self.mountpoint.clone(),
        }
    }

    /// Blocks until the mount is taken down by whomever.
    pub fn wait(self) -> io::Result<()> {
        Ok(())
    }
}

impl Unmounter {
    /// Takes the mount down; [`UnmountError::Busy`] when it is in use.
    pub fn unmount(&self) -> Result<(), UnmountError> {
        crate::unmount::unmount(&self.mountpoint)
    }

    /// Takes the mount out of the directory tree even while it is in use: open files go on being
    /// served until they are closed or this process ends.
    pub fn detach(&self) -> Result<(), UnmountError> {
        crate::unmount::detach(&self.mountpoint)
    }
}
