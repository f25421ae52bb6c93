//! One file in many hands: fetched, settled, moved, pinned, read and forgotten at once.
//!
//! Every test is a number of short rounds with threads that start together. What is read is right or
//! named as absent; when all is quiet, what was promised holds, also after opening the store again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

use shoal_store::{Moved, PinOptions, ReadError, SettleOptions, Store};

use crate::fixture::{Place, Tree, files_in, flip, public};

/// A `get` of a whole file: every block that is missing is fetched, then it is moved out.
fn get(store: &Store, tree: &Tree, out: &Path) -> Moved {
    for n in 0..tree.leaves.len() {
        if !store.has(&tree.leaves[n].0) {
            tree.keep(store, [n]);
        }
    }
    assert!(tree.settle(store, SettleOptions::default()));
    let temp = out.with_extension("temp");
    let moved = store.move_out(&tree.root, &temp, 0o644, false).unwrap().unwrap();
    let how = moved.how();
    fs::rename(&temp, out).unwrap();
    moved.finish(out).unwrap();
    how
}

/// Reads every block; all of them are right or absent.
fn read(store: &Store, tree: &Tree) {
    for (cid, data) in &tree.leaves {
        match store.get(cid) {
            Ok(found) => assert!(found.is_none_or(|found| found == data)),
            Err(error) => panic!("{error}"),
        }
    }
}

fn outs(place: &Place, round: u64) -> [PathBuf; 3] {
    [0, 1, 2].map(|n| place.dir.path().join(format!("out-{round}-{n}")))
}

#[test]
fn gets_of_one_file_at_once_give_a_file_each() {
    let place = Place::new();
    let store = place.open();
    for round in 0..20 {
        let tree = Tree::blob(100 * round);
        let (paths, start) = (outs(&place, round), Barrier::new(5));
        let hows: Vec<Moved> = thread::scope(|scope| {
            let begin = |path: &PathBuf| {
                let (store, tree, start, path) = (&store, &tree, &start, path.clone());
                scope.spawn(move || {
                    start.wait();
                    get(store, tree, &path)
                })
            };
            let getters = paths.each_ref().map(begin);
            scope.spawn(|| {
                start.wait();
                (0..4).for_each(|_| read(&store, &tree));
            });
            scope.spawn(|| {
                start.wait();
                (0..2).for_each(|_| store.checkpoint().unwrap());
            });
            getters.map(|getter| getter.join().unwrap()).into()
        });
        assert!(hows.iter().filter(|how| **how == Moved::Linked).count() <= 1);
        flip(&paths[0], 7);
        for path in &paths[1..] {
            assert_eq!(fs::read(path).unwrap(), tree.content());
        }
    }
    store.checkpoint().unwrap();
    assert_eq!(files_in(&place.path().join("partial")), Vec::<PathBuf>::new());
}

#[test]
fn a_pin_holds_whatever_moves_at_the_same_time() {
    let place = Place::new();
    let store = place.open();
    let mut pinned = Vec::new();
    for round in 0..20 {
        let tree = Tree::blob(100 * round);
        tree.keep(&store, 0..8);
        let (paths, start) = (outs(&place, round), Barrier::new(3));
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                get(&store, &tree, &paths[0]);
            });
            scope.spawn(|| {
                start.wait();
                for (cid, _) in &tree.leaves {
                    assert!(store.own(cid, true).unwrap());
                }
                store.pin(&tree.root, PinOptions::default()).unwrap();
            });
            scope.spawn(|| {
                start.wait();
                store.checkpoint().unwrap();
                read(&store, &tree);
            });
        });
        flip(&paths[0], 7);
        tree.assert_readable(&store);
        pinned.push(tree);
    }
    drop(store);
    let store = place.open();
    for tree in &pinned {
        tree.assert_readable(&store);
    }
}

#[test]
fn a_reference_is_forgotten_while_it_is_read() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    let path = place.dir.path().join("film.mkv");
    fs::write(&path, tree.content()).unwrap();
    for _ in 0..20 {
        let start = Barrier::new(3);
        let batch = store.batch(public());
        tree.refer(&batch, &path);
        batch.commit().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                assert!(store.forget_reference(&tree.root).unwrap());
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    read(&store, &tree);
                    match store.whole_file(&tree.root) {
                        Ok(_) | Err(ReadError::Changed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        assert!(!store.has(&tree.leaves[0].0));
    }
    assert_eq!(fs::read(&path).unwrap(), tree.content());
}
