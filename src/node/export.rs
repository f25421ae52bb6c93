//! Writes a tree from the store to a path of the user.
//!
//! Everything is made under a temporary name beside the target, in a directory that is ours alone until
//! the end, and appears whole by one rename; no symlink leads a write elsewhere ([`beneath`]). What cannot
//! fit is refused before anything is written ([`room`]). Names from the DAG are refused when no file system may have
//! them, symlinks are made and never followed, modes are masked to [`MODE_KEPT`]. Directories get their mode
//! and time after what is in them. Large files leave the store by link or clone where that is possible
//! ([`Store::move_out`]); one that its own mode, or that of a directory above it, closes to its owner is
//! copied, since the store could not read a linked one any more. What OUT replaces keeps the temporary
//! name until OUT stands and the store knows; then it is deleted ([`aside`]), and what cannot be deleted is
//! named. Some things are never replaced ([`spared`]). Once OUT stands, nothing makes a failure of it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{Access, RenameFlags};
use shoal_dag::{Bytes, Cid, Metadata, Node as DagNode, name, node::Dirent};
use shoal_store::{MovedOut, SettleOptions, Store};

use super::{add::tree::MODE_KEPT, directory::Entries};
use crate::control::{
    protocol::{Failure, Progress, Response},
    server::Responder,
};

mod aside;
mod beneath;
mod files;
pub mod room;
pub mod spared;

use beneath::Beneath;
pub use files::{node, settle, settle_files};

/// Deepest nesting of directories that is written: what `add` makes at most.
const DEPTH_MAX: usize = 1000;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What was replaced and is not deleted after this is named, so that whoever ends it knows what stays.
const DELETE_QUIETLY: Duration = Duration::from_millis(500);

/// One `get`, its tree in the store.
#[derive(Debug)]
pub struct Export {
    /// Where the blocks are.
    pub store: Store,
    /// The top of the tree.
    pub root: Cid,
    /// What appears at the end.
    pub target: PathBuf,
    /// Replace what stands there.
    pub force: bool,
    /// Leave the store its own copy of large files.
    pub copy: bool,
    /// Sync everything before the end.
    pub sync: bool,
    /// The asking process's umask.
    pub umask: u32,
    /// Content bytes wanted at most.
    pub size_max: Option<u64>,
    /// Where progress is told.
    pub out: Responder,
}

/// What was written.
#[derive(Debug, Default)]
pub struct Exported {
    /// Content bytes.
    pub bytes: u64,
    /// Files and symlinks.
    pub files: u64,
    /// Paths whose names are not allowed on disk, escaped and cut short: the first of them.
    pub refused: Vec<String>,
}

/// Refused entries that are named; of the rest only the number is told. A block of a stranger may hold
/// 100,000 of them.
pub const REFUSED_MAX: usize = 100;

/// Why an entry is left out whose name the file system does not tell from another, in its case or in
/// the form of its letters.
const FOLDED: &str = "the file system takes its name for that of another entry";

/// Bytes shown of a refused name, and of the path before it: as long as a good name, and together at
/// most 1 KiB before escaping. A name may be as long as a block.
const NAME_SHOWN_MAX: usize = 255;
const WITHIN_SHOWN_MAX: usize = 760;

/// Checks early that the target may be made.
///
/// # Errors
/// Exit 2 when it has no name; exit 1 when something stands there and `force` is not given, or when
/// its directory is missing; exit 12 when that may not be written into.
pub fn check_target(target: &Path, force: bool) -> Result<(), Failure> {
    if target.file_name().is_none() {
        let text = format!("{} has no name at its end to write to", target.display());
        return Err(Failure::usage(text));
    }
    if !force && fs::symlink_metadata(target).is_ok() {
        return Err(Failure::failed(format!("{} exists already", target.display()))
            .hint("replace it with --force, or choose another path with -o"));
    }
    let parent = parent_of(target);
    match fs::metadata(parent) {
        Ok(stat) if stat.is_dir() => {}
        Ok(_) => return Err(Failure::failed(format!("{} is not a directory", parent.display()))),
        Err(error) => return Err(Failure::io("write into", parent, &error)),
    }
    rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| Failure::io("write into", parent, &error.into()))
}

