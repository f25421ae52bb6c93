//! What one pin costs among many: adding it, removing it, finding it and listing a page of them.
//!
//! ```text
//! cargo run --release -p shoal-store --example pins [PINS...]
//! ```
//!
//! Prints a line for each number of pins (10 and 100,000 when none is given), medians in microseconds.
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::Instant;

use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Cid, Version};
use shoal_store::{BatchOptions, Options, PinOptions, Store};

/// How often each step is measured.
const ROUNDS: u64 = 31;
/// Pins of one page.
const PAGE: usize = 100;

fn root(n: u64) -> Cid {
    cid_of(HashKind::Blake3, RAW, Version::V1, &n.to_le_bytes())
}

fn median(mut step: impl FnMut(u64)) -> u128 {
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|round| {
            let began = Instant::now();
            step(round);
            began.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn measure(pins: u64) -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), Options::default())?;
    let batch = store.batch(BatchOptions { public: false });
    for n in 0..pins {
        batch.pin(&root(n), PinOptions::default())?;
    }
    batch.commit()?;
    let named = || PinOptions { name: Some("a name".to_owned()), ..PinOptions::default() };
    let fresh = |round| root(u64::MAX - round);
    let add = median(|round| store.pin(&fresh(round), named()).expect("it is pinned"));
    let find = median(|round| assert!(store.is_pinned(&fresh(round))));
    let list = median(|round| drop(store.pins(Some(&root(round % pins)), PAGE).expect("a page")));
    let remove = median(|round| assert!(store.unpin(&fresh(round)).expect("it is unpinned")));
    println!(
        "{pins:>9} pins: add {add} us, remove {remove} us, find {find} us, list {PAGE} {list} us"
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let sizes = if given.is_empty() { vec![10, 100_000] } else { given };
    sizes.into_iter().try_for_each(measure)
}
