//! Where the bytes of one file go, chunk by chunk: nowhere, into packs, a blob, or where they are.
//!
//! The calling thread's half of an add: hashes, hands leaves to the store and builds the branches. What
//! is small is held until it is clear that it stays so ([`BLOB_BYTES_MIN`] bytes at most). A file whose
//! leaves are no slices of it goes into packs whatever its size.

use std::io;

use bytes::Bytes;
use shoal_dag::{
    Block, Cid, Metadata, Profile,
    build::{self, FileBuilder, LeafBlock},
};
use shoal_store::{BLOB_BYTES_MIN, BlobWriter, RefWriter, WriteError};

use super::{AddError, cutter::Group};
use crate::node::add::{Adding, Root, tree};

/// Where the bytes of one file go.
pub(super) enum Home<'a> {
    /// Nowhere: `--only-hash`.
    Nowhere,
    /// Held until it is clear whether it is large; packs if not.
    Undecided(Vec<(Cid, Bytes)>),
    /// Leaves as blocks in packs.
    Packs,
    Blob(BlobWriter<'a>),
    Reference(RefWriter<'a>),
}

/// The file that is being added.
pub(super) struct Target<'a> {
    home: Home<'a>,
    builder: FileBuilder,
    branches: Vec<Block>,
    offset: u64,
    /// Leaves of the present group that the blob does not have yet, and where the first one begins in it.
    leaves: Vec<(Cid, u32)>,
    first: usize,
}

impl<'a> Target<'a> {
    pub(super) fn new(profile: Profile, metadata: Metadata, home: Home<'a>) -> Self {
        let builder = FileBuilder::new(profile, metadata);
        Self { home, builder, branches: Vec::new(), offset: 0, leaves: Vec::new(), first: 0 }
    }

    /// Takes the next bytes of the file. A blob gets them in one piece.
    pub(super) fn group(&mut self, adding: &mut Adding<'a>, group: &Group) -> Result<(), AddError> {
        let mut at = group.from;
        for len in &group.chunks {
            if self.leaves.is_empty() {
                self.first = at;
            }
            self.leaf(adding, group.buffer.slice(at..at + len))?;
            at += len;
        }
        if let (Home::Blob(blob), false) = (&mut self.home, self.leaves.is_empty()) {
            blob.append(&self.leaves, &group.buffer[self.first..at])?;
            self.leaves.clear();
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
            Home::Blob(_) => self.leaves.push((cid, len)),
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

    /// The end of the file.
    pub(super) fn finish(mut self, adding: &mut Adding<'a>) -> Result<Root, AddError> {
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
