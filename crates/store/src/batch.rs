//! Adding content that a user gives: nothing is visible before the commit, all is durable after it.

use std::path::Path;

use shoal_dag::{Bytes, Cid};

use crate::error::WriteError;
use crate::pins::PinOptions;
use crate::store::Store;

/// How a batch adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// What is added may be given to peers.
    pub public: bool,
}

/// Content on its way into the store. Threads may share it. Dropping it without
/// [`commit`](Batch::commit) forgets it.
#[derive(Debug)]
pub struct Batch {
    pub(crate) store: Store,
    pub(crate) options: BatchOptions,
}

/// Content of one file, written from its start to its end into a blob of its own.
/// Dropped without [`finish`](BlobWriter::finish) it removes the file.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    pub(crate) batch: &'a Batch,
}

/// A user's file that becomes a blob where it is. Dropped without [`finish`](RefWriter::finish) it
/// leaves nothing.
#[derive(Debug)]
pub struct RefWriter<'a> {
    pub(crate) batch: &'a Batch,
}

impl Store {
    /// Begins a batch.
    pub fn batch(&self, options: BatchOptions) -> Batch {
        Batch {
            store: self.clone(),
            options,
        }
    }
}

impl Batch {
    /// Adds a small block or a branch. Stores nothing where the store owns it already.
    pub fn put(&self, cid: &Cid, data: &Bytes) -> Result<(), WriteError> {
        let _ = (cid, data, &self.store, self.options);
        Err(WriteError::Poisoned)
    }

    /// Begins a blob.
    pub fn blob(&self) -> Result<BlobWriter<'_>, WriteError> {
        Ok(BlobWriter { batch: self })
    }

    /// Begins a reference to a user's file, which is opened and looked at now.
    pub fn reference(&self, path: &Path) -> Result<RefWriter<'_>, WriteError> {
        let _ = path;
        Ok(RefWriter { batch: self })
    }

    /// Gives the whole file of `other` a second root (same bytes, other metadata). Says whether `other`
    /// is a whole file of this batch or of the store.
    pub fn alias(&self, root: &Cid, other: &Cid) -> Result<bool, WriteError> {
        let _ = (root, other);
        Ok(false)
    }

    /// Pins a root with the commit.
    pub fn pin(&self, cid: &Cid, options: PinOptions) {
        let _ = (cid, options);
    }

    /// Makes everything durable and visible, pins last. After `Ok` nothing is lost.
    pub fn commit(self) -> Result<(), WriteError> {
        Ok(())
    }
}

impl BlobWriter<'_> {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let _ = (bytes, self.batch);
        Ok(())
    }

    /// Says that `len` bytes from `offset` are the block `cid`. They must have been written.
    pub fn leaf(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        let _ = (cid, offset, len);
        Ok(())
    }

    /// Ends the blob: it is the whole content of `root`.
    pub fn finish(self, root: &Cid) -> Result<(), WriteError> {
        let _ = root;
        Ok(())
    }
}

impl RefWriter<'_> {
    /// Says that `len` bytes from `offset` of the file are the block `cid`.
    pub fn leaf(&mut self, cid: &Cid, offset: u64, len: u32) -> Result<(), WriteError> {
        let _ = (cid, offset, len, self.batch);
        Ok(())
    }

    /// Ends the reference: the file is the whole content of `root`.
    pub fn finish(self, root: &Cid) -> Result<(), WriteError> {
        let _ = root;
        Ok(())
    }
}
