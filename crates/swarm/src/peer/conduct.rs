//! How a peer behaves: violations by kind, and a budget for what costs us work.
//!
//! Each violation has points by how surely it is meant; at [`POINTS_MAX`] the connection ends.
//! Messages cost units of work from a budget that refills over time; what is beyond it is dropped
//! and counts as flooding.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ViolationKind;
use crate::limits::{POINTS_MAX, WORK_MAX, WORK_PER_SECOND};

/// A peer's record.
#[derive(Debug)]
pub(crate) struct Conduct {
    pub(crate) violations: BTreeMap<ViolationKind, u32>,
    pub(crate) points: u32,
    work: f64,
    at: Duration,
}

impl Conduct {
    pub(crate) fn new(now: Duration) -> Self {
        Self { violations: BTreeMap::new(), points: 0, work: WORK_MAX, at: now }
    }

    /// Counts a violation; true when the connection is to end, once.
    pub(crate) fn violate(&mut self, kind: ViolationKind) -> bool {
        let count = self.violations.entry(kind).or_default();
        *count = count.saturating_add(1);
        let before = self.points;
        self.points = self.points.saturating_add(points(kind));
        before < POINTS_MAX && self.points >= POINTS_MAX
    }

    /// Whether the peer may still cost `units` of work now.
    pub(crate) fn spend(&mut self, units: f64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.work = (self.work + passed * WORK_PER_SECOND).min(WORK_MAX);
        let enough = self.work >= units;
        if enough {
            self.work -= units;
        }
        enough
    }
}

fn points(kind: ViolationKind) -> u32 {
    match kind {
        ViolationKind::Corrupt | ViolationKind::Garbage => 40,
        ViolationKind::Unrequested => 8,
        ViolationKind::Flooding => 4,
        ViolationKind::RefusedAnnounced | ViolationKind::NotJoined => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_corrupt_blocks_end_it_once() {
        let mut conduct = Conduct::new(Duration::ZERO);
        let ends: Vec<bool> = (0..5).map(|_| conduct.violate(ViolationKind::Corrupt)).collect();
        assert_eq!(ends, [false, false, true, false, false]);
        assert_eq!(conduct.violations[&ViolationKind::Corrupt], 5);
    }

    #[test]
    fn work_refills() {
        let mut conduct = Conduct::new(Duration::ZERO);
        assert!(conduct.spend(WORK_MAX, Duration::ZERO));
        assert!(!conduct.spend(1.0, Duration::ZERO));
        assert!(conduct.spend(WORK_PER_SECOND, Duration::from_secs(1)));
        assert!(!conduct.spend(1.0, Duration::from_secs(1)));
    }
}
