//! Blocks and messages over the native stream, between two nodes.
//!
//! Both directions at once, what is absent, what was not asked for, and what does not match its
//! CID. The test plays the engine: it serves what is requested.

use shoal_net::NetEvent;
use shoal_swarm::{Event, Holding, Message, Receipt, Served};

use super::node::{Node, ask, ask_both_ways, block, pair};

/// The receipts of the next `count` blocks.
async fn receipts(node: &mut Node, count: usize) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    while receipts.len() < count {
        let receipt = node.expect(|event| match event {
            NetEvent::Swarm(Event::Received { receipt, .. }) => Some(receipt),
            _ => None,
        });
        receipts.push(receipt.await);
    }
    receipts
}

#[tokio::test]
async fn blocks_go_both_ways_at_once() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let (of_a, of_b) = ask_both_ways((&a, b_at_a), (&b, a_at_b));
    serve_request(&mut a, b_at_a).await;
    serve_request(&mut b, a_at_b).await;
    let (at_a, at_b) = tokio::join!(receipts(&mut a, 10), receipts(&mut b, 40));
    let stored = Receipt::Stored { links: None };
    assert!(at_a.iter().chain(&at_b).all(|receipt| *receipt == stored));
    assert!(of_a.iter().all(|(cid, data)| b.blocks.0.lock().unwrap()[cid] == data));
    assert!(of_b.iter().all(|(cid, data)| a.blocks.0.lock().unwrap()[cid] == data));
}

/// Waits for a request and serves all of it.
async fn serve_request(node: &mut Node, from: shoal_swarm::PeerNo) {
    let cids = node.expect(|event| match event {
        NetEvent::Swarm(Event::Message { peer, message: Message::Request { cids, .. } }) => {
            assert_eq!(peer, from);
            Some(cids)
        }
        _ => None,
    });
    let cids = cids.await;
    assert!(node.net.serve(from, cids, true));
}

#[tokio::test]
async fn each_served_block_is_told_and_what_is_absent_too() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let here = block(1, 2 << 20);
    let missing = block(2, 100);
    a.hold(std::slice::from_ref(&here));
    let asks = [&here, &missing].map(|(cid, _)| ask(*cid));
    assert!(b.net.ask(a_at_b, here.0, asks.to_vec(), 0));
    serve_request(&mut a, b_at_a).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let sent = a.expect(|event| match event {
            NetEvent::Swarm(Event::Sent { cid, len, outcome, .. }) => Some((cid, len, outcome)),
            _ => None,
        });
        told.push(sent.await);
    }
    assert!(told.contains(&(here.0, 2 << 20, Served::Done)));
    assert!(told.contains(&(missing.0, 0, Served::Absent)));
    assert_eq!(receipts(&mut b, 1).await, [Receipt::Stored { links: None }]);
    assert!(b.has(&here.0));
}

#[tokio::test]
async fn a_block_that_was_not_asked_for_is_not_kept() {
    let (a, b_at_a, mut b, _) = pair().await;
    let unwanted = block(7, 1000);
    a.hold(std::slice::from_ref(&unwanted));
    assert!(a.net.serve(b_at_a, vec![unwanted.0], true));
    assert_eq!(receipts(&mut b, 1).await, [Receipt::Unrequested]);
    assert!(!b.has(&unwanted.0));
}

#[tokio::test]
async fn bytes_that_do_not_match_are_not_kept() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let (cid, _) = block(1, 1000);
    a.hold(&[(cid, block(2, 1000).1)]);
    assert!(b.net.ask(a_at_b, cid, vec![ask(cid)], 0));
    serve_request(&mut a, b_at_a).await;
    assert_eq!(receipts(&mut b, 1).await, [Receipt::Corrupt]);
    assert!(!b.has(&cid));
}

#[tokio::test]
async fn messages_arrive_as_they_were_sent() {
    let (a, b_at_a, mut b, _) = pair().await;
    let root = block(1, 10).0;
    let message = Message::Join { root, holding: Holding::Part, reply: false };
    assert!(a.net.send(b_at_a, message.clone()));
    let got = b.expect(|event| match event {
        NetEvent::Swarm(Event::Message { message, .. }) => Some(message),
        _ => None,
    });
    assert_eq!(got.await, message);
}
