//! The line to other peers: questions, searches and gossip about names, over the network that the swarm task owns.
//!
//! The swarm task hands its [`Net`] over when it starts, and passes on every event that concerns names. What
//! belongs to somebody who waits (an answer, what a search finds) goes straight to them; what comes from others (their questions,
//! gossip, records, new peers) waits as an [`Arrival`] for the worker in [`super::follow`]. Nothing here blocks: an
//! arrival that finds its queue full is dropped, and gossip about it ignored, since heads are told again.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex as SyncMutex;
use shoal_dag::Cid;
use shoal_ledger::{
    LedgerId,
    question::{Answer, Question},
};
use shoal_net::{
    AskError, GossipId, GossipVerdict, Net, NetEvent, PeerId, PeerInfo, PeerProtocol, QueryId,
    QuestionId,
};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};

/// Arrivals that wait for the worker: a burst of heads from every connected peer.
const ARRIVALS_MAX: usize = 256;

/// What a search found and its owner has not taken yet: as many records and providers as a search tells at most.
const FOUND_MAX: usize = 64;

/// Longest wait for an answer: above the deadline of the network layer, so that its word comes first.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// What comes from others unasked.
#[derive(Debug)]
pub enum Arrival {
    /// A peer asks.
    Question {
        /// Who.
        from: PeerId,
        /// To answer to.
        question: QuestionId,
        /// What.
        bytes: Vec<u8>,
    },
    /// A record that a peer gossips.
    Gossip {
        /// On which topic.
        topic: String,
        /// The neighbour that passed it on.
        from: PeerId,
        /// To be judged by.
        gossip: GossipId,
        /// The record.
        bytes: Vec<u8>,
    },
    /// A record that a peer put to us for the DHT.
    Record {
        /// Of which name.
        name: LedgerId,
        /// The record.
        bytes: Vec<u8>,
    },
    /// A Shoal peer has connected.
    Peer(PeerId),
    /// The network is up.
    Online,
    /// A record of ours is with that many peers.
    Put {
        /// Its key in the DHT.
        key: Vec<u8>,
        /// Peers that have it.
        reached: usize,
    },
}

/// What a search finds.
#[derive(Debug)]
pub enum Found {
    /// A record under the key.
    Record {
        /// The record, not judged yet.
        bytes: Vec<u8>,
        /// Who had it; none for ourselves.
        from: Option<PeerId>,
    },
    /// A peer that provides.
    Provider(PeerId),
    /// It has ended: so many peers answered, and these lack the record.
    Done {
        /// Peers that answered.
        answered: u32,
        /// Close peers without it.
        without: Vec<PeerId>,
    },
}

#[derive(Debug, Default)]
struct Pending {
    answers: HashMap<QuestionId, oneshot::Sender<Result<Vec<u8>, AskError>>>,
    searches: HashMap<QueryId, mpsc::Sender<Found>>,
}

/// The line of one node.
#[derive(Debug)]
pub struct Line {
    net: watch::Sender<Option<Net>>,
    pending: Mutex<Pending>,
    arrived: mpsc::Sender<Arrival>,
    /// Told whenever a peer has connected.
    connected: Notify,
    arrivals: SyncMutex<Option<mpsc::Receiver<Arrival>>>,
}

impl Default for Line {
    fn default() -> Self {
        let (arrived, arrivals) = mpsc::channel(ARRIVALS_MAX);
        Self {
            net: watch::Sender::new(None),
            pending: Mutex::default(),
            arrived,
            connected: Notify::new(),
            arrivals: SyncMutex::new(Some(arrivals)),
        }
    }
}

impl Line {
    /// The network is up.
    pub fn connect(&self, net: Net) {
        self.net.send_replace(Some(net));
        self.arrive(Arrival::Online);
    }

    /// The network, if it is up.
    pub fn net(&self) -> Option<Net> {
        self.net.borrow().clone()
    }

    /// The queue of arrivals; it is given out once.
    pub fn take_arrivals(&self) -> Option<mpsc::Receiver<Arrival>> {
        self.arrivals.lock().take()
    }

    /// Notes something that came unasked; false when too much waits already.
    pub fn arrive(&self, arrival: Arrival) -> bool {
        if matches!(arrival, Arrival::Peer(_)) {
            self.connected.notify_waiters();
        }
        self.arrived.try_send(arrival).is_ok()
    }

