//! Blocks and files of known bytes.
//!
//! A number makes a content: the same number the same bytes. The store does not know what a root's block
//! links to, so that a root is only a name here.

use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{Batch, KeepPlace, Store, WriteError};

use crate::random::Random;

const LEAVES: usize = 5;
const LEAF_BYTES: usize = 56 * 1024;
/// The length of a content.
pub(crate) const CONTENT_BYTES: u64 = (LEAVES * LEAF_BYTES) as u64;

pub(crate) fn bytes(number: u64, len: usize) -> Bytes {
    let mut random = Random::new(number);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&random.next().to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

/// A small block.
pub(crate) fn small(number: u64) -> (Cid, Bytes) {
    let data = bytes(number, 100 + number as usize % 3000);
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
}

/// A file that gets a blob: five leaves of 56 KiB, 280 KiB.
pub(crate) struct Content {
    pub(crate) root: Cid,
    /// Another root of the same bytes.
    pub(crate) alias: Cid,
    pub(crate) leaves: Vec<(Cid, Bytes)>,
}

impl Content {
    pub(crate) fn of(number: u64) -> Self {
        let leaf = |n| {
            let data = bytes(number * 100 + n as u64, LEAF_BYTES);
            (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
        };
        let leaves: Vec<_> = (0..LEAVES).map(leaf).collect();
        let root = |text: &str| {
            let name = format!("{text} {number}");
            cid_of(HashKind::Blake3, DAG_PB, Version::V1, name.as_bytes())
        };
        Self { root: root("root"), alias: root("alias"), leaves }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.leaves.iter().flat_map(|leaf| leaf.1.to_vec()).collect::<Vec<_>>().into()
    }

    pub(crate) fn spans(&self) -> Vec<(Cid, u64, u32)> {
        let span = |(n, leaf): (usize, &(Cid, Bytes))| {
            (leaf.0, (n * LEAF_BYTES) as u64, LEAF_BYTES as u32)
        };
        self.leaves.iter().enumerate().map(span).collect()
    }

    /// Writes it into a blob of a batch.
    pub(crate) fn add(&self, batch: &Batch) -> Result<(), WriteError> {
        let mut blob = batch.blob()?;
        for ((cid, data), (_, offset, len)) in self.leaves.iter().zip(self.spans()) {
            blob.write(data)?;
            blob.leaf(cid, offset, len)?;
        }
        blob.finish(&self.root)
    }

    /// Keeps one leaf, as a fetch does.
    pub(crate) fn keep(&self, store: &Store, n: usize) -> Result<(), WriteError> {
        let offset = (n * LEAF_BYTES) as u64;
        let place = KeepPlace { file: &self.root, size: CONTENT_BYTES, offset };
        store.keep(&self.leaves[n].0, Some(place), &self.leaves[n].1, true)
    }
}
