//! Random operations against a model: what was acknowledged is read, whatever came between.
//!
//! Few trees that share leaves, so that fetches, adds, moves and pins meet on the same blocks. Closing
//! a store does not sync or index, so that opening it again finds what a killed process leaves. An
//! edit of a moved file may take blocks that only it held, and never one that a pin or an add covers.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use shoal_store::{Options, PinOptions, ReadError, SettleOptions, Store};

use crate::fixture::{Place, Tree, block, public};

const TREES: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    KeepSmall(u64),
    KeepLeaf(usize, usize),
    PutSmall(u64),
    Add(usize),
    Settle(usize, bool),
    MoveOut(usize),
    Pin(usize),
    EditMoved,
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0u64..4).prop_map(Step::KeepSmall),
        8 => (0..TREES, 0usize..5).prop_map(|(tree, leaf)| Step::KeepLeaf(tree, leaf)),
        1 => (0u64..4).prop_map(Step::PutSmall),
        1 => (0..TREES).prop_map(Step::Add),
        4 => (0..TREES, any::<bool>()).prop_map(|(tree, kept)| Step::Settle(tree, kept)),
        3 => (0..TREES).prop_map(Step::MoveOut),
        2 => (0..TREES).prop_map(Step::Pin),
        1 => Just(Step::EditMoved),
        1 => Just(Step::Checkpoint),
        3 => Just(Step::Reopen),
    ]
}

/// What must be true of the store.
struct Model {
    trees: Vec<Tree>,
    /// Small blocks and leaves (as tree and number) that were acknowledged.
    small: BTreeSet<u64>,
    leaves: BTreeSet<(usize, usize)>,
    /// Trees that a pin, a kept blob or an add covers.
    owned: BTreeSet<usize>,
    moved: Vec<std::path::PathBuf>,
    is_edited: bool,
}

impl Model {
    fn new() -> Self {
        let seeds: [&[u64]; TREES] = [&[1, 2, 3, 4, 5], &[5, 4, 3, 2, 1], &[1, 1, 7, 8, 9]];
        let trees = seeds.iter().map(|seeds| Tree::of(seeds, 56 * 1024)).collect();
        let (small, leaves, owned) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { trees, small, leaves, owned, moved: Vec::new(), is_edited: false }
    }

    fn take(&mut self, place: &Place, store: &Store, step: &Step) {
        match *step {
            Step::KeepSmall(seed) => {
                store.keep(&block(seed).0, None, &block(seed).1, true).unwrap();
                self.small.insert(seed);
            }
            Step::KeepLeaf(tree, leaf) => {
                self.trees[tree].keep(store, [leaf]);
                self.leaves.insert((tree, leaf));
            }
            Step::PutSmall(seed) => {
                let batch = store.batch(public());
                batch.put(&block(seed).0, &block(seed).1).unwrap();
                batch.commit().unwrap();
                self.small.insert(seed);
            }
            Step::Add(tree) => {
                let batch = store.batch(public());
                self.trees[tree].add(&batch);
                batch.commit().unwrap();
                self.owned.insert(tree);
            }
            Step::Settle(tree, kept) => {
                let options = SettleOptions { kept, ..SettleOptions::default() };
                if self.trees[tree].settle(store, options) && kept {
                    self.owned.insert(tree);
                }
            }
            Step::MoveOut(tree) => self.move_out(place, store, tree),
            Step::Pin(tree) => self.pin(store, tree),
            Step::EditMoved => {
                for path in self.moved.drain(..) {
                    fs::write(path, b"edited").unwrap();
                    self.is_edited = true;
                }
            }
            Step::Checkpoint => store.checkpoint().unwrap(),
            Step::Reopen => {}
        }
    }

    fn move_out(&mut self, place: &Place, store: &Store, tree: usize) {
        let out = place
            .dir
            .path()
            .join(format!("out{}", fs::read_dir(place.dir.path()).unwrap().count()));
        let Ok(Some(moved)) = store.move_out(&self.trees[tree].root, &out, 0o600, false) else {
            return;
        };
        moved.finish(&out).unwrap();
        assert!(self.is_edited || fs::read(&out).unwrap() == self.trees[tree].content());
        self.moved.push(out);
    }

    /// Pins a tree when all of it can be made the store's own, as a walk over it does.
    fn pin(&mut self, store: &Store, tree: usize) {
        let leaves = &self.trees[tree].leaves;
        let is_here = leaves.iter().all(|(cid, _)| matches!(store.get(cid), Ok(Some(_))));
        if is_here && leaves.iter().all(|(cid, _)| store.own(cid, true).unwrap()) {
            store.pin(&self.trees[tree].root, PinOptions::default()).unwrap();
            self.owned.insert(tree);
        }
    }

    fn check(&self, store: &Store) {
        for seed in &self.small {
            assert_eq!(store.get(&block(*seed).0).unwrap(), Some(block(*seed).1));
        }
        for tree in &self.owned {
            self.trees[*tree].assert_readable(store);
        }
        for (tree, leaf) in &self.leaves {
            let (cid, data) = &self.trees[*tree].leaves[*leaf];
            match store.get(cid) {
                Ok(Some(found)) => assert_eq!(&found, data),
                Err(ReadError::Changed { .. }) if self.is_edited => {}
                other => panic!("{cid}: {other:?}"),
            }
        }
    }
}

/// With so few rows at once that small commits make runs of the index, and runs are merged.
fn open(place: &Place) -> Store {
    Store::open(&place.path(), Options { level0_rows: 8, ..Options::default() }).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_read(steps in prop::collection::vec(step(), 1..40)) {
        let place = Place::new();
        let mut model = Model::new();
        let mut store = open(&place);
        for step in &steps {
            model.take(&place, &store, step);
            if matches!(step, Step::Reopen) {
                drop(store);
                store = open(&place);
            }
            model.check(&store);
        }
    }
}
