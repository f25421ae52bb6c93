//! `shoal id`, `shoal peers` and `shoal status`: what the node says of itself.
//!
//! `peers` and `status` ask a running peer only and never open the store: without one they end with
//! exit code 10, and with 11 when it does not answer. Addresses and agents are strangers' words and are escaped.

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::Ask,
    json::{self, Details, Line},
    output::Output,
    progress::{size, time},
    report::{End, Report, unexpected},
};
use crate::control::protocol::{
    Outcome, PeerLine, Rebasing, Request, Status, dropped::DroppedLine,
};

/// Print this node's peer id, and the addresses that it listens on
#[derive(Debug, Args)]
pub(crate) struct IdArgs {}

/// List the peers that the running peer is connected to
///
/// A line for each: its peer id, its address, bytes sent to it, bytes received from it, what it speaks
/// (`native`, `bitswap`, or `-` for neither), the points it has for what it did wrong (at 120 it is
/// dropped), what that was as KIND:COUNT with commas or `-`, and the program that it says it is. Then a
/// line for each peer whose connection was ended here lately, the newest last: `dropped`, its peer id,
/// its address, when, its points, what it did wrong, and why.
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {}

/// Show how the running peer is doing
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

/// Runs `id`.
pub(crate) async fn id(context: &mut Context) -> Result<Report, End> {
    let outcome = context.ask(&mut Ask(Request::Id)).await?;
    let Outcome::Identity { peer, addresses } = outcome else {
        return Err(unexpected(&outcome));
    };
    let output = &mut context.console.output;
    if !output.is_json() {
        output.line(peer.as_bytes()).await?;
        for address in &addresses {
            output.line(address.as_bytes()).await?;
        }
        output.flush().await?;
    }
    Ok(Report::done(Details::Identity { peer, addresses }))
}

/// Runs `peers`.
pub(crate) async fn peers(context: &mut Context) -> Result<Report, End> {
    let outcome = context.ask_running(&mut Ask(Request::Peers)).await?;
    let Outcome::Peers { connected: peers, dropped } = outcome else {
        return Err(unexpected(&outcome));
    };
    let output = &mut context.console.output;
    for peer in &peers {
        if output.is_json() {
            output.object(&Line::from(peer)).await?;
        } else {
            output.line(peer_line(peer).as_bytes()).await?;
        }
    }
    for peer in &dropped {
        if output.is_json() {
            output.object(&Line::from(peer)).await?;
        } else {
            output.line(dropped_line(peer).as_bytes()).await?;
        }
    }
    output.flush().await?;
    let (peers, dropped) = (peers.len() as u64, dropped.len() as u64);
    Ok(Report::done(Details::Peers { peers, dropped }))
}

/// What a peer calls itself is a stranger's text: it is escaped wherever it goes.
fn peer_line(peer: &PeerLine) -> String {
    let PeerLine { peer, address, agent, protocol, sent, received, points, violations, .. } = peer;
    let (faults, agent) = (faults(violations), escape(agent.as_bytes()));
    format!("{peer} {address} {sent} {received} {protocol} {points} {faults} {agent}")
}

fn dropped_line(dropped: &DroppedLine) -> String {
    let DroppedLine { peer, address, at_unix_s, reason, points, violations, .. } = dropped;
    let (at, faults) = (json::rfc3339(*at_unix_s as i64, 0), faults(violations));
    format!("dropped {peer} {address} {at} {points} {faults} {reason}")
}

/// What a peer did wrong, in one word.
fn faults(violations: &[(String, u64)]) -> String {
    let counted = violations.iter().map(|(kind, count)| format!("{kind}:{count}"));
    let counted: Vec<String> = counted.collect();
    if counted.is_empty() { "-".to_owned() } else { counted.join(",") }
}

/// Runs `status`.
pub(crate) async fn status(context: &mut Context) -> Result<Report, End> {
    let outcome = context.ask_running(&mut Ask(Request::Status)).await?;
    let Outcome::Status(status) = outcome else {
        return Err(unexpected(&outcome));
    };
    table(&mut context.console.output, &rows(&status)).await?;
    Ok(Report::done(json::status(&status)))
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("peer", status.peer.clone()),
        ("pid", status.pid.to_string()),
        ("up", time(std::time::Duration::from_millis(status.uptime_ms))),
        ("network", status.network.clone()),
    ];
    rows.extend(status.addresses.iter().map(|address| ("address", address.clone())));
    rows.extend([
        ("peers", status.peers.to_string()),
        ("pins", status.pins.to_string()),
        ("blocks", status.blocks.to_string()),
        ("stored", size(status.bytes)),
        ("announced", status.announced.to_string()),
        ("to announce", status.announce_queue.to_string()),
        ("fetches", status.fetches.to_string()),
        ("seeding on", status.seeding_on.to_string()),
        ("sent", size(status.sent)),
        ("received", size(status.received)),
    ]);
    rows.extend(rebasing(&status.rebasing).map(|said| ("rebasing", said)));
    let violations = status.violations.iter();
    rows.extend(violations.map(|(kind, count)| ("violations", format!("{count} {kind}"))));
    rows
}

/// What is done to make newest versions whole, if anything.
fn rebasing(rebasing: &Rebasing) -> Option<String> {
    let mut said = Vec::new();
    said.extend(rebasing.paused.then(|| "paused".to_owned()));
    said.extend(rebasing.now.clone());
    said.extend((rebasing.waiting > 0).then(|| format!("{} waiting", rebasing.waiting)));
    said.extend((rebasing.in_use > 0).then(|| format!("{} in use", rebasing.in_use)));
    (!said.is_empty()).then(|| said.join(", "))
}

/// Prints names and values in two columns, unless lines are objects: then the outcome has them.
pub(crate) async fn table(output: &mut Output, rows: &[(&'static str, String)]) -> Result<(), End> {
    if output.is_json() {
        return Ok(());
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        output.line(format!("{name:width$}  {value}").as_bytes()).await?;
    }
    output.flush().await
}
