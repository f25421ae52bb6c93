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
    assert_eq!(fs::metadata(&out).unwrap().ino(), inode);
    tree.assert_readable(&store);
    store.checkpoint().unwrap();
    assert_eq!(fs::metadata(&out).unwrap().nlink(), 1);
    assert_eq!(files_in(&place.path().join("blobs")).len(), 0);
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
fn a_move_whose_note_was_lost_is_found_under_the_own_name() {
    let place = Place::new();
    let (late, early) = (Tree::blob(1), Tree::blob(20));
    let store = place.open();
    early.fetch(&store);
    store.checkpoint().unwrap();
    late.fetch(&store);
    for tree in [&early, &late] {
        let name = tree.root.to_string();
        let (out, how) = get(&place, &store, tree, &name);
        assert_eq!(how, Moved::Linked);
        // As if the power went before the rename and the note were on the disk.
        let crashed = place.crashed();
        fs::remove_file(&out).unwrap();
        for note in files_in(&crashed.path().join("partial")) {
            if note.extension().is_some() {
                fs::write(note, b"").unwrap();
            }
        }
        let again = crashed.open();
        tree.assert_readable(&again);
        assert!(
            tree.settle(
                &again,
                SettleOptions { sync: true, kept: false, ..SettleOptions::default() }
            )
        );
        tree.assert_readable(&again);
        assert_eq!(fs::read(again.whole_file(&tree.root).unwrap().unwrap().path).unwrap(), {
            tree.content()
        });
    }
}

#[test]
fn a_move_whose_rename_was_lost_is_found_under_the_own_name() {
    let place = Place::new();
    let (late, early) = (Tree::blob(1), Tree::blob(20));
    let store = place.open();
    early.fetch(&store);
    store.checkpoint().unwrap();
    late.fetch(&store);
    for tree in [&early, &late] {
        let (out, how) = get(&place, &store, tree, &tree.root.to_string());
        assert_eq!(how, Moved::Linked);
        // As if the power went, and the note were on the disk before the new name.
        let crashed = place.crashed();
        fs::remove_file(&out).unwrap();
        let again = crashed.open();
        tree.assert_readable(&again);
        let whole = again.whole_file(&tree.root).unwrap().unwrap();
        assert!(whole.reference, "it may have been edited under the other name");
        assert!(whole.path.starts_with(crashed.path()));
        again.checkpoint().unwrap();
        drop(again);
        tree.assert_readable(&crashed.open());
    }
}

#[test]
fn a_checkpointed_file_whose_move_was_never_told_is_not_trusted() {
    let place = Place::new();
    let tree = Tree::blob(1);
    let out = place.dir.path().join("out");
    {
        let store = place.open();
        tree.fetch(&store);
        store.checkpoint().unwrap();
        let moved = store.move_out(&tree.root, &out, 0o644, false).unwrap().unwrap();
        assert_eq!(moved.how(), Moved::Linked);
    }
    let store = place.open();
    tree.assert_readable(&store);
    assert!(store.own(&tree.leaves[0].0, true).unwrap());
    store.pin(&tree.root, PinOptions::default()).unwrap();
    flip(&out, 5);
    tree.assert_readable(&store);
    drop(store);
    tree.assert_readable(&place.open());
}

#[test]
fn a_pinned_file_does_not_share_its_bytes_after_a_crash() {
    let place = Place::new();
    let tree = Tree::blob(1);
    let out = place.dir.path().join("out");
    {
        let store = place.open();
        tree.fetch(&store);
        let moved = store.move_out(&tree.root, &out, 0o644, false).unwrap().unwrap();
        assert!(store.own(&tree.leaves[0].0, true).unwrap());
        store.pin(&tree.root, PinOptions::default()).unwrap();
        drop(moved);
    }
    flip(&out, 5);
    let store = place.open();
    tree.assert_readable(&store);
    assert_eq!(files_in(&place.path().join("partial")).len(), 0);
}

/// A way to bring a file's blocks into the store again.
type Again<'a> = &'a dyn Fn(&Store, &Tree);

