//! Requests of peers, and what is granted to them.
//!
//! Decides whether a block may be asked for at all (the peer joined the root, and the block was
//! fetched by a session or the root is shared) and how large it may be; whose turn it is, is the
//! uplink's business. The node still checks what it gives: `cached_ok` tells it the rule.

use std::time::Duration;

use shoal_dag::Cid;

use crate::engine::Engine;
use crate::limits::{ALLOWANCE_MAX, ALLOWANCE_MIN, BLOCK_BYTES_GUESS, ROOT_BYTES_GUESS};
use crate::swarm::Swarm;
use crate::uplink::Entry;
use crate::{Message, PeerNo, Served, ViolationKind};

impl Engine {
    pub(super) fn requested(&mut self, peer: PeerNo, root: &Cid, cids: &[Cid], deadline_ms: u32) {
        let Some(number) = self.joined_swarm(peer, root) else {
            self.send(peer, Message::Refuse { cids: cids.to_vec() });
            return self.violation(peer, ViolationKind::NotJoined);
        };
        let Some(swarm) = self.swarms.get(&number) else { return };
        let allowance = allowance(swarm);
        let wait = Duration::from_millis(u64::from(deadline_ms));
        let deadline = (deadline_ms > 0).then(|| self.now + wait);
        let (mut refused, mut flooded) = (Vec::new(), false);
        for cid in cids {
            let print = self.keys.print(cid);
            let Some(cached_ok) = swarm.serves(print, cid) else {
                refused.push(*cid);
                continue;
            };
            let slot = swarm.table.find(print, cid).map(|at| swarm.table.slot(at).bytes());
            let bytes = slot.unwrap_or(BLOCK_BYTES_GUESS);
            let entry = Entry {
                cid: *cid,
                print,
                swarm: number,
                bytes,
                cached_ok,
                deadline,
                at: self.now,
                allowance,
            };
            if !self.uplink.request(peer, entry) {
                refused.push(*cid);
                flooded = true;
            }
        }
        if swarm.sessions.is_empty() {
            for cid in cids.iter().filter(|cid| !refused.contains(*cid)) {
                self.learn(cid);
            }
        }
        if !refused.is_empty() {
            self.send(peer, Message::Refuse { cids: refused });
        }
        if flooded {
            self.violation(peer, ViolationKind::Flooding);
        }
    }

    pub(super) fn cancelled(&mut self, peer: PeerNo, cids: &[Cid]) {
        let prints: Vec<u64> = cids.iter().map(|cid| self.keys.print(cid)).collect();
        self.uplink.retain(peer, |entry| !prints.contains(&entry.print));
    }

    pub(super) fn sent(&mut self, peer: PeerNo, cid: Cid, len: u32, outcome: Served) {
        let print = self.keys.print(&cid);
        let len = if outcome == Served::Done { len } else { 0 };
        let Some(settled) = self.uplink.settled(peer, print, len, self.now) else { return };
        if let Some(swarm) = self.swarms.get_mut(&settled.swarm) {
            swarm.tally.bytes_sent += u64::from(len);
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            known.bytes_sent += u64::from(len);
        }
        if outcome == Served::Absent {
            self.send(peer, Message::Refuse { cids: vec![cid] });
        }
    }

    /// Grants what the uplink takes.
    pub(super) fn grant(&mut self) {
        if !self.uplink.wants_to_grant() {
            return;
        }
        let downloading = self.swarms.values().any(Swarm::downloading);
        self.uplink.grant(downloading, self.now, &mut self.random, &mut self.actions);
    }
}

/// What a newcomer's prefix may have of a root before it gave anything: a 32nd of the root shared
/// by all peers known there.
fn allowance(swarm: &Swarm) -> u64 {
    let size = if swarm.tally.size_hint > 0 { swarm.tally.size_hint } else { ROOT_BYTES_GUESS };
    let peers = swarm.members.len().max(1) as u64;
    (size / (32 * peers)).clamp(ALLOWANCE_MIN, ALLOWANCE_MAX)
}
