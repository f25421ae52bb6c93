//! Nodes: what a block is in a file system, checked on decoding.
//!
//! [`Node::decode`] takes a block that was verified against its CID and says what it is. It trusts
//! nothing in it: sizes of the parts of a file must be as many as its links and add up to the
//! size of the file. That a part really has the size its parent gives it shows only when it
//! is there: [`crate::walk`] checks that.
//!
//! Bytes of files and targets are slices of the block, never copies. Entry names are kept as they
//! are, even those that [`crate::name::check`] refuses: a listing shows them, a caller that makes
//! paths of them checks first.

use bytes::Bytes;
use thiserror::Error;

use crate::BLOCK_BYTES_MAX;
use crate::Cid;
use crate::cbor::CborError;
use crate::hamt::{Shard, ShardError, ShardLink};
use crate::hash::{DAG_PB, RAW};
use crate::pb::{self, PbError, PbLink};
use crate::unixfs::{Kind, Metadata, UnixFs, UnixFsError};

/// Why a block is not a node of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The block is well formed, or may be, but nothing here reads it yet.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The block has more than [`BLOCK_BYTES_MAX`] bytes.
    #[error("a block of {0} bytes is too large")]
    TooLarge(usize),
    /// Not a dag-pb node.
    #[error(transparent)]
    Pb(#[from] PbError),
    /// The data of the node is not UnixFS.
    #[error(transparent)]
    UnixFs(#[from] UnixFsError),
    /// A part of a sharded directory that contradicts itself.
    #[error("a shard of a directory: {0}")]
    Shard(#[from] ShardError),
    /// Not dag-cbor, or not the one encoding of what it is.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A dag-pb node without data is no UnixFS node.
    #[error("a dag-pb node without data is not UnixFS")]
    NoData,
    /// A leaf with links, or a symbolic link with links.
    #[error("links where there can be none")]
    Links,
    /// A branch gives another number of sizes than it has links.
    #[error("a branch of {links} links gives {sizes} sizes")]
    SizeCount {
        /// Links of the branch.
        links: usize,
        /// Sizes that it gives for them.
        sizes: usize,
    },
    /// The parts of a file do not add up to its size.
    #[error("a file that claims {claimed} bytes has parts of {parts} bytes")]
    SizeSum {
        /// Size that the node claims.
        claimed: u64,
        /// Sum of its parts; the largest number when they exceed 64 bits.
        parts: u64,
    },
}

/// A block as a node of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Bytes of a file without links: a raw block, or a wrapped leaf.
    Leaf {
        /// The bytes, a slice of the block.
        data: Bytes,
        /// Metadata, if it is a wrapped leaf that is a whole file.
        meta: Metadata,
    },
    /// A file, or a part of one, with links to its parts.
    File(FileNode),
    /// A directory in one block.
    Directory {
        /// Entries in the order of the block. Names are not checked and may repeat; the first
        /// counts.
        entries: Vec<Dirent>,
        /// Metadata.
        meta: Metadata,
    },
    /// A sharded directory, or a part of one: nothing in the block tells them apart.
    Shard(Shard),
    /// A symbolic link.
    Symlink {
        /// Where it points to, as it was written.
        target: Bytes,
        /// Metadata.
        meta: Metadata,
    },
}

/// A branch of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Bytes of the file below this branch.
    pub size: u64,
    /// Its parts, in order.
    pub links: Vec<FileLink>,
    /// Metadata, if the branch is the root of a file.
    pub meta: Metadata,
    /// Bytes in the branch itself, before those of the parts. Empty in nearly all files.
    pub inline: Bytes,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLink {
    /// Block of the part.
    pub cid: Cid,
    /// Bytes of the file in it or below it, as its parent claims.
    pub size: u64,
    /// Bytes of all its blocks, as its parent claims. A hint.
    pub dag_size: u64,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirent {
    /// Name, unchecked.
    pub name: Vec<u8>,
    /// Block of what the entry is.
    pub cid: Cid,
    /// Bytes of all its blocks, as the directory claims. A hint.
    pub dag_size: u64,
}

impl Node {
    /// Says what a block is. The caller has verified `block` against `cid`.
    ///
    /// # Errors
    /// [`NodeError::Unsupported`] for codecs that are no file systems; every other
    /// error says that the block's writer is at fault, and no other copy will help.
    pub fn decode(cid: &Cid, block: Bytes) -> Result<Self, NodeError> {
        if block.len() > BLOCK_BYTES_MAX {
            return Err(NodeError::TooLarge(block.len()));
        }
        match cid.codec() {
            RAW => Ok(Self::Leaf { data: block, meta: Metadata::NONE }),
            DAG_PB => Self::decode_pb(&block),
            _ => Err(NodeError::Unsupported("this codec")),
        }
    }

    fn decode_pb(block: &Bytes) -> Result<Self, NodeError> {
        // Data first, then the links, each straight into its place: a branch of 4,096 links is
        // decoded on the read path.
        let Some(data) = pb::data(block)? else {
            pb::decode(block)?;
            return Err(NodeError::NoData);
        };
        let message = UnixFs::decode(data)?;
        let meta = message.meta;
        match message.kind {
            Kind::Raw | Kind::Symlink => no_links(block)?,
            Kind::Directory => {
                let entries = pb::links(block).map(|link| link.map(|link| dirent(&link)));
                return Ok(Self::Directory { entries: entries.collect::<Result<_, _>>()?, meta });
            }
            Kind::File => {
                let (links, sizes) = (pb::links(block), &message.block_sizes);
                let links = file_links(links, sizes)?;
                if !links.is_empty() {
                    return file(block, links, &message).map(Self::File);
                }
            }
            Kind::HamtShard => return Shard::decode(block, &message).map(Self::Shard),
            Kind::Metadata => return Err(NodeError::Unsupported("a UnixFS metadata node")),
        }
        match message.kind {
            Kind::Symlink => Ok(Self::Symlink { target: slice(block, message.data), meta }),
            _ => leaf(block, &message),
        }
    }

    /// Mode and modification time, where the writer kept them.
    pub const fn meta(&self) -> &Metadata {
        match self {
            Self::Leaf { meta, .. } | Self::Directory { meta, .. } | Self::Symlink { meta, .. } => {
                meta
            }
            Self::File(file) => &file.meta,
            Self::Shard(shard) => &shard.meta,
        }
    }

    /// Whether it is a directory, in one block or sharded.
    pub const fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. } | Self::Shard(_))
    }

    /// Bytes of the file that this is the root of, as it claims; `None` if it is no file.
    pub const fn file_size(&self) -> Option<u64> {
        match self {
            Self::Leaf { data, .. } => Some(data.len() as u64),
            Self::File(file) => Some(file.size),
            Self::Directory { .. } | Self::Shard(_) | Self::Symlink { .. } => None,
        }
    }

    /// The blocks that this one links to, in order, repeated ones too.
    pub fn links(&self) -> impl Iterator<Item = Cid> + '_ {
        let (links, entries, shards): (&[FileLink], &[Dirent], &[ShardLink]) = match self {
            Self::File(file) => (&file.links, &[], &[]),
            Self::Directory { entries, .. } => (&[], entries, &[]),
            Self::Shard(shard) => (&[], &[], &shard.links),
            Self::Leaf { .. } | Self::Symlink { .. } => (&[], &[], &[]),
        };
        let links = links.iter().map(|link| link.cid);
        links.chain(entries.iter().map(|entry| entry.cid)).chain(shards.iter().map(|link| link.cid))
    }

    /// The entry of this name of a directory in one block; the first, where a foreign one has
    /// several. In a sharded directory [`crate::walk::Lookup`] finds it.
    pub fn entry(&self, name: &[u8]) -> Option<&Dirent> {
        match self {
            Self::Directory { entries, .. } => entries.iter().find(|entry| entry.name == name),
            _ => None,
        }
    }
}

