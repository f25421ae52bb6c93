//! Inviting peers to a swarm: telling them that we take part, and asking whether they do.
//!
//! Everybody connected is invited when a swarm gets its first session, and everybody who connects
//! while it has one. Who answered that it takes no part may have the content later: the node has it
//! invited again, at most once per [`INVITE_EVERY`] and peer; what comes earlier waits until then.

use crate::engine::Engine;
use crate::limits::INVITE_EVERY;
use crate::{Message, PeerNo, SessionId};

impl Engine {
    /// Tells a peer that we take part in a swarm, and asks whether it does.
    pub(super) fn invite(&mut self, number: u32, peer: PeerNo) {
        let now = self.now;
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let holding = swarm.holding();
        swarm.told_holding(holding);
        swarm.invite(peer, now);
        let root = swarm.root;
        if self.is_cids_only(peer) {
            return self.seek(number, peer);
        }
        self.send(peer, Message::Join { root, holding, reply: false });
    }

    /// Invites a peer once more, unless it takes part.
    pub(super) fn invite_again(&mut self, session: SessionId, peer: PeerNo) {
        let Some(number) = self.sessions.get(&session).copied() else { return };
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        if !self.peers.contains_key(&peer) {
            return;
        }
        if swarm.members.contains_key(&peer) {
            return self.ask_again(number, peer);
        }
        if swarm.invited(peer).is_some_and(|at| self.now < at + INVITE_EVERY) {
            swarm.to_invite.insert(peer);
        } else {
            self.invite(number, peer);
        }
    }

    /// Sends the invitations that have waited long enough.
    pub(super) fn invite_due(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get(&number) else { return };
        let due =
            |peer: &&PeerNo| swarm.invited(**peer).is_none_or(|at| self.now >= at + INVITE_EVERY);
        let due: Vec<PeerNo> = swarm.to_invite.iter().filter(due).copied().collect();
        for peer in due {
            self.invite(number, peer);
        }
    }
}
