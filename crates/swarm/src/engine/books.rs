//! Counts everything again that the engine keeps twice, and holds it against its bounds.
//!
//! Outstanding blocks against slot states, pools and levels against slots, holders against members,
//! branches against children, grants against the uplink. Called by the simulator and the tests; a
//! node never does.

use crate::engine::Engine;
use crate::limits::{OUTSTANDING_MAX, PIPE_MAX, QUEUE_MAX, SESSIONS_MAX, SLOTS_MAX};
use crate::swarm::Swarm;
use crate::table::{NONE, State};

impl Engine {
    /// Panics where something has grown beyond its bound that is counted for all together.
    pub(crate) fn check_bounds(&self) {
        assert!(self.sessions.len() <= SESSIONS_MAX);
        assert!(self.batch.is_empty());
        self.uplink.check_bounds();
    }

    /// Panics where something has grown beyond its bound at one peer.
    pub(crate) fn check_peers(&self) {
        for (peer, known) in &self.peers {
            // A reader's block may go a little beyond the window.
            assert!(known.outstanding.len() <= 2 * OUTSTANDING_MAX);
            let most = PIPE_MAX as u64 + 2 * shoal_dag::BLOCK_BYTES_MAX as u64;
            assert!(known.inflight <= most, "{} bytes asked of a peer", known.inflight);
            assert!(self.uplink.queued(*peer) as usize <= QUEUE_MAX);
        }
    }

    /// Panics where a figure is not what it is counted from.
    pub(crate) fn check_books(&self) {
        let mut asked = 0;
        for (peer, known) in &self.peers {
            let bytes: u64 = known.outstanding.values().map(|asked| u64::from(asked.bytes)).sum();
            assert_eq!(known.inflight, bytes);
            for (sequence, at) in &known.outstanding {
                let state = self.swarms[&at.swarm].table.slot(at.slot).state;
                assert_eq!(state, State::Asked(*peer, *sequence));
                asked += 1;
            }
            for number in &known.swarms {
                assert!(self.swarms[number].members.contains_key(peer));
            }
            assert!(self.uplink.queued(*peer) as usize <= QUEUE_MAX);
        }
        let counted: u32 = self.swarms.values().map(|swarm| swarm.table.asked).sum();
        assert_eq!(asked, counted);
        for (number, swarm) in &self.swarms {
            assert_eq!(self.roots[&self.keys.print(&swarm.root)], *number);
            assert!(!swarm.sessions.is_empty() || !swarm.members.is_empty());
            swarm.check_books();
        }
        assert_eq!(self.roots.len(), self.swarms.len());
        self.uplink.check_books();
    }
}

impl Swarm {
    fn check_books(&self) {
        let (mut pool, mut asked, mut used) = (0, 0, 0);
        for at in 0..self.table.end() {
            let slot = self.table.slot(at);
            pool += u32::from(slot.state == State::Missing);
            asked += u32::from(matches!(slot.state, State::Asked(..)));
            used += u32::from(slot.state != State::Free);
            if slot.state == State::Free {
                assert!(!self.orphans.has(at));
                continue;
            }
            self.check_slot(at);
        }
        assert_eq!((pool, asked, used), (self.table.pool, self.table.asked, self.table.used()));
        assert!(used as usize <= SLOTS_MAX);
        self.table.check_levels();
        self.check_branches();
    }

    fn check_slot(&self, at: u32) {
        let slot = self.table.slot(at);
        assert!(slot.cid != self.root || !self.orphans.has(at));
        let holders = self.members.values().filter(|member| member.has.has(at)).count();
        assert_eq!(usize::from(slot.holders), holders, "slot {at}: {slot:?}");
        if slot.branch != NONE {
            assert_eq!(self.branch(slot.branch).map(|branch| branch.slot), Some(at));
            assert_eq!(slot.state, State::Held);
        }
        if let State::Alias(primary) = slot.state {
            assert!(!matches!(self.table.slot(primary).state, State::Alias(_) | State::Free));
        }
    }
}
