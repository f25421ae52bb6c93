//! Made-up trees: CIDs, lengths and links, without bytes.
//!
//! CIDs are hashes of a counter, so that a world can be built without data; the engine never looks
//! at bytes. Sizes are those that a real tree of such leaves would tell in its links.

use std::collections::BTreeMap;

use shoal_dag::Cid;
use shoal_dag::hash::{DAG_PB, RAW};
use shoal_swarm::{Child, Links, LinksKind};

/// A block that exists somewhere.
#[derive(Clone)]
pub(crate) struct Known {
    /// Its bytes.
    pub(crate) len: u32,
    /// Its links, for a branch.
    pub(crate) links: Option<Links>,
}

/// Every block there is.
#[derive(Clone, Default)]
pub(crate) struct Catalog {
    /// By CID.
    pub(crate) blocks: BTreeMap<Cid, Known>,
    next: u64,
}

impl Catalog {
    fn cid(&mut self, codec: u64) -> Cid {
        self.next += 1;
        let name = self.next.to_le_bytes();
        shoal_dag::hash::cid_of(
            shoal_dag::hash::HashKind::Blake3,
            codec,
            shoal_dag::Version::V1,
            &name,
        )
    }

    /// A new leaf.
    pub(crate) fn leaf(&mut self, len: u32) -> Cid {
        let cid = self.cid(RAW);
        self.blocks.insert(cid, Known { len, links: None });
        cid
    }

    /// A new branch above `children`.
    pub(crate) fn branch(&mut self, kind: LinksKind, children: &[Cid]) -> Cid {
        let cid = self.cid(DAG_PB);
        let child = |cid: &Cid| Child { cid: *cid, size: self.size(cid) };
        let children: Vec<Child> = children.iter().map(child).collect();
        let len = 50 * children.len() as u32 + 20;
        self.blocks.insert(cid, Known { len, links: Some(Links { kind, children }) });
        cid
    }

    /// Content bytes below a block.
    pub(crate) fn size(&self, cid: &Cid) -> u64 {
        let known = &self.blocks[cid];
        match &known.links {
            None => u64::from(known.len),
            Some(links) => {
                let sizes = links.children.iter().map(|child| child.size);
                sizes.fold(0, u64::saturating_add)
            }
        }
    }

    /// A file of `leaves` leaves of 64 KiB in branches of `width`.
    pub(crate) fn file(&mut self, leaves: usize, width: usize) -> Cid {
        let mut level: Vec<Cid> = (0..leaves).map(|_| self.leaf(65_536)).collect();
        while level.len() > 1 {
            level = level.chunks(width).map(|part| self.branch(LinksKind::File, part)).collect();
        }
        level[0]
    }

    /// Every block below a root, itself included, in walk order.
    pub(crate) fn below(&self, root: &Cid) -> Vec<Cid> {
        let mut all = vec![*root];
        let mut at = 0;
        while at < all.len() {
            let known = &self.blocks[&all[at]];
            all.extend(known.links.iter().flat_map(|links| &links.children).map(|child| child.cid));
            at += 1;
        }
        all
    }
}