/// A target as the user gave it: its path, and whether slashes at its end ask for a directory.
pub fn target(given: &[u8]) -> (PathBuf, bool) {
    let end =
        given.iter().rposition(|byte| *byte != b'/').map_or(given.len().min(1), |last| last + 1);
    (PathBuf::from(std::ffi::OsStr::from_bytes(&given[..end])), end < given.len())
}

/// Checks that what was found is what the target asks for: a path that ends in a slash is a directory.
///
/// # Errors
/// Exit 1 for anything else.
pub fn check_kind(target: &Path, wants_directory: bool, found: &DagNode) -> Result<(), Failure> {
    if !wants_directory || found.is_directory() {
        return Ok(());
    }
    Err(Failure::failed(format!("{}/ asks for a directory, and this is none", target.display()))
        .hint("leave out the slash at the end"))
}

fn parent_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A directory that is being written.
struct Open {
    path: PathBuf,
    meta: Metadata,
    entries: Entries,
    /// Of these entries some are to be written yet.
    part: std::vec::IntoIter<Dirent>,
    /// Names that were written, where the directory may have one twice.
    names: Option<std::collections::HashSet<Vec<u8>>>,
    /// Its owner, or that of one above it, will not be able to go through it.
    sealed: bool,
}

/// A file that may be a blob.
struct Large {
    cid: Cid,
    size: u64,
    meta: Metadata,
    sealed: bool,
}

/// The state of one export.
pub(crate) struct Writer<'a> {
    export: &'a Export,
    temp: PathBuf,
    beneath: Beneath,
    done: Exported,
    refused_count: u64,
    moved: Vec<(MovedOut, PathBuf)>,
    told: Instant,
    /// OUT stands; what stood there before, if anything, has the temporary name.
    stands: bool,
}

impl Export {
    /// Writes the tree.
    ///
    /// # Errors
    /// Told to the user; nothing is left at the target or beside it.
    pub fn run(self) -> Result<Exported, Failure> {
        spared::check(&self.target, &self.store.dir())?;
        room::check(&self.store, &self.root, &self.target, self.size_max)?;
        let mut writer = Writer::new(&self)?;
        let result = writer.tree().and_then(|()| writer.appear());
        if !writer.stands {
            remove_all(&writer.temp);
        }
        result?;
        Ok(writer.done)
    }

    fn temporary(&self) -> PathBuf {
        let mut label = b".".to_vec();
        let file_name = self.target.file_name().unwrap_or_default().as_bytes();
        label.extend_from_slice(&file_name[..file_name.len().min(200)]);
        label.extend_from_slice(format!(".shoal-{:016x}", rand::random::<u64>()).as_bytes());
        parent_of(&self.target).join(std::ffi::OsStr::from_bytes(&label))
    }
}

impl<'a> Writer<'a> {
    fn new(export: &'a Export) -> Result<Self, Failure> {
        let parent = parent_of(&export.target);
        let beneath =
            Beneath::open(parent).map_err(|error| Failure::io("write into", parent, &error))?;
        Ok(Self {
            temp: export.temporary(),
            beneath,
            export,
            done: Exported::default(),
            refused_count: 0,
            moved: Vec::new(),
            told: Instant::now(),
            stands: false,
        })
    }
}

