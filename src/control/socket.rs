//! Binding and reaching the control socket, however long its path is.
//!
//! The address of a Unix socket holds about 108 bytes of path, and a store may lie deeper than that. A
//! longer path is reached through a descriptor of its directory: `/proc/self/fd/N/control.sock`.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

/// Longest path that is used as it is; `sun_path` has 108 bytes, its end included.
const PATH_BYTES_MAX: usize = 107;

/// A path that fits, and the directory that it needs to be open.
fn fitting(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    if path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((short, Some(directory)))
}

/// Binds the socket, mode 0600. What stands there belongs to a dead process: the caller holds the
/// store's lock.
///
/// # Errors
/// The directory cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _directory) = fitting(path)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket.
///
/// # Errors
/// Nobody listens, or the socket is another user's.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (short, _directory) = fitting(path)?;
    UnixStream::connect(short).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_deep_in_the_tree_is_reached_too() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).expect("directories");
        for path in [dir.path().join("control.sock"), deep.join("control.sock")] {
            let listener = bind(&path).expect("bound");
            let (connected, accepted) = tokio::join!(connect(&path), listener.accept());
            assert!(connected.is_ok() && accepted.is_ok());
            // A dead process's socket is in the way of nobody.
            drop(listener);
            assert!(connect(&path).await.is_err());
            assert!(bind(&path).is_ok());
        }
    }
}
