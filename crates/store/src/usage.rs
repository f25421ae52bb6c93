//! What the store takes.
//!
//! Counts what the index has; blobs that became whole since the last checkpoint are not in it yet.
//! Partial blobs are measured on the disk, since most of one may be a hole.

use std::os::unix::fs::MetadataExt;

use redb::{ReadableTable, ReadableTableMetadata};

use crate::blob::BlobRecord;
use crate::error::ReadError;
use crate::index::{BLOBS, BLOCKS, IndexError};
use crate::store::Store;

/// What the store takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Blocks that the index knows.
    pub blocks: u64,
    /// Blobs, users' files included.
    pub blobs: u64,
    /// Bytes of the packs.
    pub pack_bytes: u64,
    /// Bytes that the store's own blobs take; users' files do not count, nor do holes.
    pub blob_bytes: u64,
}

impl Store {
    /// Measures what the store takes.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        let shared = &self.shared;
        let mut usage = shared.index.read(|tx| {
            let blobs = tx.open_table(BLOBS)?;
            let mut blob_bytes = 0;
            for row in blobs.iter()? {
                let (_, value) = row?;
                blob_bytes += BlobRecord::from_bytes(value.value()).map_or(0, own_bytes);
            }
            let (blocks, blobs) = (tx.open_table(BLOCKS)?.len()?, blobs.len()?);
            Ok::<_, IndexError>(Usage { blocks, blobs, pack_bytes: 0, blob_bytes })
        })?;
        usage.pack_bytes = shared.packs.bytes(&shared.index.packs()?);
        for id in shared.partials.ids() {
            // A blob that just became whole has no partial file to measure any more.
            let on_disk = std::fs::metadata(shared.layout.blob(id));
            usage.blob_bytes += on_disk.map_or(0, |metadata| metadata.blocks() * DISK_BLOCK_BYTES);
        }
        Ok(usage)
    }
}

/// The unit of stat(2)'s block count.
const DISK_BLOCK_BYTES: u64 = 512;

/// The bytes that a whole blob takes in the store itself.
fn own_bytes(record: BlobRecord) -> u64 {
    if record.reference.is_some() || record.partial.is_some() { 0 } else { record.len }
}
