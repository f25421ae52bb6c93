//! Collections beside threads that add, fetch, pin and read; killed at each of their changes; and on a
//! full disk.
//!
//! Nothing here depends on time: threads do a bounded amount of work, and whoever wins a race, what was
//! acknowledged and is pinned is there.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use shoal_store::{Change, CollectOptions, DiskWatch, Options, PinOptions, Store, WriteError};

use crate::collect_fixture::{Content, collect, on_disk};
use crate::fixture::{Place, bytes, files_in, leaf_cid, public};
use crate::full_disk::Small;

const WRITERS: usize = 4;
const ROUNDS: u64 = 12;

/// What one writer adds in a round: large and small files, some of them also other writers'.
fn contents(writer: usize, round: u64) -> Vec<Content> {
    let seed = writer as u64 * 1000 + round * 3;
    vec![
        Content::of(seed..seed + 10, 32 << 10),
        Content::of(round..round + 9, 32 << 10),
        Content::of(seed + 500..seed + 505, 3000),
    ]
}

#[test]
fn nothing_is_taken_from_under_who_adds_fetches_pins_and_reads() {
    let place = Place::new();
    let store = place.open();
    let writers = AtomicUsize::new(WRITERS);
    let kept: Mutex<Vec<Content>> = Mutex::default();
    let collections = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, kept, writers) = (&store, &kept, &writers);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    for (n, content) in contents(writer, round).into_iter().enumerate() {
                        write(store, kept, &content, (writer as u64 + round + n as u64) % 4);
                    }
                }
                writers.fetch_sub(1, Ordering::AcqRel);
            });
        }
        for _ in 0..2 {
            let (store, kept, writers) = (&store, &kept, &writers);
            scope.spawn(move || {
                while writers.load(Ordering::Acquire) > 0 {
                    let known = kept.lock().unwrap().last().cloned();
                    known.inspect(|content| content.assert_here(store));
                    thread::yield_now();
                }
            });
        }
        let (store, writers, collections) = (&store, &writers, &collections);
        scope.spawn(move || {
            while writers.load(Ordering::Acquire) > 0 {
                store.collect(&CollectOptions::default(), &mut |_| true).unwrap();
                collections.fetch_add(1, Ordering::AcqRel);
            }
        });
    });
    assert!(collections.load(Ordering::Acquire) > 1);
    let kept = kept.into_inner().unwrap();
    for content in &kept {
        content.assert_here(&store);
    }
    collect(&store);
    drop(store);
    let store = place.open();
    for content in &kept {
        content.assert_here(&store);
    }
}

/// Brings a content in, one way or another, and pins it or not. Nobody unpins what another may have
/// pinned.
fn write(store: &Store, kept: &Mutex<Vec<Content>>, content: &Content, way: u64) {
    match way {
        0 => {
            content.add(store);
            content.assert_here(store);
            kept.lock().unwrap().push(content.clone());
        }
        1 => {
            let _hold = store.hold(&content.root);
            content.fetch(store);
            content.assert_here(store);
            if content.pin(store) {
                kept.lock().unwrap().push(content.clone());
            }
        }
        2 => {
            let batch = store.batch(public());
            content.put(&batch);
            batch.commit().unwrap();
        }
        _ => content.keep(store, 0..content.leaves.len() / 2),
    }
}

/// Kills the process in mind: when it is told to, every change from a number on is left out.
#[derive(Debug, Default)]
struct Killer {
    is_armed: AtomicBool,
    left: AtomicUsize,
}

impl DiskWatch for Killer {
    fn around(
        &self,
        change: &Change<'_>,
        call: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_armed.load(Ordering::Acquire) {
            let left = self.left.load(Ordering::Acquire);
            if left == 0 {
                return Err(io::Error::other(format!("killed before {change:?}")));
            }
            self.left.store(left - 1, Ordering::Release);
        }
        call()
    }
}

