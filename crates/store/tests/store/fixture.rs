//! Stores, blocks and files for the tests.
//!
//! A crash is simulated by copying the directory of an open store: the copy is what the kernel would
//! hold after kill -9.

use std::fs;
use std::path::{Path, PathBuf};

use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{Batch, BatchOptions, KeepPlace, Options, SettleOptions, Store};
use tempfile::TempDir;

/// Bytes that look random and depend on the seed alone.
pub(crate) fn bytes(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

pub(crate) fn leaf_cid(data: &[u8]) -> Cid {
    cid_of(HashKind::Blake3, RAW, Version::V1, data)
}

/// A small block and its CID.
pub(crate) fn block(seed: u64) -> (Cid, Bytes) {
    let data = bytes(seed, 100 + seed as usize % 1000);
    (leaf_cid(&data), data)
}

/// A file of leaves, with a root whose block does not matter to the store.
pub(crate) struct Tree {
    pub(crate) root: Cid,
    pub(crate) leaves: Vec<(Cid, Bytes)>,
    pub(crate) size: u64,
}

impl Tree {
    /// A file with one leaf per seed: the same seed gives the same leaf.
    pub(crate) fn of(seeds: &[u64], leaf_bytes: usize) -> Self {
        let leaves: Vec<_> = seeds
            .iter()
            .map(|seed| {
                let data = bytes(*seed, leaf_bytes);
                (leaf_cid(&data), data)
            })
            .collect();
        let all: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0.to_bytes()).collect();
        let size = leaves.iter().map(|leaf| leaf.1.len() as u64).sum();
        Self { root: cid_of(HashKind::Blake3, DAG_PB, Version::V1, &all), leaves, size }
    }

    /// Eight leaves of 64 KiB: 512 KiB, more than a blob's least.
    pub(crate) fn blob(first_seed: u64) -> Self {
        Self::of(&(first_seed..first_seed + 8).collect::<Vec<_>>(), 64 * 1024)
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.leaves.iter().flat_map(|leaf| leaf.1.to_vec()).collect()
    }

    /// CID, offset and length of each leaf.
    pub(crate) fn spans(&self) -> Vec<(Cid, u64, u32)> {
        let mut offset = 0;
        let span = |(cid, data): &(Cid, Bytes)| {
            offset += data.len() as u64;
            (*cid, offset - data.len() as u64, data.len() as u32)
        };
        self.leaves.iter().map(span).collect()
    }

    /// Keeps the leaves of these numbers, as a fetch does.
    pub(crate) fn keep(&self, store: &Store, which: impl IntoIterator<Item = usize>) {
        let spans = self.spans();
        for n in which {
            let (cid, data) = &self.leaves[n];
            let place = KeepPlace { file: &self.root, size: self.size, offset: spans[n].1 };
            store.keep(cid, Some(place), data, true).unwrap();
        }
    }

    pub(crate) fn settle(&self, store: &Store, options: SettleOptions) -> bool {
        store.settle(&self.root, self.size, &mut self.spans().into_iter(), options).unwrap()
    }

    /// Keeps everything and makes the blob whole, nothing synced.
    pub(crate) fn fetch(&self, store: &Store) {
        self.keep(store, 0..self.leaves.len());
        assert!(self.settle(store, SettleOptions::default()));
    }

    /// Writes the content into a blob of the batch.
    pub(crate) fn add(&self, batch: &Batch) {
        let mut blob = batch.blob().unwrap();
        for ((cid, data), (_, offset, len)) in self.leaves.iter().zip(self.spans()) {
            blob.write(data).unwrap();
            blob.leaf(cid, offset, len).unwrap();
        }
        blob.finish(&self.root).unwrap();
    }

    /// Adds the user's file `path`, which has the content, by reference.
    pub(crate) fn refer(&self, batch: &Batch, path: &Path) {
        let mut reference = batch.reference(path).unwrap();
        for (cid, offset, len) in self.spans() {
            reference.leaf(&cid, offset, len).unwrap();
        }
        reference.finish(&self.root).unwrap();
    }

    #[track_caller]
    pub(crate) fn assert_readable(&self, store: &Store) {
        for (cid, data) in &self.leaves {
            assert_eq!(store.get(cid).unwrap().as_ref(), Some(data));
        }
    }
}

/// A directory with a store in it.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path(), Options::default()).unwrap()
    }

    pub(crate) fn open_on_boot(&self, boot_id: &str) -> Store {
        let boot_id = Some(boot_id.to_owned());
        Store::open(&self.path(), Options { boot_id, ..Options::default() }).unwrap()
    }

    /// What the disk would hold if the process died now.
    pub(crate) fn crashed(&self) -> Self {
        let copy = Self::new();
        copy_dir(&self.path(), &copy.path());
        copy
    }

    /// The only file beneath a directory of the store.
    pub(crate) fn only_file(&self, beneath: &str) -> PathBuf {
        let mut files = files_in(&self.path().join(beneath));
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

pub(crate) fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_in(&path)) } else { files.push(path) }
    }
    files
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            copy_file(&path, &target);
        }
    }
}

/// Copies a file with its holes.
fn copy_file(from: &Path, to: &Path) {
    use std::os::unix::fs::FileExt;
    let (bytes, to) = (fs::read(from).unwrap(), fs::File::create(to).unwrap());
    to.set_len(bytes.len() as u64).unwrap();
    for (number, page) in bytes.chunks(4096).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            to.write_all_at(page, number as u64 * 4096).unwrap();
        }
    }
}

/// Changes one byte of a file, keeping its length.
pub(crate) fn flip(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

pub(crate) fn public() -> BatchOptions {
    BatchOptions { public: true }
}
