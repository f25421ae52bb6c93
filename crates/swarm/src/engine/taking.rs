//! Taking blocks back from their owners: they return to the pool, the owner is told.
//!
//! Every block that is taken back is remembered at its owner for a while: it may be on its way, and
//! is then a duplicate, not a violation. Who gets it next is decided elsewhere.

use crate::engine::Engine;
use crate::limits::{REQUEST_CIDS_MAX, SWAP_MIN};
use crate::swarm::Member;
use crate::table::State;
use crate::{Message, PeerNo};

impl Engine {
    /// Takes blocks back by their sequence numbers at one peer.
    pub(super) fn take_back(&mut self, peer: PeerNo, sequences: &[u64], tell: bool) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let mut cids = Vec::new();
        for sequence in sequences {
            let Some(asked) = known.settle(*sequence) else { continue };
            let Some(swarm) = self.swarms.get_mut(&asked.swarm) else { continue };
            let slot = swarm.table.slot(asked.slot);
            cids.push(slot.cid);
            known.cancelled(slot.print, self.now);
            swarm.give_back(asked.slot);
            if let Some(down) = &mut self.down {
                down.take(-f64::from(asked.bytes));
            }
        }
        if !tell {
            return;
        }
        for part in cids.chunks(REQUEST_CIDS_MAX) {
            self.send(peer, Message::Cancel { cids: part.to_vec() });
        }
    }

    /// A block that waits at one that has everything was announced by another: it goes back to the
    /// pool, and its place in the queue to a block that fewer have. Else old requests fill the queues
    /// at a busy seed, and it sends what it sent before.
    pub(super) fn swap(&mut self, by: PeerNo, number: u32, slot: u32) {
        let Some(swarm) = self.swarms.get(&number) else { return };
        let State::Asked(owner, sequence) = swarm.table.slot(slot).state else { return };
        let all = swarm.members.get(&owner).is_some_and(Member::all);
        // Who only says that it has it would get the block to sit on.
        let gives = self.peers.get(&by).is_some_and(|known| known.pipe.proven());
        if owner == by || !all || !gives || swarm.deadline(slot).is_some() {
            return;
        }
        let Some(known) = self.peers.get(&owner).filter(|known| known.pipe.proven()) else {
            return;
        };
        let ahead = known.outstanding.range(..=sequence).map(|(_, asked)| u64::from(asked.bytes));
        if known.pipe.expected(ahead.sum(), 0, self.now) > SWAP_MIN {
            self.take_back(owner, &[sequence], true);
            self.ready.insert(owner);
        }
    }

    fn sequences(&self, peer: PeerNo, swarm: Option<u32>) -> Vec<u64> {
        let outstanding = self.peers.get(&peer).into_iter().flat_map(|known| &known.outstanding);
        outstanding
            .filter(|(_, asked)| swarm.is_none_or(|number| asked.swarm == number))
            .map(|(sequence, _)| *sequence)
            .collect()
    }

    /// Takes back everything asked of a peer that is gone. Others are asked once it is forgotten.
    pub(super) fn take_back_quietly(&mut self, peer: PeerNo) {
        let sequences = self.sequences(peer, None);
        self.take_back(peer, &sequences, false);
    }

    /// Takes back everything asked of a peer that rests now, and lets others have it.
    pub(super) fn take_back_all(&mut self, peer: PeerNo) {
        let sequences = self.sequences(peer, None);
        self.take_back(peer, &sequences, true);
        let numbers: Vec<u32> =
            self.peers.get(&peer).into_iter().flat_map(|known| known.swarms.clone()).collect();
        for number in numbers {
            self.place_urgent(number);
            self.wake(number);
        }
    }

    /// Takes back what was asked of a peer that left a swarm.
    pub(super) fn take_back_from(&mut self, peer: PeerNo, number: u32) {
        let sequences = self.sequences(peer, Some(number));
        self.take_back(peer, &sequences, false);
    }

    /// Takes back everything of a swarm that is no longer wanted.
    pub(super) fn take_back_swarm(&mut self, number: u32) {
        let peers: Vec<PeerNo> = self.peers.keys().copied().collect();
        for peer in peers {
            let sequences = self.sequences(peer, Some(number));
            if !sequences.is_empty() {
                self.take_back(peer, &sequences, true);
                self.ready.insert(peer);
            }
        }
    }
}
