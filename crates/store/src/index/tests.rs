//! The index against a map: small commits, large ones, removals, merges, opening again.
//!
//! Level 0 takes a few rows only, so that every commit meets runs of all kinds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::disk::Disk;
use crate::key::{Entry, Place};

/// Few, so that every kind of commit meets every kind of run.
const LEVEL0_ROWS: usize = 16;

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(u8, bool)>),
    Forget(Vec<u8>),
    Mark(Vec<(u8, bool)>),
    Merge,
    Snapshot,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = |count| prop::collection::vec((any::<u8>(), any::<bool>()), 1..count);
    prop_oneof![
        4 => rows(3).prop_map(Step::Put),
        2 => rows(40).prop_map(Step::Put),
        3 => prop::collection::vec(any::<u8>(), 1..30).prop_map(Step::Forget),
        2 => rows(20).prop_map(Step::Mark),
        2 => Just(Step::Merge),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
    ]
}

fn digest(n: u8) -> Digest {
    shoal_dag::hash::HashKind::Blake3.digest(&[n])
}

struct Model {
    layout: Layout,
    index: Option<Index>,
    rows: BTreeMap<u8, Entry>,
    puts: u64,
}

impl Model {
    fn new(layout: Layout) -> Self {
        let index = Some(Index::open(&layout, LEVEL0_ROWS).unwrap());
        Self { layout, index, rows: BTreeMap::new(), puts: 0 }
    }

    fn index(&self) -> &Index {
        self.index.as_ref().unwrap()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Put(rows) => self.put(&rows),
            Step::Forget(keys) => {
                let forgotten = keys.iter().map(|key| digest(*key)).collect();
                self.index().apply(&mut Changes { forgotten, ..Changes::default() }).unwrap();
                self.rows.retain(|key, _| !keys.contains(key));
            }
            Step::Mark(marks) => {
                let known = marks.iter().map(|(key, public)| (digest(*key), *public)).collect();
                let mut changes = Changes { marks: known, ..Changes::default() };
                self.index().apply(&mut changes).unwrap();
                for (key, public) in marks {
                    self.rows.entry(key).and_modify(|entry| entry.public = public);
                }
            }
            Step::Merge => {
                let runs = self.index().runs().unwrap();
                self.index().merge(&runs, true).unwrap();
                while self.index().merge_once().unwrap() {}
            }
            Step::Snapshot => self.compare_snapshot(),
            Step::Reopen => {
                self.index = None;
                self.index = Some(Index::open(&self.layout, LEVEL0_ROWS).unwrap());
            }
        }
    }

    fn put(&mut self, rows: &[(u8, bool)]) {
        let mut entries = Vec::new();
        for (key, public) in rows {
            self.puts += 1;
            let (place, offset) = (Place::Pack(1), self.puts);
            let new = Entry { place, offset, len: 1, hash: 0x1e, public: *public };
            entries.push((digest(*key), new));
            // Both are owned: the older one stays.
            let entry = self.rows.entry(*key).or_insert(new);
            entry.public |= public;
        }
        self.index().apply(&mut Changes { entries, ..Changes::default() }).unwrap();
    }

    fn compare(&self) {
        let digests: Vec<Digest> = (0..=255).map(digest).collect();
        let (entries, count) = self.index().entries_and_count(&digests).unwrap();
        let expected: Vec<_> = (0..=255).map(|key| self.rows.get(&key).copied()).collect();
        assert_eq!(entries, expected);
        assert_eq!(count, self.rows.len() as u64);
        let files = std::fs::read_dir(self.layout.runs()).unwrap().count();
        assert_eq!(files, self.index().runs().unwrap().len(), "every file is a run");
    }

    fn compare_snapshot(&self) {
        let snapshot = self.index().snapshot().unwrap();
        let mut seen = BTreeMap::new();
        let end = snapshot.each(0, |row| {
            if row.is_newest {
                assert_eq!(snapshot.find(&row.digest).unwrap(), Some((row.id, row.entry)));
                assert_eq!(seen.insert(row.digest, row.entry), None);
            }
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(end.unwrap(), snapshot.count());
        let expected = self.rows.iter().map(|(key, entry)| (digest(*key), *entry)).collect();
        assert_eq!(seen, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_a_map(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new(Layout::new(dir.path(), Disk::default()));
        for step in steps {
            model.take(step);
            model.compare();
        }
        model.compare_snapshot();
    }
}

fn put(index: &Index, from: u64, count: u64) {
    let entry = |offset| Entry { place: Place::Pack(1), offset, len: 1, hash: 0x1e, public: false };
    let row = |n: u64| (shoal_dag::hash::HashKind::Blake3.digest(&n.to_le_bytes()), entry(n));
    let entries = (from..from + count).map(row).collect();
    index.apply(&mut Changes { entries, ..Changes::default() }).unwrap();
}

#[test]
fn runs_are_merged_in_the_background_and_paused_while_somebody_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&Layout::new(dir.path(), Disk::default()), LEVEL0_ROWS).unwrap();
    let snapshot = std::thread::scope(|scope| {
        scope.spawn(|| index.merge_until_stopped());
        let paused = index.pause_merging();
        (0..8).for_each(|n| put(&index, n * 100, 100));
        let snapshot = index.snapshot().unwrap();
        assert_eq!(index.runs().unwrap().len(), 8, "nothing is merged while it is paused");
        drop(paused);
        while index.runs().unwrap().len() >= 4 {
            std::thread::yield_now();
        }
        index.stop_merging();
        snapshot
    });
    assert_eq!(index.entries_and_count(&[]).unwrap().1, 800);
    assert_eq!(snapshot.count(), 800);
    let mut seen = 0;
    let count = |_| {
        seen += 1;
        std::ops::ControlFlow::Continue(())
    };
    snapshot.each(0, count).unwrap();
    assert_eq!(seen, 800, "a snapshot reads runs that were merged since");
}

#[test]
fn a_run_that_no_commit_named_goes_and_one_that_is_missing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path(), Disk::default());
    let index = Index::open(&layout, LEVEL0_ROWS).unwrap();
    put(&index, 0, 100);
    drop(index);
    std::fs::write(layout.run(77), b"half a run").unwrap();
    drop(Index::open(&layout, LEVEL0_ROWS).unwrap());
    assert!(!layout.run(77).exists());
    std::fs::rename(layout.run(1), layout.run(2)).unwrap();
    match Index::open(&layout, LEVEL0_ROWS) {
        Err(OpenError::Damaged { path, .. }) => assert_eq!(path, layout.run(1)),
        other => panic!("{other:?}"),
    }
    assert!(layout.run(2).exists(), "nothing is removed from what cannot be read");
}
