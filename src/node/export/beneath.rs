//! Makes entries below one directory, whatever is put in the way meanwhile.
//!
//! Every directory that something is made in is opened from the descriptor of the one that OUT stands
//! in, by `openat2` beneath it and without following any symlink; on a kernel without that call,
//! component by component with `O_NOFOLLOW`. Then the entry is made by its name alone. Names come
//! checked ([`shoal_dag::name::check`]).

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};
use shoal_dag::Mtime;

/// How a directory is opened to work in.
const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory in which, and below which, entries are made.
#[derive(Debug)]
pub(super) struct Beneath {
    base: PathBuf,
    top: OwnedFd,
    /// The directory below it that was used last.
    last: Option<(PathBuf, OwnedFd)>,
    /// The kernel has `openat2`.
    resolves: bool,
}

impl Beneath {
    /// Everything is made below `base`, which may be a symlink.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(base: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = fs::openat(fs::CWD, base, flags, Mode::empty())?;
        Ok(Self { base: base.to_owned(), top, last: None, resolves: true })
    }

    /// Does without `openat2`.
    #[cfg(test)]
    pub(super) const fn by_component(mut self) -> Self {
        self.resolves = false;
        self
    }

    /// Whether something stands at a path: a name that was not made may be one that the file system
    /// takes for another.
    pub(super) fn stands(&mut self, path: &Path) -> io::Result<bool> {
        let (dir, name) = self.at(path)?;
        match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a directory that only its owner may enter.
    pub(super) fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        Ok(fs::mkdirat(dir, name, Mode::RWXU)?)
    }

    /// Makes a file that only its owner may open.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<File> {
        let (dir, name) = self.at(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(file.into())
    }

    /// Makes a symlink.
    pub(super) fn symlink(&mut self, target: &OsStr, path: &Path) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        Ok(fs::symlinkat(target, dir, name)?)
    }

    /// Sets the mode of a file or directory that was made here.
    pub(super) fn set_mode(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let (dir, name) = self.at(path)?;
        // Without flags, since old kernels take none: what was made here is no symlink.
        Ok(fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
    }

    /// Sets the times of an entry, of a symlink itself.
    pub(super) fn set_times(&mut self, path: &Path, mtime: Mtime) -> io::Result<()> {
        let time = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanos) };
        let times = Timestamps { last_access: time, last_modification: time };
        let (dir, name) = self.at(path)?;
        Ok(fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The directory of a path, and the name in it.
    fn at<'a>(&'a mut self, path: &'a Path) -> io::Result<(BorrowedFd<'a>, &'a OsStr)> {
        let within = path.strip_prefix(&self.base).map_err(|_| io::ErrorKind::InvalidInput)?;
        let name = within.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = within.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            return Ok((self.top.as_fd(), name));
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != parent) {
            let opened = self.descend(parent)?;
            self.last = Some((parent.to_owned(), opened));
        }
        let (_, dir) = self.last.as_ref().expect("it was just opened");
        Ok((dir.as_fd(), name))
    }

    fn descend(&mut self, parent: &Path) -> io::Result<OwnedFd> {
        if self.resolves {
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match fs::openat2(&self.top, parent, DIRECTORY, Mode::empty(), how) {
                // A kernel, or a filter of system calls, that does not know it.
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => self.resolves = false,
                opened => return Ok(opened?),
            }
        }
        let mut dir: Option<OwnedFd> = None;
        for component in parent.components() {
            let Component::Normal(name) = component else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let above = dir.as_ref().unwrap_or(&self.top);
            dir = Some(fs::openat(above, name, DIRECTORY, Mode::empty())?);
        }
        dir.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs as std_fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn both() -> impl Iterator<Item = (tempfile::TempDir, Beneath)> {
        [true, false].into_iter().map(|resolves| {
            let dir = tempfile::tempdir().unwrap();
            std_fs::create_dir(dir.path().join("base")).unwrap();
            let beneath = Beneath::open(&dir.path().join("base")).unwrap();
            (dir, if resolves { beneath } else { beneath.by_component() })
        })
    }

    #[test]
    fn entries_are_made_at_every_depth() {
        for (dir, mut beneath) in both() {
            let base = dir.path().join("base");
            beneath.make_dir(&base.join("a")).unwrap();
            beneath.make_dir(&base.join("a/b")).unwrap();
            drop(beneath.create(&base.join("a/b/file")).unwrap());
            beneath.symlink(OsStr::new("/nowhere"), &base.join("a/link")).unwrap();
            beneath.set_mode(&base.join("a/b/file"), 0o640).unwrap();
            beneath.set_times(&base.join("a/link"), Mtime { seconds: 7, nanos: 0 }).unwrap();
            let mode = std_fs::metadata(base.join("a/b/file")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o640);
            assert!(beneath.stands(&base.join("a/link")).unwrap());
            assert!(!beneath.stands(&base.join("a/other")).unwrap());
            let again = beneath.create(&base.join("a/b/file")).unwrap_err();
            assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        }
    }

    /// Whoever puts a symlink where a directory was made leads nothing anywhere.
    #[test]
    fn no_symlink_on_the_way_is_followed() {
        for (dir, mut beneath) in both() {
            let base = dir.path().join("base");
            beneath.make_dir(&base.join("a")).unwrap();
            std_fs::remove_dir(base.join("a")).unwrap();
            std::os::unix::fs::symlink(dir.path(), base.join("a")).unwrap();
            std_fs::create_dir(dir.path().join("b")).unwrap();
            for path in ["a/escaped", "a/b/escaped"] {
                assert!(beneath.create(&base.join(path)).is_err(), "{path}");
                assert!(beneath.make_dir(&base.join(path)).is_err(), "{path}");
            }
            for path in ["../escaped", "x/../../escaped"] {
                assert!(beneath.create(&base.join(path)).is_err(), "{path}");
            }
            assert!(!dir.path().join("escaped").exists());
            assert!(std_fs::read_dir(dir.path().join("b")).unwrap().next().is_none());
        }
    }
}
