//! Room for newcomers: who goes when a node is full, and who stays.
//!
//! The grace of young connections is a second; newcomers that are refused try again, as a node does.

use std::time::Duration;

use shoal_dag::Cid;
use shoal_net::NetEvent;
use shoal_swarm::{Event, Message, PeerNo, Receipt};

use super::node::{Node, ask, block};

/// Connections of the full node; eight of them may come from outside.
const CONNECTIONS: u32 = 10;

/// Peers that come, one after the other: more than fit.
const NEWCOMERS: usize = 15;

/// Takes a block from a giver, which knows the taker by the other number.
async fn take(taker: &mut Node, at_taker: PeerNo, giver: &mut Node, at_giver: PeerNo, cid: Cid) {
    assert!(taker.net.ask(at_taker, cid, vec![ask(cid)], 0), "its stream is up");
    let asked = giver.expect(|event| match event {
        NetEvent::Swarm(Event::Message { message: Message::Request { .. }, .. }) => Some(()),
        _ => None,
    });
    asked.await;
    assert!(giver.net.serve(at_giver, vec![cid], true), "its stream is up");
    let came = taker.expect(|event| match event {
        NetEvent::Swarm(Event::Received { receipt, .. }) => Some(receipt),
        _ => None,
    });
    assert_eq!(came.await, Receipt::Stored { links: None });
}

/// Comes until it is let in.
async fn come(to: &Node) -> Node {
    let mut newcomer = Node::new(&[]).await;
    loop {
        newcomer.net.dial(to.id(), vec![to.addr.clone()]).await;
        let let_in = newcomer.expect(|event| match event {
            NetEvent::PeerUp { .. } => Some(true),
            NetEvent::DialFailed { .. } => Some(false),
            _ => None,
        });
        if let_in.await {
            return newcomer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn newcomers_find_room_and_one_that_gives_keeps_its_place() {
    let mut full = Node::with(&[], |config| config.limits.connections_max = CONNECTIONS).await;
    let (cid, data) = block(1, 1_000);
    let mut giver = Node::new(&[&full]).await;
    giver.hold(&[(cid, data)]);
    let at_full = full.expect_up(giver.id()).await;
    let at_giver = giver.expect_up(full.id()).await;
    let mut newcomers = Vec::new();
    for _ in 0..NEWCOMERS {
        take(&mut full, at_full, &mut giver, at_giver, cid).await;
        newcomers.push(come(&full).await);
        let connected = full.net.connected();
        assert!(connected.len() <= CONNECTIONS as usize, "{}", connected.len());
    }
    // Over the same stream as at the beginning, which is the oldest of all.
    take(&mut full, at_full, &mut giver, at_giver, cid).await;
}
