//! Adds what a path names: a file, a symlink, or a directory with everything below it.
//!
//! Depth first with an explicit stack, so that nesting costs heap, not stack. Symlinks are kept, never
//! followed, the one named as an argument included. Sockets, fifos and devices, and whatever cannot be
//! opened or read, are named and left out; the rest is added. So is a store, the node's own or another,
//! and whatever lies in one: it holds private keys. What is left out on purpose is only counted
//! ([`super::select`]), and a file that looks as it did when it was last added is not opened
//! ([`super::known`]). Of modes only the permission bits are
//! kept, [`MODE_KEPT`]: `get` restores no others, and what was fetched must add to the same CID. Nothing
//! else here decides a CID: that is the builders of `shoal_dag`.

use std::{
    fs::{self, DirEntry, Metadata as Stat, ReadDir},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use shoal_dag::{
    Block, Metadata, Mtime,
    build::{self, DirectoryBuilder},
};

use shoal_store::Memory;

use super::{Adding, Root, file, known, select::Patterns};
use crate::control::protocol::Failure;

/// Bits of a mode that `--preserve` keeps: no set-user-id, set-group-id or sticky bit, which nobody
/// should get from a stranger's tree.
pub const MODE_KEPT: u32 = 0o777;

/// Deepest nesting of directories: what a walk over the result accepts too.
const DEPTH_MAX: usize = 1000;

/// A directory that is being added.
struct Open {
    name: Vec<u8>,
    path: PathBuf,
    entries: ReadDir,
    builder: DirectoryBuilder,
    size: u64,
    files: u64,
    patterns: Patterns,
    memory: Option<Memory>,
    /// Bytes of `memory` when it was opened.
    loaded: usize,
}

/// Adds `path`; `None` when it had to be left out, which has been told.
///
/// # Errors
/// What ends the whole request: the store, or a client that has gone.
pub fn add(adding: &mut Adding<'_>, path: &Path) -> Result<Option<Root>, Failure> {
    let mut stack: Vec<Open> = Vec::new();
    if lies_in_store(adding, path) {
        adding.skip(path, "lies in a Shoal store")?;
        return Ok(None);
    }
    let mut done = argument(adding, &mut stack, path)?;
    loop {
        let Some(open) = stack.last_mut() else {
            return Ok(done);
        };
        if let Some((name, root)) = done.take().map(|root| (open_name(open), root)) {
            insert(adding, open, &name, root)?;
        }
        match open.entries.next() {
            Some(Ok(entry)) => {
                open.name = entry.file_name().into_vec();
                done = enter(adding, &mut stack, &entry)?;
            }
            Some(Err(error)) => {
                let path = open.path.clone();
                adding.skip(&path, format!("cannot be listed: {error}"))?;
            }
            None => {
                let Some(open) = stack.pop() else { continue };
                done = Some(finish(adding, open)?);
            }
        }
    }
}

/// Whether a directory above `path` is a store, however the path spells it.
fn lies_in_store(adding: &Adding<'_>, path: &Path) -> bool {
    // What `path` itself is, a symlink included, is looked at when it is entered.
    let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    let mut above = parent.iter().flat_map(|parent| parent.ancestors());
    above.any(|dir| fs::metadata(dir).is_ok_and(|stat| is_store(adding, dir, &stat)))
}

fn is_store(adding: &Adding<'_>, path: &Path, stat: &Stat) -> bool {
    adding.store == Some((stat.dev(), stat.ino())) || shoal_store::is_store(path)
}

fn open_name(open: &mut Open) -> Vec<u8> {
    std::mem::take(&mut open.name)
}

/// Begins with what was named as an argument.
fn argument(
    adding: &mut Adding<'_>,
    stack: &mut Vec<Open>,
    path: &Path,
) -> Result<Option<Root>, Failure> {
    adding.count(0)?;
    match fs::symlink_metadata(path) {
        Ok(stat) if stat.is_file() => {
            let read_all = adding.read_all;
            let mut memory = adding.known.as_mut().map(|known| known.open(path, false, read_all));
            let loaded = memory.as_ref().map_or(0, Memory::bytes);
            let root = file(adding, memory.as_mut(), b"", path, &stat)?;
            close(adding, memory, loaded)?;
            Ok(root)
        }
        Ok(stat) => other(adding, stack, path, &stat),
        Err(error) => {
            adding.skip(path, error)?;
            Ok(None)
        }
    }
}

/// Adds a file or symlink of the uppermost directory at once; puts a directory on the stack.
fn enter(
    adding: &mut Adding<'_>,
    stack: &mut Vec<Open>,
    entry: &DirEntry,
) -> Result<Option<Root>, Failure> {
    adding.count(0)?;
    let path = entry.path();
    // Asked of the open directory, which is cheaper than to look the path up.
    let stat = match entry.metadata() {
        Ok(stat) => stat,
        Err(error) => {
            adding.skip(&path, error)?;
            return Ok(None);
        }
    };
    let argument = stack.first().map_or(path.as_path(), |open| open.path.as_path());
    let above = stack.iter().map(|open| (open.path.as_path(), &open.patterns));
    if let Some(why) = adding.select.leaves_out(&path, stat.is_dir(), argument, above) {
        adding.leave_out(why);
        return Ok(None);
    }
    match stack.last_mut().filter(|_| stat.is_file()) {
        Some(open) => {
            let name = entry.file_name();
            file(adding, open.memory.as_mut(), name.as_bytes(), &path, &stat)
        }
        None => other(adding, stack, &path, &stat),
    }
}

/// Adds a regular file, unless it was added before and looks the same.
fn file(
    adding: &mut Adding<'_>,
    mut memory: Option<&mut Memory>,
    name: &[u8],
    path: &Path,
    stat: &Stat,
) -> Result<Option<Root>, Failure> {
    if let (Some(known), Some(memory)) = (adding.known.as_mut(), memory.as_deref_mut())
        && let Some(root) = known.find(memory, name, stat)?
    {
        adding.progress.files += 1;
        adding.count(root.size)?;
        return Ok(Some(root));
    }
    let Some((root, print)) = file::add(adding, path)? else { return Ok(None) };
    if let (Some(memory), Some(print)) = (memory, print) {
        known::note(memory, name, print, &root);
    }
    Ok(Some(root))
}

/// Adds what is no regular file, or puts it on the stack.
fn other(
    adding: &mut Adding<'_>,
    stack: &mut Vec<Open>,
    path: &Path,
    stat: &Stat,
) -> Result<Option<Root>, Failure> {
    if stat.is_symlink() {
        return symlink(adding, path, stat);
    }
    let why = if !stat.is_dir() {
        "is neither a file, a directory nor a symlink".to_owned()
    } else if is_store(adding, path, stat) {
        "is a Shoal store".to_owned()
    } else if stack.len() >= DEPTH_MAX {
        format!("is nested more than {DEPTH_MAX} directories deep")
    } else {
        match open(adding, path, stat) {
            Ok(open) => {
                stack.push(open);
                return Ok(None);
            }
            Err(why) => why,
        }
    };
    adding.skip(path, why)?;
    Ok(None)
}

/// Opens a directory; says why it has to be left out.
fn open(adding: &mut Adding<'_>, path: &Path, stat: &Stat) -> Result<Open, String> {
    let patterns = adding.select.patterns(path)?;
    let entries = fs::read_dir(path).map_err(|error| format!("cannot be listed: {error}"))?;
    let read_all = adding.read_all;
    let memory = adding.known.as_mut().map(|known| known.open(path, true, read_all));
    let loaded = memory.as_ref().map_or(0, Memory::bytes);
    Ok(Open {
        name: Vec::new(),
        path: path.to_owned(),
        entries,
        builder: DirectoryBuilder::new(adding.profile, directory_metadata(adding, stat)),
        size: 0,
        files: 0,
        patterns,
        memory,
        loaded,
    })
}

/// What was seen of a directory is to be remembered.
fn close(adding: &mut Adding<'_>, memory: Option<Memory>, loaded: usize) -> Result<(), Failure> {
    match (adding.known.as_mut(), memory) {
        (Some(known), Some(memory)) => known.close(loaded, memory),
        _ => Ok(()),
    }
}

fn insert(
    adding: &mut Adding<'_>,
    open: &mut Open,
    name: &[u8],
    root: Root,
) -> Result<(), Failure> {
    if let Err(error) = open.builder.insert(name, root.cid, root.dag_size) {
        return adding.skip(&open.path.join(std::ffi::OsStr::from_bytes(name)), error);
    }
    open.size += root.size;
    open.files += root.files;
    Ok(())
}

fn finish(adding: &mut Adding<'_>, mut open: Open) -> Result<Root, Failure> {
    close(adding, open.memory.take(), open.loaded)?;
    // A large directory has tens of thousands of blocks.
    let (cid, dag_size) = open.builder.finish_into(|block| {
        adding.count(0)?;
        put(adding, &block)
    })?;
    Ok(Root { cid, dag_size, size: open.size, files: open.files })
}

fn symlink(adding: &mut Adding<'_>, path: &Path, stat: &Stat) -> Result<Option<Root>, Failure> {
    let target = match fs::read_link(path) {
        Ok(target) => target.into_os_string().into_vec(),
        Err(error) => {
            adding.skip(path, error)?;
            return Ok(None);
        }
    };
    // A symlink's mode says nothing on Linux and cannot be restored.
    let mtime = adding.preserve.then(|| mtime(stat));
    let metadata = Metadata { mode: None, mtime };
    let (block, dag_size) = build::symlink(adding.profile, &target, metadata);
    put(adding, &block)?;
    Ok(Some(Root { cid: block.cid, dag_size, size: 0, files: 1 }))
}

/// Puts a branch into the batch.
///
/// # Errors
/// The store.
pub fn put(adding: &Adding<'_>, block: &Block) -> Result<(), Failure> {
    if let Some(batch) = adding.batch {
        batch.put(&block.cid, &block.data)?;
    }
    Ok(())
}

/// The metadata that a file's DAG carries: all of it with `--preserve`, else at most the executable
/// bit where the profile keeps it.
pub fn file_metadata(adding: &Adding<'_>, stat: &Stat) -> Metadata {
    let mode = stat.permissions().mode();
    if adding.preserve {
        return Metadata { mode: Some(mode & MODE_KEPT), mtime: Some(mtime(stat)) };
    }
    adding.profile.metadata_of_mode(mode)
}

fn directory_metadata(adding: &Adding<'_>, stat: &Stat) -> Metadata {
    if !adding.preserve {
        return Metadata::default();
    }
    Metadata { mode: Some(stat.permissions().mode() & MODE_KEPT), mtime: Some(mtime(stat)) }
}

fn mtime(stat: &Stat) -> Mtime {
    Mtime { seconds: stat.mtime(), nanos: stat.mtime_nsec() as u32 }
}
