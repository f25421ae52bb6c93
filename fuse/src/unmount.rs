//! Taking a mount down, whoever made it and whether or not its process lives.
//!
//! Used by `shoal umount` from any process and by [`crate::Mounted`] for its own. A mount whose
//! process died answers `ENOTCONN` for ever and is detached, even when somebody still stands in it;
//! a living mount that is in use is left alone and named busy. Without privilege the set-uid helper
//! `fusermount3` does it.
//!
//! Invariant: only a mount of type `fuse.shoal` that is on top of its directory is ever taken down,
//! and [`unmount`] returns `Ok` only when it is gone from the mount table.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::mountinfo::{self, MountEntry};

/// Why a mount could not be taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnmountError {
    /// Nothing of ours is mounted there. Mend: name the directory that was given to `mount`.
    #[error("{} is not a shoal mount", path.display())]
    NotMounted {
        /// The directory that was named.
        path: PathBuf,
    },
    /// Files in it are open or a process has its working directory there. Mend: close them.
    #[error("{} is in use", path.display())]
    Busy {
        /// The mountpoint.
        path: PathBuf,
    },
    /// This user may not take it down. Mend: do it as the one who mounted it, or as root.
    #[error("not allowed to unmount {}: {detail}", path.display())]
    NotAllowed {
        /// The mountpoint.
        path: PathBuf,
        /// What the helper or the kernel said.
        detail: String,
    },
    /// The system failed otherwise.
    #[error("failed to unmount {}", path.display())]
    Io {
        /// The mountpoint.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Takes down the shoal mount on `path` and returns when it is gone.
pub fn unmount(path: &Path) -> Result<(), UnmountError> {
    let mount = find(path)?;
    let target = mount.mountpoint.as_path();
    match rustix::mount::unmount(target, UnmountFlags::NOFOLLOW) {
        Ok(()) => {}
        Err(Errno::BUSY) if is_dead(target) => detach(target)?,
        Err(Errno::BUSY) => {
            return Err(UnmountError::Busy { path: target.into() });
        }
        Err(Errno::PERM) => unmount_by_helper(target)?,
        // Somebody else took it down between the look and the call.
        Err(Errno::INVAL) => {}
        Err(errno) => return Err(failed(target, errno.into())),
    }
    match mountinfo::is_there(&mount) {
        Ok(false) => Ok(()),
        Ok(true) => Err(UnmountError::Busy { path: target.into() }),
        Err(error) => Err(failed(target, error)),
    }
}

/// The shoal mount meant by `path`: the directory itself, or where a symbolic link leads.
fn find(path: &Path) -> Result<MountEntry, UnmountError> {
    let not_mounted = || UnmountError::NotMounted { path: path.into() };
    let look = |resolved: io::Result<PathBuf>| -> Result<Option<MountEntry>, UnmountError> {
        let Ok(resolved) = resolved else {
            return Ok(None);
        };
        let entry = mountinfo::on_top_of(&resolved).map_err(|error| failed(path, error))?;
        Ok(entry.filter(MountEntry::is_shoal))
    };
    if let Some(entry) = look(mountinfo::resolve_beside(path))? {
        return Ok(entry);
    }
    look(path.canonicalize())?.ok_or_else(not_mounted)
}

/// Has the process that served this mount gone? `statfs` is never answered from a cache, and a
/// living mount answers it at once.
pub(crate) fn is_dead(mountpoint: &Path) -> bool {
    matches!(rustix::fs::statfs(mountpoint), Err(Errno::NOTCONN | Errno::CONNABORTED))
}

/// Takes the mount out of the directory tree now; the kernel forgets it with its last user.
pub(crate) fn detach(mountpoint: &Path) -> Result<(), UnmountError> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(mountpoint, flags) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(Errno::PERM) => helper(&["-u", "-z"], mountpoint),
        Err(errno) => Err(failed(mountpoint, errno.into())),
    }
}

fn unmount_by_helper(mountpoint: &Path) -> Result<(), UnmountError> {
    match helper(&["-u"], mountpoint) {
        Err(UnmountError::Busy { .. }) if is_dead(mountpoint) => helper(&["-u", "-z"], mountpoint),
        outcome => outcome,
    }
}

fn helper(options: &[&str], mountpoint: &Path) -> Result<(), UnmountError> {
    let path = || mountpoint.to_path_buf();
    let output = Command::new(helper_name())
        .args(options)
        .arg("--")
        .arg(mountpoint)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| UnmountError::NotAllowed {
            path: path(),
            detail: format!("fusermount3: {error}"),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if detail.contains("busy") {
        return Err(UnmountError::Busy { path: path() });
    }
    Err(UnmountError::NotAllowed { path: path(), detail })
}

/// The set-uid helper that mounts and unmounts for users without privilege; `FUSERMOUNT_PATH`
/// names another.
pub(crate) fn helper_name() -> std::ffi::OsString {
    std::env::var_os("FUSERMOUNT_PATH").unwrap_or_else(|| OsStr::new("fusermount3").into())
}

fn failed(path: &Path, source: io::Error) -> UnmountError {
    UnmountError::Io { path: path.into(), source }
}
