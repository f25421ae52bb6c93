//! Fuzz targets of the store's files, run for a bounded number of cases; `scripts/fuzz` runs them for
//! longer.
//!
//! Each target damages one file of a store that was killed, and opens it. The oracle: it opens or says
//! why not, without a panic, and a block that it gives has the bytes that were put in. What it may lose
//! is said by the tests of recovery, which damage files by plan.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

#[path = "../../dag/tests/fuzz/mutate.rs"]
mod mutate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{BatchOptions, KeepPlace, Options, PinOptions, Store};
use tempfile::TempDir;

/// A store that was killed, file by file, and what was put into it.
struct Killed {
    files: Vec<(PathBuf, Vec<u8>)>,
    blocks: Vec<(Cid, Bytes)>,
}

static KILLED: LazyLock<Killed> = LazyLock::new(|| {
    let dir = TempDir::new().unwrap();
    // The first commit makes a run of the index, the later ones do not.
    let options = Options { level0_rows: 6, ..Options::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let mut random = mutate::Random::new(7);
    let mut block = |len: usize| {
        let data: Bytes = (0..len).map(|_| random.next() as u8).collect();
        (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
    };
    let mut blocks: Vec<_> = (0..12).map(|i| block(50 + i * 37)).collect();
    // Some are committed, some only kept, and of a large file some leaves have come.
    let batch = store.batch(BatchOptions { public: true });
    for (cid, data) in &blocks[..6] {
        batch.put(cid, data).unwrap();
    }
    batch.pin(&blocks[0].0, PinOptions::default()).unwrap();
    batch.commit().unwrap();
    for (cid, data) in &blocks[6..] {
        store.keep(cid, None, data, true).unwrap();
    }
    let file = cid_of(HashKind::Blake3, DAG_PB, Version::V1, b"the root of a file");
    for i in 0..3 {
        let (cid, data) = block(64 << 10);
        let place = KeepPlace { file: &file, size: 512 << 10, offset: i * 2 * (64 << 10) };
        store.keep(&cid, Some(place), &data, true).unwrap();
        blocks.push((cid, data));
    }
    let mut files = Vec::new();
    gather(dir.path(), dir.path(), &mut files);
    Killed { files, blocks }
});

fn gather(top: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(top, &path, files);
        } else {
            files.push((path.strip_prefix(top).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
}

/// The files whose path begins so: their damaged forms are the inputs.
fn corpus(prefix: &str) -> Vec<Vec<u8>> {
    let files = KILLED.files.iter().filter(|(path, _)| path.starts_with(prefix));
    let found: Vec<_> = files.map(|(_, bytes)| bytes.clone()).collect();
    assert!(!found.is_empty(), "there is no {prefix}");
    found
}

/// Opens the store with this in the place of the files whose path begins so.
fn open_with(prefix: &str, bytes: &[u8]) {
    let dir = TempDir::new().unwrap();
    for (path, own) in &KILLED.files {
        let at = dir.path().join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, if path.starts_with(prefix) { bytes } else { own }).unwrap();
    }
    let Ok(store) = Store::open(dir.path(), Options::default()) else { return };
    for (cid, data) in &KILLED.blocks {
        if let Ok(Some(found)) = store.get(cid) {
            assert_eq!(found, *data, "wrong bytes of {cid}");
        }
    }
    drop(store.pins(None, 10));
}

#[test]
fn fuzz_pack() {
    mutate::run("pack", &corpus("packs"), 40, |bytes| open_with("packs", bytes));
}

#[test]
fn fuzz_presence() {
    mutate::run("presence", &corpus("partial"), 40, |bytes| open_with("partial", bytes));
}

#[test]
fn fuzz_blob() {
    mutate::run("blob", &corpus("blobs"), 20, |bytes| open_with("blobs", bytes));
}

#[test]
fn fuzz_run() {
    mutate::run("run", &corpus("runs"), 40, |bytes| open_with("runs", bytes));
}

#[test]
fn fuzz_journal() {
    mutate::run("journal", &corpus("journal"), 40, |bytes| open_with("journal", bytes));
}

#[test]
fn fuzz_index() {
    mutate::run("index", &corpus("index.redb"), 40, |bytes| open_with("index.redb", bytes));
}
