//! Members of a swarm are told of each other, so that a crowd finds itself through any one of them.
//!
//! Told of are members that hold something and that the network has said how to reach, unless they
//! were asked and kept silent. What arrives becomes candidates for the node, within the sender's
//! rate; a sender beyond it floods. Whom to connect to, and how often, is decided outside.

use shoal_dag::Cid;

use crate::engine::Engine;
use crate::limits::{CONTACT_BYTES_MAX, TICK};
use crate::{Action, Message, PeerNo, ViolationKind};

impl Engine {
    /// The network knows how a peer can be reached.
    pub(super) fn contact(&mut self, peer: PeerNo, contact: Vec<u8>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if contact.is_empty() || contact.len() > CONTACT_BYTES_MAX {
            return;
        }
        if known.contact.replace(contact).is_some() {
            return;
        }
        let numbers: Vec<u32> = known.swarms.iter().copied().collect();
        for number in numbers {
            self.plan_exchange(number);
        }
    }

    /// Something changed that members of a swarm may have to be told of.
    pub(super) fn plan_exchange(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let peers = &self.peers;
        let reachable =
            |peer: &PeerNo| peers.get(peer).is_some_and(|known| known.contact.is_some());
        // A little later, so that a crowd that comes at once is told in one message.
        let next = swarm.number_members(reachable).map(|at| at.max(self.now + TICK));
        let next = [next, swarm.exchange_at].into_iter().flatten().min();
        if next == swarm.exchange_at {
            return;
        }
        if let Some(before) = std::mem::replace(&mut swarm.exchange_at, next) {
            self.exchanges.remove(&(before, number));
        }
        self.exchanges.extend(next.map(|at| (at, number)));
    }

    /// Tells members whose time has come.
    pub(super) fn exchange_due(&mut self) {
        while let Some((at, number)) = self.exchanges.first().copied()
            && at <= self.now
        {
            self.exchanges.pop_first();
            self.exchange(number);
        }
    }

    fn exchange(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        swarm.exchange_at = None;
        let (root, told) = (swarm.root, swarm.exchange(self.now));
        for (peer, others) in told {
            if self.peers.get(&peer).is_none_or(|known| known.cids_only) {
                continue;
            }
            let silent =
                |known: &&crate::peer::Peer| known.pipe.resting(self.now) && !known.pipe.proven();
            let known = others.iter().filter_map(|other| self.peers.get(other));
            let known = known.filter(|known| !silent(known));
            let peers: Vec<Vec<u8>> = known.filter_map(|known| known.contact.clone()).collect();
            if !peers.is_empty() {
                self.send(peer, Message::Peers { root, peers });
            }
        }
        self.plan_exchange(number);
    }

    /// A peer tells of others. One that is not of the swarm may have been, when it told.
    pub(super) fn told_of(&mut self, by: PeerNo, root: Cid, peers: Vec<Vec<u8>>) {
        let Some(number) = self.joined_swarm(by, &root) else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let Some(member) = swarm.members.get_mut(&by) else { return };
        if !member.exchange.may_tell(self.now) {
            return self.violation(by, ViolationKind::Flooding);
        }
        if !swarm.sessions.is_empty() && !peers.is_empty() {
            self.actions.push_back(Action::Told { by, root, peers });
        }
    }
}
