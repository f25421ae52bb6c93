//! A store in memory that trees are built into and walked from.
//!
//! It verifies each block when it is put in, as the store does, and adds files the way `add`
//! does: cut, hash, build. Blocks that nobody put in are a panic, so that a test notices a walk
//! which asks for too much.

use std::collections::HashMap;
use std::ops::Range;

use shoal_dag::build::{self, Built, DirectoryBuilder, FileBuilder, LeafBlock};
use shoal_dag::chunk::Chunker;
use shoal_dag::hash;
use shoal_dag::node::Dirent;
use shoal_dag::walk::{
    Budget, DirectoryStep, DirectoryWalk, FileWalk, Lookup, LookupStep, Step, WalkError,
};
use shoal_dag::{Block, Bytes, Cid, Metadata, Profile};

/// Blocks by CID, each verified when it is put in.
#[derive(Default, Clone)]
pub(crate) struct Memory(pub(crate) HashMap<Cid, Bytes>);

impl Memory {
    pub(crate) fn keep(&mut self, blocks: impl IntoIterator<Item = Block>) {
        for block in blocks {
            hash::verify(&block.cid, &block.data).unwrap();
            self.0.insert(block.cid, block.data);
        }
    }

    /// Adds a file as `add` does: cut, hash, build; the stream is given in pieces.
    pub(crate) fn add(&mut self, profile: Profile, meta: Metadata, content: &[u8]) -> Built {
        let mut out = Vec::new();
        let mut builder = FileBuilder::new(profile, meta);
        let mut chunker = Chunker::new(&profile);
        let mut rest = content;
        while let Some(len) = chunker.cut(rest, true) {
            let (chunk, tail) = rest.split_at(len);
            rest = tail;
            let leaf = build::leaf(builder.leaf_form(), chunk);
            let data = match &leaf.block {
                LeafBlock::Raw => Bytes::copy_from_slice(chunk),
                LeafBlock::Wrapped(block) => block.clone(),
            };
            self.keep([Block { cid: leaf.cid, data }]);
            builder.push(leaf.link(), &mut out);
            self.keep(out.drain(..));
        }
        let built = builder.finish(&mut out);
        self.keep(out);
        built
    }

    /// Finishes a directory and keeps its blocks; its root and the size for a link to it.
    pub(crate) fn keep_all(&mut self, builder: DirectoryBuilder) -> (Cid, u64) {
        let put = |block| -> Result<(), std::convert::Infallible> {
            self.keep([block]);
            Ok(())
        };
        let Ok(finished) = builder.finish_into(put);
        finished
    }

    /// Reads a range through a walk; also says how many blocks that took.
    pub(crate) fn read(
        &self,
        root: Cid,
        range: Range<u64>,
        budget: Budget,
    ) -> Result<(Vec<u8>, usize), WalkError> {
        let (mut bytes, mut asked) = (Vec::new(), 0);
        let mut walk = FileWalk::new(root, range.clone(), budget);
        loop {
            match walk.poll()? {
                Step::Need(cid) => {
                    assert_eq!(walk.ahead(1), [cid]);
                    walk.handle_block(&cid, self.0[&cid].clone())?;
                    asked += 1;
                }
                Step::Leaf { range: at, data, .. } => {
                    assert_eq!(at.start, range.start + bytes.len() as u64);
                    assert_eq!(at.end - at.start, data.len() as u64);
                    bytes.extend_from_slice(&data);
                }
                Step::Place { .. } => panic!("places were not asked for"),
                Step::Done => return Ok((bytes, asked)),
            }
        }
    }

    /// The entries of a directory, and how many blocks that took.
    pub(crate) fn list(&self, root: Cid) -> Result<(Vec<Dirent>, usize), WalkError> {
        let (mut entries, mut asked) = (Vec::new(), 0);
        let mut walk = DirectoryWalk::new(root, Budget::DIRECTORY);
        loop {
            match walk.poll()? {
                DirectoryStep::Need(cid) => {
                    assert_eq!(walk.ahead(1), [cid]);
                    walk.handle_block(&cid, self.0[&cid].clone())?;
                    asked += 1;
                }
                DirectoryStep::Entries(some) => {
                    assert!(!some.is_empty());
                    entries.extend(some);
                }
                DirectoryStep::Done => return Ok((entries, asked)),
            }
        }
    }

    /// The entry of this name, if there is one, and how many blocks that took.
    pub(crate) fn find(
        &self,
        root: Cid,
        name: &[u8],
    ) -> Result<(Option<Dirent>, usize), WalkError> {
        let (mut lookup, mut asked) = (Lookup::new(root, name), 0);
        loop {
            match lookup.poll()? {
                LookupStep::Need(cid) => {
                    lookup.handle_block(&cid, self.0[&cid].clone())?;
                    asked += 1;
                }
                LookupStep::Found(entry) => return Ok((Some(entry), asked)),
                LookupStep::Absent => return Ok((None, asked)),
            }
        }
    }
}
