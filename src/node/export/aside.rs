//! Deletes a tree that stands aside: what an export made and cannot use, or what it replaced.
//!
//! From directory to directory by descriptors, so that a tree that somebody changes meanwhile leads
//! nowhere else: no symlink is followed and no other file system entered. Directories that their mode
//! closes to their owner are opened first. What is in the way is left and the rest goes on; the first
//! reason is told. It ends soon after it is asked to, with the rest still there.

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use super::parent_of;

/// Deepest nesting that is entered: what is below costs more descriptors than a process may have.
const DEPTH_MAX: usize = super::DEPTH_MAX;

/// How a tree is deleted.
pub(super) struct Deleting<'a> {
    /// Asked before every name: `false` ends it.
    pub(super) goes_on: &'a mut dyn FnMut() -> bool,
    /// A directory that is a store is left, with everything above it.
    pub(super) spares_stores: bool,
}

/// A directory that is being emptied.
struct Open {
    name: CString,
    directory: Dir,
}

impl Deleting<'_> {
    /// Deletes whatever is at `path`; nothing there is fine.
    ///
    /// # Errors
    /// The first thing that stayed, and why.
    pub(super) fn delete(&mut self, path: &Path) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent_of(path), flags, Mode::empty())?;
        let name = path.file_name().unwrap_or_default();
        let name = CString::new(name.as_bytes()).map_err(io::Error::other)?;
        let device = match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        let (mut stack, mut stayed) = (Vec::new(), None);
        if FileType::from_raw_mode(device.st_mode) != FileType::Directory {
            return Ok(rustix::fs::unlinkat(&parent, &name, AtFlags::empty())?);
        }
        stack.push(self.enter(parent.as_fd(), &name, device.st_dev)?);
        while let Some(open) = stack.last_mut() {
            if !(self.goes_on)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let done = match open.directory.next() {
                Some(Ok(entry)) => self.entry(&mut stack, entry.file_name(), device.st_dev),
                Some(Err(error)) => Err(error.into()),
                None => leave(&mut stack, parent.as_fd()),
            };
            if let Err(error) = done {
                stayed.get_or_insert(error);
            }
        }
        stayed.map_or(Ok(()), Err)
    }

    fn entry(&self, stack: &mut Vec<Open>, name: &CStr, device: u64) -> io::Result<()> {
        if name == c"." || name == c".." {
            return Ok(());
        }
        let depth = stack.len();
        let Some(open) = stack.last() else { return Ok(()) };
        match rustix::fs::unlinkat(open.directory.fd()?, name, AtFlags::empty()) {
            // Linux says the first of a directory, POSIX the second.
            Err(Errno::ISDIR | Errno::PERM) => {}
            removed => return removed.map_err(|error| told(stack, name, &error.into())),
        }
        if depth >= DEPTH_MAX {
            let text = format!("directories are nested more than {DEPTH_MAX} deep");
            return Err(told(stack, name, &io::Error::other(text)));
        }
        let entered = self.enter(open.directory.fd()?, name, device);
        let entered = entered.map_err(|error| told(stack, name, &error))?;
        stack.push(entered);
        Ok(())
    }

    fn enter(&self, parent: BorrowedFd<'_>, name: &CStr, device: u64) -> io::Result<Open> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
        let directory = match open() {
            Err(Errno::ACCESS) => {
                unseal(parent, name)?;
                open()?
            }
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&directory)?;
        if stat.st_dev != device {
            return Err(io::Error::other("it is another file system"));
        }
        let inside = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        if self.spares_stores && shoal_store::is_store(&inside) {
            return Err(io::Error::other("it is a Shoal store"));
        }
        if stat.st_mode & 0o700 != 0o700 {
            // What this does not help with fails again where it is told.
            let _told_later = rustix::fs::fchmod(&directory, Mode::RWXU);
        }
        Ok(Open { name: name.to_owned(), directory: Dir::new(directory)? })
    }
}

/// Removes a directory that was read to its end.
fn leave(stack: &mut Vec<Open>, top: BorrowedFd<'_>) -> io::Result<()> {
    let Some(open) = stack.pop() else { return Ok(()) };
    let parent = match stack.last() {
        Some(parent) => parent.directory.fd()?,
        None => top,
    };
    let removed = rustix::fs::unlinkat(parent, &open.name, AtFlags::REMOVEDIR);
    removed.map_err(|error| told(stack, &open.name, &error.into()))
}

/// Opens a directory to its owner, by a descriptor, so that it is the directory that is meant.
fn unseal(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
    Ok(rustix::fs::chmod(path.as_str(), Mode::RWXU)?)
}

/// An error with where it happened, below the top.
fn told(stack: &[Open], name: &CStr, error: &io::Error) -> io::Error {
    let names = stack.iter().skip(1).map(|open| &*open.name).chain([name]);
    let path: PathBuf = names.map(|name| OsStr::from_bytes(name.to_bytes())).collect();
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
