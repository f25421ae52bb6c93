//! A store with some of everything in it, and all that it answers: what damage and a rebuild are
//! measured by.
//!
//! Its files have real branches, so that a rebuild can walk them.

use std::collections::BTreeMap;
use std::fs;

use shoal_dag::build::{FileBuilder, LeafBlock, leaf};
use shoal_dag::{Bytes, Cid, Metadata, Profile};
use shoal_store::{BatchOptions, KeepPlace, Options, PinOptions, SettleOptions, Store};

use crate::fixture::{Place, block, bytes, public};

/// A file with its branches.
pub(crate) struct File {
    pub(crate) root: Cid,
    pub(crate) content: Bytes,
    pub(crate) leaves: Vec<(Cid, u64, u32)>,
    pub(crate) branches: Vec<(Cid, Bytes)>,
}

impl File {
    pub(crate) fn of(content: Bytes, leaf_bytes: usize) -> Self {
        let mut builder = FileBuilder::new(Profile::Shoal, Metadata::NONE);
        let (mut out, mut leaves, mut offset) = (Vec::new(), Vec::new(), 0);
        for chunk in content.chunks(leaf_bytes) {
            let made = leaf(builder.leaf_form(), chunk);
            assert!(matches!(made.block, LeafBlock::Raw));
            builder.push(made.link(), &mut out);
            leaves.push((made.cid, offset, chunk.len() as u32));
            offset += chunk.len() as u64;
        }
        let root = builder.finish(&mut out).cid;
        let branches = out.into_iter().map(|block| (block.cid, block.data)).collect();
        Self { root, content, leaves, branches }
    }

    fn new(seed: u64, leaves: usize) -> Self {
        Self::of(bytes(seed, leaves * 40_000), 40_000)
    }

    fn add(&self, store: &Store, is_public: bool, pin: Option<PinOptions>) {
        let batch = store.batch(BatchOptions { public: is_public });
        let mut blob = batch.blob().unwrap();
        blob.write(&self.content).unwrap();
        for (cid, offset, len) in &self.leaves {
            blob.leaf(cid, *offset, *len).unwrap();
        }
        blob.finish(&self.root).unwrap();
        for (cid, data) in &self.branches {
            batch.put(cid, data).unwrap();
        }
        if let Some(pin) = pin {
            batch.pin(&self.root, pin).unwrap();
        }
        batch.commit().unwrap();
    }

    fn refer(&self, store: &Store, path: &std::path::Path) {
        fs::write(path, &self.content).unwrap();
        let batch = store.batch(public());
        let mut reference = batch.reference(path).unwrap();
        for (cid, offset, len) in &self.leaves {
            reference.leaf(cid, *offset, *len).unwrap();
        }
        reference.finish(&self.root).unwrap();
        for (cid, data) in &self.branches {
            batch.put(cid, data).unwrap();
        }
        batch.commit().unwrap();
    }

    fn keep(&self, store: &Store, leaves: usize) {
        let size = self.content.len() as u64;
        for (cid, offset, len) in &self.leaves[..leaves] {
            let data = self.content.slice(*offset as usize..*offset as usize + *len as usize);
            let place = KeepPlace { file: &self.root, size, offset: *offset };
            store.keep(cid, Some(place), &data, true).unwrap();
        }
        for (cid, data) in &self.branches {
            store.keep(cid, None, data, true).unwrap();
        }
    }

    fn fetch(&self, store: &Store) {
        self.keep(store, self.leaves.len());
        let mut leaves = self.leaves.iter().copied();
        let (size, options) = (self.content.len() as u64, SettleOptions::default());
        assert!(store.settle(&self.root, size, &mut leaves, options).unwrap());
    }
}

/// A store and what was put into it.
pub(crate) struct Filled {
    pub(crate) place: Place,
    /// The bytes of every block that was put there.
    pub(crate) blocks: BTreeMap<Cid, Bytes>,
    pub(crate) roots: Vec<Cid>,
    /// Leaves that only presence records and the index say are public.
    pub(crate) passing: Vec<Cid>,
    /// Leaves of a fetch under way.
    pub(crate) partial: Vec<Cid>,
    level0_rows: usize,
}

/// What a store says of everything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Is it there, and may it be given to peers?
    pub(crate) blocks: BTreeMap<Cid, (bool, bool)>,
    wholes: BTreeMap<Cid, Option<(std::path::PathBuf, u64)>>,
    pins: Vec<(Cid, shoal_store::Pin)>,
    records: Vec<shoal_store::Record>,
    count: u64,
}

