//! The tree above the leaves of a file, built while the leaves come in.
//!
//! Balanced: all leaves have the same depth. A level is cut into branches by the profile's rule
//! (by index as kubo does, or by content); each branch is a child of the level above; the first
//! level with one child ends the tree. A full branch stays open until its level gets another
//! child, because only then is it known not to be the root, which carries the metadata.
//!
//! Memory: one open branch per level, whatever the size of the file.

use bytes::Bytes;

use super::block_of;
use super::leaf::{self, LeafForm, LeafRef};
use crate::Block;
use crate::Cid;
use crate::hash::{self, DAG_PB, RAW};
use crate::node::{FileLink, Node};
use crate::pb::{PbLink, PbNode};
use crate::profile::{self, Branching, Profile};
use crate::unixfs::{Kind, Metadata, UnixFs};

/// A finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// CID of the root.
    pub cid: Cid,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of all blocks of the tree, repeated ones counted again: the size in a link to it.
    pub dag_size: u64,
}

/// Makes the branches of one file.
#[derive(Debug)]
pub struct FileBuilder {
    profile: Profile,
    meta: Metadata,
    levels: Vec<Level>,
    /// Block of the first leaf, while it may be the only one and has to carry the metadata.
    only: Option<Bytes>,
}

/// The branch that is open at one height of the tree.
#[derive(Debug, Default)]
struct Level {
    links: Vec<FileLink>,
    full: bool,
}

impl FileBuilder {
    /// A file without bytes so far.
    pub const fn new(profile: Profile, meta: Metadata) -> Self {
        Self { profile, meta, levels: Vec::new(), only: None }
    }

    /// The form that the leaves given to [`Self::push`] must have.
    pub const fn leaf_form(&self) -> LeafForm {
        LeafForm::new(self.profile, &self.meta)
    }

    /// Takes the next leaf of the file; branches that are complete go to `out`.
    ///
    /// A leaf without bytes changes nothing.
    pub fn push(&mut self, leaf: LeafRef, out: &mut Vec<Block>) {
        if leaf.size == 0 {
            return;
        }
        self.only =
            if self.levels.is_empty() && !self.meta.is_empty() { leaf.wrapped } else { None };
        self.add(0, FileLink { cid: leaf.cid, size: leaf.size, dag_size: leaf.dag_size }, out);
    }

    /// Ends the file: the remaining branches and the root go to `out`.
    ///
    /// A root that is a leaf already given out is not repeated; the raw leaf of an empty file is
    /// given out here, as nobody else made it. A file of one wrapped leaf with metadata gets a new
    /// block for it, and the leaf that was hashed before is not part of the tree.
    ///
    /// # Panics
    /// When such a file's leaf was not made by [`leaf()`](super::leaf()) in the form of
    /// [`Self::leaf_form`]: its bytes are needed.
    pub fn finish(mut self, out: &mut Vec<Block>) -> Built {
        if self.levels.is_empty() {
            return self.finish_empty(out);
        }
        let mut height = 0;
        while height + 1 < self.levels.len() {
            let links = std::mem::take(&mut self.levels[height].links);
            let link = close(self.profile, &links, Metadata::NONE, out);
            self.add(height + 1, link, out);
            height += 1;
        }
        let top = std::mem::take(&mut self.levels[height].links);
        let root = match top.as_slice() {
            [only] if self.meta.is_empty() => *only,
            [only] if !self.leaf_form().is_raw() => self.finish_wrapped(only.size, out),
            links => close(self.profile, links, self.meta, out),
        };
        Built { cid: root.cid, size: root.size, dag_size: root.dag_size }
    }

    fn add(&mut self, mut height: usize, mut link: FileLink, out: &mut Vec<Block>) {
        loop {
            if self.levels.len() == height {
                self.levels.push(Level::default());
            }
            let level = &mut self.levels[height];
            let complete = level.full.then(|| std::mem::take(&mut level.links));
            level.links.push(link);
            level.full = match self.profile.branching() {
                Branching::Index(width) => level.links.len() >= width,
                Branching::Content { min, max } => {
                    level.links.len() >= max
                        || (level.links.len() >= min && profile::ends_branch(&link.cid))
                }
            };
            let Some(links) = complete else { return };
            link = close(self.profile, &links, Metadata::NONE, out);
            height += 1;
        }
    }

    fn finish_empty(self, out: &mut Vec<Block>) -> Built {
        let (hash, version) = (self.profile.hash(), self.profile.cid_version());
        let (codec, data) = if self.leaf_form().is_raw() && self.meta.is_empty() {
            (RAW, Vec::new())
        } else {
            (DAG_PB, leaf::wrap(&[], self.meta))
        };
        let (cid, dag_size) = (hash::cid_of(hash, codec, version, &data), data.len() as u64);
        out.push(Block { cid, data: Bytes::from(data) });
        Built { cid, size: 0, dag_size }
    }

    /// The only leaf, written again with the metadata in it.
    fn finish_wrapped(&mut self, size: u64, out: &mut Vec<Block>) -> FileLink {
        let old = self.only.take().expect("a wrapped leaf is pushed as `Leaf::link` gives it");
        let (hash, version) = (self.profile.hash(), self.profile.cid_version());
        let cid = hash::cid_of(hash, DAG_PB, version, &old);
        let Ok(Node::Leaf { data, .. }) = Node::decode(&cid, old) else {
            panic!("a wrapped leaf is pushed as `Leaf::link` gives it");
        };
        let block = leaf::wrap(&data, self.meta);
        let (cid, dag_size) = (hash::cid_of(hash, DAG_PB, version, &block), block.len() as u64);
        out.push(Block { cid, data: Bytes::from(block) });
        FileLink { cid, size, dag_size }
    }
}

/// Writes a branch and gives the link to it.
fn close(profile: Profile, links: &[FileLink], meta: Metadata, out: &mut Vec<Block>) -> FileLink {
    let sum = |of: fn(&FileLink) -> u64| links.iter().map(of).fold(0, u64::saturating_add);
    let size = sum(|link| link.size);
    let message = UnixFs {
        file_size: Some(size),
        block_sizes: links.iter().map(|link| link.size).collect(),
        meta,
        ..UnixFs::new(Kind::File)
    }
    .encode();
    let pb_link =
        |link: &FileLink| PbLink { hash: link.cid, name: Some(b""), tsize: Some(link.dag_size) };
    let node = PbNode { links: links.iter().map(pb_link).collect(), data: Some(&message) };
    let block = block_of(profile, &node);
    let dag_size = sum(|link| link.dag_size).saturating_add(block.data.len() as u64);
    let cid = block.cid;
    out.push(block);
    FileLink { cid, size, dag_size }
}