impl Writer<'_> {
    fn tree(&mut self) -> Result<(), Failure> {
        let mut stack = Vec::new();
        let temp = self.temp.clone();
        self.enter(&mut stack, &self.export.root.clone(), temp)?;
        while let Some(open) = stack.last_mut() {
            if let Some(entry) = open.part.next() {
                self.entry(&mut stack, &entry)?;
            } else if let Some(part) = self.part(&mut open.entries)? {
                open.part = part.into_iter();
            } else if let Some(open) = stack.pop() {
                self.finish_directory(&open)?;
            }
        }
        self.tell_refused()
    }

    /// The entries of the next block of a directory.
    fn part(&self, entries: &mut Entries) -> Result<Option<Vec<Dirent>>, Failure> {
        entries.next_here(&|cid| files::block(&self.export.store, cid))
    }

    fn entry(&mut self, stack: &mut Vec<Open>, entry: &Dirent) -> Result<(), Failure> {
        let Some(open) = stack.last_mut() else {
            return Ok(());
        };
        let path = open.path.join(std::ffi::OsStr::from_bytes(&entry.name));
        let mut repeats =
            || open.names.as_mut().is_some_and(|names| !names.insert(entry.name.clone()));
        let refused = match name::check(&entry.name) {
            Err(error) => Some(error.to_string()),
            Ok(()) if repeats() => Some("its name repeats".to_owned()),
            // The directory is new and all names in it differ.
            Ok(()) => self.beneath.stands(&path).unwrap_or(false).then(|| FOLDED.to_owned()),
        };
        if let Some(why) = refused {
            let within = open.path.strip_prefix(&self.temp).unwrap_or(&open.path);
            let shown = shown(within, &entry.name);
            return self.refuse(shown, why);
        }
        let cid = entry.cid;
        self.enter(stack, &cid, path)
    }

    fn refuse(&mut self, path: Vec<u8>, why: String) -> Result<(), Failure> {
        self.refused_count += 1;
        if self.done.refused.len() < REFUSED_MAX {
            self.done.refused.push(name::escape(&path));
            self.export.out.send_blocking(Response::Skipped { path, why })?;
        }
        Ok(())
    }

    /// Tells how many refused entries were not named.
    fn tell_refused(&self) -> Result<(), Failure> {
        let unnamed = self.refused_count.saturating_sub(REFUSED_MAX as u64);
        if unnamed > 0 {
            let text = format!("left out {unnamed} more entries for their names");
            self.export.out.send_blocking(Response::Note(text))?;
        }
        Ok(())
    }

    /// Writes a file or symlink; makes a directory and puts it on the stack.
    fn enter(&mut self, stack: &mut Vec<Open>, cid: &Cid, path: PathBuf) -> Result<(), Failure> {
        self.count(0)?;
        let sealed = stack.last().is_some_and(|open| open.sealed);
        let block = files::block(&self.export.store, cid)?;
        let node = DagNode::decode(cid, block.clone());
        match node.map_err(|error| Failure::bad_dag(cid, error))? {
            DagNode::Directory { meta, .. } => {
                // A sharded directory has a name once, as its walk makes sure.
                let names = Some(std::collections::HashSet::new());
                self.open(stack, path, Entries::of(*cid, block)?, names, meta)?;
            }
            DagNode::Shard(shard) => {
                self.open(stack, path, Entries::of(*cid, block)?, None, shard.meta)?;
            }
            DagNode::Symlink { target, meta } => {
                let made = self.beneath.symlink(std::ffi::OsStr::from_bytes(&target), &path);
                made.map_err(|error| Failure::io("make the symlink", &path, &error))?;
                self.set_times(&path, &meta)?;
                self.done.files += 1;
            }
            DagNode::Leaf { data, meta } if data.len() as u64 >= shoal_store::BLOB_BYTES_MIN => {
                let leaf = Large { cid: *cid, size: data.len() as u64, meta, sealed };
                self.large(&leaf, &path)?;
            }
            DagNode::Leaf { data, meta } => self.small(&data, &meta, &path)?,
            DagNode::File(file) => {
                let file = Large { cid: *cid, size: file.size, meta: file.meta, sealed };
                self.large(&file, &path)?;
            }
        }
        Ok(())
    }

    /// Makes a directory and puts it on the stack.
    fn open(
        &mut self,
        stack: &mut Vec<Open>,
        path: PathBuf,
        entries: Entries,
        names: Option<std::collections::HashSet<Vec<u8>>>,
        meta: Metadata,
    ) -> Result<(), Failure> {
        if stack.len() >= DEPTH_MAX {
            let text = format!("directories are nested more than {DEPTH_MAX} deep");
            return Err(Failure::bad_dag(&self.export.root, text));
        }
        let made = self.beneath.make_dir(&path);
        made.map_err(|error| Failure::io("make", &path, &error))?;
        let sealed = stack.last().is_some_and(|open| open.sealed);
        let sealed = sealed || self.mode(&meta, 0o777) & 0o100 == 0;
        stack.push(Open { path, meta, entries, part: Vec::new().into_iter(), names, sealed });
        Ok(())
    }

    /// A file of one block.
    fn small(&mut self, data: &Bytes, meta: &Metadata, path: &Path) -> Result<(), Failure> {
        let mut file = self.create(path)?;
        file.write_all(data).map_err(|error| Failure::io("write", path, &error))?;
        self.finish_file(path, meta)?;
        self.count(data.len() as u64)
    }

    /// A file that may be a blob.
    fn large(&mut self, file: &Large, path: &Path) -> Result<(), Failure> {
        let Large { cid, size, meta, sealed } = file;
        let store = &self.export.store;
        let mode = self.mode(meta, 0o666);
        let copy = self.export.copy || *sealed || mode & 0o400 == 0;
        let kept = self.export.copy;
        let options = SettleOptions { sync: false, kept, sparse: kept };
        let moved = if files::settle(store, cid, *size, options)? {
            store.move_out(cid, path, mode, copy)?
        } else {
            None
        };
        if let Some(moved) = moved {
            let within = path.strip_prefix(&self.temp).unwrap_or(path).to_owned();
            self.moved.push((moved, within));
            self.finish_file(path, meta)?;
            return self.count(*size);
        }
        let mut file = self.create(path)?;
        files::copy(store, cid, &mut |data| {
            file.write_all(data).map_err(|error| Failure::io("write", path, &error))?;
            self.count(data.len() as u64)
        })?;
        self.finish_file(path, meta)
    }

    fn mode(&self, meta: &Metadata, default: u32) -> u32 {
        meta.mode.map_or(default & !self.export.umask, |mode| mode & MODE_KEPT)
    }

    fn finish_file(&mut self, path: &Path, meta: &Metadata) -> Result<(), Failure> {
        self.set_mode(path, self.mode(meta, 0o666))?;
        self.done.files += 1;
        self.set_times(path, meta)
    }

    fn finish_directory(&mut self, open: &Open) -> Result<(), Failure> {
        self.set_mode(&open.path, self.mode(&open.meta, 0o777))?;
        self.set_times(&open.path, &open.meta)
    }

    fn create(&mut self, path: &Path) -> Result<File, Failure> {
        self.beneath.create(path).map_err(|error| Failure::io("make", path, &error))
    }

    fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), Failure> {
        let set = self.beneath.set_mode(path, mode);
        set.map_err(|error| Failure::io("set the mode of", path, &error))
    }

    fn set_times(&mut self, path: &Path, meta: &Metadata) -> Result<(), Failure> {
        let set = meta.mtime.map_or(Ok(()), |mtime| self.beneath.set_times(path, mtime));
        set.map_err(|error| Failure::io("set the time of", path, &error))
    }

    fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        // A client that has gone is found here: nobody waits for the rest.
        self.export.out.check()?;
        self.done.bytes += bytes;
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            self.export.out.send_blocking(Response::Progress(self.progress("writing")))?;
        }
        Ok(())
    }

    fn progress(&self, waiting: &str) -> Progress {
        let (bytes, files) = (self.done.bytes, self.done.files);
        Progress { bytes, files, waiting: waiting.to_owned(), ..Progress::default() }
    }

    /// Syncs if asked, renames, tells the store where its blobs went, and deletes what stood there.
    fn appear(&mut self) -> Result<(), Failure> {
        self.export.out.check()?;
        let export = self.export;
        let (target, parent) = (&export.target, parent_of(&export.target));
        let opened = File::open(parent).map_err(|error| Failure::io("open", parent, &error))?;
        if export.sync {
            let synced = rustix::fs::syncfs(&opened).map_err(io::Error::from);
            synced.map_err(|error| Failure::io("sync", &self.temp, &error))?;
        }
        // Again: it is long ago, and what stands there now is deleted.
        spared::check(target, &export.store.dir())?;
        let stood = replace(&self.temp, target, export.force)
            .map_err(|error| Failure::io("write", target, &error))?;
        self.stands = true;
        if export.sync {
            opened.sync_all().map_err(|error| {
                let failure = Failure::io("sync", parent, &error);
                if stood { failure.hint(self.kept_aside()) } else { failure }
            })?;
        }
        self.hand_over();
        if stood {
            self.delete_what_stood();
        }
        Ok(())
    }

    /// Tells the store where its blobs went.
    fn hand_over(&mut self) {
        let target = &self.export.target;
        for (moved, within) in self.moved.drain(..) {
            let path =
                if within.as_os_str().is_empty() { target.clone() } else { target.join(within) };
            let path = std::path::absolute(&path).unwrap_or(path);
            if let Err(error) = moved.finish(&path) {
                // The file is there and whole; it is the store that lost sight of it.
                tracing::warn!(%error, path = %path.display(), "not kept as the store's bytes");
                let text = format!("{} cannot be seeded on from there: {error}", path.display());
                self.export.out.offer(Response::Note(text));
            }
        }
    }

    /// Deletes what OUT replaced. When nobody waits any more, or the node stops, the rest stays under its
    /// temporary name, which was told before.
    fn delete_what_stood(&mut self) {
        let (began, mut named) = (Instant::now(), false);
        let out = self.export.out.clone();
        let text = format!("deleting what was replaced; {}", self.kept_aside());
        let progress = self.progress("deleting what was replaced");
        let mut goes_on = || {
            if !named && began.elapsed() >= DELETE_QUIETLY {
                named = true;
                // That it has gone is found by the next question.
                let _gone = out.send_blocking(Response::Note(text.clone()));
            } else if self.told.elapsed() >= TELL_EVERY {
                self.told = Instant::now();
                out.offer(Response::Progress(progress.clone()));
            }
            !out.is_gone()
        };
        let mut deleting = aside::Deleting { goes_on: &mut goes_on, spares_stores: true };
        if let Err(error) = deleting.delete(&self.temp) {
            tracing::warn!(%error, path = %self.temp.display(), "what was replaced stays behind");
            let text =
                format!("not all that was replaced is deleted: {error}; {}", self.kept_aside());
            let _gone = out.send_blocking(Response::Note(text));
        }
    }

    fn kept_aside(&self) -> String {
        format!("what stood at {} is now {}", self.export.target.display(), self.temp.display())
    }
}

