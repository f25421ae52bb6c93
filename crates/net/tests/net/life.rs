//! Connections: coming up, failing, ending.
//!
//! One number per peer even when both dial at once, another peer at an address, nobody at an
//! address, disconnecting, shutting down, and a port that is taken.

use std::time::Duration;

use shoal_net::{DialFailure, Keypair, NetEvent};
use shoal_swarm::{Message, PeerNo};
use tokio::time::timeout;

use super::node::{Node, block, pair};

#[tokio::test]
async fn both_ends_see_one_peer_with_its_agent() {
    let mut a = Node::new(&[]).await;
    let mut b = Node::new(&[&a]).await;
    let agent = |event| match event {
        NetEvent::PeerUp { agent, .. } => Some(agent),
        _ => None,
    };
    let expected = Some(format!("shoal/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(a.expect(agent).await, expected);
    assert_eq!(b.expect(agent).await, expected);
    let peers = a.net.connected();
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].id, peers[0].peer.is_some()), (b.id(), true));
    assert!(!peers[0].dialled && b.net.connected()[0].dialled);
}

#[tokio::test]
async fn peers_that_dial_each_other_at_once_agree_on_one_stream() {
    let mut a = Node::new(&[]).await;
    let mut b = Node::new(&[]).await;
    let (to_a, to_b) = (vec![a.addr.clone()], vec![b.addr.clone()]);
    tokio::join!(a.net.dial(b.id(), to_b), b.net.dial(a.id(), to_a));
    // Whatever streams come and go, in the end a message gets through in both directions.
    let root = block(1, 1).0;
    for (from, to) in [(&mut a, &mut b)] {
        exchange(from, to, root).await;
        exchange(to, from, root).await;
    }
}

/// Sends a message over whatever stream is up, until one arrives.
async fn exchange(from: &mut Node, to: &mut Node, root: shoal_dag::Cid) {
    let id = to.id();
    loop {
        let peers = from.net.connected();
        let peer = peers.iter().find(|info| info.id == id).and_then(|info| info.peer);
        let Some(peer) = peer else {
            from.expect_up(id).await;
            continue;
        };
        if !from.net.send(peer, Message::Leave { root }) {
            continue;
        }
        let arrived = to.expect(|event| match event {
            NetEvent::Swarm(shoal_swarm::Event::Message { .. }) => Some(()),
            _ => None,
        });
        if timeout(Duration::from_secs(2), arrived).await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn another_peer_at_the_address_is_refused() {
    let a = Node::new(&[]).await;
    let mut b = Node::new(&[]).await;
    let stranger = Keypair::generate_ed25519().public().to_peer_id();
    b.net.dial(stranger, vec![a.addr.clone()]).await;
    let reason = b.expect(|event| match event {
        NetEvent::DialFailed { id, reason } if id == stranger => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, DialFailure::WrongPeer(a.id()));
    assert!(b.net.connected().is_empty());
}

#[tokio::test]
async fn a_dial_that_nobody_answers_is_told() {
    let mut a = Node::new(&[]).await;
    let gone = Node::new(&[]).await;
    gone.net.shutdown().await;
    for (addrs, no_address) in [(vec![gone.addr.clone()], false), (vec![], true)] {
        a.net.dial(gone.id(), addrs).await;
        let reason = a.expect(|event| match event {
            NetEvent::DialFailed { reason, .. } => Some(reason),
            _ => None,
        });
        let reason = reason.await;
        assert_eq!(reason == DialFailure::NoAddress, no_address, "{reason:?}");
    }
}

#[tokio::test]
async fn disconnect_ends_the_stream_on_both_sides() {
    let (mut a, b_at_a, mut b, a_at_b) = pair().await;
    a.net.disconnect(b_at_a);
    a.expect_down(b_at_a).await;
    b.expect_down(a_at_b).await;
    assert!(!a.net.send(b_at_a, Message::Leave { root: block(1, 1).0 }));
    assert!(!a.net.send(PeerNo(999), Message::Leave { root: block(1, 1).0 }));
}

#[tokio::test]
async fn shutdown_frees_the_port_and_tells_the_peers() {
    let (a, _, mut b, a_at_b) = pair().await;
    timeout(Duration::from_secs(2), a.net.shutdown()).await.expect("shutdown is quick");
    b.expect_down(a_at_b).await;
    let addr = a.addr.clone();
    let again = Node::with(&[], |config| config.listen = vec![addr.clone()]).await;
    assert_eq!(again.addr, addr);
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let a = Node::new(&[]).await;
    let mut config =
        shoal_net::Config::new(Keypair::generate_ed25519(), shoal_net::Network::Isolated);
    config.listen = vec![a.addr.clone()];
    let blocks = std::sync::Arc::new(super::node::Memory::default());
    let error = shoal_net::start(config, blocks, std::sync::Arc::new(shoal_net::NoRecords))
        .await
        .expect_err("the port is taken");
    assert!(error.to_string().contains(&a.addr.to_string()), "{error}");
}
