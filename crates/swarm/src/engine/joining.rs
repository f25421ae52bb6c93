//! Peers come and go, take part in swarms, and tell what they hold.
//!
//! Messages pass bounds and the peer's work budget first. A join to a root that nothing here
//! fetches becomes a question to the node (`sharing`). Requests are handed to `serving`, refusals to
//! `receiving`.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_dag::Cid;

use crate::engine::Engine;
use crate::limits::{CONTACT_BYTES_MAX, HAVE_BYTES_MAX, JOINED_MAX, PEERS_MAX, REQUEST_CIDS_MAX};
use crate::peer::Peer;
use crate::swarm::{Open, Sharing, View, bit};
use crate::{Action, Holding, Message, PeerNo, Prefix, ViolationKind};

/// A member is told everything again at most this often.
const INTRODUCE_EVERY: Duration = Duration::from_secs(1);

/// Work units of a join: every slot in view is looked at.
const JOIN_WORK: f64 = 256.0;

/// Work units of asking the store for the links of a branch.
const LEARN_WORK: f64 = 256.0;

impl Engine {
    pub(super) fn peer_connected(&mut self, peer: PeerNo, prefix: Prefix) {
        if self.peers.contains_key(&peer) {
            return;
        }
        self.connect(peer, prefix, Peer::new(self.now));
    }

    /// Takes a peer in and invites it to what is fetched here.
    pub(super) fn connect(&mut self, peer: PeerNo, prefix: Prefix, fresh: Peer) {
        self.peers.insert(peer, fresh);
        self.uplink.connected(peer, prefix);
        let fetching = self.swarms.iter().filter(|(_, swarm)| !swarm.sessions.is_empty());
        let numbers: Vec<u32> = fetching.map(|(number, _)| *number).collect();
        for number in numbers {
            self.invite(number, peer);
        }
    }