fn no_links(block: &[u8]) -> Result<(), NodeError> {
    match pb::links(block).next() {
        None => Ok(()),
        Some(link) => link.map_err(NodeError::Pb).and(Err(NodeError::Links)),
    }
}

fn leaf(block: &Bytes, message: &UnixFs<'_>) -> Result<Node, NodeError> {
    if !message.block_sizes.is_empty() {
        return Err(NodeError::SizeCount { links: 0, sizes: message.block_sizes.len() });
    }
    let data = slice(block, message.data);
    match message.file_size {
        Some(claimed) if claimed != data.len() as u64 => {
            Err(NodeError::SizeSum { claimed, parts: data.len() as u64 })
        }
        _ => Ok(Node::Leaf { data, meta: message.meta }),
    }
}

/// Joins links with the sizes that the message gives for them.
fn file_links<'a>(
    links: impl Iterator<Item = Result<PbLink<'a>, PbError>>,
    sizes: &[u64],
) -> Result<Vec<FileLink>, NodeError> {
    // The sizes are really there, in at most 2 MiB: this is no length that somebody declared.
    let mut joined = Vec::with_capacity(sizes.len());
    let mut count = 0;
    for link in links {
        let link = link?;
        if let Some(&size) = sizes.get(count) {
            joined.push(FileLink { cid: link.hash, size, dag_size: link.tsize.unwrap_or(0) });
        }
        count += 1;
    }
    if count == sizes.len() || count == 0 {
        return Ok(joined);
    }
    Err(NodeError::SizeCount { links: count, sizes: sizes.len() })
}

fn file(block: &Bytes, links: Vec<FileLink>, message: &UnixFs<'_>) -> Result<FileNode, NodeError> {
    let inline = slice(block, message.data);
    let sum = links.iter().try_fold(inline.len() as u64, |sum, link| sum.checked_add(link.size));
    let claimed = message.file_size.or(sum).unwrap_or(u64::MAX);
    if sum != Some(claimed) {
        return Err(NodeError::SizeSum { claimed, parts: sum.unwrap_or(u64::MAX) });
    }
    Ok(FileNode { size: claimed, links, meta: message.meta, inline })
}

fn dirent(link: &PbLink<'_>) -> Dirent {
    Dirent {
        name: link.name.unwrap_or_default().to_vec(),
        cid: link.hash,
        dag_size: link.tsize.unwrap_or(0),
    }
}

/// The part of `block` that `part` borrows from it.
fn slice(block: &Bytes, part: Option<&[u8]>) -> Bytes {
    part.map_or_else(Bytes::new, |part| block.slice_ref(part))
}

#[cfg(test)]
mod tests;
