//! Keeping verified blocks from peers: the hot path of a fetch.

use shoal_dag::{Bytes, Cid};

use crate::error::WriteError;
use crate::store::Store;

/// Where a leaf's bytes lie in the file that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct KeepPlace<'a> {
    /// The root of the file.
    pub file: &'a Cid,
    /// The length of the file's content.
    pub size: u64,
    /// Where the leaf begins in it.
    pub offset: u64,
}

impl Store {
    /// Prepares the partial blob of a file that is about to be fetched; with `allocate` its space is
    /// taken at once (for whole fetches, never for ranges). Optional: [`keep`](Self::keep) makes it too.
    /// Does nothing for content below [`BLOB_BYTES_MIN`](crate::BLOB_BYTES_MIN) and for whole files.
    pub fn prepare(&self, file: &Cid, size: u64, allocate: bool) -> Result<(), WriteError> {
        let _ = (file, size, allocate);
        Ok(())
    }

    /// Keeps a block whose bytes the caller has verified against its CID. From the return on it can be
    /// read and survives the death of the process; it survives power loss after a checkpoint.
    pub fn keep(
        &self,
        cid: &Cid,
        place: Option<KeepPlace<'_>>,
        data: &Bytes,
        public: bool,
    ) -> Result<(), WriteError> {
        let _ = (cid, place, data, public);
        Err(WriteError::Poisoned)
    }
}
