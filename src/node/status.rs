//! What a node tells about itself: identity, connected peers, counters.
//!
//! Figures of the network come from the swarm task, those of the disk from the store; nothing is counted
//! here. Peers and counters belong to a running peer: any other node answers exit 10.

use super::{Node, service::need_persistent, sharing, swarm};
use crate::control::protocol::{Failure, Outcome, Status};

/// `id`: works without a network.
///
/// # Errors
/// The key cannot be read.
pub async fn identity(node: &Node) -> Result<Outcome, Failure> {
    let report = node.swarm().report().await?;
    let key = node.with_store(swarm::keypair).await?;
    let peer = key.public().to_peer_id().to_string();
    Ok(Outcome::Identity { peer, addresses: report.addresses })
}

/// `peers`.
///
/// # Errors
/// Exit 10 when this is no running peer.
pub async fn peers(node: &Node) -> Result<Outcome, Failure> {
    need_persistent(node)?;
    let swarm::Report { peers, dropped, .. } = node.swarm().report().await?;
    Ok(Outcome::Peers { connected: peers, dropped })
}

/// `bwlimit`: tells the limits, after setting new ones.
///
/// # Errors
/// Exit 10 when this is no running peer; exit 2 when the new ones are not understood.
pub async fn limit(node: &Node, set: Option<String>) -> Result<Outcome, Failure> {
    need_persistent(node)?;
    let set = set.map(|text| text.parse().map_err(|error: String| Failure::usage(error)));
    let (rates, timetable) = node.swarm().limit(set.transpose()?).await?;
    let timetable = timetable.changes().then(|| timetable.to_string());
    Ok(Outcome::Limited { rates, timetable })
}

/// `status`.
///
/// # Errors
/// Exit 10 when this is no running peer.
pub async fn status(node: &Node) -> Result<Outcome, Failure> {
    need_persistent(node)?;
    let report = node.swarm().report().await?;
    let usage = node.with_store(shoal_store::Store::usage).await?;
    let seeding_on = node.with_store(sharing::debt_count).await;
    let pins = node.with_store(pin_count).await?;
    Ok(Outcome::Status(Status {
        peer: report.peer,
        pid: std::process::id(),
        uptime_ms: node.uptime().as_millis() as u64,
        addresses: report.addresses,
        network: format!("{:?}", node.settings().network).to_lowercase(),
        peers: report.peers.len() as u64,
        pins,
        blocks: usage.blocks,
        bytes: usage.pack_bytes + usage.blob_bytes,
        announced: report.announced,
        announce_queue: report.announce_queue,
        fetches: report.sessions,
        seeding_on,
        sent: report.sent,
        received: report.received,
        violations: report.violations,
        rebasing: node.rebase().listed(),
    }))
}

fn pin_count(store: &shoal_store::Store) -> Result<u64, Failure> {
    let mut count = 0;
    sharing::for_each_pin(store, &mut |_, _| count += 1)?;
    Ok(count)
}
