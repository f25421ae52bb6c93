//! What the store takes.
//!
//! The index and what is not in it yet are counted together, each block and blob once. Partial and
//! sparse blobs are measured on the disk, since most of one may be a hole. It takes one look at each blob's record
//! and at each block that waits for a checkpoint, never at all blocks.

use std::collections::HashMap;
use std::path::Path;

use redb::{ReadTransaction, ReadableTable};

use crate::blob::{BlobId, BlobRecord};
use crate::error::ReadError;
use crate::files::taken;
use crate::index::{BLOBS, IndexError};
use crate::key::Digest;
use crate::store::{Shared, Store};

/// What the store takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Blocks that the store knows.
    pub blocks: u64,
    /// Blobs, users' files included.
    pub blobs: u64,
    /// Bytes of the packs, holes not counted.
    pub pack_bytes: u64,
    /// Bytes that the store's own blobs take; users' files do not count, nor do holes.
    pub blob_bytes: u64,
}

impl Store {
    /// Measures what the store takes.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        let shared = &self.shared;
        // Before the index: what is drained meanwhile is then in both and counts once.
        let (fresh_blocks, fresh_blobs) = shared.overlay.known();
        let mut usage = shared.index.read(|tx| count(shared, tx, fresh_blobs))?;
        usage.blocks = count_blocks(shared, &fresh_blocks)?;
        let packs = shared.packs.all(&shared.index.packs()?);
        let taken = |(number, len): (u32, u64)| on_disk(&shared.layout.pack(number)).min(len);
        usage.pack_bytes = packs.into_iter().map(taken).sum();
        Ok(usage)
    }
}

fn count(
    shared: &Shared,
    tx: &ReadTransaction,
    mut fresh_blobs: HashMap<BlobId, Option<BlobRecord>>,
) -> Result<Usage, IndexError> {
    let blobs = tx.open_table(BLOBS)?;
    let mut usage = Usage::default();
    let mut add = |id: BlobId, record: Option<BlobRecord>| {
        usage.blobs += u64::from(record.is_some());
        usage.blob_bytes += record.map_or(0, |record| own_bytes(shared, id, &record));
    };
    for row in blobs.iter()? {
        let (id, value) = row?;
        let id = BlobId(id.value());
        let fresh = fresh_blobs.remove(&id);
        add(id, fresh.unwrap_or_else(|| BlobRecord::from_bytes(value.value())));
    }
    for (id, record) in fresh_blobs {
        add(id, record);
    }
    Ok(usage)
}

fn count_blocks(shared: &Shared, fresh: &[(Digest, bool)]) -> Result<u64, IndexError> {
    let digests: Vec<Digest> = fresh.iter().map(|row| row.0).collect();
    let (known, mut blocks) = shared.index.entries_and_count(&digests)?;
    for ((_, is_here), known) in fresh.iter().zip(known) {
        match (is_here, known.is_some()) {
            (true, false) => blocks += 1,
            (false, true) => blocks -= 1,
            _ => {}
        }
    }
    Ok(blocks)
}

/// The bytes that a blob takes in the store itself.
fn own_bytes(shared: &Shared, id: BlobId, record: &BlobRecord) -> u64 {
    if record.reference.is_some() {
        return 0;
    }
    if record.partial.is_none() && !record.sparse {
        return record.len;
    }
    on_disk(&shared.layout.blob(id))
}

/// What a file takes.
fn on_disk(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| taken(&metadata))
}
