//! Filling windows: what to ask of a peer that has room.
//!
//! Readers' blocks first, then the rarest block that the peer holds, its swarms taking turns. A
//! peer with room for which nothing is found is idle: it is looked at again when it announces
//! something, when something new is wanted, and, if nothing at all is outstanding at it, it may
//! steal from one that is much slower. What is asked within one event goes out in as few requests
//! as possible.

use crate::engine::Engine;
use crate::limits::{OUTSTANDING_MAX, REQUEST_CIDS_MAX};
use crate::peer::Asked;
use crate::table::State;
use crate::{Action, Ask, PeerNo};

impl Engine {
    /// Fills the windows of all peers that may have room, and sends the requests.
    pub(super) fn fill_windows(&mut self) {
        while let Some(peer) = self.ready.pop_first() {
            self.fill_window(peer);
        }
        self.flush_asks();
    }

    fn fill_window(&mut self, peer: PeerNo) {
        let Some(known) = self.peers.get(&peer) else { return };
        let mut room = known.pipe.room(known.inflight, self.now);
        self.idle.remove(&peer);
        while room > 0.0 {
            if !self.may_ask() {
                return;
            }
            let Some((number, slot)) = self.find(peer) else {
                self.idle.insert(peer);
                self.steal(peer);
                return;
            };
            room -= f64::from(self.ask(peer, number, slot));
            let full = |known: &crate::peer::Peer| known.outstanding.len() >= OUTSTANDING_MAX;
            if self.peers.get(&peer).is_none_or(full) {
                return;
            }
        }
    }

    /// Whether the down limit lets us ask now.
    pub(super) fn may_ask(&mut self) -> bool {
        let now = self.now;
        let ready = self.down.as_mut().is_none_or(|down| {
            down.refill(now);
            down.ready()
        });
        self.throttled |= !ready;
        ready
    }

    /// The next block to ask of a peer.
    fn find(&mut self, peer: PeerNo) -> Option<(u32, u32)> {
        let known = self.peers.get(&peer)?;
        let mut order: Vec<u32> = known.swarms.iter().copied().collect();
        let turn = known.swarms.range(..=known.turn).count() % order.len().max(1);
        order.rotate_left(turn);
        let found =
            order.iter().find_map(|number| Some((*number, self.find_urgent(peer, *number)?)));
        let found = found.or_else(|| {
            order.iter().find_map(|number| {
                let swarm = self.swarms.get_mut(number)?;
                Some((*number, swarm.next_for(peer, &mut self.random)?))
            })
        })?;
        if order.len() > 1
            && let Some(known) = self.peers.get_mut(&peer)
        {
            known.turn = found.0;
        }
        Some(found)
    }

    /// Notes that a pool block is asked of a peer; its expected bytes.
    pub(super) fn ask(&mut self, peer: PeerNo, number: u32, slot: u32) -> u32 {
        let Some(swarm) = self.swarms.get_mut(&number) else { return 0 };
        let Some(known) = self.peers.get_mut(&peer) else { return 0 };
        let bytes = swarm.table.slot(slot).bytes();
        let sequence = known.ask(Asked { swarm: number, slot, bytes, at: self.now });
        swarm.table.change(slot, State::Asked(peer, sequence));
        if let Some(down) = &mut self.down {
            down.take(f64::from(bytes));
        }
        self.batch.push((peer, number, slot));
        bytes
    }

    /// Sends what was asked: per peer and swarm, readers' blocks apart.
    fn flush_asks(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let mut actions: Vec<Action> = Vec::new();
        for (peer, number, slot) in batch {
            let Some(swarm) = self.swarms.get(&number) else { continue };
            // It may have been taken back within the same event.
            if !matches!(swarm.table.slot(slot).state, State::Asked(owner, _) if owner == peer) {
                continue;
            }
            let ask = Ask { cid: swarm.table.slot(slot).cid, place: swarm.place(slot) };
            let when = swarm.deadline(slot);
            let same = actions.iter_mut().rev().find_map(|action| match action {
                Action::Ask { peer: to, root, asks, deadline }
                    if *to == peer
                        && *root == swarm.root
                        && deadline.is_some() == when.is_some()
                        && asks.len() < REQUEST_CIDS_MAX =>
                {
                    Some((asks, deadline))
                }
                _ => None,
            });
            if let Some((asks, deadline)) = same {
                asks.push(ask);
                *deadline = (*deadline).min(when);
            } else {
                let root = swarm.root;
                actions.push(Action::Ask { peer, root, asks: vec![ask], deadline: when });
            }
        }
        self.actions.extend(actions);
    }

    /// An idle connection takes the block that would come latest from its owner, if it would come
    /// more than three times sooner from here. This is the end game too: nothing is asked of two
    /// peers at once.
    pub(super) fn steal(&mut self, peer: PeerNo) {
        let Some(known) = self.peers.get(&peer) else { return };
        if !known.outstanding.is_empty() || known.pipe.room(0, self.now) <= 0.0 {
            return;
        }
        let slower = self
            .peers
            .iter()
            .filter(|(owner, other)| **owner != peer && !other.outstanding.is_empty())
            .map(|(owner, other)| (other.pipe.expected(other.inflight, 0, self.now), *owner))
            .max();
        let Some((theirs, owner)) = slower else { return };
        let Some((sequence, asked)) = self.stealable(owner, peer) else { return };
        if theirs > 3 * known.pipe.expected(0, u64::from(asked.bytes), self.now) {
            self.take_back(owner, &[sequence], true);
            self.ask(peer, asked.swarm, asked.slot);
            self.idle.remove(&peer);
            // One that has not delivered yet would only get the next block to sit on.
            let silent = self.peers.get_mut(&owner).filter(|other| !other.pipe.proven());
            if let Some(silent) = silent {
                silent.pipe.expire(self.now);
            }
        }
    }

    /// The block asked last of an owner that another peer can give.
    fn stealable(&self, owner: PeerNo, peer: PeerNo) -> Option<(u64, Asked)> {
        let outstanding = &self.peers.get(&owner)?.outstanding;
        let found = outstanding.iter().rev().find(|(_, asked)| {
            let swarm = self.swarms.get(&asked.swarm);
            let member = swarm.and_then(|swarm| swarm.members.get(&peer));
            member.is_some_and(|member| member.can_give(asked.slot))
        });
        found.map(|(sequence, asked)| (*sequence, *asked))
    }
}
