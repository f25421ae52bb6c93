//! What must hold after every step, whoever plays foul.
//!
//! - no unverified byte is delivered: what a want is told to have is in the store, where only
//!   verified blocks come; a tree that is told done is whole;
//! - books balance: every figure that an engine keeps twice is counted again from time to time, and
//!   what it says it received is what came;
//! - queues and maps are within the bounds of [`limits`](crate::limits);
//! - no honest node accuses another;
//! - as long as somebody connected has what another lacks, something moves.
//!
//! A broken one is a bug: it panics with the seed's step, for the same seed leads there again.

use shoal_dag::Cid;

use crate::ViolationKind;
use crate::sim::node::{Manner, Node};
use crate::sim::wire::SECOND;
use crate::sim::world::{SESSION, World};

/// Nothing moved anywhere for so long although something could: longer than any expiry and rest.
const STANDSTILL: u64 = 60 * SECOND;

/// Steps between two full counts of an engine's books in a world of a few nodes; in others it is
/// more, so that it costs no more than the rest.
const COUNT_EVERY: u64 = 64;

/// Nodes of a world in which every peer of an engine is looked at after each step.
const FEW: usize = 16;

/// Bytes per second of an uplink over which what was granted is on its way for long.
const SLOW: f64 = 500_000.0;

/// The auditor's memory.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    steps: u64,
    moved_at: u64,
    /// Honest nodes may seem to break rules: connections break.
    pub(crate) lenient: bool,
}

impl Audit {
    /// Something useful arrived somewhere.
    pub(crate) fn moved(&mut self, now: u64) {
        self.moved_at = now;
    }
}

impl World {
    /// Audits the node that has just been at work.
    pub(crate) fn check(&mut self, node: usize) {
        self.audit.steps += 1;
        let it = &self.nodes[node];
        it.engine.check_bounds();
        let now_and_then = |every: u64| self.audit.steps.is_multiple_of(every);
        if self.nodes.len() <= FEW || now_and_then(FEW as u64) {
            it.engine.check_peers();
        }
        let much = self.nodes.len() as u64 * u64::from(self.catalog.count()) / 64;
        if now_and_then(COUNT_EVERY.max(much)) {
            it.engine.check_books();
            self.check_tally(node);
        }
    }

    /// What the engine says it received is what came.
    fn check_tally(&self, node: usize) {
        let it = &self.nodes[node];
        let stats = it.engine.stats(SESSION);
        if it.wanted.len() == 1 && it.goal > 0 && stats.known_blocks > 0 {
            assert_eq!(stats.bytes_received, it.figures.kept, "node {node} at {:?}", self.now());
        }
    }

    /// Counts everything again, at the end.
    pub(crate) fn check_all(&self) {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.alive) {
            node.engine.check_books();
            self.check_tally(number);
            for conn in &node.conns {
                let peer = Self::peer(*conn);
                let far = &self.nodes[self.far(number, *conn)];
                if far.manner == Manner::Flooder {
                    continue; // its engine knows nothing of what it sends
                }
                let far = &far.engine;
                let (Some(here), Some(there)) =
                    (node.engine.peer_stats(peer), far.peer_stats(peer))
                else {
                    continue;
                };
                assert!(here.bytes_received <= there.bytes_sent, "{here:?} {there:?}");
            }
        }
        let came: u64 = self.nodes.iter().map(|node| node.figures.came).sum();
        let sent: u64 = self.nodes.iter().map(|node| node.figures.sent).sum();
        let again = |node: &Node| node.figures.given_up + node.figures.finished_before > 0;
        let lives = self.nodes.iter().any(again);
        assert!(came <= sent || lives, "{came} bytes came and {sent} were sent");
    }

    /// A want of a node was told to be satisfied.
    pub(crate) fn check_satisfied(&self, node: usize, cid: &Cid) {
        let it = &self.nodes[node];
        let block = self.catalog.number(cid);
        assert!(block.is_some_and(|block| it.has(block)), "node {node} was told it has {cid}");
        if it.wanted.contains(cid) {
            let missing = self.missing(node, cid).len();
            assert_eq!(missing, 0, "node {node} was told that {cid} is whole");
        }
    }

    /// A node accuses another. A block that was taken back may come long after that over a slow link.
    pub(crate) fn judge(&self, node: usize, far: usize, kind: ViolationKind) {
        let honest = |node: usize| self.nodes[node].manner == Manner::Honest;
        let slowest = self.nodes[far].rates.0.min(self.nodes[node].rates.0);
        let late = kind == ViolationKind::Unrequested && slowest < SLOW;
        let fair = self.audit.lenient || late || !honest(node) || !honest(far);
        assert!(fair, "{kind:?} of honest node {far} at node {node}, {:?}", self.now());
    }

    /// Something moves while somebody connected has what another lacks.
    pub(crate) fn check_progress(&self) {
        if self.now < self.audit.moved_at + STANDSTILL {
            return;
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let stuck = node.fetching() && node.manner == Manner::Honest;
            if stuck && let Some(far) = self.provider_of(number) {
                panic!(
                    "nothing moved for a minute at {:?}, yet node {number} lacks what {far} has: {:?}",
                    self.now(),
                    node.engine.stats(SESSION),
                );
            }
        }
    }

    /// A node connected to another that would give it something it lacks.
    fn provider_of(&self, node: usize) -> Option<usize> {
        let missing: Vec<_> =
            self.nodes[node].wanted.iter().flat_map(|root| self.missing(node, root)).collect();
        self.nodes[node].conns.iter().map(|conn| self.far(node, *conn)).find(|far| {
            let it = &self.nodes[*far];
            it.manner == Manner::Honest && missing.iter().any(|block| it.has(*block))
        })
    }
}
