//! What a swarm's sessions have received, sent and seen.
//!
//! One set of figures per swarm; a session's are what was added since it began. Who gave how much is
//! kept of peers that are gone too, within [`GIVERS_MAX`]: a fetch shows all its sources.

use std::collections::BTreeMap;

use crate::PeerNo;
use crate::limits::GIVERS_MAX;

/// Figures of a swarm.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) bytes_received: u64,
    pub(crate) blocks_received: u64,
    pub(crate) blocks_present: u64,
    pub(crate) duplicates: u64,
    pub(crate) duplicate_bytes: u64,
    pub(crate) known_blocks: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) size_hint: u64,
    pub(crate) per_peer: BTreeMap<PeerNo, u64>,
}

impl Tally {
    /// A block came from a peer. Where there are too many givers, the one that gave least of those
    /// that are gone is forgotten.
    pub(crate) fn received(&mut self, peer: PeerNo, len: u32, is_here: impl Fn(PeerNo) -> bool) {
        self.bytes_received += u64::from(len);
        self.blocks_received += 1;
        if self.per_peer.len() >= GIVERS_MAX && !self.per_peer.contains_key(&peer) {
            let gone = self.per_peer.iter().filter(|(giver, _)| !is_here(**giver));
            let Some(least) = gone.min_by_key(|(_, bytes)| **bytes).map(|(giver, _)| *giver) else {
                return;
            };
            self.per_peer.remove(&least);
        }
        *self.per_peer.entry(peer).or_default() += u64::from(len);
    }

    /// The figures of a session that began when they were `before`. What the walk found here, and
    /// how large the root is, are the same for all.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let given = |(peer, bytes): (&PeerNo, &u64)| {
            let earlier = before.per_peer.get(peer).copied().unwrap_or_default();
            let bytes = bytes.saturating_sub(earlier);
            (bytes > 0).then_some((*peer, bytes))
        };
        Self {
            bytes_received: self.bytes_received - before.bytes_received,
            blocks_received: self.blocks_received - before.blocks_received,
            duplicates: self.duplicates - before.duplicates,
            duplicate_bytes: self.duplicate_bytes - before.duplicate_bytes,
            bytes_sent: self.bytes_sent - before.bytes_sent,
            per_peer: self.per_peer.iter().filter_map(given).collect(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn givers_have_a_bound_and_those_gone_make_room() {
        let mut tally = Tally::default();
        for peer in 0..GIVERS_MAX as u32 {
            tally.received(PeerNo(peer), 10 + peer, |_| true);
        }
        tally.received(PeerNo(9_999), 1, |_| true);
        assert!(!tally.per_peer.contains_key(&PeerNo(9_999)));
        tally.received(PeerNo(9_999), 1, |peer| peer != PeerNo(5) && peer != PeerNo(7));
        assert!(tally.per_peer.contains_key(&PeerNo(9_999)));
        assert!(!tally.per_peer.contains_key(&PeerNo(5)));
        assert_eq!(tally.per_peer.len(), GIVERS_MAX);
    }
}
