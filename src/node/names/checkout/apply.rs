//! Doing what was planned.
//!
//! First what goes away, deepest first; then directories and files, each file written into a staging directory
//! and renamed over what stands there; at last modes and times, of directories deepest first. Files are
//! staged in batches that are synced before the first rename, so that a power loss finds each entry old or
//! new. An entry that is no more what it was when it was looked at ends the work before it is touched.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    fs::{self, AtFlags, Mode},
    io::Errno,
};
use shoal_dag::{Cid, Metadata, path::CidPath};
use shoal_store::Store;

use super::{
    disk::{Found, Out, Stamp, split},
    plan::Act,
};
use crate::{
    control::{
        protocol::{Failure, Kind, Progress, Response},
        server::Responder,
    },
    exit::Exit,
    node::{
        add::tree::MODE_KEPT,
        export::{self, Export},
        names::diff::compare::Side,
        sharing,
    },
};

/// Bytes of files that are staged before they are synced and renamed: the space that a checkout takes
/// beyond that of the version, one file excepted.
const STAGED_BYTES_MAX: u64 = 256 << 20;

/// Files that are staged at once.
const STAGED_MAX: usize = 4_096;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// A checkout that is on its way into a directory.
pub(super) struct Apply<'a> {
    pub(super) store: &'a Store,
    pub(super) out: &'a Out,
    /// The version, and the path in it that stands at the directory.
    pub(super) version: &'a CidPath,
    /// The asking process's umask.
    pub(super) umask: u32,
    /// Directories that stand in the way go, with what is in them.
    pub(super) force: bool,
    /// The name of the staging directory.
    pub(super) staging: &'a [u8],
    pub(super) answers: &'a Responder,
    pub(super) work: Work,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Work {
    counts: Counts,
    staged: Vec<(PathBuf, Vec<u8>, Option<Stamp>)>,
    staged_bytes: u64,
    /// Directories that are changed, with the mode that they had.
    touched: BTreeMap<Vec<u8>, u32>,
    told: Option<Instant>,
}

/// What was done: files and symlinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) removed: u64,
    pub(super) kept: u64,
}

