//! Adds the bytes of one file in one pass.
//!
//! One thread fills buffers ([`reader`]), one cuts them into chunks ([`cutter`]); the calling thread hashes
//! the chunks, writes them and builds the branches. Between them are short queues, and buffers go back to
//! the reader, so that memory is bounded by [`BUFFERS_MAX`] of them whatever the file's size. Content of
//! [`BLOB_BYTES_MIN`] and more whose leaves are slices of it becomes one blob, of which the leaves that the
//! store has already are not written again; the rest goes into packs. Where the file system can, the blob
//! begins as a clone of the file and is read from there, so that nothing is written at all.
//! A file that changes while it is read ([`watched`]) is told and left out rather than kept half old and
//! half new. What is too small for a blob is copied also when it is to be kept by reference: to remember
//! where it lies and what it looked like takes as much as it does.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
    time::SystemTime,
};

use bytes::Bytes;
use shoal_dag::{Metadata as DagMetadata, chunk::Chunker};
use shoal_store::{BLOB_BYTES_MIN, Batch, StatPrint, WriteError};

use super::{Adding, Root, tree};
use crate::control::protocol::Failure;

mod cutter;
mod reader;
mod target;
mod watched;

use cutter::{Cutter, Group};
use reader::{Filled, Reader};
use target::{Home, Target};
use watched::Watched;

/// Buffers between reader and cutter.
const FILLED_MAX: usize = 2;

/// Groups of chunks between cutter and writer.
const AHEAD_MAX: usize = 4;

/// Buffers that are in use at once: those between, and one that each of the three works on.
const BUFFERS_MAX: usize = FILLED_MAX + AHEAD_MAX + 3;

/// Content from which on a thread of its own that reads saves more than it costs.
const READ_APART_BYTES_MIN: u64 = 8 << 20;

/// Adds the regular file at `path`; `None` when it could not be read, which has been told. With it comes
/// what it looked like, where that may be remembered.
///
/// # Errors
/// The store, or a client that has gone.
pub fn add(
    adding: &mut Adding<'_>,
    path: &Path,
) -> Result<Option<(Root, Option<StatPrint>)>, Failure> {
    let now = SystemTime::now();
    // Without O_NONBLOCK a fifo put in the file's place since we looked would hang us.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW).bits() as i32)
        .open(path)
        .and_then(|file| file.metadata().map(|stat| (file, stat)));
    let (file, stat) = match opened {
        Ok((file, stat)) if stat.is_file() => (file, stat),
        Ok(_) => {
            adding.skip(path, "was replaced by something that is no file")?;
            return Ok(None);
        }
        Err(error) => {
            adding.skip(path, error)?;
            return Ok(None);
        }
    };
    let metadata = tree::file_metadata(adding, &stat);
    let known = adding.known.as_mut();
    let is_settled = known.is_some_and(|known| known.is_settled(&file, &stat, now));
    let print = is_settled.then(|| StatPrint::of(&stat));
    let added = match (adding.reference && stat.len() >= BLOB_BYTES_MIN, adding.batch) {
        (true, Some(batch)) => add_reference(adding, batch, path, metadata),
        (_, batch) => add_copy(adding, batch, file, &stat, metadata),
    };
    match added {
        Ok(root) => Ok(Some((root, print))),
        Err(AddError::Source(error)) => {
            adding.skip(path, error)?;
            Ok(None)
        }
        Err(AddError::Fatal(failure)) => Err(failure),
    }
}

/// Copies a file, by a clone where the file system shares extents: then what is read is what is kept, and
/// nobody else writes to it.
fn add_copy<'a>(
    adding: &mut Adding<'a>,
    batch: Option<&'a Batch>,
    file: File,
    stat: &Metadata,
    metadata: DagMetadata,
) -> Result<Root, AddError> {
    let len = Some(stat.len());
    let batch = batch.filter(|_| adding.profile.raw_leaves(&metadata));
    let Some(clone) = batch.map(|batch| batch.clone_of(&file)).transpose()?.flatten() else {
        return add_bytes(adding, Watched::new(file, stat.clone()), metadata, len);
    };
    let cloned = watched::clone(clone.reader()?, &file, stat);
    let (source, cloned) = cloned.map_err(AddError::Source)?;
    add_into(adding, Watched::new(source, cloned), metadata, len, Home::Blob(clone))
}

