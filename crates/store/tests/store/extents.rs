//! Files whose leaves lie elsewhere: what is written of them, and that they read right.
//!
//! Space is what the file system says (stat's blocks), not what the store thinks.

use proptest::prelude::*;
use shoal_dag::{Metadata, Mtime};
use shoal_store::SettleOptions;

use crate::fixture::{Place, bytes, files_in, flip, public};
use crate::versions::{Edit, EditKind, add, add_to, add_with, blob_bytes, unique};

const MIB: usize = 1 << 20;
/// A leaf alone in a file takes whole blocks at both of its ends.
const ENDS_BYTES: u64 = 8192;

#[test]
fn a_version_is_stored_by_its_new_leaves() {
    let place = Place::new();
    let store = place.open();
    let first = add(&store, &bytes(1, 4 * MIB));
    let before = blob_bytes(&store);
    let edit = Edit { at: 1 << 14, kind: EditKind::Insert, len: 4096, seed: 2 };
    let second = add(&store, &edit.apply(&first.content));
    let new = unique([&first, &second]).0 - unique([&first]).0;
    let stored = blob_bytes(&store) - before;
    assert!(stored <= new + ENDS_BYTES && new < MIB as u64, "{stored} of {new}");
    first.assert_whole(&store, true);
    second.assert_whole(&store, false);
    drop(store);
    let store = place.open();
    first.assert_whole(&store, true);
    second.assert_whole(&store, false);
}

#[test]
fn a_few_holes_are_filled() {
    let place = Place::new();
    let store = place.open();
    let first = add(&store, &bytes(1, MIB));
    let second = add(&store, &[&bytes(2, 5 * MIB), &first.content[..]].concat());
    second.assert_whole(&store, true);
    first.assert_whole(&store, true);
}

#[test]
fn other_metadata_costs_a_root() {
    let place = Place::new();
    let store = place.open();
    let content = bytes(1, 8 * MIB);
    let plain = add(&store, &content);
    let before = blob_bytes(&store);
    let path = store.whole_file(&plain.root).unwrap().unwrap().path;
    for seconds in [1, 2] {
        let meta = Metadata { mode: Some(0o644), mtime: Some(Mtime { seconds, nanos: 5 }) };
        let touched = add_with(&store, &content, meta);
        assert_ne!(touched.root, plain.root);
        touched.assert_whole(&store, true);
        assert_eq!(store.whole_file(&touched.root).unwrap().unwrap().path, path);
    }
    assert_eq!(blob_bytes(&store), before);
    assert_eq!(files_in(&store.dir().join("blobs")).len(), 1);
    // Also within one batch, and for what is in pieces itself.
    let batch = store.batch(public());
    let other = bytes(3, MIB);
    let meta = Metadata { mode: Some(0o600), mtime: None };
    let one = add_to(&batch, &other, Metadata::default());
    let two = add_to(&batch, &other, meta);
    let edited = Edit { at: 9, kind: EditKind::Insert, len: 99, seed: 4 }.apply(&content);
    let pieces = add_to(&batch, &edited, Metadata::default());
    let again = add_to(&batch, &edited, meta);
    batch.commit().unwrap();
    let files = files_in(&store.dir().join("blobs")).len();
    for (doc, is_whole) in [(&one, true), (&two, true), (&pieces, false), (&again, false)] {
        doc.assert_whole(&store, is_whole);
    }
    // Adding what is in pieces once more makes nothing new.
    add(&store, &edited);
    assert_eq!(files_in(&store.dir().join("blobs")).len(), files);
}

#[test]
fn zeros_are_holes_that_read_right() {
    let place = Place::new();
    let store = place.open();
    let content = [&bytes(1, MIB)[..], &vec![0; 8 * MIB], &bytes(2, MIB), &vec![0; MIB]].concat();
    let doc = add(&store, &content);
    doc.assert_whole(&store, true);
    assert!(blob_bytes(&store) < 3 * MIB as u64);
}

