//! Crashes at every sync of each operation, and at drawn points of drawn runs.
//!
//! `SHOAL_CRASH_SEEDS` says how many runs are drawn (1,000 when it is not set), `SHOAL_CRASH_FIRST` the
//! first seed. A seed that fails is printed with all that is needed to see it again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::history::{History, RECOVERY_MAX};
use crate::image::{Crash, Replay};
use crate::random::Random;
use crate::recorder::Step;

const CRASHES: [Crash; 3] = [Crash::Kill, Crash::Ext4, Crash::Strict];
/// Runs that are crashed at every sync: as many as it takes to have seen each operation.
const RUNS: u64 = 8;
/// Runs that are drawn unless the environment says something else.
const SEEDS: u64 = 1000;
/// Operations of one drawn run, at most.
const OPERATIONS_MAX: usize = 10;
/// Crashes of one drawn run.
const CUTS: usize = 3;

/// What many crashes found.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    crashes: u64,
    operations: u64,
    acknowledged: u64,
    facts: u64,
    wrong: Vec<String>,
    recoveries: Vec<Duration>,
}

impl Tally {
    fn crash(
        &mut self,
        history: &History,
        replay: &mut Replay<'_>,
        (seed, at, crash): (u64, usize, Crash),
    ) {
        let found = history.crash(replay, at, crash);
        self.crashes += 1;
        self.acknowledged += found.acknowledged as u64;
        self.facts += found.facts as u64;
        self.recoveries.push(found.recovery);
        for wrong in found.wrong {
            let during = history.operation_at(at);
            self.wrong.push(format!("seed {seed} step {at} {crash:?} in {during}: {wrong}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.crashes += other.crashes;
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.facts += other.facts;
        self.wrong.extend(other.wrong);
        self.recoveries.extend(other.recoveries);
    }

    #[track_caller]
    fn report(mut self, what: &str) {
        self.recoveries.sort_unstable();
        let middle = self.recoveries[self.recoveries.len() / 2];
        let max = *self.recoveries.last().unwrap();
        println!(
            "{what}: {} runs, {} operations, {} crashes; acknowledged before them {}, facts {}, \
             lost {}; recovery p50 {middle:.1?}, max {max:.1?}",
            self.runs,
            self.operations,
            self.crashes,
            self.acknowledged,
            self.facts,
            self.wrong.len(),
        );
        let first = &self.wrong[..self.wrong.len().min(20)];
        assert!(first.is_empty(), "{}", first.join("\n"));
        assert!(max <= RECOVERY_MAX, "{max:?}");
    }
}

fn is_sync(step: &Step) -> bool {
    matches!(step, Step::Sync { .. } | Step::SyncDir { .. })
}

/// Before and after each sync, and before each mark.
fn cuts_at_syncs(steps: &[Step]) -> Vec<usize> {
    let is_cut = |n: &usize| {
        let is_at = |n: usize| steps.get(n).is_some_and(is_sync);
        let is_mark = matches!(steps.get(*n), Some(Step::Begun(_)) | None);
        is_at(*n) || n.checked_sub(1).is_some_and(is_at) || is_mark
    };
    (0..=steps.len()).filter(is_cut).collect()
}

#[test]
fn every_sync_of_every_operation() {
    let mut tally = Tally::default();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=RUNS {
        let history = History::record(seed, 18, None);
        tally.runs += 1;
        tally.operations += history.promises.len() as u64;
        let cuts = cuts_at_syncs(&history.steps);
        history.promises.iter().for_each(|promise| *seen.entry(promise.name).or_default() += 1);
        for crash in CRASHES {
            let mut replay = Replay::new(&history.steps, crash, seed);
            for at in &cuts {
                tally.crash(&history, &mut replay, (seed, *at, crash));
            }
        }
    }
    println!("operations: {seen:?}");
    tally.report("every sync");
    assert_eq!(seen.len(), crate::operations::OPERATIONS.len(), "each was cut");
}

/// One drawn run, crashed at a few drawn points.
fn seed(seed: u64) -> Tally {
    let mut random = Random::new(seed ^ 0x5eed);
    let count = 1 + random.below(OPERATIONS_MAX);
    let history = History::record(seed, count, None);
    let mut tally = Tally { runs: 1, operations: count as u64, ..Tally::default() };
    for _ in 0..CUTS {
        let at = random.below(history.steps.len() + 1);
        let crash = CRASHES[random.below(4).min(2)];
        let mut replay = Replay::new(&history.steps, crash, random.next());
        tally.crash(&history, &mut replay, (seed, at, crash));
    }
    tally
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn drawn_runs() {
    let count = from_environment("SHOAL_CRASH_SEEDS", SEEDS);
    let first = from_environment("SHOAL_CRASH_FIRST", 1);
    let (next, tally) = (AtomicU64::new(first), Mutex::new(Tally::default()));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= first + count {
                return;
            }
            let found = seed(number);
            tally.lock().unwrap().add(found);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    println!("seeds {first} to {}", first + count - 1);
    tally.into_inner().unwrap().report("drawn runs");
}
