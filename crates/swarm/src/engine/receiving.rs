//! Blocks that came, or did not.
//!
//! A verified block counts for every swarm that misses it, whoever was asked; only what was wanted
//! is credited to the giver. What was refused or corrupt is not asked of the same peer again until
//! it announces it anew. Bytes are never seen here.

use shoal_dag::Cid;

use crate::engine::Engine;
use crate::random::Print;
use crate::table::State;
use crate::{Links, PeerNo, Receipt, ViolationKind};

/// Rest of a peer whose block could not be kept: the disk is not the peer's fault.
const NOT_KEPT_REST: std::time::Duration = std::time::Duration::from_secs(1);

impl Engine {
    pub(super) fn received(&mut self, peer: PeerNo, cid: Cid, len: u32, receipt: Receipt) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        let print = self.keys.print(&cid);
        match receipt {
            Receipt::Stored { links } => self.stored(peer, cid, print, len, links.as_ref()),
            Receipt::Corrupt => {
                self.denied(peer, &cid, print);
                self.violation(peer, ViolationKind::Corrupt);
            }
            Receipt::Unrequested => {
                let late =
                    self.peers.get_mut(&peer).is_some_and(|known| known.was_cancelled(print));
                if !late {
                    self.violation(peer, ViolationKind::Unrequested);
                }
            }
            Receipt::NotKept => {
                self.release(peer, &cid, print);
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.pipe.rest(self.now + NOT_KEPT_REST);
                }
            }
        }
        self.ready.insert(peer);
    }

    /// The swarm and slot of a block that was asked of this peer.
    fn owned(&self, peer: PeerNo, cid: &Cid, print: Print) -> Option<(u32, u32, u64)> {
        let known = self.peers.get(&peer)?;
        known.swarms.iter().find_map(|number| {
            let table = &self.swarms.get(number)?.table;
            let slot = table.find(print, cid)?;
            match table.slot(slot).state {
                State::Asked(owner, sequence) if owner == peer => Some((*number, slot, sequence)),
                _ => None,
            }
        })
    }

    /// Puts a block back that a peer was asked for; its swarm and slot.
    fn release(&mut self, peer: PeerNo, cid: &Cid, print: Print) -> Option<(u32, u32)> {
        let (number, slot, sequence) = self.owned(peer, cid, print)?;
        self.take_back(peer, &[sequence], false);
        self.place_urgent(number);
        self.wake(number);
        Some((number, slot))
    }

    /// A peer does not give what was asked: others are asked. Whether it had announced it.
    fn denied(&mut self, peer: PeerNo, cid: &Cid, print: Print) -> bool {
        let Some((number, slot, sequence)) = self.owned(peer, cid, print) else { return false };
        let announced = self.swarms.get_mut(&number).is_some_and(|swarm| swarm.deny(peer, slot));
        self.take_back(peer, &[sequence], false);
        self.place_urgent(number);
        self.wake(number);
        announced
    }

    /// A peer refuses blocks.
    pub(super) fn refused(&mut self, peer: PeerNo, cids: &[Cid]) {
        for cid in cids {
            let announced = self.denied(peer, cid, self.keys.print(cid));
            if announced && !self.is_cids_only(peer) {
                self.violation(peer, ViolationKind::RefusedAnnounced);
            }
        }
        self.count_refusals(peer, cids.len());
        self.ready.insert(peer);
    }

    fn stored(&mut self, peer: PeerNo, cid: Cid, print: Print, len: u32, links: Option<&Links>) {
        let mut wanted = false;
        let numbers: Vec<u32> = self
            .swarms
            .iter()
            .filter(|(_, swarm)| !swarm.sessions.is_empty())
            .map(|(n, _)| *n)
            .collect();
        for number in numbers {
            wanted |= self.arrived(peer, number, &cid, print, len, links);
        }
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if wanted {
            known.bytes_received += u64::from(len);
            known.refusals = 0;
            self.uplink.credit(peer, len, self.now);
            return;
        }
        known.was_cancelled(print);
        let number =
            known.swarms.iter().copied().find(|number| {
                self.swarms.get(number).is_some_and(|swarm| !swarm.sessions.is_empty())
            });
        if let Some(swarm) = number.and_then(|number| self.swarms.get_mut(&number)) {
            swarm.tally.duplicates += 1;
            swarm.tally.duplicate_bytes += u64::from(len);
        }
    }

    /// A verified block is here: whether this swarm wanted it.
    fn arrived(
        &mut self,
        peer: PeerNo,
        number: u32,
        cid: &Cid,
        print: Print,
        len: u32,
        links: Option<&Links>,
    ) -> bool {
        let Some(swarm) = self.swarms.get_mut(&number) else { return false };
        let Some(slot) = swarm.table.find(print, cid) else { return false };
        let state = swarm.table.slot(slot).state;
        match state {
            State::Asked(owner, sequence) if owner == peer => {
                self.deliver(peer, sequence, len);
                self.cancel_second(peer, cid, print);
            }
            State::Asked(owner, sequence) => self.take_back(owner, &[sequence], true),
            State::Missing | State::Unknown | State::Probing => {}
            _ => return false,
        }
        let Some(swarm) = self.swarms.get_mut(&number) else { return false };
        swarm.tally.received(peer, len, |giver| swarm.members.contains_key(&giver));
        swarm.present(slot, links, false, &mut self.actions);
        swarm.probe(&mut self.actions);
        if links.is_some() {
            self.wake(number);
        }
        true
    }

    /// A block that was taken back and asked for again came: perhaps by the first request, and the
    /// second still waits.
    fn cancel_second(&mut self, peer: PeerNo, cid: &Cid, print: Print) {
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.was_cancelled(print) {
            known.cancelled(print, now);
            self.send(peer, crate::Message::Cancel { cids: vec![*cid] });
        }
    }

    /// A block came from the peer that it was asked of.
    fn deliver(&mut self, peer: PeerNo, sequence: u64, len: u32) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(asked) = known.outstanding.get(&sequence).copied() else { return };
        known.pipe.delivered(len, self.now.saturating_sub(asked.at), self.now);
        known.settle(sequence);
        if let Some(down) = &mut self.down {
            down.take(f64::from(len) - f64::from(asked.bytes));
        }
    }
}
