//! Files that a verb writes itself: keys and proofs.
//!
//! A key is written at once to a file that did not exist ([`write_secret`]). What comes in pieces
//! gathers in a file beside the wanted one and takes its name when it is whole ([`Gathering`]): a
//! reader never sees a half. Both are synced. Everything else that verbs leave on a disk the node
//! writes.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};

use crate::control::protocol::Failure;

/// Writes a file that nobody else may read and that did not exist, and syncs it.
///
/// # Errors
/// Something stands at `path` already, or it cannot be written; then nothing is left there.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| cannot_make(path, &error))?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_dir(path));
    written.map_err(|error| {
        let _left_behind = fs::remove_file(path);
        Failure::io("write", path, &error)
    })
}

/// A file that appears at its path when it is whole. Dropped before that, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Gathering {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    replaces: bool,
    bytes: u64,
}

impl Gathering {
    /// Begins to gather for `path`; what stands there is refused unless it `replaces` it.
    pub(crate) fn begin(path: &Path, replaces: bool) -> Result<Self, Failure> {
        let name = path.file_name().ok_or_else(|| {
            Failure::usage(format!("{} cannot be the name of a file", path.display()))
        })?;
        if !replaces && fs::symlink_metadata(path).is_ok() {
            return Err(exists(path).hint("say --force to replace it"));
        }
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".shoal-{:016x}", rand::random::<u64>()));
        let beside = path.with_file_name(hidden);
        let opened = OpenOptions::new().write(true).create_new(true).open(&beside);
        let file = opened.map_err(|error| Failure::io("make", &beside, &error))?;
        Ok(Self { file, beside, path: path.to_owned(), replaces, bytes: 0 })
    }

    /// Appends.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| self.failed(&error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) -> Result<(), Failure> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        self.bytes = 0;
        emptied.map_err(|error| self.failed(&error))
    }

    /// Bytes gathered.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is whole: puts it in its place.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.failed(&error))?;
        let flags = if self.replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match rustix::fs::renameat_with(CWD, &self.beside, CWD, &self.path, flags) {
            Ok(()) => sync_dir(&self.path).map_err(|error| self.failed(&error)),
            Err(rustix::io::Errno::EXIST) => Err(exists(&self.path)),
            Err(error) => Err(self.failed(&error.into())),
        }
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::io("write", &self.path, error)
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        // Once it has its place there is nothing under this name.
        let _gone = fs::remove_file(&self.beside);
    }
}

fn cannot_make(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            exists(path).hint("a key is written to a new file only; choose another")
        }
        _ => Failure::io("make", path, error),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::failed(format!("{} exists already", path.display()))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entries(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_secret_is_for_its_owner_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_secret(&path, b"secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let failure = write_secret(&path, b"another").unwrap_err();
        assert!(failure.message.contains("exists already"), "{}", failure.message);
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proof");
        let mut gathering = Gathering::begin(&path, false).unwrap();
        gathering.append(b"half of one that is longer").unwrap();
        gathering.restart().unwrap();
        gathering.append(b"one").unwrap();
        assert!(!path.exists());
        assert_eq!(gathering.bytes(), 3);
        gathering.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), entries(dir.path())), (&b"one"[..], 1));
    }

    #[test]
    fn what_stands_there_is_replaced_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proof");
        let mut late = Gathering::begin(&path, false).unwrap();
        late.append(b"new").unwrap();
        fs::write(&path, "old").unwrap();
        assert!(late.finish().is_err());
        assert!(Gathering::begin(&path, false).is_err());
        drop(Gathering::begin(&path, true).unwrap());
        assert_eq!((fs::read(&path).unwrap().as_slice(), entries(dir.path())), (&b"old"[..], 1));
        Gathering::begin(&path, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
