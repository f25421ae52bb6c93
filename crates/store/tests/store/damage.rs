//! Wrong bytes on the disk: never given out, always named, never a panic.
//!
//! Flips and cuts bytes of blobs, packs and the index. The index may refuse or give right answers.

use std::fs;
use std::path::{Path, PathBuf};

use shoal_store::{Home, OpenError, Options, ReadError, SettleOptions, Store};

use crate::fixture::{Place, Tree, block, flip, public};

#[test]
fn a_flipped_byte_is_named_and_never_given_out() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    let (small, data) = block(50);
    let batch = store.batch(public());
    tree.add(&batch);
    batch.put(&small, &data).unwrap();
    batch.commit().unwrap();
    let at = |extent: shoal_store::Extent| extent.offset + u64::from(extent.len) / 2;
    for (cid, dir) in [(tree.leaves[3].0, "blobs"), (small, "packs")] {
        let path = place.only_file(dir);
        flip(&path, at(store.extent(&cid).unwrap()));
        for read in [store.get(&cid), store.get_public(&cid)] {
            match read {
                Err(ReadError::Corrupt { cid: named, path: found }) => {
                    assert_eq!((named, found), (cid, path.clone()));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(store.locate(&cid), Some(path));
    }
    assert!(store.get(&tree.leaves[2].0).unwrap().is_some());
    let verified = store.verify_whole(&tree.root, &mut tree.spans().into_iter());
    assert!(matches!(verified, Err(ReadError::Corrupt { cid, .. }) if cid == tree.leaves[3].0));
}

#[test]
fn a_corrupt_block_is_forgotten_and_fetched_again() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    let (small, data) = block(50);
    let batch = store.batch(public());
    tree.add(&batch);
    batch.put(&small, &data).unwrap();
    batch.commit().unwrap();
    flip(&place.only_file("blobs"), 3 * 65_536);
    flip(&place.only_file("packs"), 16 + 48);
    for cid in [tree.leaves[3].0, small] {
        assert!(store.get(&cid).is_err());
        store.forget_block(&cid).unwrap();
        assert!(!store.has(&cid));
    }
    assert!(store.whole_file(&tree.root).unwrap().is_none());
    store.keep(&small, None, &data, true).unwrap();
    assert!(!tree.settle(&store, SettleOptions::default()));
    tree.keep(&store, [3]);
    assert!(
        tree.settle(&store, SettleOptions { sync: true, kept: true, ..SettleOptions::default() })
    );
    drop(store);
    let store = place.open();
    tree.assert_readable(&store);
    assert_eq!(store.get(&small).unwrap(), Some(data));
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert_eq!(fs::read(whole.path).unwrap(), tree.content());
}

#[test]
fn a_damaged_leaf_of_a_fetch_is_fetched_again_into_the_same_blob() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..7);
    flip(&place.only_file("blobs"), 65_536);
    assert!(store.get(&tree.leaves[1].0).is_err());
    store.forget_block(&tree.leaves[1].0).unwrap();
    tree.keep(&store, [1, 7]);
    assert!(tree.settle(&store, SettleOptions::default()));
    tree.assert_readable(&store);
    place.only_file("blobs");
}

#[test]
fn a_missing_file_is_corrupt_not_empty() {
    let place = Place::new();
    let tree = Tree::blob(1);
    {
        let store = place.open();
        let batch = store.batch(public());
        tree.add(&batch);
        batch.commit().unwrap();
    }
    fs::remove_file(place.only_file("blobs")).unwrap();
    let store = place.open();
    assert!(matches!(store.get(&tree.leaves[0].0), Err(ReadError::Corrupt { .. })));
    assert!(matches!(store.whole_file(&tree.root), Err(ReadError::Corrupt { .. })));
}

