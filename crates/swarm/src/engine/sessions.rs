//! Sessions: their swarms are joined, their wants placed, and left when the last one closes.
//!
//! Sessions of one root share its swarm. When the last one closes, members stay only if the node
//! shares the root (a pinned fetch that is done); else they are told that we leave. Nothing about
//! disk or pins is known here. A session beyond [`SESSIONS_MAX`] is not opened, and whatever it
//! wants is told to have no provider.

use shoal_dag::Cid;

use crate::bucket::Bucket;
use crate::engine::Engine;
use crate::limits::SESSIONS_MAX;
use crate::swarm::{Sharing, Swarm, Wanted};
use crate::{Action, Message, PeerNo, Probe, SessionId};

impl Engine {
    pub(super) fn limits(&mut self, up: Option<u64>, down: Option<u64>) {
        self.uplink.limit(up, self.now);
        self.down = down.map(|rate| Bucket::new(rate, self.now));
        self.throttled = false;
        self.ready.extend(self.peers.keys());
    }

    /// The swarm of a root, made if there is none.
    pub(super) fn swarm_of(&mut self, root: Cid) -> u32 {
        let print = self.keys.print(&root);
        if let Some(number) = self.roots.get(&print) {
            return *number;
        }
        let number = self.swarm_next;
        self.swarm_next = self.swarm_next.wrapping_add(1);
        self.roots.insert(print, number);
        self.swarms.insert(number, Swarm::new(root, self.keys));
        number
    }

    /// Forgets a swarm; members are told, and what they still wait for is refused. In this order:
    /// who knows that we left does not take the refusals amiss.
    pub(super) fn drop_swarm(&mut self, number: u32) {
        let Some(swarm) = self.swarms.remove(&number) else { return };
        self.roots.remove(&self.keys.print(&swarm.root));
        self.to_probe.remove(&number);
        self.refuse_cids_only(number);
        self.exchanges.retain(|(_, of)| *of != number);
        for peer in swarm.members.keys().chain(swarm.asked_to_join.keys()) {
            self.send(*peer, Message::Leave { root: swarm.root });
            let dropped = self.uplink.retain(*peer, |entry| entry.swarm != number);
            self.refuse(*peer, &dropped);
            if let Some(known) = self.peers.get_mut(peer) {
                known.swarms.remove(&number);
            }
        }
    }

    /// Forgets a swarm that has neither session nor member; whether it did.
    pub(super) fn drop_if_empty(&mut self, number: u32) -> bool {
        let Some(swarm) = self.swarms.get(&number) else { return true };
        let empty = swarm.sessions.is_empty() && swarm.members.is_empty();
        if empty {
            self.drop_swarm(number);
        }
        empty
    }

    pub(super) fn open(&mut self, session: SessionId, root: Cid) {
        let taken = self.sessions.contains_key(&session) || session == SessionId::SHARED;
        if taken || self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        let number = self.swarm_of(root);
        self.sessions.insert(session, number);
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let first = swarm.sessions.is_empty();
        swarm.sessions.insert(session, swarm.tally.clone());
        if first {
            let peers: Vec<PeerNo> = self.peers.keys().copied().collect();
            for peer in peers {
                self.invite(number, peer);
            }
        }
    }

    pub(super) fn close(&mut self, session: SessionId) {
        let Some(number) = self.sessions.remove(&session) else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let named = swarm.sessions.keys().next() == Some(&session);
        swarm.unwant_all(session);
        swarm.sessions.remove(&session);
        if !swarm.sessions.is_empty() {
            if named {
                swarm.restart_probes(&mut self.actions);
            }
            self.to_probe.insert(number);
            return;
        }
        self.take_back_swarm(number);
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        swarm.forget_blocks();
        if swarm.members.is_empty() {
            self.drop_swarm(number);
        } else if !matches!(swarm.sharing, Sharing::Yes(_)) {
            // It may have become shared meanwhile: a pinned fetch that is done.
            self.ask_shared(number);
        }
    }

    pub(super) fn want(&mut self, wanted: &Wanted) {
        let (session, cid) = (wanted.session, wanted.cid);
        let Some(number) = self.sessions.get(&session).copied() else {
            return self.actions.push_back(Action::NoProvider { session, cid });
        };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        swarm.want(wanted, &mut self.actions);
        self.to_probe.insert(number);
        self.place_urgent(number);
        self.wake(number);
    }

    pub(super) fn unwant(&mut self, session: SessionId, cid: Cid) {
        let Some(number) = self.sessions.get(&session) else { return };
        if let Some(swarm) = self.swarms.get_mut(number) {
            swarm.unwant(session, &cid);
            self.to_probe.insert(*number);
        }
    }

    /// Asks the store for single wants, all that came since the last time together.
    pub(super) fn probe_wants(&mut self) {
        while let Some(number) = self.to_probe.pop_first() {
            if let Some(swarm) = self.swarms.get_mut(&number) {
                swarm.probe(&mut self.actions);
            }
        }
    }

    pub(super) fn probed(&mut self, session: SessionId, found: Vec<(Cid, Probe)>) {
        if session == SessionId::SHARED {
            return self.learnt(&found);
        }
        let Some(number) = self.sessions.get(&session).copied() else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        swarm.probed(found, &mut self.actions);
        self.place_urgent(number);
        self.wake(number);
    }

    /// There may be something new to ask of peers that had nothing to do.
    pub(super) fn wake(&mut self, number: u32) {
        if self.idle.is_empty() {
            return;
        }
        let Some(swarm) = self.swarms.get(&number) else { return };
        if swarm.table.pool > 0 {
            self.ready.extend(swarm.members.keys().filter(|peer| self.idle.contains(peer)));
        }
    }
}
