//! A connection with gossip on it is closed when nothing else needs it, and not while a mesh does.
//!
//! Two swarms of stock libp2p with the wrapped behaviour. Without the wrapper the first test waits
//! in vain.

use std::time::Duration;

use futures::StreamExt;
use libp2p::gossipsub::{Event, IdentTopic};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::time::timeout;

use super::Quiet;
use crate::gossip::{self, Gossip};

/// No event takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_mins(1);
const IDLE: Duration = Duration::from_millis(300);

type Side = Swarm<Quiet<Gossip>>;

fn swarm() -> Side {
    let keypair = Keypair::generate_ed25519();
    let (behaviour, _door) = gossip::behaviour(keypair.clone()).unwrap();
    let tcp = SwarmBuilder::with_existing_identity(keypair).with_tokio().with_tcp(
        tcp::Config::default(),
        noise::Config::new,
        yamux::Config::default,
    );
    let swarm = tcp.unwrap().with_behaviour(|_| behaviour).unwrap();
    swarm.with_swarm_config(|config| config.with_idle_connection_timeout(IDLE)).build()
}

/// The next thing that either side tells.
async fn next(a: &mut Side, b: &mut Side) -> SwarmEvent<Event> {
    let event = async {
        tokio::select! {
            event = a.select_next_some() => event,
            event = b.select_next_some() => event,
        }
    };
    timeout(PATIENCE, event).await.expect("something happens")
}

/// Two swarms whose gossip streams are up: the second is told the subscription of the first.
async fn talking() -> (Side, Side) {
    let (mut a, mut b) = (swarm(), swarm());
    a.behaviour_mut().0.subscribe(&IdentTopic::new("/record/a")).unwrap();
    a.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    loop {
        match next(&mut a, &mut b).await {
            SwarmEvent::NewListenAddr { address, .. } => b.dial(address).unwrap(),
            SwarmEvent::Behaviour(Event::Subscribed { .. }) => return (a, b),
            SwarmEvent::ConnectionClosed { .. } => panic!("closed too early"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn open_streams_do_not_keep_a_connection() {
    let (mut a, mut b) = talking().await;
    let mut closed = 0;
    while closed < 2 {
        if let SwarmEvent::ConnectionClosed { .. } = next(&mut a, &mut b).await {
            closed += 1;
        }
    }
}

#[tokio::test]
async fn a_mesh_keeps_it() {
    let (mut a, mut b) = talking().await;
    b.behaviour_mut().0.subscribe(&IdentTopic::new("/record/a")).unwrap();
    let closed = async {
        loop {
            if let SwarmEvent::ConnectionClosed { .. } = next(&mut a, &mut b).await {
                break;
            }
        }
    };
    assert!(timeout(4 * IDLE, closed).await.is_err(), "it would have been idle long ago");
}
