//! Whom to connect to: bootstrap peers, peers that the node asks for, peers found by mDNS.
//!
//! Dials wait here for the rate limit. Bootstrap peers are dialled at the start and, with growing
//! pauses, as long as nobody is connected and the routing table is empty. A dial that libp2p
//! suppresses because a lookup is dialling the same peer is remembered, so that its failure is
//! told and the addresses given are tried.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

use super::Driver;
use crate::event::{DialFailure, NetEvent};

/// Dials that wait for the rate limit; more are refused as limited.
const WAITING_MAX: usize = 256;
/// Addresses of one peer that are tried.
const ADDRS_MAX: usize = 16;
/// The first pause before bootstrap peers are dialled again; it doubles up to the next.
const REDIAL_MIN: Duration = Duration::from_secs(2);
/// The longest pause between two rounds over the bootstrap peers.
const REDIAL_MAX: Duration = Duration::from_mins(1);
/// A connection older than this without a native stream will not get one: the peer is dialled
/// again when the node asks for it.
const STREAM_WAIT: Duration = Duration::from_secs(5);

/// A dial that waits.
#[derive(Debug)]
struct Wanted {
    /// Unknown for a bootstrap address without one.
    id: Option<PeerId>,
    addrs: Vec<Multiaddr>,
    /// Dial even though a connection stands.
    again: bool,
}

/// Dials to be made, and those whose outcome the node waits for.
#[derive(Debug)]
pub(super) struct Dials {
    bootstrap: Vec<Multiaddr>,
    redial_at: Instant,
    pause: Duration,
    waiting: VecDeque<Wanted>,
    /// Peers that the node wants, with addresses not tried yet. At most as many as wait or dial.
    wanted: HashMap<PeerId, Vec<Multiaddr>>,
    /// When each connected peer connected.
    pub(super) since: HashMap<PeerId, Instant>,
}

impl Dials {
    /// Bootstrap peers are due at once.
    pub(super) fn new(bootstrap: Vec<Multiaddr>, now: Instant) -> Self {
        Self {
            bootstrap,
            redial_at: now,
            pause: REDIAL_MIN,
            waiting: VecDeque::new(),
            wanted: HashMap::new(),
            since: HashMap::new(),
        }
    }

    /// A stream with this peer has begun: what the node wanted.
    pub(super) fn fulfilled(&mut self, id: &PeerId) {
        self.wanted.remove(id);
    }

    /// A peer connected.
    pub(super) fn connected(&mut self, id: PeerId, now: Instant) {
        self.since.entry(id).or_insert(now);
        self.pause = REDIAL_MIN;
    }

    /// The addresses at which a peer is to be dialled, that have not been tried.
    pub(super) fn addrs_of(&self, id: &PeerId) -> Vec<Multiaddr> {
        let waiting = self.waiting.iter().filter(|wanted| wanted.id.as_ref() == Some(id));
        let waiting = waiting.flat_map(|wanted| wanted.addrs.iter());
        let untried = self.wanted.get(id).into_iter().flatten();
        waiting.chain(untried).take(ADDRS_MAX).cloned().collect()
    }

    /// Whether any dial waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there is a bootstrap round that has not been made.
    pub(super) fn untried(&self, now: Instant) -> bool {
        !self.bootstrap.is_empty() && self.redial_at <= now
    }
}

impl Driver {
    /// The node wants to be connected to a peer.
    pub(super) fn dial(&mut self, id: PeerId, addrs: Vec<Multiaddr>) {
        if id == self.shared.id || self.shared.streams.has(&id) {
            return;
        }
        if self.dials.waiting.len() >= WAITING_MAX {
            return self.outbox.push(NetEvent::DialFailed { id, reason: DialFailure::Limited });
        }
        let again = self.dials.since.get(&id).is_some_and(|since| since.elapsed() > STREAM_WAIT);
        let addrs = addrs.into_iter().take(ADDRS_MAX).collect();
        self.dials.wanted.entry(id).or_default();
        self.dials.waiting.push_back(Wanted { id: Some(id), addrs, again });
    }

    /// A peer on the local network.
    pub(super) fn dial_neighbour(&mut self, id: PeerId, addr: Multiaddr) {
        if self.dials.waiting.len() < WAITING_MAX && !self.swarm.is_connected(&id) {
            self.dials.waiting.push_back(Wanted { id: Some(id), addrs: vec![addr], again: false });
        }
    }

