//! What is shared and what is not, over a real store.
//!
//! No network: what peers are told is read where the swarm task reads it.

use shoal_dag::{
    Bytes, Profile, Version,
    build::{DirectoryBuilder, leaf},
    hash::HashKind,
    unixfs::Metadata,
};
use shoal_store::{BatchOptions, Options, PinOptions};
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
    (dir, store)
}

/// Adds a directory with one file, pinned; returns both.
fn add(store: &Store, bytes: &'static [u8], local: bool) -> (Cid, Cid) {
    let batch = store.batch(BatchOptions { public: !local });
    let leaf = leaf(Profile::Shoal, bytes);
    batch.put(&leaf.cid, &Bytes::from_static(bytes)).expect("room");
    let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
    builder.insert(b"file", leaf.cid, leaf.dag_size).expect("a good entry");
    let (block, _) = builder.finish().expect("a small directory");
    batch.put(&block.cid, &block.data).expect("room");
    batch.pin(&block.cid, PinOptions { local, ..PinOptions::default() }).expect("a pin");
    batch.commit().expect("a commit");
    (block.cid, leaf.cid)
}

#[test]
fn pins_are_announced_and_shared_unless_local() {
    let (_dir, store) = store();
    let (open, file) = add(&store, b"for all", false);
    let (local, hidden) = add(&store, b"for me", true);
    assert_eq!(roots(&store).expect("roots"), [open]);
    assert!(holdings(&store, &open).all);
    assert!(holdings(&store, &file).all, "a part of a pinned tree is shared whole");
    assert!(holdings(&store, &local).is_empty());
    assert!(holdings(&store, &hidden).is_empty());
}

#[test]
fn cached_content_is_shared_with_nobody() {
    let (_dir, store) = store();
    let data = Bytes::from_static(b"read once through a mount");
    let cid = hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, &data);
    store.keep(&cid, None, &data, false).expect("room");
    assert!(holdings(&store, &cid).is_empty());
}

#[test]
fn a_kept_part_is_told_under_its_root_until_it_is_forgotten() {
    let (_dir, store) = store();
    let (part, _) = add(&store, b"part", false);
    let root = leaf(Profile::Shoal, b"a root of which nothing else is here").cid;
    record_part(&store, &root, &part, &[(root, 7)]).expect("a record");
    let told = holdings(&store, &root);
    assert_eq!((told.all, &told.complete[..]), (false, &[part][..]));
    assert_eq!(told.have, [(root, 7, vec![1])]);
    assert!(roots(&store).expect("roots").contains(&root), "the root is announced for its part");
    forget_parts(&store, &part).expect("a record");
    assert!(holdings(&store, &root).is_empty());
}

#[test]
fn probes_tell_leaves_branches_and_what_is_missing() {
    let (_dir, store) = store();
    let (root, file) = add(&store, b"bytes", false);
    let missing = leaf(Profile::Shoal, b"elsewhere").cid;
    let found = probe(&store, vec![(root, None), (file, None), (missing, None)]);
    assert!(matches!(&found[0].1, Probe::Branch(links) if links.children[0].cid == file));
    assert_eq!(found[1].1, Probe::Leaf);
    assert_eq!(found[2].1, Probe::Missing);
}

#[test]
fn debts_last_until_they_are_removed() {
    let (_dir, store) = store();
    let (root, file) = add(&store, b"owed", false);
    Debt::new(&root, &file, &[(root, 0)], 4).record(&store).expect("a record");
    assert_eq!(debt_count(&store), 1);
    let debts = all_of::<Debt>(&store, DEBTS, 10);
    assert_eq!(debts[0].1, Debt::new(&root, &file, &[(root, 0)], 4));
    assert!(roots(&store).expect("roots").contains(&root));
}

/// What was added and then unpinned went on being served, block by block.
#[test]
fn what_is_not_pinned_any_more_is_not_served_but_what_another_pin_covers_is() {
    let (_dir, store) = store();
    let (gone, file) = add(&store, b"shared twice", false);
    // The same file under another directory.
    let batch = store.batch(BatchOptions { public: true });
    let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
    builder.insert(b"other", file, 12).expect("a good entry");
    let (block, _) = builder.finish().expect("a small directory");
    batch.put(&block.cid, &block.data).expect("room");
    batch.pin(&block.cid, PinOptions::default()).expect("a pin");
    batch.commit().expect("a commit");
    assert!(unshare::unpin(&store, &gone).expect("a record"));
    assert!(holdings(&store, &gone).is_empty(), "not even before the work is done");
    unshare::work(&store).expect("work");
    assert!(!store.is_public(&gone) && store.has(&gone));
    assert!(store.is_public(&file), "another pin covers it");
    assert!(!unshare::is_unshared(&store, &gone), "the queue is empty");
    assert!(unshare::unpin(&store, &block.cid).expect("a record"));
    unshare::work(&store).expect("work");
    assert!(!store.is_public(&file));
}
