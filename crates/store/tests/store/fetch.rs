//! Keeping blocks from peers, and settling files.
//!
//! Also what places that a stranger lied about do to a blob: nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;

use shoal_store::{KeepPlace, SettleOptions};

use crate::fixture::{Place, Tree, block, bytes, files_in, leaf_cid, public};

#[test]
fn leaves_go_to_their_places_and_make_the_file_whole() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, [6, 1, 3]);
    assert!(!tree.settle(&store, SettleOptions::default()));
    assert!(store.whole_file(&tree.root).unwrap().is_none());
    assert!(store.has(&tree.leaves[6].0) && !store.has(&tree.leaves[0].0));
    let blob = fs::metadata(place.only_file("blobs")).unwrap();
    assert_eq!(blob.len(), tree.size);
    assert!(blob.blocks() * 512 < tree.size, "a partial blob is sparse");
    assert!(store.usage().unwrap().blob_bytes >= 3 * 65_536);
    tree.keep(&store, [0, 2, 4, 5, 7]);
    assert!(
        tree.settle(&store, SettleOptions { sync: true, kept: false, ..SettleOptions::default() })
    );
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert_eq!(fs::read(&whole.path).unwrap(), tree.content());
    assert!(store.verify_whole(&tree.root, &mut tree.spans().into_iter()).unwrap());
    assert_eq!(files_in(&place.path().join("partial")).len(), 0);
    assert_eq!(store.usage().unwrap().blob_bytes, tree.size);
}

#[test]
fn small_content_goes_into_packs() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::of(&[1, 2, 3], 1000);
    tree.keep(&store, 0..3);
    tree.keep(&store, 0..3);
    tree.assert_readable(&store);
    assert!(
        tree.settle(&store, SettleOptions { sync: true, kept: false, ..SettleOptions::default() })
    );
    assert!(store.whole_file(&tree.root).unwrap().is_none());
    let usage = store.usage().unwrap();
    assert_eq!((usage.blocks, usage.blobs, usage.pack_bytes), (3, 0, 16 + 3 * 1048));
    assert!(!Tree::of(&[1, 9], 1000).settle(&store, SettleOptions::default()));
}

#[test]
fn a_large_leaf_without_a_place_is_a_blob_of_its_own() {
    let place = Place::new();
    let store = place.open();
    let data = bytes(1, 1 << 20);
    let cid = leaf_cid(&data);
    store.keep(&cid, None, &data, true).unwrap();
    assert_eq!(store.get(&cid).unwrap().as_ref(), Some(&data));
    let spans = [(cid, 0, data.len() as u32)];
    let options = SettleOptions::default();
    assert!(store.settle(&cid, 1 << 20, &mut spans.into_iter(), options).unwrap());
    assert_eq!(fs::read(store.whole_file(&cid).unwrap().unwrap().path).unwrap(), data);
}

#[test]
fn a_leaf_that_stands_twice_is_fetched_once() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::of(&[1, 2, 1, 3, 1, 3, 4, 5], 64 * 1024);
    tree.keep(&store, [0, 1, 3, 6, 7]);
    assert!(tree.settle(&store, SettleOptions::default()));
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert_eq!(fs::read(&whole.path).unwrap(), tree.content());
}

#[test]
fn leaves_that_are_here_already_are_copied() {
    let place = Place::new();
    let store = place.open();
    let old = Tree::of(&[1, 2, 3, 4, 5], 64 * 1024);
    let batch = store.batch(public());
    old.add(&batch);
    let (cid, data) = (&old.leaves[0].0, &old.leaves[0].1);
    batch.put(cid, data).unwrap();
    batch.commit().unwrap();
    let new = Tree::of(&[5, 2, 9, 1, 4], 64 * 1024);
    new.keep(&store, [2]);
    assert!(new.settle(&store, SettleOptions::default()));
    let whole = store.whole_file(&new.root).unwrap().unwrap();
    assert_eq!(fs::read(&whole.path).unwrap(), new.content());
    old.assert_readable(&store);
    let all_here = Tree::of(&[5, 4, 3, 2, 1], 64 * 1024);
    assert!(all_here.settle(&store, SettleOptions::default()));
}

#[test]
fn lying_places_never_damage_a_leaf() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..2);
    let (cid, data) = (tree.leaves[2].0, &tree.leaves[2].1);
    for offset in [0, 30_000, 65_536, tree.size - 1, u64::MAX] {
        let data = bytes(offset.wrapping_add(50), 64 * 1024);
        let lie = KeepPlace { file: &tree.root, size: tree.size, offset };
        store.keep(&leaf_cid(&data), Some(lie), &data, true).unwrap();
        assert_eq!(store.get(&leaf_cid(&data)).unwrap(), Some(data));
    }
    let other_size = KeepPlace { file: &tree.root, size: tree.size * 9, offset: 2 * 65_536 };
    store.keep(&cid, Some(other_size), data, true).unwrap();
    let absurd = KeepPlace { file: &block(9).0, size: u64::MAX, offset: 0 };
    store.keep(&block(1).0, Some(absurd), &block(1).1, true).unwrap();
    assert_eq!(store.get(&cid).unwrap().as_ref(), Some(data));
    tree.keep(&store, 3..8);
    tree.assert_readable(&store);
    assert!(tree.settle(&store, SettleOptions::default()));
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert_eq!(fs::read(&whole.path).unwrap(), tree.content());
}

#[test]
fn leaves_that_do_not_tile_the_file_do_not_settle() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..8);
    let mut gap = tree.spans();
    gap.remove(3);
    let mut short = tree.spans();
    short.pop();
    for mut spans in [gap.into_iter(), short.into_iter()] {
        let settled = store.settle(&tree.root, tree.size, &mut spans, SettleOptions::default());
        assert!(!settled.unwrap());
    }
    assert!(tree.settle(&store, SettleOptions::default()));
}

#[test]
fn allocated_space_is_that_of_the_content() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    store.prepare(&tree.root, tree.size, true).unwrap();
    let blob = fs::metadata(place.only_file("blobs")).unwrap();
    assert_eq!(blob.len(), tree.size);
    assert!(blob.blocks() * 512 >= tree.size);
    tree.fetch(&store);
    store.prepare(&tree.root, tree.size, true).unwrap();
    assert_eq!(files_in(&place.path().join("blobs")).len(), 1);
}

#[test]
fn a_kept_file_is_relied_on_by_later_adds_and_a_passing_one_is_not() {
    let place = Place::new();
    let store = place.open();
    let (passing, kept) = (Tree::blob(1), Tree::blob(20));
    passing.fetch(&store);
    kept.keep(&store, 0..8);
    assert!(
        kept.settle(&store, SettleOptions { sync: false, kept: true, ..SettleOptions::default() })
    );
    let batch = store.batch(public());
    for tree in [&passing, &kept] {
        batch.put(&tree.leaves[0].0, &tree.leaves[0].1).unwrap();
    }
    batch.commit().unwrap();
    let in_packs = store.usage().unwrap().pack_bytes;
    assert_eq!(in_packs, 16 + 48 + 65_536, "one leaf was copied, the kept one was not");
}
