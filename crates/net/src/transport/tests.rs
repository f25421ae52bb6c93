//! Ours and the stock libp2p stack against each other, over TCP on loopback, in both directions.
//!
//! A ping that comes back shows that security, muxer and streams agree. The stock side is built
//! from libp2p's own upgrades: both kinds of security, or one of them only. A peer with another
//! id than the one dialled is refused.

use std::time::Duration;

use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, ping, tls, yamux};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A swarm that pings at once, over this security and muxer.
macro_rules! swarm {
    ($security:expr, $muxer:expr) => {
        SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp_config(), $security, $muxer)
            .expect("a new key has a certificate")
            .with_behaviour(|_| ping::Behaviour::default())
            .expect("it cannot fail")
            .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
            .build()
    };
}

fn ours() -> Swarm<ping::Behaviour> {
    swarm!((TlsUpgrade::new, noise::Config::new), MuxUpgrade::new)
}

fn stock() -> Swarm<ping::Behaviour> {
    swarm!((tls::Config::new, noise::Config::new), yamux::Config::default)
}

fn stock_with_noise() -> Swarm<ping::Behaviour> {
    swarm!(noise::Config::new, yamux::Config::default)
}

fn stock_with_tls() -> Swarm<ping::Behaviour> {
    swarm!(tls::Config::new, yamux::Config::default)
}

async fn listen(swarm: &mut Swarm<ping::Behaviour>) -> Multiaddr {
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// Runs a swarm until a ping has come back.
async fn pinged(swarm: &mut Swarm<ping::Behaviour>) -> PeerId {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(ping::Event { peer, result: Ok(_), .. }) => return peer,
            SwarmEvent::Behaviour(ping::Event { result: Err(error), .. }) => panic!("{error}"),
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
            SwarmEvent::IncomingConnectionError { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

async fn check(mut dialer: Swarm<ping::Behaviour>, mut listener: Swarm<ping::Behaviour>) {
    let addr = listen(&mut listener).await;
    let (from, to) = (*dialer.local_peer_id(), *listener.local_peer_id());
    dialer.dial(addr.with_p2p(to).unwrap()).unwrap();
    // Both keep running until both are done: a swarm that is not polled answers no ping.
    let both = async {
        let (mut at_dialer, mut at_listener) = (None, None);
        while at_dialer.is_none() || at_listener.is_none() {
            tokio::select! {
                peer = pinged(&mut dialer) => at_dialer = Some(peer),
                peer = pinged(&mut listener) => at_listener = Some(peer),
            }
        }
        (at_dialer, at_listener)
    };
    let seen = timeout(PATIENCE, both).await.expect("pings come back");
    assert_eq!(seen, (Some(to), Some(from)));
}

#[tokio::test]
async fn ours_dials_and_is_dialled_by_ours_and_by_stock() {
    check(ours(), ours()).await;
    check(ours(), stock()).await;
    check(stock(), ours()).await;
}

#[tokio::test]
async fn peers_with_only_one_kind_of_security_are_reached() {
    check(ours(), stock_with_noise()).await;
    check(stock_with_noise(), ours()).await;
    check(ours(), stock_with_tls()).await;
    check(stock_with_tls(), ours()).await;
}

#[tokio::test]
async fn another_peer_than_the_one_dialled_is_refused() {
    for mut listener in [ours(), stock()] {
        let addr = listen(&mut listener).await;
        let mut dialer = ours();
        dialer.dial(addr.with_p2p(PeerId::random()).unwrap()).unwrap();
        let refused = async {
            loop {
                tokio::select! {
                    event = dialer.select_next_some() => match event {
                        SwarmEvent::OutgoingConnectionError { error, .. } => return error,
                        SwarmEvent::ConnectionEstablished { .. } => panic!("connected"),
                        _ => {}
                    },
                    _ = listener.select_next_some() => {}
                }
            }
        };
        let error = timeout(PATIENCE, refused).await.expect("it is refused");
        assert!(matches!(error, libp2p::swarm::DialError::WrongPeerId { .. }), "{error:?}");
    }
}