/// Reads through the descriptor that the store looked at: a file renamed into its place meanwhile is
/// another one.
fn add_reference<'a>(
    adding: &mut Adding<'a>,
    batch: &'a Batch,
    path: &Path,
    metadata: DagMetadata,
) -> Result<Root, AddError> {
    let writer = match batch.reference(path) {
        Ok(writer) => writer,
        Err(WriteError::Io { source, .. }) => return Err(AddError::Source(source)),
        Err(error) => return Err(error.into()),
    };
    let file = writer.file().try_clone().map_err(AddError::Source)?;
    let stat = file.metadata().map_err(AddError::Source)?;
    let len = Some(writer.size());
    add_into(adding, Watched::new(file, stat), metadata, len, Home::Reference(writer))
}

/// Why bytes could not be added.
#[derive(Debug)]
pub enum AddError {
    /// The source cannot be read: it is left out.
    Source(io::Error),
    /// The store, or the client: the request ends.
    Fatal(Failure),
}

impl From<WriteError> for AddError {
    fn from(error: WriteError) -> Self {
        Self::Fatal(error.into())
    }
}

/// Adds everything that `source` yields. `len` is what the source is expected to hold, when known.
///
/// # Errors
/// See [`AddError`]; what was written of it is given up.
pub fn add_bytes(
    adding: &mut Adding<'_>,
    source: impl Read + Send,
    metadata: DagMetadata,
    len: Option<u64>,
) -> Result<Root, AddError> {
    let home = if adding.batch.is_some() { Home::Undecided(Vec::new()) } else { Home::Nowhere };
    add_into(adding, source, metadata, len, home)
}

fn add_into<'a>(
    adding: &mut Adding<'a>,
    source: impl Read + Send,
    metadata: DagMetadata,
    len: Option<u64>,
    home: Home<'a>,
) -> Result<Root, AddError> {
    let (used, spare) = mpsc::sync_channel(BUFFERS_MAX);
    let chunker = Chunker::new(&adding.profile);
    let reader = Reader::new(source, chunker.max(), len, spare);
    let target = Target::new(adding.profile, metadata, home);
    if len.is_some_and(|len| len < BLOB_BYTES_MIN) {
        // A thread costs more than it saves here.
        return write(adding, Cutter::new(reader, chunker), target, &used);
    }
    std::thread::scope(|scope| {
        let (queue, groups) = mpsc::sync_channel(AHEAD_MAX);
        if len.is_some_and(|len| len < READ_APART_BYTES_MIN) {
            scope.spawn(move || pass_on(Cutter::new(reader, chunker), &queue));
        } else {
            let (read, filled) = mpsc::sync_channel::<io::Result<Filled>>(FILLED_MAX);
            scope.spawn(move || pass_on(reader, &read));
            scope.spawn(move || pass_on(Cutter::new(filled.into_iter(), chunker), &queue));
        }
        write(adding, groups.into_iter(), target, &used)
    })
}

/// Gives everything to whoever takes it, as long as somebody does.
fn pass_on<T>(all: impl Iterator<Item = T>, queue: &mpsc::SyncSender<T>) {
    for one in all {
        if queue.send(one).is_err() {
            return;
        }
    }
}

fn write<'a>(
    adding: &mut Adding<'a>,
    groups: impl Iterator<Item = io::Result<Group>>,
    mut target: Target<'a>,
    used: &mpsc::SyncSender<Bytes>,
) -> Result<Root, AddError> {
    for group in groups {
        let group = group.map_err(AddError::Source)?;
        target.group(adding, &group)?;
        // Nobody takes it, or it is not free: then the next one is a new one.
        let _unused = used.try_send(group.buffer);
    }
    target.finish(adding)
}

/// For standard input, which cannot be left out.
impl From<AddError> for Failure {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Source(error) => Self::failed(format!("standard input: {error}")),
            AddError::Fatal(failure) => failure,
        }
    }
}
