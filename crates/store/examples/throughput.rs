//! Prints what the store does per second: `keep` from one and four threads, batches, reads, settling.
//!
//! `cargo run --release -p shoal-store --example throughput [DIR] [MIB]`. Figures are for the eye: no
//! test relies on them. Beside each stands what the disk or the hash alone would do.
#![expect(clippy::print_stdout, reason = "an example prints what it measures")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{BatchOptions, KeepPlace, Moved, Options, SettleOptions, Store};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LEAF_BYTES: usize = 64 * 1024;
const SMALL_BYTES: usize = 2 * 1024;
const SMALL_COUNT: usize = 50_000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mib: usize = args.next().map_or(Ok(1024), |text| text.parse())?;
    let dir = parent.join(format!("shoal-throughput-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let done = measure(&dir, mib * 1024 * 1024 / LEAF_BYTES);
    std::fs::remove_dir_all(&dir)?;
    done
}

fn measure(dir: &Path, count: usize) -> Result<()> {
    let started = Instant::now();
    let leaves: Vec<(Cid, Bytes)> = (0..count as u64).map(|n| leaf(n, LEAF_BYTES)).collect();
    println!("{count} leaves of 64 KiB made in {:.2?}", started.elapsed());
    plain(dir, &leaves)?;
    let fetched = Store::open(&dir.join("fetched"), Options::default())?;
    fetch(&fetched, &leaves, dir)?;
    drop(fetched);
    let added = Store::open(&dir.join("added"), Options::default())?;
    add(&added, &leaves)?;
    small(&added)?;
    drop(added);
    let started = Instant::now();
    drop(Store::open(&dir.join("added"), Options::default())?);
    println!("open and close: {:.2?}", started.elapsed());
    Ok(())
}

/// What the file system does with the same bytes in one file.
fn plain(dir: &Path, leaves: &[(Cid, Bytes)]) -> Result<()> {
    let started = Instant::now();
    let mut file = std::fs::File::create(dir.join("plain"))?;
    for (_, data) in leaves {
        file.write_all(data)?;
    }
    report("plain write", leaves.len(), LEAF_BYTES, started.elapsed());
    file.sync_all()?;
    report("plain write and sync", leaves.len(), LEAF_BYTES, started.elapsed());
    std::fs::remove_file(dir.join("plain"))?;
    Ok(())
}

fn fetch(store: &Store, leaves: &[(Cid, Bytes)], dir: &Path) -> Result<()> {
    let size = (leaves.len() * LEAF_BYTES) as u64;
    for (name, threads, allocate) in [
        ("keep, 1 thread", 1, false),
        ("keep, 4 threads", 4, false),
        ("keep, 4, allocated", 4, true),
    ] {
        let root = root_of(name);
        store.prepare(&root, size, allocate)?;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let keepers: Vec<_> = (0..threads)
                .map(|n| scope.spawn(move || keep(store, &root, size, leaves, n, threads)))
                .collect();
            keepers.into_iter().try_for_each(|keeper| keeper.join().unwrap_or(Ok(())))
        })?;
        report(name, leaves.len(), LEAF_BYTES, started.elapsed());
        let started = Instant::now();
        let mut spans = spans(leaves);
        let settled = store.settle(&root, size, &mut spans, SettleOptions::default())?;
        report("  settle", leaves.len(), LEAF_BYTES, started.elapsed());
        let started = Instant::now();
        let out = dir.join("out");
        let moved = store.move_out(&root, &out, 0o644, false)?.ok_or("not whole")?;
        let how = moved.how();
        moved.finish(&out)?;
        println!("  settled {settled}, move_out {how:?} in {:.2?}", started.elapsed());
        let started = Instant::now();
        store.checkpoint()?;
        report("  checkpoint", leaves.len(), LEAF_BYTES, started.elapsed());
        if how == Moved::Linked {
            store.forget_reference(&root)?;
        }
        std::fs::remove_file(&out)?;
    }
    Ok(())
}

