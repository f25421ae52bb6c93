//! Adds the bytes of one file in one pass.
//!
//! A reader thread fills buffers and cuts them into chunks ([`cutter`]); the calling thread hashes the
//! chunks, writes them and builds the branches. Between them is a short queue, and buffers go back to
//! the reader, so that memory is bounded by [`BUFFERS_MAX`] of them whatever the file's size. Content of
//! [`BLOB_BYTES_MIN`] and more whose leaves are slices of it becomes one blob, of which the leaves that the
//! store has already are not written again; the rest goes into packs. Where the file system can, the blob
//! begins as a clone of the file and is read from there, so that nothing is written at all.
//! A file that changes while it is read is told and left out rather than kept half old and half new when
//! it is kept by reference.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
};

use bytes::Bytes;
use shoal_dag::{
    Block, Cid, Metadata,
    build::{self, FileBuilder, LeafBlock, LeafForm},
    chunk::Chunker,
};
use shoal_store::{BLOB_BYTES_MIN, Batch, BlobWriter, RefWriter, WriteError};

use super::{Adding, Root, tree};
use crate::control::protocol::Failure;

mod cutter;

use cutter::{Cutter, Group};

/// Groups of chunks between reader and writer.
const AHEAD_MAX: usize = 4;

/// Buffers that are in use at once: those between, one being filled and one being written.
const BUFFERS_MAX: usize = AHEAD_MAX + 2;

/// Adds the regular file at `path`; `None` when it could not be read, which has been told.
///
/// # Errors
/// The store, or a client that has gone.
pub fn add(adding: &mut Adding<'_>, path: &Path) -> Result<Option<Root>, Failure> {
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
    let added = match (adding.reference, adding.batch) {
        (true, Some(batch)) => add_reference(adding, batch, path, metadata),
        _ => add_file(adding, file, metadata, stat.len()),
    };
    match added {
        Ok(root) => Ok(Some(root)),
        Err(AddError::Source(error)) => {
            adding.skip(path, error)?;
            Ok(None)
        }
        Err(AddError::Fatal(failure)) => Err(failure),
    }
}

/// Reads a clone of the file, if there can be one, else the file.
fn add_file(
    adding: &mut Adding<'_>,
    file: File,
    metadata: Metadata,
    len: u64,
) -> Result<Root, AddError> {
    let batch = adding.batch.filter(|_| LeafForm::new(adding.profile, &metadata).is_raw());
    match batch.map(|batch| batch.clone_of(&file)).transpose()?.flatten() {
        Some(blob) => {
            let clone = blob.reader()?;
            add_bytes(adding, clone, metadata, Some(len), Some(Begun::Clone(blob)))
        }
        None => add_bytes(adding, file, metadata, Some(len), None),
    }
}

/// Where the bytes of a file are already.
#[derive(Debug)]
pub enum Begun<'a> {
    /// In the user's file.
    Reference(RefWriter<'a>),
    /// In a clone of it.
    Clone(BlobWriter<'a>),
}

/// Reads through the descriptor that the store looked at: a file renamed into its place meanwhile is
/// another one.
fn add_reference<'a>(
    adding: &mut Adding<'a>,
    batch: &'a Batch,
    path: &Path,
    metadata: Metadata,
) -> Result<Root, AddError> {
    let writer = match batch.reference(path) {
        Ok(writer) => writer,
        Err(WriteError::Io { source, .. }) => return Err(AddError::Source(source)),
        Err(error) => return Err(error.into()),
    };
    let file = writer.file().try_clone().map_err(AddError::Source)?;
    let len = Some(writer.size());
    add_bytes(adding, file, metadata, len, Some(Begun::Reference(writer)))
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
pub fn add_bytes<'a>(
    adding: &mut Adding<'a>,
    source: impl Read + Send,
    metadata: Metadata,
    len: Option<u64>,
    begun: Option<Begun<'a>>,
) -> Result<Root, AddError> {
    let (used, spare) = mpsc::sync_channel(BUFFERS_MAX);
    let cutter = Cutter::new(source, Chunker::new(&adding.profile), len, spare);
    if len.is_some_and(|len| len < BLOB_BYTES_MIN) {
        // A thread costs more than it saves here.
        return write(adding, cutter, metadata, begun, &used);
    }
    let (queue, groups) = mpsc::sync_channel(AHEAD_MAX);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for group in cutter {
                if queue.send(group).is_err() {
                    return;
                }
            }
        });
        write(adding, groups.into_iter(), metadata, begun, &used)
    })
}

fn write<'a>(
    adding: &mut Adding<'a>,
    groups: impl Iterator<Item = io::Result<Group>>,
    metadata: Metadata,
    begun: Option<Begun<'a>>,
    used: &mpsc::SyncSender<Bytes>,
) -> Result<Root, AddError> {
    let mut target = Target::new(adding, metadata, begun);
    for group in groups {
        let group = group.map_err(AddError::Source)?;
        target.group(adding, &group)?;
        // Nobody takes it, or it is not free: then the next one is a new one.
        let _unused = used.try_send(group.buffer);
    }
    target.finish(adding)
}

