//! Random adds, fetches, pins, collections and reopenings against a model of what must be there.
//!
//! After a collection exactly what is pinned is left, and takes what it must. Files share leaves in every
//! way: whole beside whole, a part within another, small ones in packs.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;
use shoal_dag::Cid;
use shoal_store::{BLOB_BYTES_MIN, CollectOptions, PinOptions, Store};

use crate::collect_fixture::{Content, collect, on_disk};
use crate::fixture::{Place, public};

const CONTENTS: usize = 7;

#[derive(Debug, Clone)]
enum Step {
    Add(usize),
    AddUnpinned(usize),
    Fetch(usize),
    FetchPart(usize, usize),
    Pin(usize),
    PinLeaf(usize, usize),
    Unpin(usize),
    UnpinLeaf(usize, usize),
    Collect,
    Stopped(u8),
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let content = || 0..CONTENTS;
    prop_oneof![
        4 => content().prop_map(Step::Add),
        2 => content().prop_map(Step::AddUnpinned),
        3 => content().prop_map(Step::Fetch),
        2 => (content(), 0usize..9).prop_map(|(content, leaf)| Step::FetchPart(content, leaf)),
        3 => content().prop_map(Step::Pin),
        1 => (content(), 0usize..9).prop_map(|(content, leaf)| Step::PinLeaf(content, leaf)),
        5 => content().prop_map(Step::Unpin),
        1 => (content(), 0usize..9).prop_map(|(content, leaf)| Step::UnpinLeaf(content, leaf)),
        5 => Just(Step::Collect),
        2 => (0u8..12).prop_map(Step::Stopped),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
    ]
}

struct Model {
    contents: Vec<Content>,
    pinned: BTreeSet<usize>,
    leaves: BTreeSet<(usize, usize)>,
}

impl Model {
    fn new() -> Self {
        let leaf = 48 << 10;
        let contents = vec![
            Content::of(0..8, leaf),
            Content::of(4..12, leaf),
            Content::of((0..8).rev(), leaf),
            Content::of([20, 20, 21, 22, 23, 0, 1, 2], leaf),
            Content::of(30..36, 5000),
            Content::of(33..39, 5000),
            Content::of([0, 1], leaf),
        ];
        Self { contents, pinned: BTreeSet::new(), leaves: BTreeSet::new() }
    }

    fn leaf(&self, content: usize, leaf: usize) -> (usize, usize) {
        (content, leaf % self.contents[content].leaves.len())
    }

    fn take(&mut self, store: &Store, step: &Step) {
        match *step {
            Step::Add(n) => {
                self.contents[n].add(store);
                self.pinned.insert(n);
            }
            Step::AddUnpinned(n) => {
                let batch = store.batch(public());
                self.contents[n].put(&batch);
                batch.commit().unwrap();
                self.contents[n].assert_here(store);
            }
            Step::Fetch(n) => self.contents[n].fetch(store),
            Step::FetchPart(n, leaf) => self.contents[n].keep(store, [self.leaf(n, leaf).1]),
            Step::Pin(n) => {
                if self.contents[n].pin(store) {
                    self.pinned.insert(n);
                }
            }
            Step::PinLeaf(n, leaf) => {
                let leaf = self.leaf(n, leaf);
                let cid = self.contents[n].leaves[leaf.1].0;
                let _hold = store.hold(&cid);
                if store.own(&cid, true).unwrap() {
                    let direct = PinOptions { direct: true, ..PinOptions::default() };
                    store.pin(&cid, direct).unwrap();
                    self.leaves.insert(leaf);
                }
            }
            Step::Unpin(n) => {
                assert_eq!(store.unpin(&self.contents[n].root).unwrap(), self.pinned.remove(&n));
            }
            Step::UnpinLeaf(n, leaf) => {
                let leaf = self.leaf(n, leaf);
                let cid = self.contents[n].leaves[leaf.1].0;
                store.unpin(&cid).unwrap();
                self.leaves.retain(|(n, leaf)| self.contents[*n].leaves[*leaf].0 != cid);
            }
            Step::Collect => {
                collect(store);
                self.check_exact(store);
            }
            Step::Stopped(after) => {
                let mut left = after;
                let mut go_on = |_| {
                    left = left.saturating_sub(1);
                    left > 0
                };
                store.collect(&CollectOptions::default(), &mut go_on).unwrap();
            }
            Step::Checkpoint => store.checkpoint().unwrap(),
            Step::Reopen => {}
        }
    }

    /// What must be there, by CID.
    fn kept(&self) -> HashMap<Cid, u64> {
        let blocks = self.pinned.iter().flat_map(|n| self.contents[*n].blocks());
        let leaves = self.leaves.iter().map(|(n, leaf)| {
            let (cid, _, data) = &self.contents[*n].leaves[*leaf];
            (*cid, data)
        });
        blocks.chain(leaves).map(|(cid, data)| (cid, data.len() as u64)).collect()
    }

    fn check(&self, store: &Store) {
        for n in &self.pinned {
            self.contents[*n].assert_here(store);
        }
        for (n, leaf) in &self.leaves {
            let (cid, _, data) = &self.contents[*n].leaves[*leaf];
            assert!(store.get(cid).unwrap().as_ref() == Some(data));
        }
    }

    /// After a collection nothing else is there, and the disk is as full as it must be.
    fn check_exact(&self, store: &Store) {
        let kept = self.kept();
        for content in &self.contents {
            for (cid, _) in content.blocks() {
                assert_eq!(store.has(&cid), kept.contains_key(&cid), "{cid}");
            }
        }
        assert_eq!(store.usage().unwrap().blocks, kept.len() as u64);
        // Whole files have all of their bytes, once for each file.
        let whole = self.pinned.iter().map(|n| &self.contents[*n]);
        let whole: u64 = whole.filter(|c| c.size >= BLOB_BYTES_MIN).map(|c| c.size).sum();
        let all: u64 = kept.values().sum::<u64>() + whole;
        let slack = 48 * 1024 + kept.len() as u64 * 2 * 4096;
        assert!(on_disk(store) <= all + all / 20 + slack, "{} of {all}", on_disk(store));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_pinned_stays_and_nothing_else(steps in prop::collection::vec(step(), 1..50)) {
        let place = Place::new();
        let mut model = Model::new();
        let mut store = place.open();
        for step in &steps {
            model.take(&store, step);
            if matches!(step, Step::Reopen) {
                drop(store);
                store = place.open();
            }
            model.check(&store);
        }
        collect(&store);
        model.check(&store);
        model.check_exact(&store);
        drop(store);
        model.check(&place.open());
    }
}
