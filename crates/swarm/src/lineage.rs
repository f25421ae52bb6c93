//! Which blocks hang under which branch, for roots that are shared without a session.
//!
//! A seed has no walk, yet announcements name a branch and a link, and its accounts (module
//! `uplink`) need to know which block that is. So it asks the store for the links of the branches
//! that it is asked for, once each, and keeps their fingerprints. Content has one set of links
//! whatever the root: this is one memory for all swarms, at most [`LINEAGE_MAX`] children, the
//! branch learnt first forgotten first. What is not known costs a confirmation, nothing else.

use std::collections::VecDeque;

use crate::Links;
use crate::limits::{LINEAGE_ASKED_MAX, LINEAGE_MAX};
use crate::random::{Keys, Print, PrintMap, PrintSet};

/// A block under a branch: its fingerprint and expected bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heir {
    pub(crate) print: Print,
    pub(crate) bytes: u32,
}

/// Children of branches.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    branches: PrintMap<Box<[Heir]>>,
    order: VecDeque<Print>,
    count: usize,
    asked: PrintSet,
}

impl Lineage {
    /// Whether the store is to be asked for a branch; it then counts as asked.
    pub(crate) fn ask(&mut self, branch: Print) -> bool {
        let open = self.asked.len() < LINEAGE_ASKED_MAX;
        open && !self.branches.contains_key(&branch) && self.asked.insert(branch)
    }

    /// The store answered.
    pub(crate) fn learn(&mut self, branch: Print, links: Option<&Links>, keys: Keys) {
        self.asked.remove(&branch);
        let Some(links) = links else { return };
        if links.children.len() > LINEAGE_MAX || self.branches.contains_key(&branch) {
            return;
        }
        let heir = |child: &crate::Child| Heir {
            print: keys.print(&child.cid),
            bytes: child.size.min(shoal_dag::BLOCK_BYTES_MAX as u64) as u32,
        };
        let heirs: Box<[Heir]> = links.children.iter().map(heir).collect();
        self.count += heirs.len();
        self.branches.insert(branch, heirs);
        self.order.push_back(branch);
        while self.count > LINEAGE_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.count -= self.branches.remove(&oldest).map_or(0, |heirs| heirs.len());
        }
    }

    /// The children of a branch, if known.
    pub(crate) fn of(&self, branch: Print) -> Option<&[Heir]> {
        self.branches.get(&branch).map(|heirs| &**heirs)
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::hash::{HashKind, RAW, cid_of};

    use super::*;
    use crate::{Child, LinksKind};

    fn links(count: usize) -> Links {
        let cid = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, b"leaf");
        Links { kind: LinksKind::File, children: vec![Child { cid, size: u64::MAX }; count] }
    }

    #[test]
    fn a_branch_is_asked_for_once_and_the_oldest_is_forgotten() {
        let (mut lineage, keys) = (Lineage::default(), Keys::new(1));
        assert!(lineage.ask(1));
        assert!(!lineage.ask(1), "it is being asked");
        lineage.learn(1, Some(&links(3)), keys);
        assert!(!lineage.ask(1), "it is known");
        assert_eq!(lineage.of(1).unwrap().len(), 3);
        assert_eq!(lineage.of(1).unwrap()[0].bytes as usize, shoal_dag::BLOCK_BYTES_MAX);
        lineage.learn(2, Some(&links(LINEAGE_MAX)), keys);
        assert_eq!((lineage.of(1), lineage.count), (None, LINEAGE_MAX));
        lineage.learn(3, Some(&links(LINEAGE_MAX + 1)), keys);
        assert_eq!((lineage.of(3), lineage.count), (None, LINEAGE_MAX));
    }

    #[test]
    fn questions_have_a_bound_and_come_again_after_a_miss() {
        let mut lineage = Lineage::default();
        let asked = (0..2 * LINEAGE_ASKED_MAX as u64).filter(|branch| lineage.ask(*branch)).count();
        assert_eq!(asked, LINEAGE_ASKED_MAX);
        lineage.learn(0, None, Keys::new(1));
        assert!(lineage.ask(0));
    }
}