/// A refused path for people: joined by hand, since the name may be anything, and cut short.
pub fn shown(within: &Path, name: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    for (part, max) in [(within.as_os_str().as_bytes(), WITHIN_SHOWN_MAX), (name, NAME_SHOWN_MAX)] {
        if !shown.is_empty() {
            shown.push(b'/');
        }
        shown.extend_from_slice(&part[..part.len().min(max)]);
        if part.len() > max {
            shown.extend_from_slice(b"...");
        }
    }
    shown
}

/// Renames `temp` to `target`. With `force` what stands there goes away, or has the name `temp` after
/// that: then it is `true`.
fn replace(temp: &Path, target: &Path, force: bool) -> io::Result<bool> {
    let cwd = rustix::fs::CWD;
    let renamed = rustix::fs::renameat_with(cwd, temp, cwd, target, RenameFlags::NOREPLACE);
    match renamed {
        Err(rustix::io::Errno::EXIST) if force => {
            rustix::fs::renameat_with(cwd, temp, cwd, target, RenameFlags::EXCHANGE)?;
            Ok(true)
        }
        // A file system without these flags. A symlink to nowhere is something that stands there.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS)
            if force || fs::symlink_metadata(target).is_err() =>
        {
            fs::rename(temp, target).map(|()| false)
        }
        renamed => Ok(renamed.map(|()| false)?),
    }
}

/// Removes what an export or a checkout made and cannot use. The end of the process cuts this short, nothing else.
pub fn remove_all(path: &Path) {
    let mut deleting = aside::Deleting { goes_on: &mut || true, spares_stores: false };
    if let Err(error) = deleting.delete(path) {
        tracing::warn!(%error, path = %path.display(), "a temporary file stays behind");
    }
}

#[cfg(test)]
mod tests;