/// Where the bytes of one file go.
enum Home<'a> {
    /// Nowhere: `--only-hash`.
    Nowhere,
    /// Held until it is clear whether it is large; packs if not.
    Undecided(Vec<(Cid, Bytes)>),
    /// Leaves as blocks in packs.
    Packs,
    Blob(BlobWriter<'a>),
    Reference(RefWriter<'a>),
}

struct Target<'a> {
    home: Home<'a>,
    builder: FileBuilder,
    branches: Vec<Block>,
    offset: u64,
    /// How much of the file was given to the blob.
    written: u64,
    /// The leaves after that.
    piece: Vec<(Cid, u32)>,
}

impl<'a> Target<'a> {
    fn new(adding: &Adding<'a>, metadata: Metadata, begun: Option<Begun<'a>>) -> Self {
        let home = match (adding.batch, begun) {
            (None, _) => Home::Nowhere,
            (Some(_), Some(Begun::Reference(writer))) => Home::Reference(writer),
            (Some(_), Some(Begun::Clone(blob))) => Home::Blob(blob),
            (Some(_), None) => Home::Undecided(Vec::new()),
        };
        let builder = FileBuilder::new(adding.profile, metadata);
        let (branches, piece) = (Vec::new(), Vec::new());
        Self { home, builder, branches, offset: 0, written: 0, piece }
    }

    /// Takes the next bytes of the file. A blob gets them at once, after they were hashed.
    fn group(&mut self, adding: &mut Adding<'a>, group: &Group) -> Result<(), AddError> {
        let start = self.offset;
        let mut at = 0;
        for len in &group.chunks {
            self.leaf(adding, group.buffer.slice(at..at + len))?;
            at += len;
        }
        if let Home::Blob(blob) = &mut self.home {
            let given = self.written.saturating_sub(start) as usize;
            blob.append(&self.piece, &group.buffer[given..at])?;
            self.written = self.offset;
        }
        self.piece.clear();
        Ok(())
    }

    fn leaf(&mut self, adding: &mut Adding<'a>, chunk: Bytes) -> Result<(), AddError> {
        let leaf = build::leaf(self.builder.leaf_form(), &chunk);
        self.builder.push(leaf.link(), &mut self.branches);
        match leaf.block {
            LeafBlock::Raw => self.raw(adding, leaf.cid, chunk.clone())?,
            LeafBlock::Wrapped(block) => self.wrapped(adding, leaf.cid, &block)?,
        }
        self.offset += chunk.len() as u64;
        adding.count(chunk.len() as u64).map_err(AddError::Fatal)?;
        self.put_branches(adding)
    }

    fn raw(&mut self, adding: &Adding<'a>, cid: Cid, chunk: Bytes) -> Result<(), AddError> {
        let (offset, len) = (self.offset, chunk.len() as u32);
        match &mut self.home {
            Home::Undecided(held) => {
                held.push((cid, chunk));
                if offset + u64::from(len) >= BLOB_BYTES_MIN {
                    self.decide_blob(adding)?;
                }
            }
            Home::Blob(_) => self.piece.push((cid, len)),
            Home::Reference(writer) => writer.leaf(&cid, offset, len)?,
            Home::Nowhere | Home::Packs => {}
        }
        Ok(())
    }

    /// A leaf whose block is not a slice of the file: it goes into packs.
    fn wrapped(&mut self, adding: &Adding<'a>, cid: Cid, block: &Bytes) -> Result<(), AddError> {
        let Some(batch) = adding.batch else {
            return Ok(());
        };
        if !matches!(self.home, Home::Packs) {
            self.home = Home::Packs;
        }
        Ok(batch.put(&cid, block)?)
    }

    fn decide_blob(&mut self, adding: &Adding<'a>) -> Result<(), AddError> {
        let Some(batch) = adding.batch else {
            return Ok(());
        };
        let mut blob = batch.blob()?;
        if let Home::Undecided(held) = &self.home {
            for (cid, chunk) in held {
                blob.append(&[(*cid, chunk.len() as u32)], chunk)?;
                self.written += chunk.len() as u64;
            }
        }
        self.home = Home::Blob(blob);
        Ok(())
    }

    fn put_branches(&mut self, adding: &Adding<'_>) -> Result<(), AddError> {
        for block in self.branches.drain(..) {
            tree::put(adding, &block).map_err(AddError::Fatal)?;
        }
        Ok(())
    }

    fn finish(mut self, adding: &mut Adding<'a>) -> Result<Root, AddError> {
        let builder = std::mem::replace(
            &mut self.builder,
            FileBuilder::new(adding.profile, Metadata::default()),
        );
        let built = builder.finish(&mut self.branches);
        self.put_branches(adding)?;
        match self.home {
            Home::Undecided(held) => {
                for (cid, chunk) in held {
                    if let Some(batch) = adding.batch {
                        batch.put(&cid, &chunk)?;
                    }
                }
            }
            Home::Blob(blob) => blob.finish(&built.cid)?,
            Home::Reference(writer) => match writer.finish(&built.cid) {
                Ok(()) => {}
                Err(WriteError::Io { source, .. }) => return Err(AddError::Source(source)),
                Err(error) => return Err(error.into()),
            },
            Home::Nowhere | Home::Packs => {}
        }
        adding.progress.files += 1;
        Ok(Root { cid: built.cid, dag_size: built.dag_size, size: built.size, files: 1 })
    }
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
