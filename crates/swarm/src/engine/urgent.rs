//! Blocks that somebody waits for.
//!
//! The earliest deadline goes to the peer from which it is expected soonest, a little beyond its
//! window if need be; a block moves when its owner would deliver it more than 1.5 times later than
//! another peer with room. Follows the rule book and libtorrent's time-critical pieces.

use std::time::Duration;

use crate::PeerNo;
use crate::engine::Engine;
use crate::limits::URGENT_SCAN_MAX;
use crate::swarm::Member;
use crate::table::State;

/// Below this a move costs more than it gains.
const MOVE_MIN: Duration = Duration::from_millis(100);

impl Engine {
    /// The earliest reader's block that a peer can give.
    pub(super) fn find_urgent(&self, peer: PeerNo, number: u32) -> Option<u32> {
        let swarm = self.swarms.get(&number).filter(|swarm| !swarm.urgent.is_empty())?;
        let member = swarm.members.get(&peer)?;
        let first = swarm.urgent.iter().take(URGENT_SCAN_MAX).map(|(_, slot)| *slot);
        let open = first.filter(|slot| swarm.table.slot(*slot).state == State::Missing);
        let known = open.clone().find(|slot| member.can_give(*slot));
        known.or_else(|| open.clone().find(|slot| member.may_have(*slot, &swarm.orphans)))
    }

    /// Asks for readers' blocks that nobody was asked for yet.
    pub(super) fn place_urgent(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get(&number).filter(|swarm| !swarm.urgent.is_empty()) else {
            return;
        };
        let first = swarm.urgent.iter().take(URGENT_SCAN_MAX).map(|(_, slot)| *slot);
        let open: Vec<u32> =
            first.filter(|slot| swarm.table.slot(*slot).state == State::Missing).collect();
        for slot in open {
            let known = self.soonest(number, slot, None, Member::can_give);
            let able = known.or_else(|| self.soonest_guess(number, slot));
            if let Some((_, peer)) = able
                && self.may_ask()
            {
                self.ask(peer, number, slot);
            }
        }
    }

    /// The peer from which a block is expected soonest, and when.
    fn soonest(
        &self,
        number: u32,
        slot: u32,
        except: Option<PeerNo>,
        able: impl Fn(&Member, u32) -> bool,
    ) -> Option<(Duration, PeerNo)> {
        let swarm = self.swarms.get(&number)?;
        let bytes = u64::from(swarm.table.slot(slot).bytes());
        let able = swarm.members.iter().filter(|(_, member)| able(member, slot));
        able.filter(|(peer, _)| except != Some(**peer))
            .filter_map(|(peer, _)| Some((*peer, self.peers.get(peer)?)))
            .filter(|(_, known)| known.pipe.urgent_room(known.inflight, self.now))
            .map(|(peer, known)| (known.pipe.expected(known.inflight, bytes, self.now), peer))
            .min()
    }

    /// The same among those who hold a part and may have it.
    fn soonest_guess(&self, number: u32, slot: u32) -> Option<(Duration, PeerNo)> {
        let orphans = &self.swarms.get(&number)?.orphans;
        self.soonest(number, slot, None, |member, slot| member.may_have(slot, orphans))
    }

    /// Moves readers' blocks that another peer would deliver much sooner.
    pub(super) fn move_urgent(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get(&number) else { return };
        let first = swarm.urgent.iter().take(URGENT_SCAN_MAX).map(|(_, slot)| *slot);
        let asked: Vec<(u32, PeerNo, u64)> = first
            .filter_map(|slot| match swarm.table.slot(slot).state {
                State::Asked(owner, sequence) => Some((slot, owner, sequence)),
                _ => None,
            })
            .collect();
        for (slot, owner, sequence) in asked {
            let Some(known) = self.peers.get(&owner) else { continue };
            let before = known.outstanding.range(..=sequence).map(|(_, asked)| asked.bytes);
            let ahead: u64 = before.map(u64::from).sum();
            let theirs = known.pipe.expected(ahead, 0, self.now);
            let Some((ours, other)) = self.soonest(number, slot, Some(owner), Member::can_give)
            else {
                continue;
            };
            if theirs > MOVE_MIN && theirs > ours + ours / 2 {
                self.take_back(owner, &[sequence], true);
                self.ask(other, number, slot);
            }
        }
    }
}
