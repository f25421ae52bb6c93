//! Users' files that stand for blobs.
//!
//! Read where they are, hashed on every read, and named when they were edited.

use std::fs;

use shoal_store::{ReadError, WriteError};

use crate::fixture::{Place, Tree, flip, public};

fn referred() -> (Place, shoal_store::Store, Tree, std::path::PathBuf) {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    let path = place.dir.path().join("film.mkv");
    fs::write(&path, tree.content()).unwrap();
    let batch = store.batch(public());
    tree.refer(&batch, &path);
    batch.commit().unwrap();
    (place, store, tree, path)
}

#[test]
fn a_reference_takes_no_space_and_is_read() {
    let (place, store, tree, path) = referred();
    tree.assert_readable(&store);
    let usage = store.usage().unwrap();
    assert_eq!((usage.blobs, usage.blob_bytes, usage.pack_bytes), (1, 0, 0));
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert!(whole.reference && whole.path == path.canonicalize().unwrap());
    let batch = store.batch(public());
    tree.refer(&batch, &path);
    batch.commit().unwrap();
    assert_eq!(store.usage().unwrap().blobs, 1, "the same file again is the same reference");
    assert_eq!(crate::fixture::files_in(&place.path().join("blobs")).len(), 0);
}

#[test]
fn an_edited_reference_is_named_and_never_given_out() {
    let (_place, store, tree, path) = referred();
    flip(&path, 70_000);
    let changed = |read: Result<_, ReadError>| match read {
        Err(ReadError::Changed { path: named, .. }) => named == path.canonicalize().unwrap(),
        _ => false,
    };
    assert!(changed(store.get(&tree.leaves[0].0).map(drop)));
    assert!(changed(store.get(&tree.leaves[1].0).map(drop)));
    assert!(changed(store.whole_file(&tree.root).map(drop)));
    assert!(store.forget_reference(&tree.root).unwrap());
    assert!(!store.has(&tree.leaves[0].0));
    assert!(!store.forget_reference(&tree.root).unwrap());
    tree.fetch(&store);
    tree.assert_readable(&store);
}

#[test]
fn bytes_are_hashed_even_where_the_times_were_put_back() {
    let (_place, store, tree, path) = referred();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    flip(&path, 10);
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert!(matches!(store.get(&tree.leaves[0].0), Err(ReadError::Changed { .. })));
    assert!(store.get(&tree.leaves[1].0).unwrap().is_some());
}

#[test]
fn a_file_that_changes_while_it_is_added_is_refused() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    let path = place.dir.path().join("log");
    fs::write(&path, tree.content()).unwrap();
    let batch = store.batch(public());
    let writer = batch.reference(&path).unwrap();
    assert_eq!(writer.size(), tree.size);
    fs::write(&path, b"shorter").unwrap();
    let refused = writer.finish(&tree.root);
    assert!(matches!(refused, Err(WriteError::SourceChanged { .. })), "{refused:?}");
    batch.commit().unwrap();
    assert!(store.whole_file(&tree.root).unwrap().is_none());
    assert!(store.batch(public()).reference(place.dir.path()).is_err(), "a directory");
}

#[test]
fn an_add_by_copy_does_not_rely_on_a_reference() {
    let (_place, store, tree, path) = referred();
    let batch = store.batch(public());
    tree.add(&batch);
    batch.commit().unwrap();
    fs::remove_file(&path).unwrap();
    tree.assert_readable(&store);
    assert!(!store.whole_file(&tree.root).unwrap().unwrap().reference);
}
