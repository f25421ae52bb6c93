//! Versions of one file: each stored by what is new in it, the newest made whole, the older ones thinned.
//!
//! The files have real branches, since a rebase walks them.

use shoal_dag::build::{self, FileBuilder};
use shoal_dag::{Bytes, Cid, Metadata, Profile};
use shoal_store::{PinOptions, Store, WriteError};

use super::{MaybePlan, PUBLIC, Plan, World, plan};
use crate::content::bytes;
use crate::facts::{Fact, Question};

const LEAVES: usize = 8;
const LEAF_BYTES: usize = 40 * 1024;

/// A version: the numbers of its leaves say its bytes.
#[derive(Debug, Clone)]
struct Version {
    root: Cid,
    leaves: Vec<(Cid, Bytes)>,
    branches: Vec<(Cid, Bytes)>,
}

impl Version {
    fn of(numbers: &[u64]) -> Self {
        let mut builder = FileBuilder::new(Profile::Shoal, Metadata::NONE);
        let mut blocks = Vec::new();
        let mut leaves = Vec::new();
        for number in numbers {
            let data = bytes(number << 20, LEAF_BYTES);
            let leaf = build::leaf(builder.leaf_form(), &data);
            builder.push(leaf.link(), &mut blocks);
            leaves.push((leaf.cid, data));
        }
        let root = builder.finish(&mut blocks).cid;
        let branches = blocks.into_iter().map(|block| (block.cid, block.data)).collect();
        Self { root, leaves, branches }
    }

    fn bytes(&self) -> Bytes {
        self.leaves.iter().flat_map(|leaf| leaf.1.to_vec()).collect::<Vec<_>>().into()
    }

    fn facts(&self) -> Vec<Fact> {
        let blocks = self.leaves.iter().chain(&self.branches);
        blocks.map(|(cid, data)| Fact::block(cid, Some(data))).collect()
    }

    fn add(&self, store: &Store) -> Result<(), WriteError> {
        let batch = store.batch(PUBLIC);
        let mut blob = batch.blob()?;
        for (cid, data) in &self.leaves {
            blob.append(&[(*cid, data.len() as u32)], data)?;
        }
        self.branches.iter().try_for_each(|(cid, data)| batch.put(cid, data))?;
        blob.finish(&self.root)?;
        batch.pin(&self.root, PinOptions::default())?;
        batch.commit()
    }
}

/// Every block of all versions, and their roots.
pub(super) fn all_blocks(world: &World<'_>) -> (Vec<Cid>, Vec<Cid>) {
    let versions: Vec<Version> = world.versions.iter().map(|n| Version::of(n)).collect();
    let blocks = versions.iter().flat_map(|version| version.leaves.iter().chain(&version.branches));
    (versions.iter().map(|version| version.root).collect(), blocks.map(|block| block.0).collect())
}

/// Adds the next version: two leaves are other ones, the rest are holes of its blob.
pub(super) fn add_version(world: &mut World<'_>) -> MaybePlan {
    let mut numbers = match world.versions.last() {
        Some(last) => last.clone(),
        None => (0..LEAVES).map(|_| world.new_number()).collect(),
    };
    for _ in 0..2 {
        let at = world.random.below(LEAVES);
        numbers[at] = world.new_number();
    }
    let version = Version::of(&numbers);
    world.versions.push(numbers);
    let mut facts = version.facts();
    facts.push(Fact::pin(&version.root, true));
    plan(facts, move |store, _| version.add(store))
}

/// Makes the newest version whole, moves what it shares there, and thins the older ones.
pub(super) fn rebase(world: &mut World<'_>) -> MaybePlan {
    let versions: Vec<Version> = world.versions.iter().map(|n| Version::of(n)).collect();
    let [.., _, newest] = versions.as_slice() else { return None };
    let newest = newest.clone();
    let older: Vec<Cid> = versions.iter().map(|version| version.root).collect();
    let mut facts: Vec<Fact> = versions.iter().flat_map(Version::facts).collect();
    let wholes = older.iter().map(|root| Question::Whole(root.to_bytes()));
    let withdrawn = wholes.collect();
    facts.push(Fact::whole(&newest.root, Some(newest.bytes())));
    let plan = plan(facts, move |store, _| {
        store.rebase(&newest.root, &older, &mut || true)?;
        store.thin(&mut || true).map(drop)
    });
    plan.map(|plan| Plan { withdrawn, ..plan })
}
