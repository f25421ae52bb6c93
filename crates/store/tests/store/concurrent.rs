//! Many threads at once, and a disk that fails under them.
//!
//! The sync that fails is one that the test makes fail; a real one is the crash tests' business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use shoal_store::{Options, SettleOptions, Store, WriteError};

use crate::fixture::{Place, Tree, block, public};

#[test]
fn threads_keep_add_read_and_checkpoint_at_once() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::of(&(0..64).collect::<Vec<_>>(), 16 * 1024);
    thread::scope(|scope| {
        for worker in 0..4usize {
            let (store, tree) = (&store, &tree);
            scope.spawn(move || {
                tree.keep(store, (0..64).filter(|n| n % 4 == worker));
                for n in (0..64).filter(|n| n % 4 == worker) {
                    assert_eq!(
                        store.get(&tree.leaves[n].0).unwrap().as_ref(),
                        Some(&tree.leaves[n].1)
                    );
                }
            });
            scope.spawn(move || {
                let batch = store.batch(public());
                for seed in 0..100 {
                    let (cid, data) = block(seed + 50 * worker as u64);
                    batch.put(&cid, &data).unwrap();
                }
                Tree::blob(1000 + 4 * worker as u64).add(&batch);
                batch.commit().unwrap();
            });
        }
        scope.spawn(|| (0..20).for_each(|_| store.checkpoint().unwrap()));
    });
    assert!(
        tree.settle(&store, SettleOptions { sync: true, kept: false, ..SettleOptions::default() })
    );
    drop(store);
    let store = place.open();
    tree.assert_readable(&store);
    for seed in 0..250 {
        assert_eq!(store.get(&block(seed).0).unwrap(), Some(block(seed).1));
    }
    for worker in 0..4 {
        Tree::blob(1000 + 4 * worker).assert_readable(&store);
    }
}

#[test]
fn one_batch_can_be_shared() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    thread::scope(|scope| {
        for worker in 0..3 {
            let batch = &batch;
            scope.spawn(move || {
                for seed in worker * 100..(worker + 1) * 100 {
                    batch.put(&block(seed).0, &block(seed).1).unwrap();
                }
            });
        }
    });
    batch.commit().unwrap();
    assert!((0..300).all(|seed| store.has(&block(seed).0)));
}

#[test]
fn more_blobs_than_a_batch_holds_open_are_committed_early() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    let trees: Vec<Tree> = (0..70).map(|n| Tree::of(&[n * 2, n * 2 + 1], 128 * 1024)).collect();
    for tree in &trees {
        tree.add(&batch);
    }
    assert!(store.whole_file(&trees[0].root).unwrap().is_some());
    batch.commit().unwrap();
    assert!(trees.iter().all(|tree| store.whole_file(&tree.root).unwrap().is_some()));
}

#[test]
fn an_early_commit_marks_public_what_the_index_does_not_have_yet() {
    let place = Place::new();
    let store = place.open();
    let (cid, data) = block(7);
    store.keep(&cid, None, &data, false).unwrap();
    assert!(!store.is_public(&cid));
    let batch = store.batch(public());
    batch.put(&cid, &data).unwrap();
    for n in 0..70 {
        Tree::of(&[n * 2, n * 2 + 1], 128 * 1024).add(&batch);
    }
    assert_eq!(store.get_public(&cid).unwrap(), Some(data), "the early commit took the mark");
    batch.commit().unwrap();
    assert!(store.is_public(&cid));
    drop(store);
    assert!(place.open().is_public(&cid));
}

#[test]
fn a_failed_sync_ends_all_acknowledgements() {
    let place = Place::new();
    let fail = Arc::new(AtomicBool::new(false));
    let options = Options { fail_sync: Some(Arc::clone(&fail)), ..Options::default() };
    let store = Store::open(&place.path(), options).unwrap();
    let good = store.batch(public());
    good.put(&block(1).0, &block(1).1).unwrap();
    good.commit().unwrap();
    let bad = store.batch(public());
    bad.put(&block(2).0, &block(2).1).unwrap();
    Tree::blob(30).add(&bad);
    fail.store(true, Ordering::Release);
    assert!(matches!(bad.commit(), Err(WriteError::Io { .. })));
    // The disk is well again, but what it lost meanwhile nobody knows.
    fail.store(false, Ordering::Release);
    let later = store.batch(public());
    assert!(matches!(later.put(&block(3).0, &block(3).1), Err(WriteError::Poisoned)));
    assert!(matches!(later.commit(), Err(WriteError::Poisoned)));
    let kept = store.keep(&block(4).0, None, &block(4).1, true);
    assert!(matches!(kept, Err(WriteError::Poisoned)));
    assert!(store.get(&block(1).0).unwrap().is_some(), "reading goes on");
    assert!(!store.has(&block(2).0));
    drop(store);
    let store = place.open();
    let batch = store.batch(public());
    batch.put(&block(5).0, &block(5).1).unwrap();
    batch.commit().unwrap();
    assert!(store.get(&block(1).0).unwrap().is_some());
}
