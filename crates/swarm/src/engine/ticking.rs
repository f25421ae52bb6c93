//! What only time makes necessary, every [`TICK`](crate::limits::TICK) while there is any of it.
//!
//! Expiry of ownership, announcements, wants without provider, moves of readers' blocks, stealing.
//! A node where none of these can happen is not woken at all.

use crate::PeerNo;
use crate::engine::Engine;
use crate::swarm::Swarm;

impl Engine {
    pub(super) fn tick(&mut self) {
        self.expire();
        let numbers: Vec<u32> = self.swarms.keys().copied().collect();
        for number in numbers {
            let Some(swarm) = self.swarms.get_mut(&number) else { continue };
            swarm.announce(&mut self.actions);
            if swarm.sessions.is_empty() {
                continue;
            }
            swarm.tell_providers(self.now, &mut self.actions);
            if !swarm.urgent.is_empty() {
                self.move_urgent(number);
                self.place_urgent(number);
            }
            self.invite_due(number);
        }
        // Idle peers may steal, and rested ones begin again.
        self.ready.extend(self.peers.keys());
    }

    /// Takes everything back from peers that have kept silent for too long.
    fn expire(&mut self) {
        let late = |peer: &&PeerNo| {
            let known = &self.peers[*peer];
            !known.outstanding.is_empty() && known.pipe.expired(self.now)
        };
        let silent: Vec<PeerNo> = self.peers.keys().filter(late).copied().collect();
        for peer in silent {
            if let Some(known) = self.peers.get_mut(&peer) {
                known.pipe.expire(self.now);
            }
            self.take_back_all(peer);
        }
    }

    /// Whether time alone can change anything.
    pub(super) fn needs_tick(&self) -> bool {
        let busy = |swarm: &Swarm| {
            swarm.has_news()
                || !swarm.to_invite.is_empty()
                || swarm.table.asked > 0
                || (!swarm.sessions.is_empty() && swarm.check_providers && swarm.table.pool > 0)
        };
        self.swarms.values().any(|swarm| {
            let waits = swarm.table.pool > 0
                && swarm.members.keys().any(|peer| {
                    self.peers.get(peer).is_some_and(|known| known.pipe.resting(self.now))
                });
            busy(swarm) || waits
        })
    }
}
