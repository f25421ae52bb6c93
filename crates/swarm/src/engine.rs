//! The machine: events in, actions out.
//!
//! [`Engine`] owns the peers, the swarms and the uplink, and joins them:
//!
//! - `sessions` opens, closes, wants;
//! - `joining` hears messages about who takes part and who holds what, `inviting` asks them to,
//!   `exchanging` tells members of each other;
//! - `sharing` asks the node what it shares, and tells members;
//! - `asking` fills peers' windows, `urgent` places readers' blocks, `taking` takes blocks back;
//! - `receiving` hears of blocks that came;
//! - `serving` hears requests and grants blocks;
//! - `cids_only` holds what is different for peers that speak of single blocks only;
//! - `ticking` does what only time makes necessary.
//!
//! Every event ends in `settle`, which asks and grants whatever the event made possible. All
//! iteration that decides anything is over ordered maps.

mod asking;
mod books;
mod cids_only;
mod exchanging;
mod inviting;
mod joining;
mod receiving;
mod serving;
mod sessions;
mod sharing;
mod taking;
mod ticking;
mod urgent;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::bucket::Bucket;
use crate::lineage::Lineage;
use crate::peer::Peer;
use crate::random::{Keys, Print, Random};
use crate::swarm::{Out, Swarm};
use crate::uplink::Uplink;
use crate::{Action, Config, Event, PeerNo, PeerStats, SessionId, Stats, ViolationKind};

/// Decides what to ask of whom and whom to serve. See the package documentation.
#[derive(Debug)]
pub struct Engine {
    now: Duration,
    random: Random,
    keys: Keys,
    actions: Out,
    peers: BTreeMap<PeerNo, Peer>,
    swarms: BTreeMap<u32, Swarm>,
    swarm_next: u32,
    roots: BTreeMap<Print, u32>,
    sessions: BTreeMap<SessionId, u32>,
    /// Joins that wait for the node to tell whether the root is shared.
    questions: BTreeMap<(PeerNo, Print), sharing::Question>,
    uplink: Uplink,
    lineage: Lineage,
    down: Option<Bucket>,
    /// The down limit held asking back.
    throttled: bool,
    /// Peers whose window may have room.
    ready: BTreeSet<PeerNo>,
    /// Peers whose window has room for which nothing was found.
    idle: BTreeSet<PeerNo>,
    /// Asked within this event: peer, swarm, slot.
    batch: Vec<(PeerNo, u32, u32)>,
    /// Swarms with single wants of which the store has not been asked.
    to_probe: BTreeSet<u32>,
    next_tick: Option<Duration>,
    /// When members of which swarm are to be told of each other; as its `exchange_at` says.
    exchanges: BTreeSet<(Duration, u32)>,
}

