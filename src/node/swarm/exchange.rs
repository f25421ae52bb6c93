//! Peers told of by members, and peers remembered from earlier: whom a fetch turns to beside the DHT.
//!
//! What members tell are entries of strangers: those that are none are counted against whoever sent
//! them, addresses are believed as far as the network allows, and the rest waits in
//! [`Candidates`](super::candidates::Candidates) for its turn. Remembered peers are dialled once, when
//! a fetch begins.

use std::time::{Duration, Instant};

use shoal_dag::Cid;
use shoal_net::{Contact, Multiaddr, PeerId};
use shoal_swarm::{Event, PeerNo, SessionId, ViolationKind};

use super::task::Task;
use crate::node::{records::Changed, unix_s};

/// Peers of one root, connected and being dialled, beyond which nobody more is dialled for it.
pub(super) const PEERS_PER_ROOT_MAX: usize = 64;

/// Remembered peers dialled when a fetch of a root begins that they gave of.
const REMEMBERED_DIALS_MAX: usize = 16;

/// Remembered peers of other roots dialled where there is nobody else: they may know somebody.
const ANY_DIALS_MAX: usize = 4;

/// How often what is remembered is written while sessions stay open.
const WRITE_EVERY: Duration = Duration::from_mins(5);

impl Task {
    /// The network saw where a peer can be reached: others may be told, and it may be remembered.
    pub(super) fn reachable(&mut self, contact: &Contact) {
        if let Some(peer) = self.number_of(&contact.id).filter(|_| !contact.addrs.is_empty()) {
            self.reached(peer, contact);
        }
    }

    /// The same, for a peer that has just come up.
    pub(super) fn known_reach(&mut self, peer: PeerNo, id: PeerId) {
        let addrs = self.net.as_ref().map(|net| net.reach(&id)).unwrap_or_default();
        if !addrs.is_empty() {
            self.reached(peer, &Contact { id, addrs });
        }
    }

    fn reached(&mut self, peer: PeerNo, contact: &Contact) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known.reach.clone_from(&contact.addrs);
        }
        self.tell_engine(Event::Contact { peer, contact: contact.encode() });
    }

    /// A member of a swarm told of others.
    pub(super) async fn told(&mut self, by: PeerNo, root: Cid, entries: &[Vec<u8>]) {
        let (Some(net), Some(teller)) = (self.net.clone(), self.peers.get(&by)) else { return };
        let (teller, address) = (teller.id, teller.address.clone());
        let now = Instant::now();
        for entry in entries {
            let Ok(contact) = Contact::decode(entry) else {
                let kind = ViolationKind::Garbage;
                self.tell_engine(Event::Misbehaved { peer: by, kind });
                break;
            };
            let id = contact.id;
            let known = id == net.peer_id() || self.number_of(&id).is_some();
            if known || self.dropped.is_left_alone(&id, now) {
                continue;
            }
            let addresses = contact.dialable(self.settings.network, &address);
            for state in self.sessions.values_mut().filter(|state| state.root == root) {
                state.candidates.told(teller, id, addresses.clone());
            }
        }
        self.dial_candidates().await;
    }

    /// Dials those whose turn it is, for sessions that wait for something.
    pub(super) async fn dial_candidates(&mut self) {
        let Some(net) = self.net.clone() else { return };
        let (now, mut dials) = (Instant::now(), Vec::new());
        for (session, state) in &mut self.sessions {
            if !state.is_wanting() || !state.needs_network {
                continue;
            }
            let joined = state.view.borrow().joined as usize;
            while joined + state.candidates.dialling() < PEERS_PER_ROOT_MAX
                && let Some((id, addresses)) = state.candidates.next(now)
            {
                dials.push((*session, id, addresses));
            }
        }
        for (session, id, addresses) in dials {
            if let Some(peer) = self.number_of(&id) {
                self.forget_dial(&id, true);
                self.invite(session, peer);
            } else {
                net.dial(id, addresses).await;
            }
        }
    }

    /// The dial of a candidate has ended, in a connection or not.
    pub(super) fn forget_dial(&mut self, id: &PeerId, connected: bool) {
        for state in self.sessions.values_mut() {
            if connected {
                state.candidates.connected(id);
            } else {
                state.candidates.failed(id);
            }
        }
    }

    /// Dials peers that gave of this root before; where there are none, and nobody is connected, a few
    /// that gave anything.
    pub(super) async fn dial_remembered(&mut self, session: SessionId) {
        let Some(net) = self.net.clone() else { return };
        let Some(state) = self.sessions.get(&session) else { return };
        let mut peers = self.remembered.of_root(&state.root, REMEMBERED_DIALS_MAX);
        if peers.is_empty() && self.peers.is_empty() {
            peers = self.remembered.of_any(ANY_DIALS_MAX);
        }
        let now = Instant::now();
        peers.retain(|(id, _)| {
            *id != net.peer_id()
                && self.number_of(id).is_none()
                && !self.dropped.is_left_alone(id, now)
        });
        if let Some(state) = self.sessions.get_mut(&session) {
            for (id, _) in &peers {
                state.searching.dials_remembered(*id);
            }
        }
        for (id, addresses) in peers {
            net.dial(id, addresses).await;
        }
    }

    /// Remembers who gave to a session; all of them, or one.
    pub(super) fn remember_givers(&mut self, session: SessionId, only: Option<PeerNo>) {
        let Some(state) = self.sessions.get(&session) else { return };
        let now = unix_s();
        for (peer, bytes) in self.engine.stats(session).per_peer {
            let known = self.peers.get(&peer).filter(|_| only.is_none_or(|only| only == peer));
            if let Some(known) = known.filter(|_| bytes > 0) {
                self.remembered.gave(known.id, &known.reach, &state.root, now);
            }
        }
    }

    /// Remembers what a peer gave that is going now.
    pub(super) fn remember_leaver(&mut self, peer: PeerNo) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.remember_givers(session, Some(peer));
        }
    }

    /// Writes what is remembered, when it has been long enough.
    pub(super) fn write_remembered_sometimes(&mut self) {
        if self.remembered_at.elapsed() < WRITE_EVERY {
            return;
        }
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.remember_givers(session, None);
        }
        self.write_remembered();
    }

    /// Writes what is remembered and has changed.
    pub(super) fn write_remembered(&mut self) {
        self.remembered_at = Instant::now();
        let rows = self.remembered.rows();
        if !rows.is_empty() {
            self.remember(Changed::Peers(rows));
        }
    }
}

/// A connected peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// The other end of its connection.
    pub(super) address: Multiaddr,
    /// What it calls itself.
    pub(super) agent: String,
    /// Where others can reach it, as far as it was seen.
    pub(super) reach: Vec<Multiaddr>,
}
