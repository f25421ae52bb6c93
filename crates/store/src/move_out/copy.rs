//! Giving a file's content another name: a hard link, a reflink or a copy.
//!
//! Works on paths and open files only: what the store makes of the result is `move_out`'s business, and
//! nothing is synced here.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Moved;
use crate::disk::{Disk, DiskFile};
use crate::error::WriteError;
use crate::files::read_at;

/// One call of copy_file_range(2) is asked for this much.
const COPY_BYTES: usize = 1 << 30;
/// What is read and written is read by this much.
const HAND_BYTES: usize = 128 * 1024;

/// Links the store's file to `temp` where both are on one file system, the file is ours, and nobody has
/// another name for it.
pub(super) fn link(disk: &Disk, from: &Path, temp: &Path, mode: u32) -> Result<bool, WriteError> {
    let user = rustix::process::geteuid().as_raw();
    if !fs::metadata(from).is_ok_and(|metadata| metadata.uid() == user && metadata.nlink() == 1) {
        return Ok(false);
    }
    match disk.hard_link(from, temp) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(WriteError::io(temp, error));
        }
        Err(_) => return Ok(false),
    }
    let set = disk.set_mode(temp, mode & 0o7777);
    set.map_err(|error| WriteError::io(temp, error))?;
    Ok(true)
}

/// Makes `temp` with the content of `from`; it is gone again after an error.
pub(super) fn copy_to(
    disk: &Disk,
    from: &File,
    temp: &Path,
    mode: u32,
) -> Result<Moved, WriteError> {
    let to = disk.create_new(temp).map_err(|error| WriteError::io(temp, error))?;
    let copied = clone_or_copy(from, &to).and_then(|how| {
        to.set_mode(temp, mode & 0o7777)?;
        Ok(how)
    });
    copied.map_err(|error| {
        drop(disk.remove(temp));
        WriteError::io(temp, error)
    })
}

/// Fills an empty file from another one.
pub(super) fn clone_or_copy(from: &File, to: &DiskFile) -> io::Result<Moved> {
    if to.clone_from(from).is_ok() {
        return Ok(Moved::Reflinked);
    }
    let len = from.metadata()?.len();
    let mut done = 0;
    while done < len {
        match to.copy_from(from, done, done, COPY_BYTES) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => done += copied as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Across some file systems only read and write do it.
            Err(_) if done == 0 => return copy_by_hand(from, to, len),
            Err(error) => return Err(error),
        }
    }
    Ok(Moved::Copied)
}

fn copy_by_hand(from: &File, to: &DiskFile, len: u64) -> io::Result<Moved> {
    let mut done = 0;
    while done < len {
        let bytes = read_at(from, done, HAND_BYTES)?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all_at(&bytes, done)?;
        done += bytes.len() as u64;
    }
    Ok(Moved::Copied)
}
