//! Peers that speak of single blocks only (Bitswap), where they differ from others.
//!
//! They are asked whether they have the root, or something else that is missed, and then count as
//! members that hold everything; a block that such a peer does not have it refuses, which is no
//! fault of it, and it is not asked again before the next invitation. One that refuses much in a row
//! rests for a while. They join no root, so what they want is looked for in all swarms with sessions;
//! what the user gave to the network they may have without any. They are served with spare capacity.

use shoal_dag::Cid;

use crate::engine::Engine;
use crate::limits::{REFUSALS_MAX, REFUSING_REST, SEEK_MAX, WANTS_AT_ONCE};
use crate::peer::Peer;
use crate::random::Print;
use crate::uplink::Entry;
use crate::{Action, Message, PeerNo, Prefix, ViolationKind, Want};

/// The swarm of a block that is asked for outside of all swarms.
const NO_SWARM: u32 = u32::MAX;

/// Size assumed of a block that was fetched and is not in view: the mean leaf.
const BLOCK_BYTES_GUESS: u32 = 64 << 10;

/// Swarms that can be looked into for a unit of work.
const SWARMS_PER_UNIT: f64 = 64.0;

impl Engine {
    pub(super) fn cid_peer_connected(&mut self, peer: PeerNo, prefix: Prefix) {
        if self.peers.contains_key(&peer) {
            return;
        }
        let mut fresh = Peer::new(self.now);
        fresh.cids_only = true;
        self.connect(peer, prefix, fresh);
        self.uplink.spare_only(peer);
    }

    pub(super) fn is_cids_only(&self, peer: PeerNo) -> bool {
        self.peers.get(&peer).is_some_and(|known| known.cids_only)
    }

    /// Asks a peer whether it has the root or anything that is missed.
    pub(super) fn seek(&mut self, number: u32, peer: PeerNo) {
        let Some(swarm) = self.swarms.get(&number) else { return };
        let (root, cids) = (swarm.root, swarm.missed(SEEK_MAX));
        self.actions.push_back(Action::Seek { peer, root, cids });
    }

    /// A member is invited again: it may have by now what it refused.
    pub(super) fn ask_again(&mut self, number: u32, peer: PeerNo) {
        if !self.is_cids_only(peer) {
            return;
        }
        if let Some(swarm) = self.swarms.get_mut(&number) {
            swarm.forgive(peer);
        }
        self.place_urgent(number);
        self.ready.insert(peer);
    }

    /// A peer refused so many blocks more.
    pub(super) fn count_refusals(&mut self, peer: PeerNo, count: usize) {
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.cids_only) else { return };
        known.refusals = known.refusals.saturating_add(count as u32);
        if known.refusals >= REFUSALS_MAX {
            known.refusals = 0;
            known.pipe.rest(self.now + REFUSING_REST);
        }
    }

    /// A peer wants single blocks.
    pub(super) fn wanted(&mut self, peer: PeerNo, wants: &[Want]) {
        let Some(known) = self.peers.get_mut(&peer).filter(|known| known.cids_only) else { return };
        // Each may be looked for in every swarm.
        let work = wants.len() as f64 * (1.0 + self.swarms.len() as f64 / SWARMS_PER_UNIT);
        if !known.conduct.spend(work, self.now) {
            self.refuse(peer, &wants.iter().map(|want| want.cid).collect::<Vec<_>>());
            return self.violation(peer, ViolationKind::Flooding);
        }
        let (mut here, mut refused) = (Vec::new(), Vec::new());
        for (position, want) in wants.iter().enumerate() {
            let print = self.keys.print(&want.cid);
            match self.servable(print, want).filter(|_| position < WANTS_AT_ONCE) {
                None => refused.push(want.cid),
                Some(_) if !want.block => here.push(want.cid),
                Some(entry) => {
                    if !self.uplink.request(peer, entry) {
                        refused.push(want.cid);
                    }
                }
            }
        }
        if !here.is_empty() {
            self.actions.push_back(Action::Affirm { peer, cids: here });
        }
        self.refuse(peer, &refused);
    }

    /// A wanted block as a request, if the peer may have it.
    fn servable(&self, print: Print, want: &Want) -> Option<Entry> {
        let fetched = |cid: &Cid| {
            let held = self.swarms.iter().filter(|(_, swarm)| !swarm.sessions.is_empty());
            let mut held = held.filter(|(_, swarm)| swarm.serves(print, cid) == Some(true));
            let (number, swarm) = held.next()?;
            let slot = swarm.table.find(print, cid).map(|at| swarm.table.slot(at).bytes());
            Some((*number, slot))
        };
        let (swarm, bytes, cached_ok) = match (want.public, fetched(&want.cid)) {
            (Some(len), Some((number, _))) => (number, len, true),
            (Some(len), None) => (NO_SWARM, len, false),
            (None, Some((number, bytes))) => (number, bytes.unwrap_or(BLOCK_BYTES_GUESS), true),
            (None, None) => return None,
        };
        let (cid, at) = (want.cid, self.now);
        Some(Entry { cid, print, swarm, bytes, cached_ok, deadline: None, at, allowance: 0 })
    }

    /// A swarm is left: what was fetched in it is given to nobody any more.
    pub(super) fn refuse_cids_only(&mut self, number: u32) {
        let peers = self.peers.iter().filter(|(_, known)| known.cids_only);
        let peers: Vec<PeerNo> = peers.map(|(peer, _)| *peer).collect();
        for peer in peers {
            let dropped = self.uplink.retain(peer, |entry| entry.swarm != number);
            for cids in dropped.chunks(crate::limits::REQUEST_CIDS_MAX) {
                self.send(peer, Message::Refuse { cids: cids.to_vec() });
            }
        }
    }
}
