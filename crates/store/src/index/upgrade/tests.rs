//! Stores of format 1, made by turning one of today into what that format was.
//!
//! What the new format adds is taken away: runs, journal and the checksums of pages.

use std::collections::BTreeMap;
use std::path::Path;

use redb::{Builder, ReadableTable};
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};

use super::*;
use crate::disk::Disk;
use crate::{BatchOptions, Options, PinOptions, Store};

fn block(n: u64) -> (Cid, Bytes) {
    let data = Bytes::from(n.to_le_bytes().repeat(9));
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
}

/// Fills a store with some of everything; block `n` is public where `n` is even.
fn fill(dir: &Path, blocks: u64) {
    let store = Store::open(dir, Options { level0_rows: 40, ..Options::default() }).unwrap();
    for is_public in [true, false] {
        let batch = store.batch(BatchOptions { public: is_public });
        for n in (0..blocks).filter(|n| (n % 2 == 0) == is_public) {
            batch.put(&block(n).0, &block(n).1).unwrap();
        }
        batch.commit().unwrap();
    }
    let content = vec![7; 300 * 1024];
    let root = cid_of(HashKind::Blake3, RAW, Version::V1, &content);
    let batch = store.batch(BatchOptions { public: true });
    let mut blob = batch.blob().unwrap();
    blob.write(&content).unwrap();
    blob.leaf(&root, 0, content.len() as u32).unwrap();
    blob.finish(&root).unwrap();
    batch.pin(&root, PinOptions::default()).unwrap();
    batch.commit().unwrap();
    store.put_record("seeds", b"key", b"value").unwrap();
    // Kept and not indexed: found again when it is opened.
    store.keep(&block(blocks).0, None, &block(blocks).1, true).unwrap();
}

/// Turns a store into one of format 1: one redb file with all rows, and nothing of what came since.
fn turn_back(dir: &Path) {
    let layout = Layout::new(dir, Disk::default());
    let index = Index::open(&layout, 40).unwrap();
    let snapshot = index.snapshot().unwrap();
    let plain = layout.new_index();
    let old = Builder::new().create(&plain).unwrap();
    let mut rows = BTreeMap::new();
    snapshot
        .each(0, |row| {
            rows.insert(row.digest, row.entry);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let tx = old.begin_write().unwrap();
    index.read(|new| copy_old(new, &tx, &rows)).unwrap();
    tx.commit().unwrap();
    drop((old, index));
    std::fs::rename(plain, layout.index()).unwrap();
    std::fs::remove_dir_all(layout.runs()).unwrap();
    std::fs::remove_dir_all(layout.journals()).unwrap();
    std::fs::write(layout.format(), "shoal-store 1\n").unwrap();
}

fn copy_old(
    new: &ReadTransaction,
    old: &redb::WriteTransaction,
    rows: &BTreeMap<crate::key::Digest, crate::key::Entry>,
) -> Result<(), IndexError> {
    let mut table = old.open_table(BLOCKS)?;
    for (digest, entry) in rows {
        table.insert(digest, &entry.to_bytes())?;
    }
    let mut table = old.open_table(BLOBS)?;
    for row in new.open_table(BLOBS)?.iter()? {
        table.insert(row.as_ref().unwrap().0.value(), row.as_ref().unwrap().1.value())?;
    }
    let mut table = old.open_table(WHOLES)?;
    for row in new.open_table(WHOLES)?.iter()? {
        table.insert(row.as_ref().unwrap().0.value(), row.as_ref().unwrap().1.value())?;
    }
    let mut table = old.open_table(PACKS)?;
    for row in new.open_table(PACKS)?.iter()? {
        table.insert(row.as_ref().unwrap().0.value(), row.as_ref().unwrap().1.value())?;
    }
    for name in [PINS, RECORDS] {
        let mut table = old.open_table(name)?;
        for row in new.open_table(name)?.iter()? {
            table.insert(row.as_ref().unwrap().0.value(), row.as_ref().unwrap().1.value())?;
        }
    }
    Ok(())
}

fn check(dir: &Path, blocks: u64) {
    let store = Store::open(dir, Options::default()).unwrap();
    for n in 0..=blocks {
        assert_eq!(store.get(&block(n).0).unwrap(), Some(block(n).1), "block {n}");
        assert_eq!(store.is_public(&block(n).0), n % 2 == 0 || n == blocks, "block {n}");
    }
    assert!(!store.has(&block(blocks + 1).0));
    assert_eq!(store.usage().unwrap().blocks, blocks + 2);
    let pins = store.pins(None, 10).unwrap();
    assert_eq!(pins.len(), 1);
    assert!(store.whole_file(&pins[0].0).unwrap().is_some());
    assert_eq!(store.record("seeds", b"key").unwrap().as_deref(), Some(&b"value"[..]));
    store.checkpoint().unwrap();
    assert_eq!(std::fs::read_to_string(dir.join("format")).unwrap(), "shoal-store 2\n");
}

#[test]
fn a_store_of_format_1_is_brought_to_this_one() {
    for blocks in [0, 1000] {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), blocks);
        turn_back(dir.path());
        check(dir.path(), blocks);
        check(dir.path(), blocks);
    }
}

#[test]
fn an_upgrade_that_was_interrupted_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path(), Disk::default());
    fill(dir.path(), 500);
    turn_back(dir.path());
    // Before the new index had its name.
    std::fs::create_dir(layout.runs()).unwrap();
    std::fs::write(layout.new_index(), b"half an index").unwrap();
    std::fs::write(layout.run(1), b"half a run").unwrap();
    check(dir.path(), 500);
    // Before the format said so.
    std::fs::write(layout.format(), "shoal-store 1\n").unwrap();
    check(dir.path(), 500);
}

#[test]
fn a_damaged_index_of_format_1_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 10);
    turn_back(dir.path());
    let index = dir.path().join("index.redb");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[9..400].fill(0xff);
    std::fs::write(&index, &bytes).unwrap();
    let told = Store::open(dir.path(), Options::default());
    assert!(matches!(&told, Err(OpenError::Damaged { path, .. }) if *path == index), "{told:?}");
    assert_eq!(std::fs::read(&index).unwrap().len(), bytes.len(), "and left alone");
}
