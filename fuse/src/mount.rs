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
use std::thread::JoinHandle;
use std::time::Duration;

use crate::adapter::{RootSwitch, Session};
use crate::device;
use crate::fs::{Fs, Owner};
use crate::mountinfo::{self, MountEntry};
use crate::statistics::{Counters, Statistics};
use crate::tree::{Tree, TreeError};
use crate::unmount::{self, UnmountError};

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
    /// The root may be switched to another tree while the mount is in use ([`Mounted::root_switch`]):
    /// the kernel keeps the root's own entries for a second only. Default no.
    pub live: bool,
}

/// Default of [`MountOptions::metadata_guard`].
pub const METADATA_GUARD_DEFAULT: Duration = Duration::from_secs(15);

/// Default of [`MountOptions::read_guard`].
pub const READ_GUARD_DEFAULT: Duration = Duration::from_mins(2);

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
            live: false,
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
    entry: MountEntry,
    counters: Arc<Counters>,
    switch: Option<RootSwitch>,
    server: Option<JoinHandle<io::Result<()>>>,
}

/// Takes down a mount of this process from another thread, say at a signal.
#[derive(Clone, Debug)]
pub struct Unmounter {
    entry: MountEntry,
}

impl Mounted {
    /// Mounts `tree` on the directory `mountpoint`. A dead shoal mount there is cleared away first.
    pub fn start(
        tree: Arc<dyn Tree>,
        mountpoint: &Path,
        options: &MountOptions,
    ) -> Result<Self, MountError> {
        let path = place(mountpoint)?;
        let owner = Owner {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        // Asked before anything is mounted: an unreachable root is an error here, not in `ls`.
        let fs = Fs::new(tree, owner, options.live).map_err(MountError::Tree)?;
        let failed = |source| MountError::Io { path: path.clone(), source };
        let device = device::mount(&path, &options.fs_name, options.allow_other)?;
        let guard = DetachOnFailure(&path);
        let entry = mountinfo::on_top_of(&path).map_err(failed)?.filter(MountEntry::is_shoal);
        let entry = entry.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let counters = Arc::default();
        let session = Session::start(fs, device, options, Arc::clone(&counters)).map_err(failed)?;
        let switch = options.live.then(|| session.root_switch());
        let server = serve(session, entry.clone()).map_err(failed)?;
        std::mem::forget(guard);
        raise_read_ahead(&entry, options.read_ahead_kib);
        Ok(Self { entry, counters, switch, server: Some(server) })
    }

    /// Where it is mounted, resolved.
    pub fn mountpoint(&self) -> &Path {
        &self.entry.mountpoint
    }

    /// What it has done so far.
    pub fn statistics(&self) -> Statistics {
        self.counters.snapshot()
    }

    /// What shows another tree at the root of this mount; `None` unless it is live.
    pub fn root_switch(&self) -> Option<RootSwitch> {
        self.switch.clone()
    }

    /// Something that can take this mount down while a thread sits in [`Mounted::wait`].
    pub fn unmounter(&self) -> Unmounter {
        Unmounter { entry: self.entry.clone() }
    }

    /// Blocks until the mount is taken down by whomever, and its last user is gone.
    pub fn wait(mut self) -> io::Result<()> {
        let Some(server) = self.server.take() else {
            return Ok(());
        };
        server.join().unwrap_or_else(|_| Err(io::Error::other("the mount's server panicked")))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.server.as_ref().is_none_or(JoinHandle::is_finished) {
            return;
        }
        let unmounter = self.unmounter();
        match unmounter.unmount() {
            Ok(()) | Err(UnmountError::NotMounted { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "detaching a mount");
                if let Err(error) = unmounter.detach() {
                    tracing::warn!(%error, "a mount stays behind");
                }
            }
        }
    }
}

impl Unmounter {
    /// Takes the mount down; [`UnmountError::Busy`] when it is in use.
    pub fn unmount(&self) -> Result<(), UnmountError> {
        self.if_there(unmount::unmount)
    }

    /// Takes the mount out of the directory tree even while it is in use: open files go on being
    /// served until they are closed or this process ends.
    pub fn detach(&self) -> Result<(), UnmountError> {
        self.if_there(unmount::detach)
    }

    /// Never touches what somebody else mounted there since.
    fn if_there(
        &self,
        act: impl FnOnce(&Path) -> Result<(), UnmountError>,
    ) -> Result<(), UnmountError> {
        let path = &self.entry.mountpoint;
        match mountinfo::on_top_of(path) {
            Ok(Some(top)) if top == self.entry => act(path),
            Ok(_) => Err(UnmountError::NotMounted { path: path.clone() }),
            Err(source) => Err(UnmountError::Io { path: path.clone(), source }),
        }
    }
}

/// Takes the mount out again unless it is forgotten: nothing would ever serve it.
struct DetachOnFailure<'a>(&'a Path);

impl Drop for DetachOnFailure<'_> {
    fn drop(&mut self) {
        if let Err(error) = unmount::detach(self.0) {
            tracing::warn!(%error, "a failed mount stays behind");
        }
    }
}

/// The resolved mountpoint, cleared of a mount whose process is dead.
fn place(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let not_a_directory = || MountError::NotADirectory { path: mountpoint.into() };
    let io = |source| MountError::Io { path: mountpoint.into(), source };
    let beside = mountinfo::resolve_beside(mountpoint).map_err(|_| not_a_directory())?;
    while let Some(there) = mountinfo::on_top_of(&beside).map_err(io)? {
        if !there.is_shoal() {
            break;
        }
        if !unmount::is_dead(&beside) {
            let source_name = there.source.to_string_lossy().into_owned();
            return Err(MountError::AlreadyMounted { path: beside, source_name });
        }
        unmount::detach(&beside).map_err(MountError::Stale)?;
    }
    let path = beside.canonicalize().map_err(|_| not_a_directory())?;
    if path == beside {
        return if path.is_dir() { Ok(path) } else { Err(not_a_directory()) };
    }
    // A link: what it leads to may be a mount again.
    place(&path)
}

fn serve(session: Session, entry: MountEntry) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name("fuse-server".to_owned()).spawn(move || {
        let outcome = session.run();
        // A session that ends in order ends with its mount. What stands at the same place then is
        // somebody else's, and may have the same numbers: the kernel gives them out again. One that
        // ended by an error has left its mount behind, which answers nobody.
        if outcome.is_err() {
            match (Unmounter { entry }).detach() {
                Ok(()) | Err(UnmountError::NotMounted { .. }) => {}
                Err(error) => tracing::warn!(%error, "a mount stays behind"),
            }
        }
        outcome
    })
}

/// The kernel grants 128 KiB at the handshake; with privilege the mount's own setting can be raised,
/// which makes requests of 1 MiB out of sequential reads.
fn raise_read_ahead(entry: &MountEntry, kib: u32) {
    let setting = format!("/sys/class/bdi/{}/read_ahead_kb", entry.device);
    if let Err(error) = std::fs::write(setting, kib.to_string()) {
        tracing::debug!(%error, "read-ahead stays as the kernel has it");
    }
}
