//! Leaves: a chunk with its CID, raw or wrapped in dag-pb.
//!
//! [`leaf`] is a free function without state, so that any number of threads can hash. A raw
//! leaf's block is the chunk itself and is not copied; a wrapped one is a UnixFS file node with
//! the bytes inside, as kubo makes them without `--raw-leaves`.

use bytes::Bytes;

use crate::Cid;
use crate::hash::{self, DAG_PB, RAW};
use crate::pb::PbNode;
use crate::profile::Profile;
use crate::unixfs::{Kind, Metadata, UnixFs};

/// What the leaves of one file look like. Made from the profile and the metadata of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafForm {
    profile: Profile,
    raw: bool,
}

impl LeafForm {
    /// The form of leaves in a file with this metadata.
    pub const fn new(profile: Profile, meta: &Metadata) -> Self {
        Self { profile, raw: profile.raw_leaves(meta) }
    }

    /// Whether the block of a leaf is the chunk itself.
    pub const fn is_raw(self) -> bool {
        self.raw
    }
}

impl From<Profile> for LeafForm {
    /// The form of leaves in a file without metadata.
    fn from(profile: Profile) -> Self {
        Self::new(profile, &Metadata::NONE)
    }
}

/// A chunk with its CID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// CID of the leaf's block.
    pub cid: Cid,
    /// The block.
    pub block: LeafBlock,
    /// Bytes of the chunk.
    pub size: u64,
    /// Bytes of the block.
    pub dag_size: u64,
}

/// The block of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafBlock {
    /// The block is the chunk; nothing was copied.
    Raw,
    /// The block contains the chunk.
    Wrapped(Bytes),
}

/// What a [`FileBuilder`](super::FileBuilder) needs to know of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRef {
    /// CID of the leaf's block.
    pub cid: Cid,
    /// Bytes of the chunk.
    pub size: u64,
    /// Bytes of the block.
    pub dag_size: u64,
    /// The block of a wrapped leaf (shared, not copied): a file of one leaf with metadata has
    /// them in that leaf, which is then written anew.
    pub(super) wrapped: Option<Bytes>,
}

impl LeafRef {
    /// A reference to a raw leaf whose chunk has `size` bytes.
    pub const fn raw(cid: Cid, size: u64) -> Self {
        Self { cid, size, dag_size: size, wrapped: None }
    }
}

impl Leaf {
    /// What the file builder needs.
    pub fn link(&self) -> LeafRef {
        let wrapped = match &self.block {
            LeafBlock::Raw => None,
            LeafBlock::Wrapped(block) => Some(block.clone()),
        };
        LeafRef { cid: self.cid, size: self.size, dag_size: self.dag_size, wrapped }
    }
}

/// Makes the leaf of a chunk: hashes it. Callable from any thread.
///
/// Give the profile for a file without metadata, and [`LeafForm::new`] for one that has any.
pub fn leaf(form: impl Into<LeafForm>, chunk: &[u8]) -> Leaf {
    let form = form.into();
    let (hash, version) = (form.profile.hash(), form.profile.cid_version());
    let size = chunk.len() as u64;
    if form.raw {
        let cid = hash::cid_of(hash, RAW, version, chunk);
        return Leaf { cid, block: LeafBlock::Raw, size, dag_size: size };
    }
    let block = Bytes::from(wrap(chunk, Metadata::NONE));
    let cid = hash::cid_of(hash, DAG_PB, version, &block);
    let dag_size = block.len() as u64;
    Leaf { cid, block: LeafBlock::Wrapped(block), size, dag_size }
}

/// The block of a file node that has its bytes inside.
pub(super) fn wrap(chunk: &[u8], meta: Metadata) -> Vec<u8> {
    let message = UnixFs {
        data: (!chunk.is_empty()).then_some(chunk),
        file_size: Some(chunk.len() as u64),
        meta,
        ..UnixFs::new(Kind::File)
    };
    let node = PbNode { links: Vec::new(), data: Some(&message.encode()) };
    node.encode().expect("there are no links")
}