impl Engine {
    /// A machine without peers and sessions. Every random choice it ever makes follows from
    /// `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let keys = Keys::new(random.draw());
        let mut engine = Self {
            now: Duration::ZERO,
            random,
            keys,
            actions: VecDeque::new(),
            peers: BTreeMap::new(),
            swarms: BTreeMap::new(),
            swarm_next: 0,
            roots: BTreeMap::new(),
            sessions: BTreeMap::new(),
            questions: BTreeMap::new(),
            uplink: Uplink::new(Duration::ZERO),
            lineage: Lineage::default(),
            down: None,
            throttled: false,
            ready: BTreeSet::new(),
            idle: BTreeSet::new(),
            batch: Vec::new(),
            to_probe: BTreeSet::new(),
            next_tick: None,
            exchanges: BTreeSet::new(),
        };
        engine.limits(config.up, config.down);
        engine
    }

    /// Takes in what happened at `now`. Time that goes backwards is taken as standing still.
    pub fn handle(&mut self, event: Event, now: Duration) {
        self.now = self.now.max(now);
        match event {
            Event::PeerConnected { peer, prefix } => self.peer_connected(peer, prefix),
            Event::CidPeerConnected { peer, prefix } => self.cid_peer_connected(peer, prefix),
            Event::Wants { peer, wants } => self.wanted(peer, &wants),
            Event::PeerDisconnected { peer } => self.peer_disconnected(peer),
            Event::Contact { peer, contact } => self.contact(peer, contact),
            Event::Misbehaved { peer, kind } => self.violation(peer, kind),
            Event::Message { peer, message } => self.message(peer, message),
            Event::Received { peer, cid, len, receipt } => self.received(peer, cid, len, receipt),
            Event::Sent { peer, cid, len, outcome } => self.sent(peer, cid, len, outcome),
            Event::Open { session, root } => self.open(session, root),
            Event::Close { session } => self.close(session),
            Event::Want { session, cid, under, place, deadline, tree } => {
                let wanted = crate::swarm::Wanted { session, cid, under, place, deadline, tree };
                self.want(&wanted);
            }
            Event::Unwant { session, cid } => self.unwant(session, cid),
            Event::Probed { session, found } => self.probed(session, found),
            Event::Invite { session, peer } => self.invite_again(session, peer),
            Event::SharingChanged => self.sharing_changed(),
            Event::Shared { peer, root, holdings } => self.shared(peer, root, holdings),
            Event::Limits { up, down } => self.limits(up, down),
        }
        self.settle();
    }

    /// The next thing to do, until `None`. Single wants are probed together, as many as came before
    /// the actions were taken.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.probe_wants();
        }
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest, if no event
    /// comes before; `None` when there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let down = self.down.as_ref().filter(|_| self.throttled).map(Bucket::wake);
        let exchange = self.exchanges.first().map(|(at, _)| *at);
        [self.next_tick, self.uplink.wake(), down, exchange].into_iter().flatten().min()
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = self.now.max(now);
        if self.next_tick.is_some_and(|at| at <= self.now) {
            self.next_tick = None;
            self.tick();
        }
        self.exchange_due();
        if std::mem::take(&mut self.throttled) {
            self.ready.extend(self.peers.keys());
        }
        self.settle();
    }

    /// How far a session is; all zero for one that is not open. What came and went is counted from
    /// its [`Event::Open`].
    pub fn stats(&self, session: SessionId) -> Stats {
        let Some(number) = self.sessions.get(&session) else { return Stats::default() };
        let Some(swarm) = self.swarms.get(number) else { return Stats::default() };
        let asked = || {
            self.peers
                .values()
                .flat_map(|peer| peer.outstanding.values())
                .filter(|asked| asked.swarm == *number)
        };
        let Some(before) = swarm.sessions.get(&session) else { return Stats::default() };
        let tally = swarm.tally.since(before);
        Stats {
            bytes_received: tally.bytes_received,
            blocks_received: tally.blocks_received,
            blocks_present: tally.blocks_present,
            duplicates: tally.duplicates,
            duplicate_bytes: tally.duplicate_bytes,
            per_peer: tally.per_peer.into_iter().collect(),
            peers_joined: swarm.members.len() as u32,
            peers_with_all: swarm.members.values().filter(|member| member.all()).count() as u32,
            outstanding: asked().count() as u32,
            outstanding_bytes: asked().map(|asked| u64::from(asked.bytes)).sum(),
            known_blocks: tally.known_blocks,
            missing: swarm.table.pool,
            size_hint: tally.size_hint,
            bytes_sent: tally.bytes_sent,
            complete: !swarm.downloading() && swarm.no_tree_wanted(),
        }
    }

    /// What is known of a connected peer.
    pub fn peer_stats(&self, peer: PeerNo) -> Option<PeerStats> {
        let known = self.peers.get(&peer)?;
        Some(PeerStats {
            bytes_received: known.bytes_received,
            bytes_sent: known.bytes_sent,
            outstanding: known.outstanding.len() as u32,
            queued: self.uplink.queued(peer),
            rate: known.pipe.rate(),
            latency: known.pipe.latency(),
            swarms: known.swarms.len() as u32,
            violations: known.conduct.violations.iter().map(|(kind, n)| (*kind, *n)).collect(),
            points: known.conduct.points,
        })
    }

    /// Counts a violation and ends the connection when there were too many.
    fn violation(&mut self, peer: PeerNo, kind: ViolationKind) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let end = known.conduct.violate(kind);
        self.actions.push_back(Action::Violation { peer, kind });
        if end {
            self.actions.push_back(Action::Disconnect { peer });
        }
    }

    fn send(&mut self, peer: PeerNo, message: crate::Message) {
        self.actions.push_back(Action::Send { peer, message });
    }

    /// Does what the last event made possible.
    fn settle(&mut self) {
        self.fill_windows();
        self.grant();
        if self.next_tick.is_none() && self.needs_tick() {
            self.next_tick = Some(self.now + crate::limits::TICK);
        }
    }
}

#[cfg(test)]
mod tests;
