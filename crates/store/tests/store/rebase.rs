//! The newest version becomes whole and the older ones give up what it has.
//!
//! Also stopped after each step, killed there, and while others read, add and mark.

use std::sync::atomic::{AtomicBool, Ordering};

use shoal_dag::Cid;
use shoal_store::Store;

use crate::fixture::{Place, bytes};
use crate::versions::{Doc, Edit, EditKind, add, blob_bytes, unique};

const MIB: usize = 1 << 20;

/// Versions of a file, each with a few edits of the one before.
fn versions(store: &Store, count: u64, len: usize) -> Vec<Doc> {
    let mut docs = vec![add(store, &bytes(1, len))];
    for version in 1..count {
        let mut content = docs.last().unwrap().content.clone();
        for n in 0..4 {
            let kinds = [EditKind::Overwrite, EditKind::Insert, EditKind::Insert, EditKind::Remove];
            let seed = version * 100 + n;
            let at = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u16;
            let edit = Edit { at, kind: kinds[n as usize], len: 4096, seed };
            content = edit.apply(&content);
        }
        docs.push(add(store, &content));
    }
    docs
}

fn roots(docs: &[Doc]) -> Vec<Cid> {
    docs.iter().map(|doc| doc.root).collect()
}

#[track_caller]
fn assert_right(docs: &[Doc], store: &Store) {
    for doc in docs {
        doc.assert_right(store);
    }
}

#[test]
fn ten_versions_take_what_is_different_in_them() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 10, 16 * MIB);
    docs[0].assert_whole(&store, true);
    docs[9].assert_whole(&store, false);
    let done = store.rebase(&docs[9].root, &roots(&docs), &mut || true).unwrap();
    assert!(done.whole && done.filled > 15 * MIB as u64 && done.moved > 100, "{done:?}");
    let thinned = store.thin(&mut || true).unwrap();
    assert!(thinned.left == 0 && thinned.punched > 15 * MIB as u64, "{thinned:?}");
    docs[9].assert_whole(&store, true);
    docs[0].assert_whole(&store, false);
    assert_right(&docs, &store);
    let (taken, (unique, _)) = (blob_bytes(&store), unique(&docs));
    assert!(taken * 10 <= unique * 11, "{taken} of {unique}");
    // Once more there is nothing to do.
    let again = store.rebase(&docs[9].root, &roots(&docs), &mut || true).unwrap();
    assert_eq!((again.whole, again.filled, again.moved), (true, 0, 0));
    drop(store);
    assert_right(&docs, &place.open());
}

#[test]
fn version_after_version_is_rebased() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 5, 4 * MIB);
    for newest in 1..5 {
        store.rebase(&docs[newest].root, &roots(&docs[..newest]), &mut || true).unwrap();
        store.thin(&mut || true).unwrap();
        docs[newest].assert_whole(&store, true);
        docs[newest - 1].assert_whole(&store, false);
        assert_right(&docs, &store);
    }
    // A version that was given up is as good a newest one as any.
    store.rebase(&docs[0].root, &roots(&docs), &mut || true).unwrap();
    store.thin(&mut || true).unwrap();
    docs[0].assert_whole(&store, true);
    assert_right(&docs, &store);
    let (taken, (unique, leaves)) = (blob_bytes(&store), unique(&docs));
    assert!(taken <= unique + leaves * 8192, "{taken} of {unique}");
}

#[test]
fn files_of_other_names_keep_what_they_have() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 2, 4 * MIB);
    let done = store.rebase(&docs[1].root, &[], &mut || true).unwrap();
    assert!(done.whole && done.moved == 0, "{done:?}");
    assert_eq!(store.thin(&mut || true).unwrap().punched, 0);
    docs[0].assert_whole(&store, true);
    docs[1].assert_whole(&store, true);
}

#[test]
fn a_root_without_a_blob_of_the_store_is_left_alone() {
    let place = Place::new();
    let store = place.open();
    let unknown = crate::fixture::leaf_cid(b"nothing");
    assert!(!store.rebase(&unknown, &[unknown], &mut || true).unwrap().whole);
}

