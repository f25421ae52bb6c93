//! Made-up trees: CIDs, lengths and links, without bytes.
//!
//! CIDs are hashes of a counter, so that a world can be built without data; the engine never looks
//! at bytes. Sizes are those that a real tree of such leaves would tell in its links. A block has a
//! number here ([`BlockNo`]), by which nodes keep what they hold in one bit.

use shoal_dag::Cid;
use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};

use crate::bits::BitSet;
use crate::random::PrintMap;
use crate::{Child, Links, LinksKind};

/// A block of a [`Catalog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNo(pub u32);

/// Bytes of an ordinary leaf: the mean of the default chunker.
pub const LEAF_BYTES: u32 = 64 << 10;

/// A block that exists somewhere.
#[derive(Debug)]
struct Known {
    cid: Cid,
    len: u32,
    links: Option<Links>,
    /// The branch that it was last hung under, and its place there.
    parent: Option<(BlockNo, u32)>,
}

/// Every block there is.
#[derive(Debug, Default)]
pub struct Catalog {
    blocks: Vec<Known>,
    index: PrintMap<BlockNo>,
}

/// The first bytes of a digest: a key for a CID among those made here.
fn key(cid: &Cid) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(cid.hash().digest()) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

impl Catalog {
    fn push(&mut self, codec: u64, len: u32, links: Option<Links>) -> Cid {
        let number = BlockNo(self.blocks.len() as u32);
        let cid = cid_of(HashKind::Blake3, codec, shoal_dag::Version::V1, &number.0.to_le_bytes());
        self.index.insert(key(&cid), number);
        self.blocks.push(Known { cid, len, links, parent: None });
        cid
    }

    /// A new leaf.
    pub fn leaf(&mut self, len: u32) -> Cid {
        self.push(RAW, len, None)
    }

    /// A new branch above `children`.
    pub fn branch(&mut self, kind: LinksKind, children: &[Cid]) -> Cid {
        let links = children.iter().map(|cid| Child { cid: *cid, size: self.size(cid) }).collect();
        let len = 50 * children.len() as u32 + 20;
        let cid = self.push(DAG_PB, len, Some(Links { kind, children: links }));
        let own = BlockNo(self.blocks.len() as u32 - 1);
        for (index, child) in (0..).zip(children) {
            if let Some(number) = self.number(child) {
                self.blocks[number.0 as usize].parent = Some((own, index));
            }
        }
        cid
    }

    /// A file of `leaves` leaves of [`LEAF_BYTES`] in branches of `width`; a single leaf when
    /// `leaves` is 1.
    pub fn file(&mut self, leaves: usize, width: usize) -> Cid {
        let mut level: Vec<Cid> = (0..leaves.max(1)).map(|_| self.leaf(LEAF_BYTES)).collect();
        while level.len() > 1 {
            let parts = level.chunks(width.max(2));
            level = parts.map(|part| self.branch(LinksKind::File, part)).collect();
        }
        level[0]
    }

    /// The number of a block; `None` for one that was not made here.
    pub fn number(&self, cid: &Cid) -> Option<BlockNo> {
        self.index.get(&key(cid)).copied().filter(|at| self.cid(*at) == *cid)
    }

    /// The CID of a block.
    pub fn cid(&self, block: BlockNo) -> Cid {
        self.blocks[block.0 as usize].cid
    }

    /// Bytes of the block itself.
    pub fn len(&self, block: BlockNo) -> u32 {
        self.blocks[block.0 as usize].len
    }

    /// Whether there is no block at all.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The links of a branch.
    pub fn links(&self, block: BlockNo) -> Option<&Links> {
        self.blocks[block.0 as usize].links.as_ref()
    }

    /// The branch that a block was last hung under, and its place among the links.
    pub fn parent(&self, block: BlockNo) -> Option<(BlockNo, u32)> {
        self.blocks[block.0 as usize].parent
    }

    /// Blocks made.
    pub fn count(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Content bytes below a block.
    pub fn size(&self, cid: &Cid) -> u64 {
        let Some(number) = self.number(cid) else { return 0 };
        let known = &self.blocks[number.0 as usize];
        let Some(links) = &known.links else { return u64::from(known.len) };
        links.children.iter().fold(0, |sum, child| sum.saturating_add(child.size))
    }

    /// Every block below a root, itself included, each once, in walk order.
    pub fn below(&self, root: &Cid) -> Vec<BlockNo> {
        let mut seen = BitSet::default();
        let mut all: Vec<BlockNo> = self.number(root).into_iter().collect();
        let mut at = 0;
        while let Some(block) = all.get(at).copied() {
            let children = self.links(block).into_iter().flat_map(|links| &links.children);
            let children = children.filter_map(|child| self.number(&child.cid));
            all.extend(children.filter(|child| seen.set(child.0)));
            at += 1;
        }
        all
    }
}
