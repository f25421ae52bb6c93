//! Peers that delivered, for the next fetch: where they were reached, and roots of which they gave.
//!
//! They are dialled at the beginning of a fetch, beside the search in the DHT. Kept are
//! [`PEERS_MAX`] of them for [`AGE_MAX`]; one that could not be reached [`FAILURES_MAX`] times in a row
//! is forgotten. All is in memory while the node runs; what changed is written when a session ends,
//! every few minutes and at the end, never for a block. What was learnt on one network is not used on
//! another.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use shoal_dag::Cid;
use shoal_net::{Multiaddr, PeerId};

use crate::node::records::Row;

/// Why encoding a record cannot fail.
const PLAIN: &str = "plain data has an encoding";

/// Peers remembered per network: more than connections.
pub(super) const PEERS_MAX: usize = 256;

/// Roots remembered per peer, the newest.
const ROOTS_MAX: usize = 16;

/// Addresses remembered per peer.
const ADDRESSES_MAX: usize = 4;

/// How long a peer is remembered that gives nothing: addresses change, and old ones belong to others.
const AGE_MAX: Duration = Duration::from_hours(14 * 24);

/// Dials in vain, one after the other, after which a peer is forgotten.
const FAILURES_MAX: u32 = 3;

/// A peer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    addresses: Vec<Vec<u8>>,
    /// Multihashes of roots, and when it gave of each; the newest last.
    roots: Vec<(Vec<u8>, u64)>,
    /// When it gave last, in seconds since 1970.
    gave_unix_s: u64,
    failures: u32,
}

/// The peers of one network.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// What the network's keys begin with.
    network: Vec<u8>,
    peers: BTreeMap<PeerId, Known>,
    changed: BTreeSet<PeerId>,
}

impl Remembered {
    /// What the rows of the index say about this network; too old or unreadable ones are removed with
    /// the next write.
    pub(super) fn read(network: &str, rows: Vec<(Vec<u8>, Vec<u8>)>, now_unix_s: u64) -> Self {
        let mut remembered = Self { network: prefix(network), ..Self::default() };
        for (key, value) in rows {
            let Some(id) = key.strip_prefix(&remembered.network[..]) else { continue };
            let Ok(id) = PeerId::from_bytes(id) else { continue };
            match postcard::from_bytes::<Known>(&value) {
                Ok(known) if now_unix_s < known.gave_unix_s + AGE_MAX.as_secs() => {
                    remembered.peers.insert(id, known);
                }
                _ => drop(remembered.changed.insert(id)),
            }
        }
        remembered
    }

    /// A peer gave blocks of a root.
    pub(super) fn gave(&mut self, id: PeerId, reach: &[Multiaddr], root: &Cid, now_unix_s: u64) {
        if reach.is_empty() {
            return;
        }
        let known = self.peers.entry(id).or_insert_with(|| Known {
            addresses: Vec::new(),
            roots: Vec::new(),
            gave_unix_s: 0,
            failures: 0,
        });
        known.addresses = reach.iter().take(ADDRESSES_MAX).map(Multiaddr::to_vec).collect();
        known.failures = 0;
        known.gave_unix_s = known.gave_unix_s.max(now_unix_s);
        let root = root.hash().to_bytes();
        known.roots.retain(|(other, _)| *other != root);
        known.roots.push((root, now_unix_s));
        if known.roots.len() > ROOTS_MAX {
            known.roots.remove(0);
        }
        self.changed.insert(id);
        if self.peers.len() > PEERS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.peers.iter().min_by_key(|(_, known)| known.gave_unix_s);
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.peers.remove(&id);
            self.changed.insert(id);
        }
    }

    /// A dial of it was in vain.
    pub(super) fn failed(&mut self, id: &PeerId) {
        let Some(known) = self.peers.get_mut(id) else { return };
        known.failures += 1;
        if known.failures >= FAILURES_MAX {
            self.peers.remove(id);
        }
        self.changed.insert(*id);
    }

    /// Who gave of a root, the newest first; at most `count`.
    pub(super) fn of_root(&self, root: &Cid, count: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let root = root.hash().to_bytes();
        let gave =
            |known: &Known| known.roots.iter().find(|(other, _)| *other == root).map(|(_, at)| *at);
        self.newest(gave, count)
    }

    /// Who gave anything, the newest first; at most `count`.
    pub(super) fn of_any(&self, count: usize) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.newest(|known| Some(known.gave_unix_s), count)
    }

    fn newest(
        &self,
        when: impl Fn(&Known) -> Option<u64>,
        count: usize,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let gave = self.peers.iter().filter_map(|(id, known)| Some((when(known)?, id, known)));
        let mut gave: Vec<_> = gave.collect();
        gave.sort_by_key(|(at, id, _)| (std::cmp::Reverse(*at), **id));
        let addresses = |known: &Known| {
            known.addresses.iter().filter_map(|bytes| bytes.clone().try_into().ok()).collect()
        };
        gave.into_iter().take(count).map(|(_, id, known)| (*id, addresses(known))).collect()
    }

    /// What is to be written since the last time.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        let row = |id: PeerId| {
            let known = self.peers.get(&id);
            let value = known.map(|known| postcard::to_stdvec(known).expect(PLAIN));
            ([&self.network[..], &id.to_bytes()].concat(), value)
        };
        std::mem::take(&mut self.changed).into_iter().map(row).collect()
    }
}

