//! Files that leave the store for where the user wants them.
//!
//! The same inode where it can be, served on until it is edited, never one that a pin relies on.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use shoal_store::{Moved, PinOptions, ReadError, SettleOptions, Store};

use crate::fixture::{Place, Tree, files_in, flip, public};

/// Moves a file out as `get` does: temporary name, rename, finish.
fn get(place: &Place, store: &Store, tree: &Tree, name: &str) -> (PathBuf, Moved) {
    let (temp, out) = (place.dir.path().join("temp"), place.dir.path().join(name));
    let moved = store.move_out(&tree.root, &temp, 0o644, false).unwrap().unwrap();
    let how = moved.how();
    fs::rename(&temp, &out).unwrap();
    moved.finish(&out).unwrap();
    assert_eq!(fs::read(&out).unwrap(), tree.content());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o644);
    (out, how)
}

#[test]
fn a_fetched_file_is_linked_out_and_still_served() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let inode = fs::metadata(place.only_file("blobs")).unwrap().ino();
    let (out, how) = get(&place, &store, &tree, "out");
    assert_eq!(how, Moved::Linked);
    let metadata = fs::metadata(&out).unwrap();
    assert_eq!((metadata.ino(), metadata.nlink()), (inode, 1));
    tree.assert_readable(&store);
    assert_eq!(files_in(&place.path().join("blobs")).len(), 0);
    store.checkpoint().unwrap();
    assert_eq!(store.usage().unwrap().blob_bytes, 0);
    drop(store);
    let store = place.open();
    tree.assert_readable(&store);
    let (_, how) = get(&place, &store, &tree, "second");
    assert_ne!(how, Moved::Linked, "what is the user's is copied");
    flip(&out, 5);
    assert!(matches!(store.get(&tree.leaves[0].0), Err(ReadError::Changed { .. })));
    assert!(store.move_out(&tree.root, &place.dir.path().join("third"), 0o644, false).is_err());
    assert!(!place.dir.path().join("third").exists());
}

#[test]
fn a_move_survives_a_crash_right_after_it() {
    let place = Place::new();
    let tree = Tree::blob(1);
    let (early, late) = (Tree::blob(20), Tree::blob(40));
    {
        let store = place.open();
        early.fetch(&store);
        store.checkpoint().unwrap();
        tree.fetch(&store);
        get(&place, &store, &early, "early");
        get(&place, &store, &tree, "out");
        late.keep(&store, 0..3);
        // No checkpoint: dropping the store is as good as a kill.
    }
    let store = place.open();
    for moved in [&early, &tree] {
        moved.assert_readable(&store);
        assert!(store.whole_file(&moved.root).unwrap().unwrap().reference);
    }
    store.checkpoint().unwrap();
    assert_eq!(files_in(&place.path().join("partial")).len(), 1, "the partial one's");
    drop(store);
    let store = place.open();
    tree.assert_readable(&store);
    early.assert_readable(&store);
    late.fetch(&store);
}

#[test]
fn a_link_whose_end_was_never_told_is_not_trusted() {
    let place = Place::new();
    let tree = Tree::blob(1);
    let out = place.dir.path().join("out");
    {
        let store = place.open();
        tree.fetch(&store);
        let moved = store.move_out(&tree.root, &out, 0o644, false).unwrap().unwrap();
        assert_eq!(moved.how(), Moved::Linked);
    }
    let store = place.open();
    tree.assert_readable(&store);
    flip(&out, 5);
    assert!(matches!(store.get(&tree.leaves[0].0), Err(ReadError::Changed { .. })));
    // A fetch does not write into the user's file.
    let edited = fs::read(&out).unwrap();
    let again = Tree::blob(1);
    again.keep(&store, 0..8);
    assert!(again.settle(&store, SettleOptions::default()));
    again.assert_readable(&store);
    assert_eq!(fs::read(&out).unwrap(), edited);
}

#[test]
fn a_kept_file_is_never_linked() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..8);
    assert!(tree.settle(&store, SettleOptions { sync: true, kept: true }));
    let (out, how) = get(&place, &store, &tree, "out");
    assert_ne!(how, Moved::Linked);
    flip(&out, 5);
    tree.assert_readable(&store);
    let missing = store.move_out(&Tree::blob(90).root, &out, 0o644, false).unwrap();
    assert!(missing.is_none());
}

#[test]
fn a_pin_takes_a_moved_file_back() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let (out, _) = get(&place, &store, &tree, "out");
    for (cid, _) in &tree.leaves {
        assert!(store.own(cid, true).unwrap());
    }
    store.pin(&tree.root, PinOptions::default()).unwrap();
    fs::remove_file(&out).unwrap();
    tree.assert_readable(&store);
    drop(store);
    let store = place.open();
    tree.assert_readable(&store);
    assert!(!store.whole_file(&tree.root).unwrap().unwrap().reference);
    assert!(!store.own(&Tree::blob(70).root, true).unwrap());
}

#[test]
fn a_pin_that_comes_between_link_and_finish_keeps_a_copy() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let out = place.dir.path().join("out");
    let moved = store.move_out(&tree.root, &out, 0o600, false).unwrap().unwrap();
    assert!(store.own(&tree.leaves[0].0, true).unwrap());
    moved.finish(&out).unwrap();
    store.pin(&tree.root, PinOptions::default()).unwrap();
    flip(&out, 5);
    tree.assert_readable(&store);
}

#[test]
fn an_add_after_a_move_stores_its_own_copy() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let (out, _) = get(&place, &store, &tree, "out");
    let batch = store.batch(public());
    tree.add(&batch);
    batch.commit().unwrap();
    fs::write(&out, b"edited").unwrap();
    tree.assert_readable(&store);
}
