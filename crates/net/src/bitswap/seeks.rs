//! Which roots a peer was asked about, and what it said.
//!
//! The engine asks whether a peer takes part in a swarm; a Bitswap peer knows no swarms, so it is
//! asked whether it has the root, or any of a few other blocks that are missed. It takes part if it
//! has one of them, and does not if it has none. Who had none may have some later, and says so by
//! itself: the questions are remembered until the engine leaves the root, the newest
//! [`SEEKS_MAX`].

use std::collections::VecDeque;

use shoal_dag::Cid;

/// Questions that are remembered of one peer: sixteen for each of sixteen fetches.
pub(crate) const SEEKS_MAX: usize = 256;

/// How a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Denied,
    /// The peer takes part; a small block may still come instead of an answer.
    Settled,
}

/// A block that the peer was asked about.
#[derive(Debug)]
struct Seek {
    cid: Cid,
    root: Cid,
    state: State,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing yet, or nothing new.
    Open,
    /// The peer takes part in the swarm of this root.
    Joins(Cid),
    /// It has nothing that was asked about.
    Leaves(Cid),
}

/// The questions to one peer.
#[derive(Debug, Default)]
pub(super) struct Seeks(VecDeque<Seek>);

impl Seeks {
    /// The peer is asked about these blocks. What it was asked about this root before is forgotten;
    /// that, and what is too old, is to be taken back.
    pub(super) fn ask(&mut self, root: Cid, cids: &[Cid]) -> Vec<Cid> {
        let mut gone = self.forget(&root);
        gone.retain(|cid| !cids.contains(cid));
        self.0.extend(cids.iter().map(|cid| Seek { cid: *cid, root, state: State::Open }));
        while self.0.len() > SEEKS_MAX {
            gone.extend(self.0.pop_front().map(|seek| seek.cid));
        }
        gone
    }

    /// The engine has left the root: what is to be taken back.
    pub(super) fn forget(&mut self, root: &Cid) -> Vec<Cid> {
        let of_root = self.0.iter().filter(|seek| seek.root == *root);
        let gone = of_root.map(|seek| seek.cid).collect();
        self.0.retain(|seek| seek.root != *root);
        gone
    }

    /// Whether the peer was asked about a block, so that it may send it.
    pub(super) fn has(&self, cid: &Cid) -> bool {
        self.0.iter().any(|seek| seek.cid == *cid)
    }

    /// The peer has a block. What else it was asked about the root matters no more.
    pub(super) fn have(&mut self, cid: &Cid) -> Answer {
        let open = |seek: &&Seek| seek.cid == *cid && seek.state != State::Settled;
        let Some(root) = self.0.iter().find(open).map(|seek| seek.root) else {
            return Answer::Open;
        };
        for seek in self.0.iter_mut().filter(|seek| seek.root == root) {
            seek.state = State::Settled;
        }
        Answer::Joins(root)
    }

    /// The peer does not have a block.
    pub(super) fn deny(&mut self, cid: &Cid) -> Answer {
        let open = |seek: &&mut Seek| seek.cid == *cid && seek.state == State::Open;
        let Some(seek) = self.0.iter_mut().find(open) else { return Answer::Open };
        seek.state = State::Denied;
        let root = seek.root;
        let open = self.0.iter().any(|seek| seek.root == root && seek.state == State::Open);
        if open { Answer::Open } else { Answer::Leaves(root) }
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::Version;
    use shoal_dag::hash::{HashKind, RAW, cid_of};

    use super::*;

    fn cid(n: usize) -> Cid {
        cid_of(HashKind::Blake3, RAW, Version::V1, &n.to_le_bytes())
    }

    #[test]
    fn one_block_is_enough_to_take_part_and_none_is_not() {
        let mut seeks = Seeks::default();
        assert!(seeks.ask(cid(0), &[cid(0), cid(1), cid(2)]).is_empty());
        assert_eq!(seeks.deny(&cid(0)), Answer::Open);
        assert_eq!(seeks.deny(&cid(0)), Answer::Open, "said twice");
        assert_eq!(seeks.have(&cid(2)), Answer::Joins(cid(0)));
        assert_eq!(seeks.deny(&cid(1)), Answer::Open, "it takes part");
        assert_eq!(seeks.have(&cid(7)), Answer::Open, "never asked");
        assert!(seeks.has(&cid(1)) && !seeks.has(&cid(7)));

        seeks.ask(cid(5), &[cid(5), cid(6)]);
        assert_eq!(seeks.deny(&cid(6)), Answer::Open);
        assert_eq!(seeks.deny(&cid(5)), Answer::Leaves(cid(5)));
        assert!(seeks.has(&cid(6)));
        assert_eq!(seeks.have(&cid(6)), Answer::Joins(cid(5)), "it came by it later");
    }

    #[test]
    fn what_is_asked_anew_or_too_old_is_taken_back() {
        let mut seeks = Seeks::default();
        seeks.ask(cid(0), &[cid(0), cid(1)]);
        assert_eq!(seeks.ask(cid(0), &[cid(0), cid(2)]), [cid(1)]);
        assert_eq!(seeks.forget(&cid(0)), [cid(0), cid(2)]);
        for n in 0..SEEKS_MAX {
            assert!(seeks.ask(cid(n), &[cid(n)]).is_empty());
        }
        assert_eq!(seeks.ask(cid(SEEKS_MAX), &[cid(SEEKS_MAX)]), [cid(0)]);
        assert_eq!(seeks.0.len(), SEEKS_MAX);
    }
}