/// What the keys of a network begin with.
pub(super) fn prefix(network: &str) -> Vec<u8> {
    [network.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use shoal_dag::{
        Version,
        hash::{DAG_PB, HashKind, RAW, cid_of},
    };

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn root(n: u8) -> Cid {
        cid_of(HashKind::Blake3, RAW, Version::V1, &[n])
    }

    fn reach(port: usize) -> Vec<Multiaddr> {
        vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("an address")]
    }

    /// What a node finds that starts when these rows were written.
    fn again(rows: Vec<Row>, now: u64) -> Remembered {
        let rows = rows.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Remembered::read("lan", rows.collect(), now)
    }

    #[test]
    fn who_gave_of_a_root_is_known_after_a_restart() {
        let mut remembered = again(Vec::new(), NOW);
        let (a, b, c) = (PeerId::random(), PeerId::random(), PeerId::random());
        remembered.gave(a, &reach(1), &root(1), NOW);
        remembered.gave(b, &reach(2), &root(1), NOW + 1);
        remembered.gave(c, &reach(3), &root(2), NOW + 2);
        remembered.gave(c, &[], &root(1), NOW + 3);
        let rows = remembered.rows();
        assert_eq!(rows.len(), 3);
        assert!(remembered.rows().is_empty(), "written once");
        let remembered = again(rows, NOW + 10);
        assert_eq!(remembered.of_root(&root(1), 9), [(b, reach(2)), (a, reach(1))]);
        assert_eq!(remembered.of_root(&root(1), 1), [(b, reach(2))]);
        assert_eq!(remembered.of_any(2), [(c, reach(3)), (b, reach(2))]);
        let same_bytes = cid_of(HashKind::Blake3, DAG_PB, Version::V1, &[2]);
        assert_eq!(remembered.of_root(&same_bytes, 9).len(), 1, "whatever the codec");
    }

    #[test]
    fn peers_and_roots_have_bounds_and_the_oldest_go() {
        let mut remembered = again(Vec::new(), NOW);
        let peers: Vec<PeerId> = (0..PEERS_MAX + 10).map(|_| PeerId::random()).collect();
        for (n, id) in peers.iter().enumerate() {
            remembered.gave(*id, &reach(1 + n), &root(1), NOW + n as u64);
        }
        assert_eq!(remembered.of_root(&root(1), usize::MAX).len(), PEERS_MAX);
        assert!(!remembered.peers.contains_key(&peers[9]));
        let removed = remembered.rows().into_iter().filter(|(_, value)| value.is_none());
        assert_eq!(removed.count(), 10, "and leave the disk");
        let newest = peers[PEERS_MAX + 9];
        for n in 0..=ROOTS_MAX as u8 {
            remembered.gave(newest, &reach(1), &root(n + 2), NOW + 1000);
        }
        assert!(remembered.of_root(&root(2), 9).is_empty());
        assert_eq!(remembered.of_root(&root(3), 9).len(), 1);
    }

    #[test]
    fn the_old_the_unreadable_and_other_networks_are_not_used() {
        let mut remembered = again(Vec::new(), NOW);
        let id = PeerId::random();
        remembered.gave(id, &reach(1), &root(1), NOW);
        let rows = remembered.rows();
        let mut old = again(rows.clone(), NOW + AGE_MAX.as_secs());
        assert!(old.of_any(9).is_empty());
        assert_eq!(old.rows(), [(rows[0].0.clone(), None)]);
        let mut broken = again(vec![(rows[0].0.clone(), Some(vec![0xff]))], NOW);
        assert_eq!(broken.rows(), [(rows[0].0.clone(), None)]);
        let rows = rows.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let mut other = Remembered::read("isolated", rows.collect(), NOW);
        assert!(other.of_any(9).is_empty() && other.rows().is_empty());
    }

    #[test]
    fn one_that_is_never_there_is_forgotten() {
        let mut remembered = again(Vec::new(), NOW);
        let id = PeerId::random();
        remembered.gave(id, &reach(1), &root(1), NOW);
        for _ in 1..FAILURES_MAX {
            remembered.failed(&id);
        }
        remembered.gave(id, &reach(2), &root(1), NOW + 1);
        for _ in 1..FAILURES_MAX {
            remembered.failed(&id);
        }
        assert_eq!(remembered.of_any(9), [(id, reach(2))], "in a row");
        remembered.failed(&id);
        assert!(remembered.of_any(9).is_empty());
        assert_eq!(remembered.rows().last().map(|(_, value)| value.clone()), Some(None));
    }
}