    /// When [`Self::pump_dials`] has something to do.
    pub(super) fn next_dial(&mut self) -> Option<Instant> {
        if !self.dials.waiting.is_empty() {
            return Some(Instant::now() + self.swarm.behaviour().gate.interval());
        }
        (!self.dials.bootstrap.is_empty() && self.is_alone()).then_some(self.dials.redial_at)
    }

    /// Makes the dials that the rate limit allows.
    pub(super) fn pump_dials(&mut self, now: Instant) {
        if self.dials.untried(now) && self.is_alone() {
            self.dials.redial_at = now + self.dials.pause;
            self.dials.pause = (self.dials.pause * 2).min(REDIAL_MAX);
            for addr in self.dials.bootstrap.clone() {
                let id = addr.iter().find_map(|part| match part {
                    Protocol::P2p(id) => Some(id),
                    _ => None,
                });
                self.dials.waiting.push_back(Wanted { id, addrs: vec![addr], again: false });
            }
        }
        while !self.dials.waiting.is_empty() && self.swarm.behaviour_mut().gate.ready() {
            if let Some(wanted) = self.dials.waiting.pop_front() {
                self.dial_now(wanted);
            }
        }
    }

    /// Nobody is connected, and nobody is known.
    fn is_alone(&mut self) -> bool {
        self.dials.since.is_empty() && self.known_peers() == 0
    }

    fn dial_now(&mut self, Wanted { id, addrs, again }: Wanted) {
        let Some(id) = id else {
            for addr in addrs {
                let opts = DialOpts::unknown_peer_id().address(addr).build();
                if let Err(error) = self.swarm.dial(opts) {
                    tracing::debug!(%error, "bootstrap peer not dialled");
                }
            }
            return;
        };
        let condition = if again {
            PeerCondition::NotDialing
        } else {
            PeerCondition::DisconnectedAndNotDialing
        };
        let opts = DialOpts::peer_id(id)
            .addresses(addrs.clone())
            .extend_addresses_through_behaviour()
            .condition(condition)
            .build();
        match self.swarm.dial(opts) {
            Ok(()) => {}
            Err(DialError::DialPeerConditionFalse(_)) => {
                if let Some(untried) = self.dials.wanted.get_mut(&id) {
                    *untried = addrs;
                }
            }
            Err(error) => self.dial_failed(id, &error),
        }
    }

    /// The last connection to a peer has ended.
    pub(super) fn disconnected(&mut self, id: PeerId) {
        self.dials.since.remove(&id);
        self.shared.connected.write().remove(&id);
        if self.dials.wanted.remove(&id).is_some() {
            self.outbox.push(NetEvent::DialFailed { id, reason: DialFailure::Refused });
        }
    }

    /// A peer has neither a native stream nor Bitswap to give.
    pub(super) fn not_shoal(&mut self, id: PeerId) {
        if self.dials.wanted.remove(&id).is_some() {
            self.outbox.push(NetEvent::DialFailed { id, reason: DialFailure::NotShoal });
        }
    }

    /// A connection to a peer could not be made, whoever wanted it.
    pub(super) fn dial_failed(&mut self, id: PeerId, error: &DialError) {
        tracing::trace!(%id, %error, "dial failed");
        let Some(untried) = self.dials.wanted.remove(&id) else { return };
        if !untried.is_empty() && self.dials.waiting.len() < WAITING_MAX {
            self.dials.wanted.insert(id, Vec::new());
            self.dials.waiting.push_back(Wanted { id: Some(id), addrs: untried, again: false });
            return;
        }
        let reason = match error {
            DialError::NoAddresses => DialFailure::NoAddress,
            DialError::WrongPeerId { obtained, .. } => DialFailure::WrongPeer(*obtained),
            DialError::Denied { .. } => DialFailure::Limited,
            DialError::LocalPeerId { .. } => DialFailure::WrongPeer(self.shared.id),
            other => DialFailure::Unreachable(other.to_string()),
        };
        self.outbox.push(NetEvent::DialFailed { id, reason });
    }
}

/// Whether an address is one of this machine alone.
pub(super) fn is_loopback(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}
