//! What an open store finds after a crash.
//!
//! Copies of the directory of an open store stand for a killed process; one test kills a real one.

use std::fs;
use std::os::unix::fs::FileExt;

use shoal_store::{KeepPlace, SettleOptions};

use crate::fixture::{Place, Tree, block, bytes, files_in, flip, leaf_cid, public};

#[test]
fn kept_blocks_survive_without_a_checkpoint() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, [0, 2, 5]);
    let small: Vec<_> = (40..60).map(block).collect();
    for (cid, data) in &small {
        store.keep(cid, None, data, true).unwrap();
    }
    let crashed = place.crashed();
    let again = crashed.open();
    for (cid, data) in &small {
        assert_eq!(again.get_public(cid).unwrap().as_ref(), Some(data));
    }
    assert_eq!(again.has_many(&[tree.leaves[5].0, tree.leaves[1].0]), [true, false]);
    // The fetch goes on where it was, in the same blob.
    tree.keep(&again, [1, 3, 4, 6, 7]);
    assert!(
        tree.settle(&again, SettleOptions { sync: true, kept: false, ..SettleOptions::default() })
    );
    assert_eq!(files_in(&crashed.path().join("blobs")).len(), 1);
    drop(again);
    let again = crashed.open();
    tree.assert_readable(&again);
    assert!(again.whole_file(&tree.root).unwrap().is_some());
}

#[test]
fn a_crash_after_a_checkpoint_looks_at_what_is_newer_only() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..4);
    store.checkpoint().unwrap();
    tree.keep(&store, 4..6);
    let crashed = place.crashed();
    // The older records are taken in: their bytes are not looked at again, even on another boot.
    let blob = crashed.only_file("blobs");
    flip(&blob, 10);
    flip(&blob, 4 * 65_536 + 10);
    let again = crashed.open_on_boot("another");
    assert!(again.has(&tree.leaves[0].0) && again.get(&tree.leaves[0].0).is_err());
    assert!(!again.has(&tree.leaves[4].0), "a newer one is hashed on another boot");
    assert!(again.has(&tree.leaves[5].0));
    drop(again);
    assert!(crashed.open_on_boot("another").has(&tree.leaves[5].0));
}

#[test]
fn another_boot_trusts_nothing_that_was_not_synced() {
    let place = Place::new();
    let store = place.open_on_boot("first");
    let tree = Tree::blob(1);
    tree.keep(&store, 0..8);
    for (same_boot, boot) in [(true, "first"), (false, "second")] {
        let crashed = place.crashed();
        let blob = fs::OpenOptions::new().write(true).open(crashed.only_file("blobs")).unwrap();
        blob.write_all_at(&vec![0; 65_536], 65_536).unwrap();
        let again = crashed.open_on_boot(boot);
        assert_eq!(again.has(&tree.leaves[1].0), same_boot);
        assert_eq!(again.get(&tree.leaves[1].0).ok().flatten(), None);
        assert!(again.has(&tree.leaves[2].0));
        if !same_boot {
            tree.keep(&again, [1]);
            assert!(tree.settle(&again, SettleOptions::default()));
            tree.assert_readable(&again);
        }
    }
}

#[test]
fn a_torn_presence_record_costs_one_leaf() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..3);
    let crashed = place.crashed();
    let record = crashed.only_file("partial");
    let len = fs::metadata(&record).unwrap().len();
    fs::OpenOptions::new().write(true).open(&record).unwrap().set_len(len - 20).unwrap();
    let again = crashed.open();
    assert_eq!(again.has_many(&tree.leaves.iter().map(|leaf| leaf.0).collect::<Vec<_>>()), {
        let mut here = [false; 8];
        here[..2].fill(true);
        here
    });
    tree.fetch(&again);
}

#[test]
fn an_emptied_presence_record_costs_the_fetch_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(1);
    tree.keep(&store, 0..3);
    let crashed = place.crashed();
    fs::write(crashed.only_file("partial"), b"").unwrap();
    let again = crashed.open();
    assert!(!again.has(&tree.leaves[0].0));
    tree.fetch(&again);
    again.checkpoint().unwrap();
    assert_eq!(files_in(&crashed.path().join("blobs")).len(), 1);
}