#[test]
fn a_new_copy_takes_the_place_of_a_file_that_the_user_removed() {
    let batch_puts = |store: &Store, tree: &Tree| {
        let batch = store.batch(public());
        tree.leaves.iter().for_each(|(cid, data)| batch.put(cid, data).unwrap());
        batch.commit().unwrap();
    };
    let placeless = |store: &Store, tree: &Tree| {
        tree.leaves.iter().for_each(|(cid, data)| store.keep(cid, None, data, false).unwrap());
    };
    let again: [Again<'_>; 4] = [
        &|store, tree| tree.keep(store, 0..8),
        &|store, tree| tree.fetch(store),
        &placeless,
        &batch_puts,
    ];
    for again in again {
        for is_checkpointed in [false, true] {
            let place = Place::new();
            let store = place.open();
            let tree = Tree::blob(1);
            tree.fetch(&store);
            let (out, _) = get(&place, &store, &tree, "out");
            if is_checkpointed {
                store.checkpoint().unwrap();
            }
            fs::remove_file(&out).unwrap();
            assert!(store.get(&tree.leaves[0].0).is_err());
            again(&store, &tree);
            tree.assert_readable(&store);
            store.checkpoint().unwrap();
            tree.assert_readable(&store);
            assert!(tree.leaves.iter().all(|leaf| store.get_public(&leaf.0).unwrap().is_some()));
        }
    }
}

#[test]
fn a_block_that_comes_late_is_not_stored_beside_the_users_file() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    get(&place, &store, &tree, "out");
    tree.keep(&store, [7]);
    store.checkpoint().unwrap();
    assert_eq!(files_in(&place.path().join("blobs")).len(), 0);
    assert_eq!(store.usage().unwrap().pack_bytes, 0);
}

#[test]
fn two_gets_of_one_file_give_two_files() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let paths = ["first", "second"].map(|name| place.dir.path().join(name));
    let [first, second] = paths
        .each_ref()
        .map(|path| store.move_out(&tree.root, path, 0o644, false).unwrap().unwrap());
    assert_eq!(first.how(), Moved::Linked);
    assert_ne!(second.how(), Moved::Linked, "two users would edit one file");
    first.finish(&paths[0]).unwrap();
    second.finish(&paths[1]).unwrap();
    flip(&paths[1], 5);
    assert_eq!(fs::read(&paths[0]).unwrap(), tree.content());
    store.checkpoint().unwrap();
    tree.assert_readable(&store);
}

#[test]
fn a_pin_in_the_same_moment_as_a_move_survives_the_next_checkpoint() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.fetch(&store);
    let (out, _) = get(&place, &store, &tree, "out");
    // The own name is about to go, and is taken again.
    assert!(store.own(&tree.leaves[0].0, true).unwrap());
    store.pin(&tree.root, PinOptions::default()).unwrap();
    fs::remove_file(&out).unwrap();
    tree.assert_readable(&store);
    let crashed = place.crashed();
    tree.assert_readable(&crashed.open());
    assert_eq!(files_in(&crashed.path().join("blobs")).len(), 1);
}

#[test]
fn a_settle_that_comes_late_does_not_take_the_users_file() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..8);
    let out = place.dir.path().join("out");
    // A second get reaches its last leaf when the first one has moved the file out.
    let mut spans = tree.spans().into_iter();
    let mut late = std::iter::from_fn(|| {
        if spans.len() == 4 {
            assert!(tree.settle(&store, SettleOptions::default()));
            let moved = store.move_out(&tree.root, &out, 0o644, false).unwrap().unwrap();
            moved.finish(&out).unwrap();
            store.checkpoint().unwrap();
        }
        spans.next()
    });
    assert!(store.settle(&tree.root, tree.size, &mut late, SettleOptions::default()).unwrap());
    tree.assert_readable(&store);
    assert!(store.whole_file(&tree.root).unwrap().unwrap().reference);
}

#[test]
fn a_kept_file_is_never_linked() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..8);
    assert!(
        tree.settle(&store, SettleOptions { sync: true, kept: true, ..SettleOptions::default() })
    );
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