    /// Takes an event of the network that concerns names.
    pub async fn event(&self, event: NetEvent) {
        match event {
            NetEvent::Answer { question, result, .. } => {
                if let Some(asker) = self.pending.lock().await.answers.remove(&question) {
                    let _gone = asker.send(result);
                }
            }
            NetEvent::Value { query, value, from, .. } => {
                self.found(query, Found::Record { bytes: value, from }).await;
            }
            NetEvent::ValueDone { query, answered, without, .. } => {
                self.ended(query, Found::Done { answered, without }).await;
            }
            NetEvent::Providers { query, providers, .. } => {
                for (id, addrs) in providers {
                    if let Some(net) = self.net()
                        && !addrs.is_empty()
                    {
                        net.dial(id, addrs).await;
                    }
                    self.found(query, Found::Provider(id)).await;
                }
            }
            NetEvent::QueryDone { query, answered, .. } => {
                self.ended(query, Found::Done { answered, without: Vec::new() }).await;
            }
            NetEvent::ValuePut { key, result: Ok(reached) } => {
                self.arrive(Arrival::Put { key, reached });
            }
            NetEvent::Question { from, question, bytes } => {
                self.arrive(Arrival::Question { from, question, bytes });
            }
            NetEvent::Gossip { topic, from, gossip, bytes } => {
                if !self.arrive(Arrival::Gossip { topic, from, gossip, bytes })
                    && let Some(net) = self.net()
                {
                    net.judge_gossip(gossip, GossipVerdict::Ignore).await;
                }
            }
            _ => {}
        }
    }

    async fn found(&self, query: QueryId, found: Found) {
        if let Some(owner) = self.pending.lock().await.searches.get(&query) {
            // An owner that does not take what is found loses it: the search tells more.
            let _full = owner.try_send(found);
        }
    }

    async fn ended(&self, query: QueryId, done: Found) {
        if let Some(owner) = self.pending.lock().await.searches.remove(&query) {
            let _full = owner.try_send(done);
        }
    }

    /// Asks a peer. Whatever it says is not verified.
    ///
    /// # Errors
    /// Why there is no answer. An answer that cannot be read is [`AskError::Broken`].
    pub async fn ask(&self, peer: PeerId, question: &Question) -> Result<Answer, AskError> {
        let net = self.net().ok_or(AskError::Unreachable)?;
        let (asker, answer) = oneshot::channel();
        let asked = {
            // Held until it is noted who waits: the answer cannot overtake that.
            let mut pending = self.pending.lock().await;
            let asked = net.question(peer, question.encode()).await;
            pending.answers.insert(asked, asker);
            asked
        };
        let answered = tokio::time::timeout(ANSWER_MAX, answer).await;
        if answered.is_err() {
            self.pending.lock().await.answers.remove(&asked);
        }
        let bytes = answered.map_err(|_| AskError::TimedOut)?.map_err(|_| AskError::Broken)??;
        Answer::decode(&bytes).map_err(|_| AskError::Broken)
    }

    /// Searches the DHT for the records of a key. The search ends when the receiver is dropped and something more is
    /// found, or by itself.
    pub async fn find_records(&self, key: Vec<u8>) -> Option<mpsc::Receiver<Found>> {
        let net = self.net()?;
        let (owner, found) = mpsc::channel(FOUND_MAX);
        let mut pending = self.pending.lock().await;
        pending.searches.retain(|_, owner| !owner.is_closed());
        let query = net.find_value(key).await;
        pending.searches.insert(query, owner);
        Some(found)
    }

    /// Searches the DHT for providers of a CID.
    pub async fn find_providers(&self, cid: Cid) -> Option<mpsc::Receiver<Found>> {
        let net = self.net()?;
        let (owner, found) = mpsc::channel(FOUND_MAX);
        let mut pending = self.pending.lock().await;
        pending.searches.retain(|_, owner| !owner.is_closed());
        let query = net.find_providers(cid).await;
        pending.searches.insert(query, owner);
        Some(found)
    }

    /// Resolves when a Shoal peer is connected.
    pub async fn has_peer(&self) {
        loop {
            // Made first: a peer that comes between the look and the wait is not missed.
            let connected = self.connected.notified();
            if !self.peers(1).is_empty() {
                return;
            }
            connected.await;
        }
    }

    /// The connected Shoal peers, at most that many.
    pub fn peers(&self, most: usize) -> Vec<PeerId> {
        let connected = self.net().map(|net| net.connected()).unwrap_or_default();
        let is_native = |info: &PeerInfo| info.protocol == Some(PeerProtocol::Native);
        let native = connected.into_iter().filter(is_native);
        native.map(|info| info.id).take(most).collect()
    }
}