#[test]
fn a_torn_pack_tail_is_cut_off_at_any_length() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    batch.put(&block(1).0, &block(1).1).unwrap();
    batch.commit().unwrap();
    let start = fs::metadata(place.only_file("packs")).unwrap().len();
    for seed in 2..5 {
        store.keep(&block(seed).0, None, &block(seed).1, true).unwrap();
    }
    let end = fs::metadata(place.only_file("packs")).unwrap().len();
    for len in (start..end).step_by(37).chain([end]) {
        let crashed = place.crashed();
        let pack = fs::OpenOptions::new().write(true).open(crashed.only_file("packs")).unwrap();
        pack.set_len(len).unwrap();
        let again = crashed.open();
        let here: Vec<bool> = (1..5).map(|seed| again.has(&block(seed).0)).collect();
        assert!(here[0] && here.is_sorted_by(|a, b| a >= b), "{here:?}");
        let (cid, data) = block(9);
        again.keep(&cid, None, &data, true).unwrap();
        drop(again);
        let again = crashed.open();
        assert_eq!(again.get(&cid).unwrap(), Some(data));
        for (seed, was_here) in (1..5).zip(here) {
            assert_eq!(again.get(&block(seed).0).unwrap().is_some(), was_here);
        }
    }
}

#[test]
fn a_bad_record_in_a_pack_tail_is_stepped_over() {
    let place = Place::new();
    let store = place.open();
    for seed in 1..4 {
        store.keep(&block(seed).0, None, &block(seed).1, true).unwrap();
    }
    let second = store.extent(&block(2).0).unwrap().offset;
    let crashed = place.crashed();
    flip(&crashed.only_file("packs"), second + 3);
    let again = crashed.open();
    let here: Vec<bool> = (1..4).map(|seed| again.has(&block(seed).0)).collect();
    assert_eq!(here, [true, false, true]);
}

#[test]
fn an_add_that_died_leaves_nothing() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    Tree::blob(1).add(&batch);
    let mut blob = batch.blob().unwrap();
    blob.write(&bytes(3, 1000)).unwrap();
    let crashed = place.crashed();
    assert_eq!(files_in(&crashed.path().join("blobs")).len(), 2);
    let again = crashed.open();
    assert_eq!(files_in(&crashed.path().join("blobs")).len(), 0);
    assert_eq!(files_in(&crashed.path().join("partial")).len(), 0);
    assert_eq!(again.usage().unwrap().blocks, 0);
}

const CHILD: &str = "SHOAL_STORE_TEST_KEEP_FOREVER";

/// Not a test by itself: keeps blocks until it is killed, when the test below starts it.
#[test]
fn child_keeps_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = shoal_store::Store::open(dir.as_ref(), shoal_store::Options::default()).unwrap();
    let file = block(1).0;
    for n in 0u64.. {
        let data = bytes(n, 4096);
        let place = KeepPlace { file: &file, size: 1 << 30, offset: n * 4096 };
        let place = (n % 2 == 0).then_some(place);
        store.keep(&leaf_cid(&data), place, &data, true).unwrap();
        println!("kept {n}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_kept() {
    use std::io::{BufRead, BufReader};
    let place = Place::new();
    for round in 1..4 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["recovery::child_keeps_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, place.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        let target = round * 300;
        while last.is_none_or(|last| last < target) {
            let line = lines.next().expect("the child keeps until it is killed").unwrap();
            last = line.strip_prefix("kept ").map_or(last, |n| n.parse().ok());
        }
        child.kill().unwrap();
        // What it said before it died counts too.
        for line in lines {
            last = line.unwrap().strip_prefix("kept ").and_then(|n| n.parse().ok()).or(last);
        }
        child.wait().unwrap();
        let store = place.open();
        for n in 0..=last.unwrap() {
            let data = bytes(n, 4096);
            assert_eq!(store.get(&leaf_cid(&data)).unwrap(), Some(data), "block {n}");
        }
    }
}
