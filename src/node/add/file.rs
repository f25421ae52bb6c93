//! Adds the bytes of one file in one pass.
//!
//! A reader thread fills buffers and cuts them into chunks ([`cutter`]); the calling thread hashes the
//! chunks, writes them and builds the branches. Between them is a short queue, and buffers go back to
//! the reader, so that memory is bounded by [`BUFFERS_MAX`] of them whatever the file's size. Content of
//! [`BLOB_BYTES_MIN`] and more whose leaves are slices of it becomes one blob; the rest goes into packs.
//! A file that changes while it is read ([`watched`]) is told and left out rather than kept half old and
//! half new. What is too small for a blob is copied also when it is to be kept by reference: to remember
//! where it lies and what it looked like takes as much as it does.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::mpsc,
    time::SystemTime,
};

use bytes::Bytes;
use shoal_dag::{
    Block, Cid, Metadata,
    build::{self, FileBuilder, LeafBlock},
    chunk::Chunker,
};
use shoal_store::{BLOB_BYTES_MIN, Batch, BlobWriter, RefWriter, StatPrint, WriteError};

use super::{Adding, Root, tree};
use crate::control::protocol::Failure;

mod cutter;
mod watched;

use cutter::{Cutter, Group};
use watched::Watched;

/// Groups of chunks between reader and writer.
const AHEAD_MAX: usize = 4;

/// Buffers that are in use at once: those between, one being filled and one being written.
const BUFFERS_MAX: usize = AHEAD_MAX + 2;

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
        _ => {
            let len = Some(stat.len());
            add_bytes(adding, Watched::new(file, stat), metadata, len, None)
        }
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
    let stat = file.metadata().map_err(AddError::Source)?;
    let len = Some(writer.size());
    add_bytes(adding, Watched::new(file, stat), metadata, len, Some(writer))
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
    reference: Option<RefWriter<'a>>,
) -> Result<Root, AddError> {
    let (used, spare) = mpsc::sync_channel(BUFFERS_MAX);
    let cutter = Cutter::new(source, Chunker::new(&adding.profile), len, spare);
    if len.is_some_and(|len| len < BLOB_BYTES_MIN) {
        // A thread costs more than it saves here.
        return write(adding, cutter, metadata, reference, &used);
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
        write(adding, groups.into_iter(), metadata, reference, &used)
    })
}

fn write<'a>(
    adding: &mut Adding<'a>,
    groups: impl Iterator<Item = io::Result<Group>>,
    metadata: Metadata,
    reference: Option<RefWriter<'a>>,
    used: &mpsc::SyncSender<Bytes>,
) -> Result<Root, AddError> {
    let mut target = Target::new(adding, metadata, reference);
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
    /// How much of the file the blob holds.
    written: u64,
}

impl<'a> Target<'a> {
    fn new(adding: &Adding<'a>, metadata: Metadata, reference: Option<RefWriter<'a>>) -> Self {
        let home = match (adding.batch, reference) {
            (None, _) => Home::Nowhere,
            (Some(_), Some(writer)) => Home::Reference(writer),
            (Some(_), None) => Home::Undecided(Vec::new()),
        };
        let builder = FileBuilder::new(adding.profile, metadata);
        Self { home, builder, branches: Vec::new(), offset: 0, written: 0 }
    }

    /// Takes the next bytes of the file. A blob gets them in one write.
    fn group(&mut self, adding: &mut Adding<'a>, group: &Group) -> Result<(), AddError> {
        if let Home::Blob(blob) = &mut self.home {
            blob.write(&group.buffer[..group.len()])?;
            self.written += group.len() as u64;
        }
        let mut at = 0;
        for len in &group.chunks {
            self.leaf(adding, group.buffer.slice(at..at + len))?;
            at += len;
        }
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
            Home::Blob(blob) => {
                if self.written <= offset {
                    blob.write(&chunk)?;
                    self.written += u64::from(len);
                }
                blob.leaf(&cid, offset, len)?;
            }
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
            let mut offset = 0;
            for (cid, chunk) in held {
                blob.write(chunk)?;
                blob.leaf(cid, offset, chunk.len() as u32)?;
                offset += chunk.len() as u64;
            }
            self.written = offset;
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
                Err(WriteError::SourceChanged { .. }) => {
                    let error = io::Error::other("changed while it was added");
                    return Err(AddError::Source(error));
                }
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
