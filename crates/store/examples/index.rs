//! Prints what the index does with many leaves: bytes and time for each, lookups, opening, memory.
//!
//! `cargo run --release -p shoal-store --example index [DIR] [LEAVES]`. The leaves are entries of a sparse
//! file that is added by reference: no byte of them is written or hashed, so that what is measured is the
//! index. Beside the time that passed stands the processor's, which a busy machine does not stretch. Figures
//! are for the eye.
#![expect(clippy::print_stdout, reason = "an example prints what it measures")]

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{BatchOptions, Options, Store};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LEAF_BYTES: u32 = 64 * 1024;
/// Leaves of one file: 4 GiB.
const FILE_LEAVES: u64 = 64 * 1024;
const LOOKUPS: u64 = 50_000;
/// Runs that stay as they are for so long are not being merged.
const QUIET: Duration = Duration::from_secs(8);
/// Opens what an earlier process left, to see its memory.
const OPEN: &str = "open";
/// Small blocks that are read again and again while the index grows.
const SMALL: u64 = 1000;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    if let (Some(OPEN), Some(leaves)) = (args.next().as_deref(), args.next()) {
        return look(&parent, leaves.parse()?);
    }
    let mut args = std::env::args().skip(2);
    let leaves: u64 = args.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let dir = parent.join(format!("shoal-index-{}", std::process::id()));
    let done = measure(&dir, leaves);
    std::fs::remove_dir_all(&dir)?;
    done
}

fn measure(dir: &Path, leaves: u64) -> Result<()> {
    drop(open(dir, "an empty store, made")?);
    drop(open(dir, "an empty store")?);
    let store = open(dir, "an empty store")?;
    small(&store)?;
    read_small(&store, "get of 1,000 blocks, nothing else there")?;
    let file = dir.join("secrets").join("sparse");
    std::fs::File::create(&file)?.set_len(FILE_LEAVES * u64::from(LEAF_BYTES))?;
    let started = Instant::now();
    let (mut last, inserting) = ((Instant::now(), 0), cpu());
    for first in (0..leaves).step_by(FILE_LEAVES as usize) {
        insert(&store, &file, first..(first + FILE_LEAVES).min(leaves))?;
        let done = (first + FILE_LEAVES).min(leaves);
        if done - last.1 >= leaves / 5 {
            report("  insert, durable", done - last.1, last.0.elapsed());
            last = (Instant::now(), done);
        }
    }
    report("insert, durable", leaves, started.elapsed());
    report("  processor, without merging", leaves, cpu_since(inserting));
    settle(dir)?;
    report("  until merged", leaves, started.elapsed());
    let bytes = index_bytes(dir)?;
    println!(
        "index: {bytes} bytes, {:.1} for each leaf, in {} runs",
        each(bytes, leaves),
        runs(dir)?
    );
    lookups(&store, leaves)?;
    read_small(&store, "get of 1,000 blocks, all the others there")?;
    drop(store);
    let own = std::env::current_exe()?;
    let args = [dir.as_os_str(), OPEN.as_ref(), leaves.to_string().as_ref()].map(ToOwned::to_owned);
    for _ in 0..3 {
        std::process::Command::new(&own).args(&args).status()?;
    }
    Ok(())
}

/// What a process takes that opens the full store and asks it.
fn look(dir: &Path, leaves: u64) -> Result<()> {
    let base = resident()?;
    let store = open(dir, "a full store")?;
    let opened = resident()?;
    for n in 0..1000 {
        store.has(&leaf_cid(leaves + n));
    }
    let mb = |bytes: u64| (bytes - base) / 1_000_000;
    println!("memory: {} MB when opened, {} MB once asked", mb(opened), mb(resident()?));
    lookups(&store, leaves)
}

fn open(dir: &Path, what: &str) -> Result<Store> {
    let started = Instant::now();
    let store = Store::open(dir, Options::default())?;
    println!("open {what}: {:.2?}", started.elapsed());
    Ok(store)
}

/// Commits the leaves of a file, as an add does.
fn insert(store: &Store, file: &Path, leaves: Range<u64>) -> Result<()> {
    let batch = store.batch(BatchOptions { public: true });
    let mut file = batch.reference(file)?;
    let root = cid_of(HashKind::Blake3, DAG_PB, Version::V1, &leaves.start.to_le_bytes());
    for (at, leaf) in leaves.enumerate() {
        file.leaf(&leaf_cid(leaf), at as u64 * u64::from(LEAF_BYTES), LEAF_BYTES)?;
    }
    file.finish(&root)?;
    Ok(batch.commit()?)
}

fn lookups(store: &Store, leaves: u64) -> Result<()> {
    let mut state = 7u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 16
    };
    let known: Vec<Cid> = (0..LOOKUPS).map(|_| leaf_cid(draw() % leaves)).collect();
    let unknown: Vec<Cid> = (0..LOOKUPS).map(|_| leaf_cid(leaves + draw())).collect();
    for (what, cids, expected) in [("has, known", &known, true), ("has, unknown", &unknown, false)]
    {
        let (started, cpu) = (Instant::now(), cpu());
        if cids.iter().any(|cid| store.has(cid) != expected) {
            return Err("a lookup is wrong".into());
        }
        report(what, LOOKUPS, started.elapsed());
        report("  processor", LOOKUPS, cpu_since(cpu));
    }
    Ok(())
}

fn small(store: &Store) -> Result<()> {
    let batch = store.batch(BatchOptions { public: true });
    for n in 0..SMALL {
        let (cid, data) = small_block(n);
        batch.put(&cid, &data)?;
    }
    Ok(batch.commit()?)
}

fn read_small(store: &Store, what: &str) -> Result<()> {
    for _ in 0..3 {
        let (started, cpu) = (Instant::now(), cpu());
        for round in 0..20 {
            for n in 0..SMALL {
                store.get(&small_block((n + round) % SMALL).0)?.ok_or("missing")?;
            }
        }
        report(what, 20 * SMALL, started.elapsed());
        report("  processor", 20 * SMALL, cpu_since(cpu));
    }
    Ok(())
}

fn small_block(n: u64) -> (Cid, Bytes) {
    let data = Bytes::from(n.to_le_bytes().repeat(64));
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
}

fn leaf_cid(n: u64) -> Cid {
    cid_of(HashKind::Blake3, RAW, Version::V1, &n.to_le_bytes())
}

/// Waits until the runs stay as they are.
fn settle(dir: &Path) -> Result<()> {
    let (mut before, mut since) = (index_bytes(dir)?, Instant::now());
    while since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(500));
        let now = index_bytes(dir)?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn runs(dir: &Path) -> Result<usize> {
    Ok(std::fs::read_dir(dir.join("runs"))?.count())
}

fn index_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = std::fs::metadata(dir.join("index.redb"))?.len();
    for part in ["runs", "journal"] {
        for file in std::fs::read_dir(dir.join(part))? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// What this thread has used.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * 4096)
}

fn report(what: &str, count: u64, time: Duration) {
    let seconds = time.as_secs_f64().max(1e-9);
    let (rate, micros) = (count as f64 / seconds, seconds * 1e6 / count as f64);
    println!("{what:44} {seconds:8.3} s {micros:8.2} us each {rate:10.0}/s");
}

fn each(bytes: u64, leaves: u64) -> f64 {
    bytes as f64 / leaves as f64
}