#[test]
fn what_repeats_within_a_file_is_written_once() {
    let place = Place::new();
    let store = place.open();
    let part = bytes(1, MIB);
    let doc = add(&store, &[&part[..]; 8].concat());
    doc.assert_whole(&store, false);
    assert!(blob_bytes(&store) < 2 * MIB as u64 + MIB as u64 / 2);
}

#[test]
fn a_corrupt_leaf_is_not_copied_and_is_stored_anew_by_the_next_add() {
    let place = Place::new();
    let store = place.open();
    let first = add(&store, &bytes(1, MIB));
    let path = store.whole_file(&first.root).unwrap().unwrap().path;
    let content = [&bytes(2, 5 * MIB), &first.content[..]].concat();
    // Somewhere in its middle, where the second file has the same leaves.
    flip(&path, MIB as u64 / 2);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| add(&store, &content)));
    assert!(failed.is_err(), "wrong bytes were not taken for right ones");
    add(&store, &content).assert_whole(&store, true);
}

#[test]
fn a_fetched_version_that_a_pin_keeps_may_have_holes_too() {
    let place = Place::new();
    let store = place.open();
    let first = add(&store, &bytes(1, 4 * MIB));
    let edit = Edit { at: 1 << 14, kind: EditKind::Insert, len: 4096, seed: 2 };
    let elsewhere = Place::new();
    let other = elsewhere.open();
    let second = add(&other, &edit.apply(&first.content));
    let before = blob_bytes(&store);
    let (size, file) = (second.content.len() as u64, &second.root);
    for (cid, offset, _) in &second.leaves {
        if !store.has(cid) {
            let place = shoal_store::KeepPlace { file, size, offset: *offset };
            store.keep(cid, Some(place), &other.get(cid).unwrap().unwrap(), true).unwrap();
        }
    }
    let options = SettleOptions { sync: true, kept: true, sparse: true };
    let settle = || store.settle(file, size, &mut second.leaves.iter().copied(), options).unwrap();
    assert!(settle());
    assert!(!settle(), "it is no whole file");
    second.assert_whole(&store, false);
    assert!(blob_bytes(&store) - before < MIB as u64);
    drop(store);
    second.assert_whole(&place.open(), false);
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let kind = prop_oneof![
        Just(EditKind::Overwrite),
        Just(EditKind::Insert),
        Just(EditKind::Remove),
        Just(EditKind::Zeros),
    ];
    let edit = (any::<u16>(), kind, 1_usize..400_000, any::<u64>());
    let edit = edit.prop_map(|(at, kind, len, seed)| Edit { at, kind, len, seed });
    prop::collection::vec(edit, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Versions of a file, edited at random: each one reads right, before the newest is made whole and
    /// after, and what they take is what is different in them.
    #[test]
    fn every_version_reads_right(edits in edits(), reopen in any::<bool>()) {
        let place = Place::new();
        let mut store = place.open();
        let mut docs = vec![add(&store, &bytes(7, 2 * MIB))];
        for edit in edits {
            let content = edit.apply(&docs.last().unwrap().content);
            // Less has no blob.
            if content.len() >= MIB / 2 {
                docs.push(add(&store, &content));
            }
        }
        for doc in &docs {
doc.assert_right(&store);
}
        if reopen {
            drop(store);
            store = place.open();
        }
        let older: Vec<_> = docs.iter().map(|doc| doc.root).collect();
        let newest = docs.last().unwrap();
        let done = store.rebase(&newest.root, &older, &mut || true).unwrap();
        prop_assert!(done.whole && !done.stopped);
        prop_assert_eq!(store.thin(&mut || true).unwrap().left, 0);
        newest.assert_whole(&store, true);
        for doc in &docs {
doc.assert_right(&store);
}
        let (bytes, leaves) = unique(&docs);
        // A leaf that stands twice in the newest file is there twice.
        let repeated = newest.content.len() as u64 - unique([newest]).0;
        let most = bytes + repeated + ENDS_BYTES * leaves;
        let taken = blob_bytes(&store);
        prop_assert!(taken <= most, "{} of {}", taken, most);
        drop(store);
        let store = place.open();
        for doc in &docs {
doc.assert_right(&store);
}
    }
}