#[test]
fn one_that_is_killed_before_any_of_its_changes_loses_nothing() {
    let kept =
        [Content::of(0..10, 48 << 10), Content::of(5..12, 48 << 10), Content::of(30..50, 3000)];
    let gone =
        [Content::of(2..20, 48 << 10), Content::of(45..60, 3000), Content::of(100..110, 48 << 10)];
    let leaf = gone[0].leaves[16].0;
    let mut kills = 0;
    loop {
        let place = Place::new();
        let killer = Arc::new(Killer::default());
        let watch: Option<Arc<dyn DiskWatch>> = Some(Arc::<Killer>::clone(&killer));
        let options = Options { watch, ..Options::default() };
        let store = Store::open(&place.path(), options).unwrap();
        kept.iter().chain(&gone).for_each(|content| content.add(&store));
        for content in &gone {
            assert!(store.unpin(&content.root).unwrap());
        }
        store.pin(&leaf, PinOptions::default()).unwrap();
        killer.left.store(kills, Ordering::Release);
        killer.is_armed.store(true, Ordering::Release);
        let done = store.collect(&CollectOptions::default(), &mut |_| true);
        let crashed = place.crashed();
        drop(store);
        let store = crashed.open();
        let check = |store: &Store| {
            for content in &kept {
                content.assert_here(store);
            }
            assert!(store.get(&leaf).unwrap().is_some());
        };
        check(&store);
        collect(&store);
        check(&store);
        assert!(!store.has(&gone[0].leaves[17].0));
        let all: u64 = kept.iter().map(|content| content.size).sum::<u64>() + (96 << 10);
        let files = file_bytes(&crashed);
        assert!(files < all * 21 / 20, "{files} of {all} after {kills}");
        gone[0].add(&store);
        gone[0].assert_here(&store);
        drop(store);
        check(&crashed.open());
        if done.is_ok() && killer.left.load(Ordering::Acquire) > 0 {
            break;
        }
        kills += 1;
    }
    assert!(kills > 20, "{kills} changes");
}

/// What the content of a store takes, whatever the store says of it.
fn file_bytes(place: &Place) -> u64 {
    let files = ["packs", "blobs"].map(|name| files_in(&place.path().join(name)));
    let bytes = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.blocks() * 512);
    files.iter().flatten().map(bytes).sum()
}

/// Takes what is left of a disk, to the last page.
fn fill(small: &Small) {
    let file = std::fs::File::create(small.path().join("ballast")).unwrap();
    while io::Write::write(&mut &file, &[1; 4096]).is_ok_and(|written| written > 0) {}
}

#[test]
fn what_no_commit_had_room_for_is_collected_with_the_reserve() {
    let Some(small) = Small::mounted() else { return };
    let store = Store::open(&small.path().join("store"), Options::default()).unwrap();
    let kept = Content::of(0..8, 64 << 10);
    kept.add(&store);
    for seed in 0..8000 {
        let data = bytes(seed + 1000, 64);
        store.keep(&leaf_cid(&data), None, &data, false).unwrap();
    }
    fill(&small);
    assert!(matches!(store.checkpoint(), Err(WriteError::Full { .. })));
    assert!(small.path().join("store/reserve").exists());
    assert_eq!(collect(&store).removed_blocks, 8000);
    kept.assert_here(&store);
    assert!(on_disk(&store) < kept.size * 21 / 20);
}

#[test]
fn a_full_disk_is_collected() {
    let Some(small) = Small::mounted() else { return };
    let store = Store::open(&small.path().join("store"), Options::default()).unwrap();
    let kept = Content::of(0..8, 64 << 10);
    kept.add(&store);
    let mut gone = Vec::new();
    let full = loop {
        let content = Content::of(gone.len() as u64 * 8 + 100..gone.len() as u64 * 8 + 105, 60_000);
        let batch = store.batch(public());
        let put = |batch: &shoal_store::Batch| {
            let mut blob = batch.blob()?;
            for (cid, offset, data) in &content.leaves {
                blob.write(data)?;
                blob.leaf(cid, *offset, data.len() as u32)?;
            }
            blob.finish(&content.root)?;
            batch.put(&content.branches[0].cid, &content.branches[0].data)
        };
        let added = put(&batch).and_then(|()| {
            batch.pin(&content.root, PinOptions::default())?;
            batch.commit()
        });
        match added {
            Ok(()) => gone.push(content),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, WriteError::Full { .. }), "{full:?}");
    fill(&small);
    assert!(gone.len() > 5, "{}", gone.len());
    for content in &gone {
        assert!(store.unpin(&content.root).unwrap());
    }
    let done = collect(&store);
    assert_eq!(done.removed_blocks, gone.iter().map(|c| c.blocks().count() as u64).sum::<u64>());
    kept.assert_here(&store);
    for content in &gone {
        content.assert_gone(&store);
    }
    gone[0].add(&store);
    drop(store);
    let store = Store::open(&small.path().join("store"), Options::default()).unwrap();
    kept.assert_here(&store);
    gone[0].assert_here(&store);
}
