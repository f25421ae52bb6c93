//! A node for the tests: its handle, its events, and blocks in memory.
//!
//! It listens on 127.0.0.1 at a port of the system's choice, in the isolated network. Events are
//! taken as they come, so that a node that a test does not look at does not stall.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Cid, Version};
use shoal_net::{
    BlockRead, Blocks, Config, KeepError, Keypair, Multiaddr, Net, NetEvent, Network, NoRecords,
    PeerId, Records, start,
};
use shoal_swarm::{Ask, PeerNo, Place};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No event takes so long on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Events of a node that its test has not looked at; no test makes as many.
const EVENTS_MAX: usize = 1 << 16;

/// Blocks in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub(crate) Mutex<HashMap<Cid, Bytes>>);

impl Blocks for Memory {
    fn read(&self, cid: &Cid, _: bool) -> BlockRead {
        let blocks = self.0.lock().unwrap();
        blocks.get(cid).cloned().map_or(BlockRead::Absent, BlockRead::Found)
    }

    fn public_len(&self, cid: &Cid) -> Option<u32> {
        self.0.lock().unwrap().get(cid).map(|data| data.len() as u32)
    }

    fn keep(&self, cid: &Cid, _: Option<&Place>, data: Bytes) -> Result<(), KeepError> {
        self.0.lock().unwrap().insert(*cid, data);
        Ok(())
    }
}

/// A block made of a seed, and its CID.
pub(crate) fn block(seed: u64, len: usize) -> (Cid, Bytes) {
    let mut data = seed.to_le_bytes().repeat(len / 8 + 1);
    data.truncate(len);
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data.into())
}

/// An ask without a place.
pub(crate) fn ask(cid: Cid) -> Ask {
    Ask { cid, place: None }
}

/// Blocks that a node holds.
pub(crate) type Held = Vec<(Cid, Bytes)>;

/// Each of two nodes holds blocks, small or large, and asks for those of the other, which it knows by this
/// number. What `a` holds, and what `b`.
pub(crate) fn ask_both_ways(
    (a, b_at_a): (&Node, PeerNo),
    (b, a_at_b): (&Node, PeerNo),
) -> (Held, Held) {
    let of_a: Vec<_> = (0..40).map(|i| block(i, 60_000 + i as usize)).collect();
    let of_b: Vec<_> = (100..110).map(|i| block(i, 300_000)).collect();
    a.hold(&of_a);
    b.hold(&of_b);
    let root = of_a[0].0;
    assert!(a.net.ask(b_at_a, root, of_b.iter().map(|(cid, _)| ask(*cid)).collect(), 0));
    assert!(b.net.ask(a_at_b, root, of_a.iter().map(|(cid, _)| ask(*cid)).collect(), 5_000));
    (of_a, of_b)
}

/// A running node.
pub(crate) struct Node {
    pub(crate) net: Net,
    pub(crate) blocks: Arc<Memory>,
    pub(crate) addr: Multiaddr,
    /// Every peer that was ever up.
    pub(crate) met: Arc<Mutex<HashSet<PeerId>>>,
    events: mpsc::Receiver<NetEvent>,
}

impl Node {
    /// A node that listens on loopback and knows these peers.
    pub(crate) async fn new(known: &[&Self]) -> Self {
        Self::with(known, |_| {}).await
    }

    /// A node whose configuration is changed first.
    pub(crate) async fn with(known: &[&Self], change: impl FnOnce(&mut Config)) -> Self {
        Self::judging(known, NoRecords, change).await
    }

    /// A node that keeps value records by this judgement.
    pub(crate) async fn judging(
        known: &[&Self],
        records: impl Records,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::new(Keypair::generate_ed25519(), Network::Isolated);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        config.bootstrap = known.iter().map(|node| node.full_addr()).collect();
        change(&mut config);
        let listens = !config.listen.is_empty();
        let blocks = Arc::new(Memory::default());
        let (net, mut receiver) =
            start(config, Arc::clone(&blocks) as _, Arc::new(records)).await.unwrap();
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let met = Arc::new(Mutex::new(HashSet::new()));
        let met_here = Arc::clone(&met);
        // Events are taken at once, so that nodes nobody looks at do not stall.
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                if let NetEvent::PeerUp { id, .. } = &event {
                    met_here.lock().unwrap().insert(*id);
                }
                if sender.send(event).await.is_err() {
                    while receiver.recv().await.is_some() {}
                }
            }
        });
        let mut node = Self { net, blocks, addr: Multiaddr::empty(), met, events };
        if listens {
            node.addr = node
                .expect(|event| match event {
                    NetEvent::Listening(addr) => Some(addr),
                    _ => None,
                })
                .await;
        }
        node
    }

    pub(crate) fn id(&self) -> PeerId {
        self.net.peer_id()
    }

    pub(crate) fn full_addr(&self) -> Multiaddr {
        self.addr.clone().with_p2p(self.id()).unwrap()
    }

    pub(crate) fn hold(&self, blocks: &[(Cid, Bytes)]) {
        self.blocks.0.lock().unwrap().extend(blocks.iter().cloned());
    }

    pub(crate) fn has(&self, cid: &Cid) -> bool {
        self.blocks.0.lock().unwrap().contains_key(cid)
    }

    /// Waits for an event, dropping others.
    #[track_caller]
    pub(crate) fn expect<T>(
        &mut self,
        mut wanted: impl FnMut(NetEvent) -> Option<T>,
    ) -> impl Future<Output = T> {
        let caller = std::panic::Location::caller();
        async move {
            let found = async {
                loop {
                    let event = self.events.recv().await.expect("the network layer runs");
                    if let Some(value) = wanted(event) {
                        return value;
                    }
                }
            };
            let Ok(value) = timeout(PATIENCE, found).await else {
                panic!("waited in vain at {caller}");
            };
            value
        }
    }

    /// Waits until the routing table holds so many.
    pub(crate) async fn expect_known(&self, count: usize) {
        let known = async {
            while self.net.known_peers() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, known).await.expect("they meet");
    }

    /// The events that are left after shutdown.
    pub(crate) async fn rest(&mut self) -> Vec<NetEvent> {
        let mut rest = Vec::new();
        while let Some(event) = timeout(PATIENCE, self.events.recv()).await.expect("they end") {
            rest.push(event);
        }
        rest
    }

    pub(crate) async fn expect_up(&mut self, who: PeerId) -> PeerNo {
        self.expect(|event| match event {
            NetEvent::PeerUp { peer, id, .. } if id == who => Some(peer),
            _ => None,
        })
        .await
    }

    pub(crate) async fn expect_down(&mut self, who: PeerNo) {
        self.expect(|event| match event {
            NetEvent::PeerDown { peer } if peer == who => Some(()),
            _ => None,
        })
        .await;
    }
}

/// Two nodes with a stream between them, and the number each has for the other.
pub(crate) async fn pair() -> (Node, PeerNo, Node, PeerNo) {
    let mut a = Node::new(&[]).await;
    let mut b = Node::new(&[&a]).await;
    let b_at_a = a.expect_up(b.id()).await;
    let a_at_b = b.expect_up(a.id()).await;
    (a, b_at_a, b, a_at_b)
}
