//! The directory that a version is checked out into, without ever following a symlink in it.
//!
//! Every path is walked from the directory's own descriptor, one component at a time with `O_NOFOLLOW`, so
//! that whatever somebody put where a directory was leads nowhere else. Names come checked
//! ([`shoal_dag::name::check`]); a path is names joined by slashes, and empty for the directory itself.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps},
    io::Errno,
};
use shoal_dag::Metadata;

use crate::{control::protocol::Failure, exit::Exit};

/// How a directory is opened to work in.
const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// See [`Out::identity`].
pub(super) type Identity = (u64, u64, i64);

/// The directory of a checkout, locked against another one.
#[derive(Debug)]
pub(super) struct Out {
    /// Where it is, without symlinks.
    pub(super) path: PathBuf,
    root: OwnedFd,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// Nothing can: one of the directories on the way is none.
    Blocked,
    File(Stamp),
    Symlink(Stamp),
    Directory(Stamp),
    /// A fifo, a socket, a device.
    Other(Stamp),
}

/// What tells that an entry is still the one that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    changed: (i64, i64),
    modified: (i64, i64),
    /// Permission bits.
    pub(super) mode: u32,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            mode: stat.st_mode & 0o7777,
        }
    }

    /// Device and inode.
    pub(super) const fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether the metadata that a DAG gives is there already.
    fn has_time(&self, meta: &Metadata) -> bool {
        meta.mtime.is_none_or(|time| self.modified == (time.seconds, i64::from(time.nanos)))
    }
}

impl Found {
    /// Its stamp, if there is something.
    pub(super) const fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Absent | Self::Blocked => None,
            Self::File(stamp)
            | Self::Symlink(stamp)
            | Self::Directory(stamp)
            | Self::Other(stamp) => Some(*stamp),
        }
    }
}

/// A path as its directory and its name; `None` for the directory of the checkout itself.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    Some(slash.map_or((&[], path), |at| (&path[..at], &path[at + 1..])))
}

impl Out {
    /// Opens the directory, which may be given through a symlink, and locks it.
    ///
    /// # Errors
    /// Exit 5 when another checkout works in it.
    pub(super) fn open(given: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io("open", given, &error);
        let path = std::fs::canonicalize(given).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(&path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        match fs::flock(&root, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let text = format!("another checkout writes into {}", path.display());
                Err(Failure::new(Exit::TryAgain, text))
            }
            // A file system without locks has the user take care.
            _ => Ok(Self { path, root }),
        }
    }

    /// What tells the directory from another one that is made at its path later: device, inode, and
    /// where the file system knows it, the time of its making in nanoseconds, since inodes come again.
    pub(super) fn identity(&self) -> Result<Identity, Failure> {
        let (device, inode) = self.stamp()?.identity();
        let flags = AtFlags::EMPTY_PATH;
        let made = fs::statx(&self.root, "", flags, fs::StatxFlags::BTIME).ok();
        let made = made.filter(|stat| stat.stx_mask & fs::StatxFlags::BTIME.bits() != 0);
        let nanos = made.map_or(0, |stat| {
            let (seconds, nanos) = (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec);
            seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(nanos))
        });
        Ok((device, inode, nanos))
    }

    /// The stamp of the directory itself.
    pub(super) fn stamp(&self) -> Result<Stamp, Failure> {
        let stat = fs::fstat(&self.root).map_err(|error| self.failure("look at", b"", error))?;
        Ok(Stamp::of(&stat))
    }

    /// A failure about a path in it.
    pub(super) fn failure(&self, what: &str, path: &[u8], error: Errno) -> Failure {
        Failure::io(what, &self.path.join(OsStr::from_bytes(path)), &error.into())
    }

    /// The directory at a path.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut directory = fs::openat(&self.root, ".", DIRECTORY, Mode::empty())?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            directory = fs::openat(&directory, name, DIRECTORY, Mode::empty())?;
        }
        Ok(directory)
    }

    /// What stands at a path.
    pub(super) fn look(&self, path: &[u8]) -> Result<Found, Failure> {
        let Some((parent, name)) = split(path) else {
            return Ok(Found::Directory(self.stamp()?));
        };
        let directory = match self.directory(parent) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Found::Absent),
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Blocked),
            Err(error) => return Err(self.failure("look into", parent, error)),
        };
        look(&directory, name).map_err(|error| self.failure("look at", path, error))
    }

    /// A file to be read, or its metadata changed; `None` when it is none, or may not be read.
    pub(super) fn file(&self, path: &[u8]) -> Option<File> {
        let (parent, name) = split(path)?;
        let directory = self.directory(parent).ok()?;
        // Without NONBLOCK a fifo put in the file's place since we looked would hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(fs::openat(&directory, name, flags, Mode::empty()).ok()?);
        file.metadata().is_ok_and(|stat| stat.is_file()).then_some(file)
    }

    /// Where a symlink points to.
    pub(super) fn link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let (parent, name) = split(path)?;
        let directory = self.directory(parent).ok()?;
        fs::readlinkat(&directory, name, Vec::new()).ok().map(std::ffi::CString::into_bytes)
    }

    /// The names in a directory.
    pub(super) fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let failed = |error| self.failure("list", path, error);
        let directory = self.directory(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = fs::openat(&directory, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        for entry in fs::Dir::new(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Sets mode and time of what stands at a path, where they differ.
    pub(super) fn set_metadata(
        &self,
        path: &[u8],
        mode: Option<u32>,
        meta: &Metadata,
    ) -> Result<(), Failure> {
        let found = self.look(path)?;
        let Some(stamp) = found.stamp() else { return Ok(()) };
        let failed = |error| self.failure("set mode and time of", path, error);
        if let Some(mode) = mode.filter(|mode| *mode != stamp.mode) {
            self.set_mode(path, &found, mode).map_err(failed)?;
        }
        let Some(time) = meta.mtime.filter(|_| !stamp.has_time(meta)) else { return Ok(()) };
        let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos) };
        let times = Timestamps { last_access: time, last_modification: time };
        let set = match split(path) {
            Some((parent, name)) => self.directory(parent).and_then(|directory| {
                fs::utimensat(&directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }),
            None => fs::utimensat(&self.root, ".", &times, AtFlags::empty()),
        };
        set.map_err(failed)
    }

    fn set_mode(&self, path: &[u8], found: &Found, mode: u32) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(mode);
        match found {
            Found::Directory(_) => {
                // Through its own descriptor, so that it is a directory that is changed.
                fs::chmodat(self.directory(path)?, ".", mode, AtFlags::empty())
            }
            Found::File(_) => {
                let file = self.file(path).ok_or(Errno::ACCESS)?;
                fs::fchmod(&file, mode)
            }
            _ => Ok(()),
        }
    }
}

/// What stands under a name in a directory.
pub(super) fn look(directory: &OwnedFd, name: &[u8]) -> Result<Found, Errno> {
    let stat = match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Absent),
        Err(error) => return Err(error),
    };
    let stamp = Stamp::of(&stat);
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Found::File(stamp),
        FileType::Symlink => Found::Symlink(stamp),
        FileType::Directory => Found::Directory(stamp),
        _ => Found::Other(stamp),
    })
}
