//! Bitswap between two of our nodes, one of which has the native protocol switched off.
//!
//! The test plays the engine of both: it affirms, serves and refuses what is wanted. That a native
//! stream has precedence, and what becomes of a session when connections end, is here too.

use shoal_dag::Cid;
use shoal_net::{DialFailure, NetEvent, PeerProtocol};
use shoal_swarm::{Event, Holding, Message, PeerNo, Receipt, Served, Want};

use super::node::{Node, PATIENCE, ask, ask_both_ways, block};
use super::stranger::Stranger;

/// A node that speaks Bitswap only.
async fn without_native(known: &[&Node]) -> Node {
    Node::with(known, |config| config.native = false).await
}

/// Waits until a peer is up over Bitswap.
async fn bitswap_up(node: &mut Node, who: &Node) -> PeerNo {
    let who = who.id();
    let (peer, protocol) = node
        .expect(|event| match event {
            NetEvent::PeerUp { peer, id, protocol, .. } if id == who => Some((peer, protocol)),
            _ => None,
        })
        .await;
    assert_eq!(protocol, PeerProtocol::Bitswap);
    peer
}

/// A node with both protocols, one without the native one, and their numbers for each other.
async fn pair() -> (Node, PeerNo, Node, PeerNo) {
    let mut a = Node::new(&[]).await;
    let mut b = without_native(&[&a]).await;
    let b_at_a = bitswap_up(&mut a, &b).await;
    let a_at_b = bitswap_up(&mut b, &a).await;
    (a, b_at_a, b, a_at_b)
}

async fn wants(node: &mut Node, from: PeerNo) -> Vec<Want> {
    let wants = node.expect(|event| match event {
        NetEvent::Swarm(Event::Wants { peer, wants }) => {
            assert_eq!(peer, from);
            Some(wants)
        }
        _ => None,
    });
    wants.await
}

async fn message(node: &mut Node) -> Message {
    let message = node.expect(|event| match event {
        NetEvent::Swarm(Event::Message { message, .. }) => Some(message),
        _ => None,
    });
    message.await
}

async fn receipt(node: &mut Node) -> (Cid, Receipt) {
    let receipt = node.expect(|event| match event {
        NetEvent::Swarm(Event::Received { cid, receipt, .. }) => Some((cid, receipt)),
        _ => None,
    });
    receipt.await
}

const STORED: Receipt = Receipt::Stored { links: None };

#[tokio::test]
async fn blocks_go_both_ways_at_once() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let (of_a, of_b) = ask_both_ways((&a, b_at_a), (&b, a_at_b));
    for (node, from, blocks) in [(&mut a, b_at_a, &of_a), (&mut b, a_at_b, &of_b)] {
        let mut wanted = Vec::new();
        while wanted.len() < blocks.len() {
            wanted.extend(wants(node, from).await);
        }
        let here = blocks.iter().map(|(cid, data)| Want {
            cid: *cid,
            block: true,
            public: Some(data.len() as u32),
        });
        assert_eq!(wanted, here.collect::<Vec<_>>(), "in the order of asking");
        assert!(node.net.serve(from, wanted.iter().map(|want| want.cid).collect(), true));
    }
    for (node, blocks) in [(&mut a, &of_b), (&mut b, &of_a)] {
        for _ in blocks {
            assert_eq!(receipt(node).await.1, STORED);
        }
        assert!(blocks.iter().all(|(cid, data)| node.blocks.0.lock().unwrap()[cid] == data));
    }
}

#[tokio::test]
async fn the_largest_block_goes_and_what_is_absent_is_refused() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let (here, missing) = (block(1, 2 << 20), block(2, 100));
    a.hold(std::slice::from_ref(&here));
    assert!(b.net.ask(a_at_b, here.0, vec![ask(here.0), ask(missing.0)], 0));
    let mut wanted = Vec::new();
    while wanted.len() < 2 {
        wanted.extend(wants(&mut a, b_at_a).await);
    }
    assert_eq!((wanted[0].public, wanted[1].public), (Some(2 << 20), None));
    assert!(a.net.serve(b_at_a, vec![here.0, missing.0], true));
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
    assert!(a.net.send(b_at_a, Message::Refuse { cids: vec![missing.0] }));
    assert_eq!(receipt(&mut b).await, (here.0, STORED));
    assert_eq!(message(&mut b).await, Message::Refuse { cids: vec![missing.0] });
    // The refusal is answered by taking the want back, of which nothing is left by then: only a
    // later want shows that nothing waits.
    assert!(b.net.ask(a_at_b, here.0, vec![ask(missing.0)], 0));
    assert_eq!(wants(&mut a, b_at_a).await.len(), 1);
}

