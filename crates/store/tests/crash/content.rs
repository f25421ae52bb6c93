//! Blocks and files of known bytes.
//!
//! A number makes a content: the same number the same bytes. Files have real branches, since a collector and
//! a rebase walk them.

use shoal_dag::build::{self, FileBuilder};
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Metadata, Profile, Version};
use shoal_store::{Batch, KeepPlace, Store, WriteError};

use crate::facts::Question;
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
    pub(crate) leaves: Vec<(Cid, Bytes)>,
    pub(crate) branches: Vec<(Cid, Bytes)>,
}

impl Content {
    pub(crate) fn of(number: u64) -> Self {
        Self::with(number, Metadata::NONE)
    }

    /// The same bytes under another root.
    pub(crate) fn alias_of(number: u64) -> Self {
        Self::with(number, Metadata { mode: Some(0o640), mtime: None })
    }

    fn with(number: u64, metadata: Metadata) -> Self {
        let mut builder = FileBuilder::new(Profile::Shoal, metadata);
        let (mut blocks, mut leaves) = (Vec::new(), Vec::new());
        for n in 0..LEAVES as u64 {
            let data = bytes(number * 100 + n, LEAF_BYTES);
            let leaf = build::leaf(builder.leaf_form(), &data);
            builder.push(leaf.link(), &mut blocks);
            leaves.push((leaf.cid, data));
        }
        let root = builder.finish(&mut blocks).cid;
        let branches = blocks.into_iter().map(|block| (block.cid, block.data)).collect();
        Self { root, leaves, branches }
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
        self.put_branches(batch)?;
        blob.finish(&self.root)
    }

    pub(crate) fn put_branches(&self, batch: &Batch) -> Result<(), WriteError> {
        self.branches.iter().try_for_each(|(cid, data)| batch.put(cid, data))
    }

    pub(crate) fn keep_branches(&self, store: &Store) -> Result<(), WriteError> {
        self.branches.iter().try_for_each(|(cid, data)| store.keep(cid, None, data, true))
    }

    /// All that can be asked of it while it is in the store.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let blocks = self.leaves.iter().chain(&self.branches).map(|(cid, _)| cid.to_bytes());
        let one = |bytes: Vec<u8>| [Question::Block(bytes.clone()), Question::Public(bytes)];
        let whole = Question::Whole(self.root.to_bytes());
        blocks.flat_map(one).chain([whole]).collect()
    }

    /// Keeps one leaf, as a fetch does.
    pub(crate) fn keep(&self, store: &Store, n: usize) -> Result<(), WriteError> {
        let offset = (n * LEAF_BYTES) as u64;
        let place = KeepPlace { file: &self.root, size: CONTENT_BYTES, offset };
        store.keep(&self.leaves[n].0, Some(place), &self.leaves[n].1, true)
    }
}