#[test]
fn a_damaged_file_is_whole_again_when_what_was_bad_has_come_back() {
    let place = Place::new();
    let store = place.open();
    let doc = &versions(&store, 1, 4 * MIB)[0];
    let path = store.whole_file(&doc.root).unwrap().unwrap().path;
    let (cid, offset, len) = doc.leaves[7];
    crate::fixture::flip(&path, offset + 5);
    store.get(&cid).unwrap_err();
    store.forget_block(&cid).unwrap();
    doc.leaves.iter().for_each(|(other, ..)| assert_eq!(store.has(other), *other != cid));
    assert!(store.whole_file(&doc.root).unwrap().is_none());
    store.rebase(&doc.root, &[], &mut || true).unwrap_err();
    let data = doc.content[offset as usize..][..len as usize].to_vec();
    store.keep(&cid, None, &data.into(), true).unwrap();
    let done = store.rebase(&doc.root, &[], &mut || true).unwrap();
    assert_eq!((done.whole, done.filled), (true, u64::from(len)));
    doc.assert_whole(&store, true);
    // A second bad leaf that nobody has forgotten yet: it is not called whole.
    let (cid, offset, len) = doc.leaves[9];
    crate::fixture::flip(&path, offset);
    store.forget_block(&cid).unwrap();
    crate::fixture::flip(&path, doc.leaves[11].1);
    let data = doc.content[offset as usize..][..len as usize].to_vec();
    store.keep(&cid, None, &data.into(), true).unwrap();
    store.rebase(&doc.root, &[], &mut || true).unwrap_err();
    assert!(store.whole_file(&doc.root).unwrap().is_none());
}

#[test]
fn a_leased_file_keeps_its_bytes() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 2, 4 * MIB);
    let reader = store.whole_file(&docs[0].root).unwrap().unwrap();
    store.rebase(&docs[1].root, &roots(&docs), &mut || true).unwrap();
    let waiting = store.thin(&mut || true).unwrap();
    assert_eq!((waiting.punched, waiting.left), (0, 1));
    assert!(std::fs::read(&reader.path).unwrap() == docs[0].content);
    docs[0].assert_whole(&store, false);
    // The list outlives the process; its leases do not.
    let crashed = place.crashed();
    let after = crashed.open();
    assert!(after.thin(&mut || true).unwrap().punched > 0);
    assert_right(&docs, &after);
    drop(reader);
    let done = store.thin(&mut || true).unwrap();
    assert!(done.punched > 0 && done.left == 0);
    assert_right(&docs, &store);
}

/// Stopped after any number of steps, and then killed, everything reads right, and the next process
/// ends the work.
#[test]
fn it_may_end_after_any_step() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 3, 2 * MIB);
    let (older, newest) = (roots(&docs[..2]), &docs[2]);
    drop(store);
    for steps in 0..6 {
        let place = place.crashed();
        let store = place.open();
        let mut left = steps;
        let mut go_on = || {
            left -= i32::from(left > 0);
            left > 0
        };
        store.rebase(&newest.root, &older, &mut go_on).unwrap();
        store.thin(&mut go_on).unwrap();
        assert_right(&docs, &store);
        let place = place.crashed();
        let store = place.open();
        assert_right(&docs, &store);
        assert!(store.rebase(&newest.root, &older, &mut || true).unwrap().whole);
        assert_eq!(store.thin(&mut || true).unwrap().left, 0);
        newest.assert_whole(&store, true);
        assert_right(&docs, &store);
        let (taken, (unique, leaves)) = (blob_bytes(&store), unique(&docs));
        assert!(taken <= unique + leaves * 8192, "{taken} of {unique}");
    }
}

/// Who reads, adds and marks while versions are turned over is never told anything wrong.
#[test]
fn readers_and_writers_go_on_meanwhile() {
    let place = Place::new();
    let store = place.open();
    let docs = versions(&store, 4, 2 * MIB);
    let all = roots(&docs);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (store, docs, is_over) = (&store, &docs, &is_over);
            scope.spawn(move || {
                let mut n = reader;
                while !is_over.load(Ordering::Acquire) {
                    let doc = &docs[n % docs.len()];
                    for (cid, offset, len) in &doc.leaves {
                        let data = store.get(cid).unwrap().expect("it is here");
                        assert!(data == doc.content[*offset as usize..][..*len as usize]);
                        store.own(cid, n.is_multiple_of(2)).unwrap();
                    }
                    if let Some(whole) = store.whole_file(&doc.root).unwrap() {
                        let bytes = std::fs::read(&whole.path).unwrap();
                        assert!(bytes == doc.content);
                    }
                    n += 1;
                }
            });
        }
        let (store, docs, is_over) = (&store, &docs, &is_over);
        scope.spawn(move || {
            let mut seed = 50;
            while !is_over.load(Ordering::Acquire) {
                let edit = Edit { at: 9, kind: EditKind::Insert, len: 999, seed };
                add(store, &edit.apply(&docs[seed as usize % docs.len()].content));
                seed += 1;
            }
        });
        for round in 0..24 {
            let newest = &docs[round * 3 % docs.len()];
            assert!(store.rebase(&newest.root, &all, &mut || true).unwrap().whole);
            store.thin(&mut || true).unwrap();
        }
        is_over.store(true, Ordering::Release);
    });
    while store.thin(&mut || true).unwrap().left > 0 {}
    assert_right(&docs, &store);
    drop(store);
    assert_right(&docs, &place.open());
}