#[tokio::test]
async fn a_peer_joins_by_having_and_leaves_by_not_having() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let (root, other, lost) = (block(1, 5_000), block(2, 5_000), block(3, 10));
    a.hold(&[root.clone(), other.clone()]);
    assert!(b.net.seek(a_at_b, root.0, vec![root.0]));
    let want = Want { cid: root.0, block: false, public: Some(5_000) };
    assert_eq!(wants(&mut a, b_at_a).await, [want]);
    assert!(a.net.affirm(b_at_a, vec![root.0]));
    let join = |root| Message::Join { root, holding: Holding::All, reply: true };
    assert_eq!(message(&mut b).await, join(root.0));

    assert!(b.net.seek(a_at_b, lost.0, vec![lost.0, other.0]));
    assert_eq!(wants(&mut a, b_at_a).await.len(), 2);
    assert!(a.net.send(b_at_a, Message::Refuse { cids: vec![lost.0] }));
    assert!(a.net.affirm(b_at_a, vec![other.0]));
    assert_eq!(message(&mut b).await, join(lost.0), "a part is enough");

    assert!(b.net.seek(a_at_b, lost.0, vec![lost.0]));
    assert_eq!(wants(&mut a, b_at_a).await.len(), 1);
    assert!(a.net.send(b_at_a, Message::Refuse { cids: vec![lost.0] }));
    assert_eq!(message(&mut b).await, Message::Leave { root: lost.0 });
}

/// A small root comes instead of the word that it is there.
#[tokio::test]
async fn a_small_block_answers_for_itself() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    let root = block(1, 500);
    a.hold(std::slice::from_ref(&root));
    assert!(b.net.seek(a_at_b, root.0, vec![root.0]));
    let want = Want { cid: root.0, block: true, public: Some(500) };
    assert_eq!(wants(&mut a, b_at_a).await, [want]);
    assert!(a.net.serve(b_at_a, vec![root.0], false));
    assert_eq!(receipt(&mut b).await, (root.0, STORED));
    assert!(matches!(message(&mut b).await, Message::Join { .. }));
}

#[tokio::test]
async fn a_want_that_is_satisfied_elsewhere_is_taken_back() {
    let (mut a, b_at_a, b, a_at_b) = pair().await;
    let (cid, data) = block(1, 5_000);
    assert!(b.net.ask(a_at_b, cid, vec![ask(cid)], 0));
    assert_eq!(wants(&mut a, b_at_a).await.len(), 1);
    assert!(b.net.send(a_at_b, Message::Cancel { cids: vec![cid] }));
    assert_eq!(message(&mut a).await, Message::Cancel { cids: vec![cid] });
    // What is granted nevertheless is not sent.
    a.hold(&[(cid, data)]);
    assert!(a.net.serve(b_at_a, vec![cid], true));
    let sent = a.expect(|event| match event {
        NetEvent::Swarm(Event::Sent { outcome, .. }) => Some(outcome),
        _ => None,
    });
    assert_eq!(sent.await, Served::Absent);
    assert!(!b.has(&cid));
}

#[tokio::test]
async fn who_speaks_both_speaks_natively() {
    let mut a = Node::new(&[]).await;
    let mut b = Node::new(&[&a]).await;
    let (id_a, id_b) = (a.id(), b.id());
    for (node, who) in [(&mut a, id_b), (&mut b, id_a)] {
        let protocol = node.expect(|event| match event {
            NetEvent::PeerUp { id, protocol, .. } if id == who => Some(protocol),
            _ => None,
        });
        assert_eq!(protocol.await, PeerProtocol::Native);
    }
    let connected = b.net.connected();
    assert_eq!(connected[0].protocol, Some(PeerProtocol::Native));
}

#[tokio::test]
async fn a_dialled_peer_is_told_by_what_it_speaks() {
    let a = without_native(&[]).await;
    let mut b = Node::new(&[]).await;
    b.net.dial(a.id(), vec![a.addr.clone()]).await;
    bitswap_up(&mut b, &a).await;
    assert_eq!(b.net.connected()[0].protocol, Some(PeerProtocol::Bitswap));

    let mute = Stranger::with_identity(shoal_net::Keypair::generate_ed25519(), |key| {
        let config = libp2p::identify::Config::new("ipfs/0.1.0".into(), key.public());
        libp2p::identify::Behaviour::new(config)
    });
    let mute = mute.await;
    b.net.dial(mute.id, vec![mute.addr.clone()]).await;
    let failed = b.expect(|event| match event {
        NetEvent::DialFailed { id, reason } => Some((id, reason)),
        _ => None,
    });
    assert_eq!(failed.await, (mute.id, DialFailure::NotShoal));
}

#[tokio::test]
async fn a_session_ends_with_its_connection_and_begins_anew() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    b.net.disconnect(a_at_b);
    b.expect_down(a_at_b).await;
    a.expect_down(b_at_a).await;
    let apart = async {
        while !b.net.connected().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, apart).await.expect("the connection ends");
    b.net.dial(a.id(), vec![a.addr.clone()]).await;
    let a_at_b = bitswap_up(&mut b, &a).await;
    let b_at_a = bitswap_up(&mut a, &b).await;
    let (cid, data) = block(1, 5_000);
    a.hold(&[(cid, data)]);
    assert!(b.net.ask(a_at_b, cid, vec![ask(cid)], 0));
    assert_eq!(wants(&mut a, b_at_a).await.len(), 1);
    assert!(a.net.serve(b_at_a, vec![cid], true));
    assert_eq!(receipt(&mut b).await, (cid, STORED));
}