    pub(super) fn peer_disconnected(&mut self, peer: PeerNo) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        self.take_back_quietly(peer);
        self.uplink.disconnected(peer);
        self.questions.retain(|(asker, _), _| *asker != peer);
        self.peers.remove(&peer);
        self.ready.remove(&peer);
        self.idle.remove(&peer);
        let numbers: Vec<u32> = self.swarms.keys().copied().collect();
        for number in numbers {
            if let Some(swarm) = self.swarms.get_mut(&number) {
                swarm.forget_invitation(peer);
            }
            self.leave(number, peer);
        }
    }

    /// A peer no longer takes part; a shared root that nobody takes part in is forgotten.
    fn leave(&mut self, number: u32, peer: PeerNo) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        swarm.part(peer);
        self.count_prefixes(number);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.swarms.remove(&number);
        }
        if !self.drop_if_empty(number) {
            self.place_urgent(number);
            self.wake(number);
        }
    }

    pub(super) fn message(&mut self, peer: PeerNo, message: Message) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if !within_bounds(&message) {
            return self.violation(peer, ViolationKind::Garbage);
        }
        if !known.conduct.spend(work(&message), self.now) {
            return self.violation(peer, ViolationKind::Flooding);
        }
        match message {
            Message::Join { root, holding, reply } => self.join(peer, root, holding, reply),
            Message::Leave { root } => self.left(peer, &root),
            Message::Have { root, branch, first, bits } => {
                self.have(peer, &root, &branch, first, &bits);
            }
            Message::HaveAll { root, branch } => self.have_all(peer, &root, &branch),
            Message::Request { root, cids, deadline_ms } => {
                self.requested(peer, &root, &cids, deadline_ms);
            }
            Message::Cancel { cids } => self.cancelled(peer, &cids),
            Message::Refuse { cids } => self.refused(peer, &cids),
            Message::Peers { root, peers } => self.told_of(peer, root, peers),
        }
    }

    fn join(&mut self, peer: PeerNo, root: Cid, holding: Holding, reply: bool) {
        let print = self.keys.print(&root);
        if let Some(number) = self.roots.get(&print).copied() {
            return self.joined(peer, number, holding, reply);
        }
        if !reply {
            self.ask_about(peer, root, holding);
        }
    }

    /// A peer takes part in a swarm that exists.
    pub(super) fn joined(&mut self, peer: PeerNo, number: u32, holding: Holding, reply: bool) {
        let now = self.now;
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if known.swarms.len() >= JOINED_MAX && !known.swarms.contains(&number) {
            return self.violation(peer, ViolationKind::Flooding);
        }
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        known.swarms.insert(number);
        swarm.join(peer, holding, &mut self.random);
        if known.cids_only {
            swarm.tell_nothing(peer);
        }
        self.count_prefixes(number);
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let ours = swarm.holding();
        let root = swarm.root;
        let Some(member) = swarm.members.get_mut(&peer) else { return };
        let due = member.told_at.is_none_or(|at| !reply && now >= at + INTRODUCE_EVERY);
        if due {
            member.told_at = Some(now);
        }
        if !reply {
            let message = Message::Join { root, holding: ours, reply: true };
            self.actions.push_back(Action::Send { peer, message });
            swarm.told_holding(ours);
        }
        if due {
            swarm.introduce(peer, &mut self.actions);
        }
        let ask = swarm.sharing == Sharing::Unknown && swarm.question == Open::No;
        self.ready.insert(peer);
        self.plan_exchange(number);
        if ask {
            self.ask_shared(number);
        }
    }

    fn left(&mut self, peer: PeerNo, root: &Cid) {
        let Some(number) = self.roots.get(&self.keys.print(root)).copied() else { return };
        self.take_back_from(peer, number);
        self.uplink.retain(peer, |entry| entry.swarm != number);
        self.leave(number, peer);
    }

    fn member_of(&self, peer: PeerNo, root: &Cid) -> Option<u32> {
        let number = self.roots.get(&self.keys.print(root)).copied()?;
        self.swarms.get(&number)?.members.contains_key(&peer).then_some(number)
    }

    fn have(&mut self, peer: PeerNo, root: &Cid, branch: &Cid, first: u32, bits: &[u8]) {
        let Some(number) = self.member_of(peer, root) else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let mut news = Vec::new();
        match swarm.have(peer, branch, first, bits, &mut news) {
            View::Mapped => {}
            View::Done => self.heir_announced(peer, number, branch, first, bits),
            View::Unknown => swarm.guess_again(peer, self.now),
        }
        let prefixes = self.swarms.get(&number).map_or(0, |swarm| swarm.prefixes);
        for told in news {
            self.uplink.announced(peer, told.print, told.bytes, prefixes);
            self.swap(peer, number, told.slot);
        }
        self.place_urgent(number);
        self.ready.insert(peer);
    }

    /// A peer told which children of a branch it holds that is complete here.
    fn heir_announced(&mut self, peer: PeerNo, number: u32, branch: &Cid, first: u32, bits: &[u8]) {
        let print = self.keys.print(branch);
        let Some(swarm) = self.swarms.get(&number) else { return };
        if let Some(heirs) = self.lineage.of(print) {
            let heirs = heirs.iter().skip(first as usize).take(bits.len() * 8).enumerate();
            for (_, heir) in heirs.filter(|(index, _)| bit(bits, *index)) {
                self.uplink.announced(peer, heir.print, heir.bytes, swarm.prefixes);
            }
            return;
        }
        let serves = swarm.serves(print, branch).is_some();
        let now = self.now;
        let known = self.peers.get_mut(&peer).filter(|_| serves);
        if known.is_some_and(|known| known.conduct.spend(LEARN_WORK, now)) {
            self.learn(branch);
        }
    }

    /// A peer told that it holds all of a branch that is complete here.
    fn heirs_announced(&mut self, peer: PeerNo, branch: &Cid, prefixes: u32) {
        let Some(heirs) = self.lineage.of(self.keys.print(branch)) else { return };
        let cost = heirs.len() as f64 / 64.0;
        let known = self.peers.get_mut(&peer);
        if known.is_some_and(|known| known.conduct.spend(cost, self.now)) {
            for heir in heirs {
                self.uplink.announced(peer, heir.print, heir.bytes, prefixes);
            }
        }
    }

    /// Counts from how many prefixes the members of a swarm come.
    fn count_prefixes(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let prefixes = swarm.members.keys().filter_map(|peer| self.uplink.prefix(*peer));
        swarm.prefixes = prefixes.collect::<BTreeSet<Prefix>>().len() as u32;
    }

    fn have_all(&mut self, peer: PeerNo, root: &Cid, branch: &Cid) {
        let Some(number) = self.member_of(peer, root) else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        match swarm.have_all(peer, branch, &mut self.random) {
            View::Mapped => {}
            View::Done => {
                let prefixes = swarm.prefixes;
                self.heirs_announced(peer, branch, prefixes);
            }
            View::Unknown => swarm.guess_again(peer, self.now),
        }
        if branch == root {
            self.plan_exchange(number);
        }
        self.place_urgent(number);
        self.ready.insert(peer);
    }

    /// The swarm of a root that a peer takes part in, for its requests.
    pub(super) fn joined_swarm(&self, peer: PeerNo, root: &Cid) -> Option<u32> {
        self.member_of(peer, root)
    }
}

fn within_bounds(message: &Message) -> bool {
    match message {
        Message::Have { bits, .. } => !bits.is_empty() && bits.len() <= HAVE_BYTES_MAX,
        Message::Request { cids, .. } | Message::Cancel { cids } | Message::Refuse { cids } => {
            cids.len() <= REQUEST_CIDS_MAX
        }
        Message::Peers { peers, .. } => {
            let fits = |peer: &Vec<u8>| (1..=CONTACT_BYTES_MAX).contains(&peer.len());
            peers.len() <= PEERS_MAX && peers.iter().all(fits)
        }
        Message::Join { .. } | Message::Leave { .. } | Message::HaveAll { .. } => true,
    }
}

fn work(message: &Message) -> f64 {
    match message {
        Message::Join { .. } => JOIN_WORK,
        Message::Have { bits, .. } => 1.0 + bits.len() as f64 / 64.0,
        Message::Peers { peers, .. } => 1.0 + 4.0 * peers.len() as f64,
        _ => 1.0,
    }
}
