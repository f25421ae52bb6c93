//! Reading blocks and whole files.

use std::fs::File;
use std::path::PathBuf;

use shoal_dag::{Bytes, Cid};

use crate::blob::BlobId;
use crate::error::ReadError;
use crate::store::Store;

/// The file that an extent lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// A blob.
    Blob(BlobId),
    /// A pack, by its number.
    Pack(u32),
}

/// Where the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The file.
    pub home: Home,
    /// Where in it they begin.
    pub offset: u64,
    /// How many they are.
    pub len: u32,
}

/// A file of the DAG whose content is one blob from 0 to its end.
#[derive(Debug)]
pub struct WholeFile {
    /// Open for reading.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
    /// The content's length, which is the file's.
    pub len: u64,
    /// It is a user's file, which may be edited at any time: hash what is read, never pass it through.
    pub reference: bool,
}

impl Store {
    /// Reads a block and checks its bytes; `None` where the store does not have it.
    pub fn get(&self, cid: &Cid) -> Result<Option<Bytes>, ReadError> {
        let _ = cid;
        Ok(None)
    }

    /// As [`get`](Self::get), for blocks that may be given to peers only.
    pub fn get_public(&self, cid: &Cid) -> Result<Option<Bytes>, ReadError> {
        self.get(cid)
    }

    /// Reads a block without checking its bytes: for the mount only, which trusts the private store.
    /// Blocks in users' files are checked all the same.
    pub fn read_unverified(&self, cid: &Cid) -> Result<Option<Bytes>, ReadError> {
        self.get(cid)
    }

    /// Does the store have this block? The bytes are not read.
    pub fn has(&self, cid: &Cid) -> bool {
        let _ = cid;
        false
    }

    /// [`has`](Self::has) for many, in one look at the index.
    pub fn has_many(&self, cids: &[Cid]) -> Vec<bool> {
        vec![false; cids.len()]
    }

    /// Does the store have this block, and may it be given to peers?
    pub fn is_public(&self, cid: &Cid) -> bool {
        self.has(cid)
    }

    /// Where a block's bytes are; `None` where the store does not have it or the CID carries them.
    pub fn extent(&self, cid: &Cid) -> Option<Extent> {
        let _ = cid;
        None
    }

    /// The file that holds a block, for messages.
    pub fn locate(&self, cid: &Cid) -> Option<PathBuf> {
        let _ = cid;
        None
    }

    /// Opens the content of a file's root, when it is one blob from 0 to its end.
    pub fn whole_file(&self, root: &Cid) -> Result<Option<WholeFile>, ReadError> {
        let _ = root;
        Ok(None)
    }
}
