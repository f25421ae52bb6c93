//! What a version of a file costs somebody who has the one before, by the blocks of both.
//!
//! ```text
//! dedup PROFILE BASE VERSION...   for each version: NAME, bytes of new leaves, bytes of new branches, and
//!                                 how many each
//! dedup PROFILE tree BYTES        one byte put at the start of so many bytes, by the tree alone: leaves
//!                                 are made up, of the profile's mean length, and only their names are
//!                                 hashed
//! ```
//!
//! A measuring tool for `scripts/bench dedup`; nothing is stored, and memory is that of one file.
#![expect(clippy::print_stdout, reason = "it is what the tool is for")]
#![expect(clippy::disallowed_methods, reason = "the package has no files, its measuring tool has")]

use std::collections::HashMap;
use std::error::Error;

use shoal_dag::build::{self, FileBuilder, LeafRef};
use shoal_dag::chunk::Chunker;
use shoal_dag::hash::{RAW, cid_of};
use shoal_dag::profile::Chunking;
use shoal_dag::{Cid, Metadata, Profile};

/// Leaves that differ after a byte is put at the start: the first, and with cuts by content one more
/// before the cuts fall together again.
const LEAVES_CHANGED_BY_CONTENT: u64 = 2;

/// The blocks of a file: the bytes of each, leaves and branches apart.
#[derive(Default)]
struct Blocks {
    leaves: HashMap<Cid, u64>,
    branches: HashMap<Cid, u64>,
}

impl Blocks {
    fn of(profile: Profile, bytes: &[u8]) -> Self {
        let mut tree = Tree::new(profile);
        let mut chunker = Chunker::new(&profile);
        let mut at = 0;
        while let Some(len) = chunker.cut(&bytes[at..], true) {
            tree.push(build::leaf(profile, &bytes[at..at + len]).link());
            at += len;
        }
        tree.finish()
    }

    /// Bytes and number of the blocks that `base` has not.
    fn new_to(base: &HashMap<Cid, u64>, all: &HashMap<Cid, u64>) -> (u64, usize) {
        let new: Vec<u64> =
            all.iter().filter(|(cid, _)| !base.contains_key(cid)).map(|(_, len)| *len).collect();
        (new.iter().sum(), new.len())
    }

    fn tell(&self, base: &Self, name: &str) {
        let (leaf_bytes, leaves) = Self::new_to(&base.leaves, &self.leaves);
        let (branch_bytes, branches) = Self::new_to(&base.branches, &self.branches);
        println!("{name} {leaf_bytes} {branch_bytes} {leaves} {branches}");
    }
}

struct Tree {
    builder: FileBuilder,
    made: Vec<shoal_dag::Block>,
    blocks: Blocks,
}

impl Tree {
    fn new(profile: Profile) -> Self {
        let builder = FileBuilder::new(profile, Metadata::default());
        Self { builder, made: Vec::new(), blocks: Blocks::default() }
    }

    fn push(&mut self, leaf: LeafRef) {
        self.blocks.leaves.insert(leaf.cid, leaf.dag_size);
        self.builder.push(leaf, &mut self.made);
        self.keep();
    }

    fn keep(&mut self) {
        let made = self.made.drain(..);
        self.blocks.branches.extend(made.map(|block| (block.cid, block.data.len() as u64)));
    }

    fn finish(mut self) -> Blocks {
        let builder = std::mem::replace(
            &mut self.builder,
            FileBuilder::new(Profile::Shoal, Metadata::default()),
        );
        builder.finish(&mut self.made);
        self.keep();
        self.blocks
    }
}

/// The mean length of a leaf, and how many change where a byte is put at the start.
fn leaves_of(profile: Profile, count: impl Fn(u64) -> u64) -> (u64, u64) {
    match profile.chunking() {
        Chunking::Fixed(size) => (size as u64, count(size as u64)),
        Chunking::Content { avg, .. } => (avg as u64, LEAVES_CHANGED_BY_CONTENT),
    }
}

/// A file of made-up leaves of which the first `changed` are others than those of the base.
fn made_up(profile: Profile, bytes: u64, mean: u64, changed: u64) -> Blocks {
    let mut tree = Tree::new(profile);
    for number in 0..bytes.div_ceil(mean) {
        let name = [number.to_le_bytes(), u64::from(number < changed).to_le_bytes()].concat();
        let cid = cid_of(profile.hash(), RAW, profile.cid_version(), &name);
        tree.push(LeafRef::raw(cid, mean));
    }
    tree.finish()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [profile, base, rest @ ..] = arguments.as_slice() else {
        return Err("usage: dedup PROFILE BASE VERSION... | dedup PROFILE tree BYTES".into());
    };
    let profile: Profile = profile.parse()?;
    if base == "tree" {
        let bytes: u64 = rest.first().ok_or("how many bytes?")?.parse()?;
        let (mean, changed) = leaves_of(profile, |mean| bytes.div_ceil(mean));
        let base = made_up(profile, bytes, mean, 0);
        made_up(profile, bytes, mean, changed).tell(&base, "tree");
        return Ok(());
    }
    let base = Blocks::of(profile, &std::fs::read(base)?);
    for version in rest {
        Blocks::of(profile, &std::fs::read(version)?).tell(&base, version);
    }
    Ok(())
}
