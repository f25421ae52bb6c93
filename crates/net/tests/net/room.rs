//! Room for newcomers: who goes when a node is full, and who stays.
//!
//! The grace of young connections is a second; newcomers that are refused try again, as a node does.

use std::time::Duration;

use shoal_dag::Cid;
use shoal_net::NetEvent;
use shoal_swarm::{Event, PeerNo, Receipt};

use super::node::{Node, ask, block};

/// Connections of the full node; eight of them may come from outside.
const CONNECTIONS: u32 = 10;

/// Peers that come, one after the other: more than fit.
const NEWCOMERS: usize = 15;

/// Asks a peer for a block, which comes.
async fn take(node: &mut Node, peer: PeerNo, cid: Cid) {
    assert!(node.net.ask(peer, cid, vec![ask(cid)], 0), "its stream is up");
    let came = node.expect(|event| match event {
        NetEvent::Swarm(Event::Received { peer: from, receipt, .. }) if from == peer => {
            Some(receipt)
        }
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
    let giver = come(&full).await;
    giver.hold(&[(cid, data)]);
    let number = full.expect_up(giver.id()).await;
    let mut newcomers = Vec::new();
    for _ in 0..NEWCOMERS {
        take(&mut full, number, cid).await;
        newcomers.push(come(&full).await);
        let connected = full.net.connected();
        assert!(connected.len() <= CONNECTIONS as usize, "{}", connected.len());
    }
    // Over the same stream as at the beginning, which is the oldest of all.
    take(&mut full, number, cid).await;
}
