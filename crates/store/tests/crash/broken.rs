//! The simulation can fail: a store that leaves out one kind of sync is caught, for every kind.
//!
//! The store is the real one; the watcher says that the sync was done and does not do it, as if the line
//! were missing.

use crate::history::History;
use crate::image::{Crash, Replay};
use crate::recorder::{Kind, Step};

const KINDS: [Kind; 16] = [
    Kind::PackData,
    Kind::BlobData,
    Kind::CopyData,
    Kind::IndexData,
    Kind::RunData,
    Kind::JournalData,
    Kind::FormatData,
    Kind::SecretData,
    Kind::PackDirectory,
    Kind::BlobDirectory,
    Kind::BlobsDirectory,
    Kind::RunDirectory,
    Kind::JournalDirectory,
    Kind::StoreDirectory,
    Kind::SecretDirectory,
    Kind::UsersDirectory,
];
/// Runs until one is caught, at most.
const SEEDS_MAX: u64 = 60;
/// Operations of a run.
const OPERATIONS: usize = 10;

/// The first loss that a store without this sync has.
fn caught(kind: Kind) -> Option<String> {
    for seed in 1..=SEEDS_MAX {
        let mut history = History::record(seed, OPERATIONS, Some(kind));
        if matches!(kind, Kind::JournalData | Kind::JournalDirectory) {
            history.rebuilt_every = 1;
        }
        let is_end = |n: &usize| matches!(history.steps[*n], Step::Acknowledged(_));
        let ends: Vec<usize> = (0..history.steps.len()).filter(is_end).map(|n| n + 1).collect();
        let mut replay = Replay::new(&history.steps, Crash::Strict, seed);
        for at in ends {
            let found = history.crash(&mut replay, at, Crash::Strict);
            if let Some(wrong) = found.wrong.first() {
                return Some(format!("seed {seed} step {at}: {wrong}"));
            }
        }
    }
    None
}

#[test]
fn a_sync_that_is_left_out_is_caught() {
    let mut missed = Vec::new();
    for kind in KINDS {
        match caught(kind) {
            Some(how) => println!("without the sync {kind:?}: {how:.160}"),
            None => missed.push(kind),
        }
    }
    assert!(missed.is_empty(), "nothing is lost without these syncs: {missed:?}");
}
