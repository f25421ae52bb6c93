//! Nothing waits for ever: what hangs or panics costs the one who asked, and nobody else.
//!
//! Guards are short here, and what must not wait for them is held against a time between them and
//! the defaults. Does not test the deadlines of a real tree.

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::{Scratch, noise, number, usable};
use shoal_dag::Cid;
use shoal_fuse::MountOptions;
use shoal_fuse::memory::{Behaviour, MemoryTreeBuilder};

const GUARD: Duration = Duration::from_millis(700);

/// Far more than a guard and far less than the defaults.
const PATIENCE: Duration = Duration::from_secs(8);

/// A tree with a good file, a bad file and a directory whose listing is bad.
struct Rig {
    scratch: Scratch,
    bad: Cid,
    bad_directory: Cid,
}

fn rig() -> Rig {
    let mut builder = MemoryTreeBuilder::new();
    let good = builder.file(noise(300_000, 1));
    let bad = builder.file(noise(300_000, 2));
    let bad_directory = builder.directory([("good", good)]);
    let root = builder.directory([("good", good), ("bad", bad), ("bad-directory", bad_directory)]);
    Rig { scratch: Scratch::with(builder.finish(root), &guarded()), bad, bad_directory }
}

fn guarded() -> MountOptions {
    MountOptions { metadata_guard: GUARD, read_guard: GUARD, ..MountOptions::default() }
}

#[track_caller]
fn within_patience(began: Instant) {
    let took = began.elapsed();
    assert!(took < PATIENCE, "took {took:?}");
}

#[test]
fn a_read_that_is_never_answered_fails_while_the_rest_goes_on() {
    if !usable() {
        return;
    }
    let Rig { scratch, bad, .. } = rig();
    scratch.tree.behave(bad, Behaviour::Hang);
    let began = Instant::now();
    thread::scope(|scope| {
        let hung = scope.spawn(|| number(fs::read(scratch.at("bad"))));
        while scratch.tree.calls().read.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
        assert!(fs::read(scratch.at("good")).unwrap() == noise(300_000, 1));
        assert_eq!(hung.join().unwrap(), libc::EIO);
    });
    within_patience(began);
    assert!(scratch.mounted.statistics().overdue > 0);

    scratch.tree.release();
    scratch.tree.heal(&bad);
    assert!(fs::read(scratch.at("bad")).unwrap() == noise(300_000, 2), "errors are not kept");
}

#[test]
fn more_hung_reads_than_there_are_workers_hold_up_no_listing() {
    if !usable() {
        return;
    }
    // A file each: readers of one page wait for each other in the kernel.
    let mut builder = MemoryTreeBuilder::new();
    let hung: Vec<_> =
        (0..100).map(|number| (number.to_string(), builder.file(noise(100, number)))).collect();
    let inner = builder.directory([("file", hung[0].1)]);
    let names = hung.clone().into_iter().chain([("inner".to_owned(), inner)]);
    let root = builder.directory(names);
    let scratch = Scratch::with(builder.finish(root), &guarded());
    for (_, cid) in &hung {
        scratch.tree.behave(*cid, Behaviour::Hang);
    }
    let began = Instant::now();
    thread::scope(|scope| {
        let read = |name: &String| number(fs::read(scratch.at(name)));
        let readers: Vec<_> =
            hung.iter().map(|(name, _)| scope.spawn(move || read(name))).collect();
        while scratch.tree.calls().read.load(Ordering::Relaxed) < 64 {
            within_patience(began);
            thread::yield_now();
        }
        assert_eq!(fs::read_dir(scratch.at("inner")).unwrap().count(), 1);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), libc::EIO);
        }
    });
    within_patience(began);
    assert!(scratch.mounted.statistics().overdue >= 100);
}

#[test]
fn a_listing_that_is_never_answered_fails_while_files_are_read() {
    if !usable() {
        return;
    }
    let Rig { scratch, bad_directory, .. } = rig();
    scratch.tree.behave(bad_directory, Behaviour::Hang);
    let began = Instant::now();
    thread::scope(|scope| {
        let listing = scope.spawn(|| number(fs::read_dir(scratch.at("bad-directory"))));
        let lookup = scope.spawn(|| number(fs::metadata(scratch.at("bad-directory/good"))));
        assert!(fs::read(scratch.at("good")).unwrap() == noise(300_000, 1));
        assert_eq!(listing.join().unwrap(), libc::EIO);
        assert_eq!(lookup.join().unwrap(), libc::EIO);
    });
    within_patience(began);
    scratch.tree.release();
    scratch.tree.heal(&bad_directory);
    assert_eq!(fs::read_dir(scratch.at("bad-directory")).unwrap().count(), 1);
}

#[test]
fn a_panic_costs_one_request() {
    if !usable() {
        return;
    }
    let Rig { scratch, bad, bad_directory } = rig();
    scratch.tree.behave(bad, Behaviour::Panic);
    scratch.tree.behave(bad_directory, Behaviour::Panic);
    for _ in 0..3 {
        assert_eq!(number(fs::read(scratch.at("bad"))), libc::EIO);
        assert_eq!(number(fs::read_dir(scratch.at("bad-directory"))), libc::EIO);
        assert!(fs::read(scratch.at("good")).unwrap() == noise(300_000, 1));
    }
    assert!(scratch.mounted.statistics().panicked >= 6);
}

#[test]
fn a_mount_with_something_hanging_in_it_comes_down() {
    if !usable() {
        return;
    }
    let Rig { scratch, bad, .. } = rig();
    scratch.tree.behave(bad, Behaviour::Hang);
    assert_eq!(number(fs::read(scratch.at("bad"))), libc::EIO);
    let began = Instant::now();
    // RELEASE comes a moment after close: until then the mount is busy.
    while scratch.mounted.unmounter().unmount().is_err() {
        within_patience(began);
        thread::yield_now();
    }
    within_patience(began);
}
