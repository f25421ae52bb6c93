//! Giving a file's content another name: a hard link, a reflink or a copy.
//!
//! Works on paths and open files only: what the store makes of the result is `move_out`'s business, and
//! nothing is synced here.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::Moved;
use crate::error::WriteError;
use crate::layout::create_new;

/// One call of copy_file_range(2) is asked for this much.
const COPY_BYTES: usize = 1 << 30;

/// Links the store's file to `temp` where both are on one file system, the file is ours, and nobody has
/// another name for it.
pub(super) fn link(from: &Path, temp: &Path, mode: u32) -> Result<bool, WriteError> {
    let user = rustix::process::geteuid().as_raw();
    if !fs::metadata(from).is_ok_and(|metadata| metadata.uid() == user && metadata.nlink() == 1) {
        return Ok(false);
    }
    match fs::hard_link(from, temp) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(WriteError::io(temp, error));
        }
        Err(_) => return Ok(false),
    }
    let set = fs::set_permissions(temp, Permissions::from_mode(mode & 0o7777));
    set.map_err(|error| WriteError::io(temp, error))?;
    Ok(true)
}

/// Makes `temp` with the content of `from`; it is gone again after an error.
pub(super) fn copy_to(from: &File, temp: &Path, mode: u32) -> Result<Moved, WriteError> {
    let to = create_new(temp).map_err(|error| WriteError::io(temp, error))?;
    let copied = clone_or_copy(from, &to).and_then(|how| {
        to.set_permissions(Permissions::from_mode(mode & 0o7777))?;
        Ok(how)
    });
    copied.map_err(|error| {
        drop(fs::remove_file(temp));
        WriteError::io(temp, error)
    })
}

/// Fills an empty file from another one.
pub(super) fn clone_or_copy(from: &File, to: &File) -> io::Result<Moved> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(Moved::Reflinked);
    }
    let len = from.metadata()?.len();
    let mut done = 0;
    while done < len {
        let (mut at, mut out) = (done, done);
        let now = rustix::fs::copy_file_range(from, Some(&mut at), to, Some(&mut out), COPY_BYTES);
        match now {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => done += copied as u64,
            Err(rustix::io::Errno::INTR) => {}
            // Across some file systems only read and write do it.
            Err(_) if done == 0 => {
                io::copy(&mut &*from, &mut &*to)?;
                return Ok(Moved::Copied);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Moved::Copied)
}
