//! What the task tells about itself: connected peers, what they did wrong, and who was dropped.
//!
//! Figures are the engine's and the network's; only the list of those that were dropped is kept here.

use std::time::Instant;

use shoal_net::{Net, PeerProtocol};
use shoal_swarm::{PeerNo, PeerStats};

use super::{Report, Task, online::addresses};
use crate::{
    control::protocol::{PeerLine, dropped::DroppedLine},
    node::unix_s,
};

impl Task {
    pub(super) fn report(&self) -> Report {
        let (announced, announce_queue) = self.published.counts();
        let net = self.net.as_ref();
        let lines = net.map(Net::connected).unwrap_or_default().into_iter().map(|info| {
            let stats = info.peer.and_then(|peer| self.engine.peer_stats(peer));
            let stats = stats.unwrap_or_default();
            PeerLine {
                peer: info.id.to_string(),
                address: info.addr.to_string(),
                agent: info.agent.unwrap_or_default(),
                native: info.protocol == Some(PeerProtocol::Native),
                protocol: protocol_name(info.protocol).to_owned(),
                sent: stats.bytes_sent,
                received: stats.bytes_received,
                points: stats.points,
                violations: violations(&stats),
            }
        });
        Report {
            peer: net.map(|net| net.peer_id().to_string()).unwrap_or_default(),
            addresses: net.map(addresses).unwrap_or_default(),
            peers: lines.collect(),
            dropped: self.dropped.lines(),
            announced,
            announce_queue,
            sessions: self.sessions.values().filter(|state| state.is_wanting()).count() as u64,
            sent: self.sent,
            received: self.received,
            violations: self.violations.iter().map(|(kind, n)| (kind.clone(), *n)).collect(),
        }
    }

    /// The connection of a peer is being ended here, for what it did wrong or for room.
    pub(super) fn note_dropped(&mut self, peer: PeerNo, fault: bool, reason: &str) {
        let Some(known) = self.peers.get(&peer) else { return };
        let stats = self.engine.peer_stats(peer).unwrap_or_default();
        let line = DroppedLine {
            peer: known.id.to_string(),
            address: known.address.to_string(),
            agent: known.agent.clone(),
            at_unix_s: unix_s(),
            reason: reason.to_owned(),
            points: stats.points,
            violations: violations(&stats),
        };
        self.dropped.add(known.id, fault, line, Instant::now());
    }
}

fn violations(stats: &PeerStats) -> Vec<(String, u64)> {
    let named = stats.violations.iter();
    named.map(|(kind, count)| (format!("{kind:?}"), u64::from(*count))).collect()
}

/// What is spoken with a peer, in a word.
const fn protocol_name(protocol: Option<PeerProtocol>) -> &'static str {
    match protocol {
        Some(PeerProtocol::Native) => "native",
        Some(PeerProtocol::Bitswap) => "bitswap",
        None => "-",
    }
}