fn keep(
    store: &Store,
    root: &Cid,
    size: u64,
    leaves: &[(Cid, Bytes)],
    first: usize,
    step: usize,
) -> Result<()> {
    for (n, (cid, data)) in leaves.iter().enumerate().skip(first).step_by(step) {
        let place = KeepPlace { file: root, size, offset: (n * LEAF_BYTES) as u64 };
        store.keep(cid, Some(place), data, true)?;
    }
    Ok(())
}

fn add(store: &Store, leaves: &[(Cid, Bytes)]) -> Result<()> {
    let started = Instant::now();
    let batch = store.batch(BatchOptions { public: true });
    let mut blob = batch.blob()?;
    for ((cid, data), (_, offset, len)) in leaves.iter().zip(spans(leaves)) {
        blob.write(data)?;
        blob.leaf(cid, offset, len)?;
    }
    blob.finish(&root_of("added"))?;
    report("batch blob, written", leaves.len(), LEAF_BYTES, started.elapsed());
    batch.commit()?;
    report("batch blob, durable", leaves.len(), LEAF_BYTES, started.elapsed());
    let started = Instant::now();
    for (cid, _) in leaves {
        store.get(cid)?.ok_or("missing")?;
    }
    report("get, hashed", leaves.len(), LEAF_BYTES, started.elapsed());
    Ok(())
}

fn small(store: &Store) -> Result<()> {
    let blocks: Vec<_> = (0..SMALL_COUNT as u64).map(|n| leaf(n << 32, SMALL_BYTES)).collect();
    let started = Instant::now();
    let batch = store.batch(BatchOptions { public: true });
    for (cid, data) in &blocks {
        batch.put(cid, data)?;
    }
    batch.commit()?;
    report("batch put, durable", SMALL_COUNT, SMALL_BYTES, started.elapsed());
    let started = Instant::now();
    let cids: Vec<Cid> = blocks.iter().map(|block| block.0).collect();
    let here = store.has_many(&cids).iter().filter(|is_here| **is_here).count();
    report("has_many", here, 0, started.elapsed());
    let started = Instant::now();
    for (cid, _) in &blocks {
        store.get(cid)?.ok_or("missing")?;
    }
    report("get, hashed, small", SMALL_COUNT, SMALL_BYTES, started.elapsed());
    let more: Vec<_> = (0..SMALL_COUNT as u64).map(|n| leaf(n << 40 | 5, SMALL_BYTES)).collect();
    let started = Instant::now();
    for (cid, data) in &more {
        store.keep(cid, None, data, true)?;
    }
    report("keep into packs", SMALL_COUNT, SMALL_BYTES, started.elapsed());
    println!("usage: {:?}", store.usage()?);
    Ok(())
}

fn report(name: &str, count: usize, bytes: usize, time: Duration) {
    let (seconds, count_f) = (time.as_secs_f64().max(1e-9), count as f64);
    let rate = count_f * bytes as f64 / seconds / 1e6;
    let each = seconds * 1e6 / count_f;
    println!("{name:22} {seconds:8.3} s {each:8.2} us each {rate:9.0} MB/s");
}

fn spans(leaves: &[(Cid, Bytes)]) -> impl Iterator<Item = (Cid, u64, u32)> + '_ {
    let span =
        |(n, leaf): (usize, &(Cid, Bytes))| (leaf.0, (n * LEAF_BYTES) as u64, LEAF_BYTES as u32);
    leaves.iter().enumerate().map(span)
}

fn root_of(name: &str) -> Cid {
    cid_of(HashKind::Blake3, DAG_PB, Version::V1, name.as_bytes())
}

/// A leaf that no other leaf shares bytes with.
fn leaf(seed: u64, len: usize) -> (Cid, Bytes) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut data = Vec::with_capacity(len);
    while data.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data.into())
}
