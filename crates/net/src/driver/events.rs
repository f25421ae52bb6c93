//! What libp2p tells, and what follows from it.
//!
//! identify feeds the routing table here: the addresses of a peer that answers lookups go in, a
//! peer that does not is taken out. The list of connected peers is kept for the handle to read.

use std::sync::atomic::Ordering;
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::kad::InboundRequest;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{ListenError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, identify, kad, mdns, ping};

use super::Driver;
use super::behaviour::{BehaviourEvent, KAD_PROTOCOL};
use super::dials::is_loopback;
use crate::bitswap::{self, SessionEvent};
use crate::contact::{Contact, reachable};
use crate::event::{NetEvent, PeerInfo};
use crate::native::{self, StreamEvent};

/// Addresses of one peer that enter the routing table.
const ADDRS_PER_PEER_MAX: usize = 16;
/// Characters of a peer's agent that are kept for listings.
const AGENT_CHARS_MAX: usize = 64;

impl Driver {
    /// Takes one event of the swarm.
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.shared.listeners.write().retain(|addr| *addr != address);
                self.swarm.remove_external_address(&address);
            }
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.connected(peer_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.disconnected(peer_id);
            }
            // A newcomer was refused for want of room: the next one shall have some.
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { .. }, .. } => {
                self.trim_connections(Instant::now());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(id), error, .. } => {
                self.dial_failed(id, &error);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: None, error, .. } => {
                tracing::debug!(%error, "bootstrap peer not reached");
            }
            _ => {}
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Kad(event) => self.kad_event(event),
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.identified(peer_id, info);
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => match result {
                Ok(rtt) => self.update_info(&peer, |info| info.rtt = Some(rtt)),
                // The peer does not speak ping; that is its own affair.
                Err(ping::Failure::Unsupported) => {}
                Err(error) => {
                    tracing::debug!(%peer, %error, "connection is dead");
                    self.swarm.close_connection(connection);
                }
            },
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (id, addr) in found {
                    self.dial_neighbour(id, addr);
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(_)) => {}
            BehaviourEvent::Limits(never) | BehaviourEvent::Gate(never) => match never {},
            BehaviourEvent::Native(StreamEvent::Begun(id)) => self.dials.fulfilled(&id),
            BehaviourEvent::Native(StreamEvent::Unsupported(id)) => self.not_native(id),
            BehaviourEvent::Bitswap(SessionEvent::Begun(id)) => self.dials.fulfilled(&id),
            BehaviourEvent::Asking(event) => self.asking_event(event),
            BehaviourEvent::Answering(event) => self.answering_event(event),
            BehaviourEvent::Gossip(event) => self.gossip_event(event),
        }
    }

    fn kad_event(&mut self, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, stats, step } => {
                self.lookup_progressed(id, result, &stats, step.last);
            }
            kad::Event::RoutingUpdated { is_new_peer: true, .. } => {
                let now = Instant::now();
                self.publisher.table_grew(now);
                self.putter.table_grew(now);
                self.count_known();
                self.hush_bootstrap();
                if !self.short_lived {
                    self.joining.table_grew(now);
                }
                self.tick_searches(now);
            }
            kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(record) },
            } => self.swarm.behaviour_mut().kad.store_mut().accept(&record),
            kad::Event::InboundRequest {
                request: InboundRequest::PutRecord { source, record: Some(record), .. },
            } => self.judge_put(source, record),
            _ => {}
        }
    }

    fn listening(&mut self, addr: Multiaddr) {
        tracing::info!(%addr, "listening");
        self.shared.listeners.write().push(addr.clone());
        // Provider records carry the external addresses: where we listen is all we know.
        if self.loopback || !is_loopback(&addr) {
            self.swarm.add_external_address(addr.clone());
        }
        self.outbox.push(NetEvent::Listening(addr));
    }

    fn connected(&mut self, id: PeerId, endpoint: &ConnectedPoint) {
        self.dials.connected(id, Instant::now());
        let (addr, dialled) = (endpoint.get_remote_address().clone(), endpoint.is_dialer());
        let info = PeerInfo {
            id,
            reach: reachable(&addr, dialled, &[]),
            addr,
            dialled,
            agent: None,
            peer: None,
            protocol: None,
            rtt: None,
            server: false,
        };
        self.shared.connected.write().entry(id).or_insert(info);
        self.trim_connections(Instant::now());
    }

    fn update_info(&self, id: &PeerId, update: impl FnOnce(&mut PeerInfo)) {
        if let Some(info) = self.shared.connected.write().get_mut(id) {
            update(info);
        }
    }

    /// A peer that we dialled has no native stream to give. What else it speaks is told by identify,
    /// before or after this.
    fn not_native(&mut self, id: PeerId) {
        let identified =
            self.shared.connected.read().get(&id).is_some_and(|info| info.agent.is_some());
        if identified && !self.shared.streams.has(&id) {
            self.not_shoal(id);
        }
    }

    /// Begins to speak Bitswap with a peer that has nothing better.
    fn speak(&mut self, id: PeerId, protocols: &[StreamProtocol]) {
        let behaviour = self.swarm.behaviour_mut();
        let native = behaviour.native.is_enabled() && protocols.contains(&native::PROTOCOL);
        match (native, bitswap::is_spoken(protocols)) {
            (true, _) => {}
            (false, true) => behaviour.bitswap.begin(id),
            (false, false) => self.not_shoal(id),
        }
    }

    fn identified(&mut self, id: PeerId, info: identify::Info) {
        self.speak(id, &info.protocols);
        if info.protocols.contains(&native::PROTOCOL) {
            self.reached(id, &info.listen_addrs);
        }
        let server = info.protocols.contains(&KAD_PROTOCOL);
        let agent = info.agent_version.chars().take(AGENT_CHARS_MAX).collect();
        self.update_info(&id, |peer| {
            peer.agent = Some(agent);
            peer.server = server;
        });
        let kad = &mut self.swarm.behaviour_mut().kad;
        if server {
            let addrs = info.listen_addrs.into_iter().filter(is_tcp);
            for addr in addrs.take(ADDRS_PER_PEER_MAX) {
                kad.add_address(&id, addr);
            }
        } else if kad.remove_peer(&id).is_some() {
            self.count_known();
        }
    }

    /// It is known where a peer of ours can be reached.
    fn reached(&mut self, id: PeerId, says: &[Multiaddr]) {
        let mut news = None;
        self.update_info(&id, |peer| {
            let reach = reachable(&peer.addr, peer.dialled, says);
            news = (reach != peer.reach).then(|| reach.clone());
            peer.reach = reach;
        });
        if let Some(addrs) = news.filter(|_| !self.outbox.is_full()) {
            self.outbox.push(NetEvent::Reachable { contact: Contact { id, addrs } });
        }
    }

    fn count_known(&mut self) {
        let known = self.known_peers();
        self.shared.known.store(known, Ordering::Relaxed);
    }
}

/// Whether an address can be dialled by our transport.
fn is_tcp(addr: &Multiaddr) -> bool {
    let mut parts = addr.iter();
    matches!(parts.next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)))
        && matches!(parts.next(), Some(Protocol::Tcp(_)))
        && matches!(parts.next(), None | Some(Protocol::P2p(_)))
}