#[test]
fn what_is_missing_or_cut_short_is_stored_again() {
    for cut in [None, Some(10)] {
        let place = Place::new();
        let (tree, (small, data)) = (Tree::blob(1), block(50));
        let add = |store: &Store| {
            let batch = store.batch(public());
            tree.add(&batch);
            batch.put(&tree.leaves[7].0, &tree.leaves[7].1).unwrap();
            batch.put(&small, &data).unwrap();
            batch.commit().unwrap();
        };
        let lose = |beneath| {
            let path = place.only_file(beneath);
            match cut {
                None => fs::remove_file(path).unwrap(),
                Some(len) => {
                    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
                }
            }
        };
        add(&place.open());
        lose("blobs");
        lose("packs");
        let store = place.open();
        store.keep(&small, None, &data, true).unwrap();
        assert_eq!(store.get(&small).unwrap(), Some(data.clone()), "kept again");
        assert_eq!(store.extent(&small).unwrap().home, Home::Pack(1), "not beyond a hole");
        add(&store);
        tree.assert_readable(&store);
        assert!(store.whole_file(&tree.root).unwrap().is_some());
        drop(store);
        let store = place.open();
        tree.assert_readable(&store);
        assert_eq!(store.get(&small).unwrap(), Some(data.clone()));
    }
}

#[test]
fn a_fetch_does_not_take_a_missing_file_for_its_blocks() {
    let place = Place::new();
    let tree = Tree::blob(1);
    {
        let store = place.open();
        let batch = store.batch(public());
        tree.add(&batch);
        batch.commit().unwrap();
    }
    fs::remove_file(place.only_file("blobs")).unwrap();
    let store = place.open();
    tree.fetch(&store);
    tree.assert_readable(&store);
    store.checkpoint().unwrap();
    tree.assert_readable(&store);
}

/// A store with a few hundred entries, closed.
fn filled() -> (Place, PathBuf) {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    for seed in 0..400 {
        batch.put(&block(seed).0, &block(seed).1).unwrap();
    }
    Tree::blob(1000).add(&batch);
    batch.commit().unwrap();
    drop(store);
    let index = place.path().join("index.redb");
    (place, index)
}

/// Opens and uses a store with a damaged index: an error or right answers, nothing else.
fn use_damaged(dir: &Path) -> &'static str {
    let store = match Store::open(dir, Options::default()) {
        Ok(store) => store,
        Err(OpenError::Damaged { path, .. }) => {
            assert!(path.ends_with("index.redb"));
            return "refused";
        }
        Err(other) => panic!("{other:?}"),
    };
    for seed in (0..400).step_by(7) {
        let (cid, data) = block(seed);
        if let Ok(Some(found)) = store.get(&cid) {
            assert_eq!(found, data);
        }
    }
    drop(store.whole_file(&Tree::blob(1000).root));
    drop(store.pins(None, 10));
    let batch = store.batch(public());
    drop(batch.put(&block(999).0, &block(999).1));
    match batch.commit() {
        Ok(()) => assert_eq!(store.get(&block(999).0).unwrap(), Some(block(999).1)),
        Err(_) => return "failed",
    }
    "worked"
}

#[test]
fn a_garbled_index_is_an_error_or_works() {
    // redb reports some damage by panicking; the store turns that into errors, quietly here.
    let (place, index) = filled();
    let good = fs::read(&index).unwrap();
    let mut seen = std::collections::BTreeMap::new();
    for (n, offset) in (0..good.len()).step_by(good.len() / 97).chain(0..64).enumerate() {
        let mut bad = good.clone();
        let end = (offset + [1, 64, 4096][n % 3]).min(bad.len());
        bad[offset..end].iter_mut().for_each(|byte| *byte = byte.wrapping_mul(5).wrapping_add(17));
        fs::write(&index, &bad).unwrap();
        *seen.entry(use_damaged(&place.path())).or_insert(0) += 1;
    }
    println!("garbled: {seen:?}");
    assert!(seen.contains_key("refused"), "{seen:?}");
}

#[test]
fn a_cut_or_missing_index_is_never_an_empty_store() {
    let (place, index) = filled();
    let good = fs::read(&index).unwrap();
    for len in (0..good.len()).step_by(good.len() / 61) {
        fs::write(&index, &good[..len]).unwrap();
        let said = use_damaged(&place.path());
        assert!(said == "refused" || len > good.len() / 2, "cut to {len}: {said}");
    }
    fs::remove_file(&index).unwrap();
    assert_eq!(use_damaged(&place.path()), "refused");
}