impl Answers {
    /// What differs: one line each.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (cid, answer) in &self.blocks {
            let theirs = other.blocks.get(cid);
            if theirs != Some(answer) {
                lines.push(format!("{cid}: {answer:?}, {theirs:?}"));
            }
        }
        let mut same = |what: &str, is_same: bool| {
            lines.extend((!is_same).then(|| format!("{what} differ")));
        };
        same("whole files", self.wholes == other.wholes);
        same("pins", self.pins == other.pins);
        same("records", self.records == other.records);
        same("counts", self.count == other.count);
        lines
    }

    /// Panics where pins or records differ.
    #[track_caller]
    pub(crate) fn assert_tables(
        &self,
        pins: &[(Cid, shoal_store::Pin)],
        records: &[shoal_store::Record],
        what: &str,
    ) {
        assert!(self.pins == pins, "{what}: the pins are {pins:?}");
        assert!(self.records == records, "{what}: the records are {records:?}");
    }

    /// Panics where the whole files differ.
    #[track_caller]
    pub(crate) fn assert_wholes(&self, other: &Self, what: &str) {
        assert_eq!(self.wholes, other.wholes, "{what}");
    }

    /// Panics where something differs.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        assert_eq!(self.differences(other), Vec::<String>::new());
    }
}

impl Filled {
    /// Few `level0_rows` make many runs.
    pub(crate) fn new(level0_rows: usize) -> Self {
        let place = Place::new();
        let (roots, passing, partial) = (Vec::new(), Vec::new(), Vec::new());
        let blocks = BTreeMap::new();
        let mut filled = Self { place, blocks, roots, passing, partial, level0_rows };
        let store = filled.open();
        filled.put_small(&store);
        filled.put_files(&store);
        for n in 0u8..20 {
            store.put_record("seeds", &[n], &[n; 100]).unwrap();
        }
        store.remove_record("seeds", &[7]).unwrap();
        store.checkpoint().unwrap();
        drop(store);
        filled
    }

    pub(crate) fn options(&self) -> Options {
        Options { level0_rows: self.level0_rows, ..Options::default() }
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.place.path(), self.options()).unwrap()
    }

    fn put_small(&mut self, store: &Store) {
        for is_public in [true, false] {
            let batch = store.batch(BatchOptions { public: is_public });
            for seed in (0..60).filter(|seed| (seed % 3 == 0) != is_public) {
                batch.put(&block(seed).0, &block(seed).1).unwrap();
                self.blocks.insert(block(seed).0, block(seed).1);
            }
            batch.commit().unwrap();
        }
        let hidden: Vec<Cid> = (40..50).map(|seed| block(seed).0).collect();
        store.set_public(&hidden, false).unwrap();
        store.pin(&block(1).0, PinOptions::default()).unwrap();
        store.pin(&block(2).0, PinOptions::default()).unwrap();
        store.unpin(&block(2).0).unwrap();
    }

    fn put_files(&mut self, store: &Store) {
        let outside = |name| self.place.dir.path().join(name);
        let files: Vec<File> = (0..8).map(|n| File::new(1000 + n, 9 + n as usize)).collect();
        files[0].add(store, true, Some(PinOptions::default()));
        files[1].add(store, false, Some(PinOptions { local: true, ..PinOptions::default() }));
        files[2].refer(store, &outside("referred"));
        files[3].fetch(store);
        files[4].keep(store, 5);
        files[5].fetch(store);
        let out = outside("moved");
        store.move_out(&files[5].root, &out, 0o600, false).unwrap().unwrap().finish(&out).unwrap();
        // Shared, and then not any more.
        files[6].add(store, true, Some(PinOptions::default()));
        let leaves = files[6].leaves.iter().map(|leaf| leaf.0);
        let hidden: Vec<Cid> = leaves.chain(files[6].branches.iter().map(|row| row.0)).collect();
        store.set_public(&hidden, false).unwrap();
        store.pin(&files[6].root, PinOptions { local: true, ..PinOptions::default() }).unwrap();
        let alone = File::of(bytes(77, 300_000), 300_000);
        alone.add(store, true, None);
        for file in files.iter().chain([&alone]) {
            self.roots.push(file.root);
            self.blocks.extend(file.branches.iter().cloned());
            for (cid, offset, len) in &file.leaves {
                let range = *offset as usize..*offset as usize + *len as usize;
                self.blocks.insert(*cid, file.content.slice(range));
            }
        }
        let passing = [&files[2], &files[3], &files[5], &alone].into_iter();
        self.passing.extend(passing.flat_map(|file| file.leaves.iter().map(|leaf| leaf.0)));
        self.partial.extend(files[4].leaves.iter().map(|leaf| leaf.0));
        let batch = store.batch(public());
        let alias = block(99).0;
        assert!(batch.alias(&alias, &files[0].root).unwrap());
        batch.commit().unwrap();
        self.roots.push(alias);
    }

    /// What a store that is well says.
    pub(crate) fn answers(&self, store: &Store) -> Answers {
        let answer = |(cid, data): (&Cid, &Bytes)| {
            let found = store.get(cid).unwrap();
            assert!(found.as_ref().is_none_or(|found| found == data));
            (*cid, (found.is_some(), store.is_public(cid)))
        };
        let whole = |root: &Cid| {
            let whole = store.whole_file(root).unwrap();
            (*root, whole.map(|whole| (whole.path, whole.len)))
        };
        Answers {
            blocks: self.blocks.iter().map(answer).collect(),
            wholes: self.roots.iter().map(whole).collect(),
            pins: store.pins(None, 1000).unwrap(),
            records: store.records("seeds", &[], 1000).unwrap(),
            count: store.usage().unwrap().blocks,
        }
    }
}
