//! Files with real branches, so that what lies below a root can be walked.
//!
//! They come into a store as an add, a fetch or a pin of the node brings them, with the holds that the
//! node takes.

use shoal_dag::build::{FileBuilder, leaf};
use shoal_dag::{Block, Bytes, Cid, Metadata, Profile};
use shoal_store::{Batch, CollectOptions, Collected, KeepPlace, PinOptions, SettleOptions, Store};

use crate::fixture::bytes;

/// A file as blocks: leaves of one size, and the branches above them.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) root: Cid,
    pub(crate) size: u64,
    /// Each leaf with its place.
    pub(crate) leaves: Vec<(Cid, u64, Bytes)>,
    pub(crate) branches: Vec<Block>,
}

impl Content {
    /// A leaf for each seed: the same seed gives the same leaf.
    pub(crate) fn of(seeds: impl IntoIterator<Item = u64>, leaf_bytes: usize) -> Self {
        let mut builder = FileBuilder::new(Profile::Shoal, Metadata::NONE);
        let (mut leaves, mut branches, mut offset) = (Vec::new(), Vec::new(), 0);
        for seed in seeds {
            let data = bytes(seed, leaf_bytes);
            let leaf = leaf(builder.leaf_form(), &data);
            builder.push(leaf.link(), &mut branches);
            leaves.push((leaf.cid, offset, data));
            offset += leaf_bytes as u64;
        }
        let root = builder.finish(&mut branches).cid;
        Self { root, size: offset, leaves, branches }
    }

    /// Every block with its bytes.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (Cid, &Bytes)> {
        let leaves = self.leaves.iter().map(|(cid, _, data)| (*cid, data));
        leaves.chain(self.branches.iter().map(|block| (block.cid, &block.data)))
    }

    /// Puts the content into a batch, in a blob of its own where it is large.
    pub(crate) fn put(&self, batch: &Batch) {
        if self.size >= shoal_store::BLOB_BYTES_MIN {
            let mut blob = batch.blob().unwrap();
            for (cid, offset, data) in &self.leaves {
                blob.write(data).unwrap();
                blob.leaf(cid, *offset, data.len() as u32).unwrap();
            }
            blob.finish(&self.root).unwrap();
        } else {
            for (cid, _, data) in &self.leaves {
                batch.put(cid, data).unwrap();
            }
        }
        for branch in &self.branches {
            batch.put(&branch.cid, &branch.data).unwrap();
        }
    }

    /// Adds and pins it.
    pub(crate) fn add(&self, store: &Store) {
        let batch = store.batch(crate::fixture::public());
        self.put(&batch);
        batch.pin(&self.root, PinOptions::default()).unwrap();
        batch.commit().unwrap();
    }

    /// Keeps the blocks of these leaves and all branches, as a fetch does.
    pub(crate) fn keep(&self, store: &Store, leaves: impl IntoIterator<Item = usize>) {
        for branch in &self.branches {
            store.keep(&branch.cid, None, &branch.data, true).unwrap();
        }
        for n in leaves {
            let (cid, offset, data) = &self.leaves[n];
            let place = KeepPlace { file: &self.root, size: self.size, offset: *offset };
            store.keep(cid, Some(place), data, true).unwrap();
        }
    }

    /// Keeps all of it and makes its blob whole.
    pub(crate) fn fetch(&self, store: &Store) {
        self.keep(store, 0..self.leaves.len());
        assert!(self.settle(store));
    }

    pub(crate) fn settle(&self, store: &Store) -> bool {
        let mut spans =
            self.leaves.iter().map(|(cid, offset, data)| (*cid, *offset, data.len() as u32));
        let options = SettleOptions::default();
        store.settle(&self.root, self.size, &mut spans, options).unwrap()
    }

    /// Makes all of it the store's own and pins it, as `pin add` does; `false` when something is missing.
    pub(crate) fn pin(&self, store: &Store) -> bool {
        let _hold = store.hold(&self.root);
        if !self.blocks().all(|(cid, _)| store.own(&cid, true).unwrap()) {
            return false;
        }
        store.pin(&self.root, PinOptions::default()).unwrap();
        true
    }

    #[track_caller]
    pub(crate) fn assert_here(&self, store: &Store) {
        for (cid, data) in self.blocks() {
            assert!(store.get(&cid).unwrap().as_ref() == Some(data), "{cid}");
        }
    }

    #[track_caller]
    pub(crate) fn assert_gone(&self, store: &Store) {
        for (cid, _) in self.blocks() {
            assert!(!store.has(&cid) && store.get(&cid).unwrap().is_none(), "{cid}");
        }
    }
}

/// Collects to the end.
#[track_caller]
pub(crate) fn collect(store: &Store) -> Collected {
    let done = store.collect(&CollectOptions::default(), &mut |_| true).unwrap();
    assert!(done.is_complete, "{done:?}");
    done
}

/// Bytes that the packs and blobs of a store take.
pub(crate) fn on_disk(store: &Store) -> u64 {
    let usage = store.usage().unwrap();
    usage.pack_bytes + usage.blob_bytes
}
