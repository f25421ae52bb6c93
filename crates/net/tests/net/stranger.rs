//! A peer that is not of this package: stock libp2p with nothing but the behaviour it is given.
//!
//! It runs in a task of its own until it is dropped. Some tests want one that speaks less than a
//! node does, others one that says what a node never would.

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running swarm.
pub(crate) struct Stranger {
    pub(crate) id: PeerId,
    pub(crate) addr: Multiaddr,
    task: JoinHandle<()>,
}

impl Stranger {
    /// Listens on loopback with this behaviour; `react` sees its events.
    pub(crate) async fn new<B: NetworkBehaviour + Send>(
        behaviour: B,
        react: impl FnMut(&mut B, B::ToSwarm) + Send + 'static,
    ) -> Self
    where
        B::ToSwarm: Send,
    {
        Self::run(Keypair::generate_ed25519(), behaviour, react).await
    }

    /// The same with a behaviour that must know its identity, and nobody to react.
    pub(crate) async fn with_identity<B: NetworkBehaviour + Send>(
        identity: Keypair,
        behaviour: impl FnOnce(&Keypair) -> B,
    ) -> Self
    where
        B::ToSwarm: Send,
    {
        let behaviour = behaviour(&identity);
        Self::run(identity, behaviour, |_, _| {}).await
    }

    async fn run<B: NetworkBehaviour + Send>(
        identity: Keypair,
        behaviour: B,
        mut react: impl FnMut(&mut B, B::ToSwarm) + Send + 'static,
    ) -> Self
    where
        B::ToSwarm: Send,
    {
        let mut swarm = SwarmBuilder::with_existing_identity(identity)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap_or_else(|never| match never {})
            .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(super::node::PATIENCE))
            .build();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let id = *swarm.local_peer_id();
        let (sender, addr) = oneshot::channel();
        let mut sender = Some(sender);
        let task = tokio::spawn(async move {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::NewListenAddr { address, .. } => {
                        if let Some(sender) = sender.take() {
                            sender.send(address).unwrap();
                        }
                    }
                    SwarmEvent::Behaviour(event) => react(swarm.behaviour_mut(), event),
                    _ => {}
                }
            }
        });
        Self { id, addr: addr.await.unwrap(), task }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}