impl Apply<'_> {
    /// Does it all; what is left over after an error is brought to the version by the next checkout.
    ///
    /// # Errors
    /// The disk, the store; exit 5 for an entry that was changed meanwhile.
    pub(super) fn run(mut self, acts: &[(Vec<u8>, Act)]) -> Result<Counts, Failure> {
        if acts.is_empty() {
            return Ok(Counts::default());
        }
        let idle = acts.iter().all(|(_, act)| matches!(act, Act::Keep(_)));
        if !idle {
            self.touch(b"")?;
            self.open_staging()?;
        }
        let done = self.acts(acts);
        // Renamed or not, nothing in it is anybody's.
        remove_staging(self.out, self.staging);
        done?;
        for (path, act) in acts {
            match act {
                Act::Keep(Side { kind: Kind::Directory, .. }) => {
                    self.touch(path)?;
                }
                Act::Keep(side) => self.set_file_metadata(path, &side.cid)?,
                _ => {}
            }
        }
        self.finish_directories()?;
        self.sync()?;
        Ok(self.work.counts)
    }

    fn acts(&mut self, acts: &[(Vec<u8>, Act)]) -> Result<(), Failure> {
        for (path, act) in acts.iter().rev() {
            match act {
                Act::Remove(stamp) => self.remove(path, *stamp)?,
                Act::RemoveDirectory => self.remove_directory(path)?,
                _ => {}
            }
        }
        for (path, act) in acts {
            self.tell()?;
            match act {
                Act::Make(replaces) => self.make(path, *replaces)?,
                Act::Write { side, replaces } => self.write(path, side, *replaces)?,
                Act::Keep(side) if side.kind != Kind::Directory => {
                    self.work.counts.kept += 1;
                }
                _ => {}
            }
        }
        self.rename_staged()
    }

    fn tell(&mut self) -> Result<(), Failure> {
        // A client that has gone is found here: nobody waits for the rest.
        self.answers.check()?;
        if self.work.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.work.told = Some(Instant::now());
            let files = self.work.counts.written;
            let waiting = "writing".to_owned();
            let progress = Progress { files, waiting, ..Progress::default() };
            self.answers.offer(Response::Progress(progress));
        }
        Ok(())
    }

    fn open_staging(&self) -> Result<(), Failure> {
        let failed = |error| self.out.failure("make", self.staging, error);
        let root = self.out.directory(b"").map_err(failed)?;
        fs::mkdirat(&root, self.staging, Mode::RWXU).map_err(failed)
    }

    /// Notes that a directory is changed, and lets its owner work in it.
    fn touch(&mut self, path: &[u8]) -> Result<(), Failure> {
        if self.work.touched.contains_key(path) {
            return Ok(());
        }
        let Found::Directory(stamp) = self.out.look(path)? else { return Ok(()) };
        self.work.touched.insert(path.to_vec(), stamp.mode);
        if stamp.mode & 0o700 != 0o700 {
            self.out.set_metadata(path, Some(stamp.mode | 0o700), &Metadata::NONE)?;
        }
        Ok(())
    }

    /// The directory that a path lies in, made where it is missing.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8]), Failure> {
        let (parent, name) = split(path).unwrap_or((b"", b"."));
        if let Ok(directory) = self.out.directory(parent) {
            self.touch(parent)?;
            return Ok((directory, name));
        }
        let mut made = Vec::new();
        for part in parent.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            if !made.is_empty() {
                made.push(b'/');
            }
            made.extend_from_slice(part);
            if matches!(self.out.look(&made)?, Found::Absent) {
                self.make(&made, None)?;
            }
        }
        self.touch(parent)?;
        let opened = self.out.directory(parent);
        Ok((opened.map_err(|error| self.out.failure("open", parent, error))?, name))
    }

    /// Fails where something else stands there than what was looked at.
    fn check(&self, path: &[u8], expected: Option<Stamp>) -> Result<Found, Failure> {
        let found = self.out.look(path)?;
        let same = match (&found, expected) {
            // What is in a directory moves its stamp: that it is this one is enough.
            (Found::Directory(stamp), Some(expected)) => stamp.identity() == expected.identity(),
            (found, expected) => found.stamp() == expected,
        };
        if same {
            return Ok(found);
        }
        let shown = self.out.path.join(OsStr::from_bytes(path));
        let text = format!("{} was changed while it was checked out", shown.display());
        Err(Failure::new(Exit::TryAgain, text).hint("the next checkout goes on from here"))
    }

    fn remove(&mut self, path: &[u8], stamp: Stamp) -> Result<(), Failure> {
        let (directory, name) = self.parent(path)?;
        self.check(path, Some(stamp))?;
        fs::unlinkat(&directory, name, AtFlags::empty())
            .map_err(|error| self.out.failure("remove", path, error))?;
        self.work.counts.removed += 1;
        Ok(())
    }

    fn remove_directory(&mut self, path: &[u8]) -> Result<(), Failure> {
        let (directory, name) = self.parent(path)?;
        match fs::unlinkat(&directory, name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                self.work.touched.remove(path);
                Ok(())
            }
            // Something of the user is in it.
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(self.out.failure("remove", path, error)),
        }
    }

    fn make(&mut self, path: &[u8], replaces: Option<Stamp>) -> Result<(), Failure> {
        let (directory, name) = self.parent(path)?;
        if replaces.is_some() {
            self.check(path, replaces)?;
            fs::unlinkat(&directory, name, AtFlags::empty())
                .map_err(|error| self.out.failure("replace", path, error))?;
        }
        match fs::mkdirat(&directory, name, Mode::RWXU) {
            Ok(()) => {
                // Its own mode comes at the end, or what the umask leaves of the usual one.
                self.work.touched.insert(path.to_vec(), 0o777 & !self.umask);
                Ok(())
            }
            Err(error) => Err(self.out.failure("make", path, error)),
        }
    }

    /// Writes a file or symlink into the staging directory.
    fn write(&mut self, path: &[u8], side: &Side, replaces: Option<Stamp>) -> Result<(), Failure> {
        let number = self.work.staged.len().to_string();
        let target = self.out.path.join(OsStr::from_bytes(self.staging)).join(number);
        let export = Export {
            store: self.store.clone(),
            root: side.cid,
            target: target.clone(),
            force: false,
            copy: true,
            sync: false,
            umask: self.umask,
            size_max: None,
            out: self.answers.clone(),
        };
        self.work.staged_bytes += export.run()?.bytes;
        self.work.staged.push((target, path.to_vec(), replaces));
        if self.work.staged_bytes >= STAGED_BYTES_MAX || self.work.staged.len() >= STAGED_MAX {
            self.rename_staged()?;
        }
        Ok(())
    }

    /// Puts what is staged in its place.
    fn rename_staged(&mut self) -> Result<(), Failure> {
        if self.work.staged.is_empty() {
            return Ok(());
        }
        self.sync()?;
        self.work.staged_bytes = 0;
        for (from, path, replaces) in std::mem::take(&mut self.work.staged) {
            let (directory, name) = self.parent(&path)?;
            if matches!(self.check(&path, replaces)?, Found::Directory(_)) {
                self.set_aside(&directory, name, &path)?;
            }
            let failed = |error| self.out.failure("write", &path, error);
            fs::renameat(fs::CWD, &from, &directory, name).map_err(failed)?;
            self.work.counts.written += 1;
        }
        Ok(())
    }

    /// Takes away a directory that stands in the way: an empty one, or by force one with all that is in
    /// it, which goes into the staging directory and with that.
    fn set_aside(&mut self, directory: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Failure> {
        let failed = |error| self.out.failure("replace", path, error);
        match fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.force => {
                let aside = format!("aside-{}", self.work.counts.written);
                let staging = self.out.directory(self.staging).map_err(failed)?;
                fs::renameat(directory, name, &staging, aside.as_str()).map_err(failed)?;
            }
            removed => removed.map_err(failed)?,
        }
        let below = [path, b"/"].concat();
        self.work.touched.retain(|touched, _| touched != path && !touched.starts_with(&below));
        Ok(())
    }

    /// Mode and time of a file or symlink that stands there already.
    fn set_file_metadata(&self, path: &[u8], cid: &Cid) -> Result<(), Failure> {
        let meta = if cid.codec() == shoal_dag::hash::RAW {
            Metadata::NONE
        } else {
            *export::node(self.store, cid)?.meta()
        };
        let mode = meta.mode.map_or(0o666 & !self.umask, |mode| mode & MODE_KEPT);
        self.out.set_metadata(path, Some(mode), &meta)
    }

    /// Modes and times of directories, deepest first, since what is done in one moves its time.
    fn finish_directories(&mut self) -> Result<(), Failure> {
        for (path, mode) in std::mem::take(&mut self.work.touched).into_iter().rev() {
            let below = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
            let segments = self.version.segments.iter().cloned().chain(below.map(<[u8]>::to_vec));
            let at = CidPath { root: self.version.root, segments: segments.collect() };
            let there = sharing::resolve_here(self.store, &at);
            let meta = there.and_then(|there| export::node(self.store, &there.cid).ok());
            let meta = meta.map_or(Metadata::NONE, |node| *node.meta());
            let mode = meta.mode.map_or(mode, |mode| mode & MODE_KEPT);
            self.out.set_metadata(&path, Some(mode), &meta)?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        let failed = |error| self.out.failure("sync", b"", error);
        let directory = self.out.directory(b"").map_err(failed)?;
        let flags = fs::OFlags::RDONLY | fs::OFlags::DIRECTORY | fs::OFlags::CLOEXEC;
        let directory = fs::openat(&directory, ".", flags, Mode::empty()).map_err(failed)?;
        fs::syncfs(&directory).map_err(failed)
    }
}

/// Removes a staging directory, this one's or that of a checkout that was broken off.
pub(super) fn remove_staging(out: &Out, staging: &[u8]) {
    if matches!(out.look(staging), Ok(Found::Directory(_))) {
        export::remove_all(&out.path.join(OsStr::from_bytes(staging)));
    }
}
