//! What the engine needs to know of a branch: its children and how large they are.
//!
//! The engine walks trees by itself, but it neither reads nor decodes blocks: whoever has the
//! bytes (the connection's task for a received block, the node for a local one) calls
//! [`Links::of`] and hands over the result. Order and number of the children are those of the
//! links in the block; a child's index here is its index in a `Have` bitmap.

use bytes::Bytes;
use shoal_dag::hash::DAG_CBOR;
use shoal_dag::node::{Node, NodeError};
use shoal_dag::{Cid, cbor};

/// Where a leaf's bytes lie in the file that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The CID of the file's root block.
    pub file: Cid,
    /// The file's content size in bytes; 0 when it is not known.
    pub size: u64,
    /// The leaf's first byte in the file.
    pub offset: u64,
}

/// What a branch is, which decides how places flow to its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinksKind {
    /// An inner block of a file: children are consecutive spans of it.
    File,
    /// A directory, or a shard of one: every child is the root of a file or of another directory, or
    /// another shard.
    Directory,
    /// Links without a meaning known here: children are fetched, without places.
    Other,
}

/// One link of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The block that the link points to.
    pub cid: Cid,
    /// Content bytes below the link in a file; the cumulative size of the sub-tree elsewhere.
    /// Told by the block, so it is a hint: never used to allocate or to trust.
    pub size: u64,
}

/// The links of one branch, in the order of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// What the branch is.
    pub kind: LinksKind,
    /// Its children.
    pub children: Vec<Child>,
}

impl Links {
    /// The sum of what the links tell of their sizes: a hint.
    pub(crate) fn size(&self) -> u64 {
        self.children.iter().fold(0, |sum, child| sum.saturating_add(child.size))
    }

    /// Reads the links of a block that has been verified; `None` for a leaf.
    ///
    /// # Errors
    /// The block does not decode, or is of a kind that is not supported: the caller decides
    /// whether to treat it as a leaf.
    pub fn of(cid: &Cid, bytes: &Bytes) -> Result<Option<Self>, NodeError> {
        if cid.codec() == DAG_CBOR {
            let links = cbor::links(bytes)?.into_iter();
            let children: Vec<_> = links.map(|cid| Child { cid, size: 0 }).collect();
            let branch = Self { kind: LinksKind::Other, children };
            return Ok((!branch.children.is_empty()).then_some(branch));
        }
        let (kind, children) = match Node::decode(cid, bytes.clone())? {
            Node::Leaf { .. } | Node::Symlink { .. } => return Ok(None),
            Node::File(file) => {
                let child =
                    |link: &shoal_dag::node::FileLink| Child { cid: link.cid, size: link.size };
                (LinksKind::File, file.links.iter().map(child).collect())
            }
            Node::Directory { entries, .. } => {
                let child = |entry: &shoal_dag::node::Dirent| Child {
                    cid: entry.cid,
                    size: entry.dag_size,
                };
                (LinksKind::Directory, entries.iter().map(child).collect())
            }
            Node::Shard(shard) => {
                let child = |link: &shoal_dag::hamt::ShardLink| Child {
                    cid: link.cid,
                    size: link.dag_size,
                };
                (LinksKind::Directory, shard.links.iter().map(child).collect())
            }
        };
        Ok(Some(Self { kind, children }))
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::build::{FileBuilder, LeafBlock, leaf};
    use shoal_dag::hash::{HashKind, RAW, cid_of};
    use shoal_dag::{Metadata, Profile};

    use super::*;

    #[test]
    fn a_leaf_has_no_links() {
        let data = Bytes::from_static(b"leaf");
        let cid = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &data);
        assert_eq!(Links::of(&cid, &data).unwrap(), None);
    }

    #[test]
    fn dag_cbor_has_children_without_places() {
        let child = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, b"leaf");
        let link = [&b"\x81\xd8\x2a\x58\x25\0"[..], &child.to_bytes()].concat();
        for (data, expected) in [(&link[..], Some(child)), (b"\x80", None)] {
            let data = Bytes::copy_from_slice(data);
            let cid = cid_of(HashKind::Blake3, DAG_CBOR, shoal_dag::Version::V1, &data);
            let links = Links::of(&cid, &data).unwrap();
            let children = expected.map(|cid| vec![Child { cid, size: 0 }]);
            let found = links.map(|links| (links.kind, links.children));
            assert_eq!(found, children.map(|children| (LinksKind::Other, children)));
        }
    }

    #[test]
    fn a_file_has_its_leaves_in_order_with_their_sizes() {
        let profile = Profile::default();
        let leaves = [b"one".as_slice(), b"three", b"five!!"].map(|data| leaf(profile, data));
        assert!(leaves.iter().all(|leaf| matches!(leaf.block, LeafBlock::Raw)));
        let (mut builder, mut out) = (FileBuilder::new(profile, Metadata::default()), Vec::new());
        for leaf in &leaves {
            builder.push(leaf.link(), &mut out);
        }
        let root = builder.finish(&mut out).cid;
        let block = out.iter().find(|block| block.cid == root).unwrap();
        let links = Links::of(&root, &block.data).unwrap().unwrap();
        assert_eq!(links.kind, LinksKind::File);
        let expected = leaves.iter().map(|leaf| Child { cid: leaf.cid, size: leaf.size });
        assert_eq!(links.children, expected.collect::<Vec<_>>());
    }
}
