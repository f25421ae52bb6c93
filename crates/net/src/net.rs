//! The handle by which the node drives the network, and the function that starts it.
//!
//! What concerns one peer (`send`, `ask`, `serve`, `disconnect`) goes straight into the queue of
//! the task that owns the peer's stream: it never waits and makes no hop through the driver. A
//! peer whose queue is full has not read for seconds and is dropped. Everything else goes through
//! the driver's bounded queue and waits for room; the driver takes commands even while its own
//! events wait for the node, so the two cannot block each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use shoal_dag::Cid;
use shoal_swarm::{Ask, Message, PeerNo};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocks::Blocks;
use crate::config::{Config, NetError};
use crate::driver::{Command, Driver};
use crate::event::{EVENTS_MAX, GossipId, NetEvent, PeerInfo, QueryId, QuestionId};
use crate::native::{StreamCommand, Surroundings};
use crate::records::Records;
use crate::shared::Shared;

/// Commands that wait for the driver; callers wait beyond it.
const COMMANDS_MAX: usize = 256;
/// How long [`Net::shutdown`] waits for the tasks: well under the 2 s that SIGTERM is given.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// What is to be done with a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GossipVerdict {
    /// Valid and news: pass it on.
    Accept,
    /// Valid or not, it is no news: neither passed on nor held against anybody.
    Ignore,
    /// Invalid: it counts against whoever sent it.
    Reject,
}

/// A handle on the running network layer; clones share it. The network ends at `shutdown`.
#[derive(Debug, Clone)]
pub struct Net {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    token: CancellationToken,
    tasks: TaskTracker,
}

/// Starts the network layer in tasks of the current tokio runtime.
///
/// Returns once every address of `config.listen` is bound; bootstrap peers are dialled meanwhile.
///
/// # Errors
/// [`NetError`] when an address cannot be listened on or the transport cannot be made.
pub async fn start(
    config: Config,
    blocks: Arc<dyn Blocks>,
    records: Arc<dyn Records>,
) -> Result<(Net, mpsc::Receiver<NetEvent>), NetError> {
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
    let token = CancellationToken::new();
    let tasks = TaskTracker::new();
    let shared = Arc::new(Shared::new(config.keypair.public().to_peer_id()));
    let surroundings = Surroundings {
        shared: Arc::clone(&shared),
        blocks,
        events,
        token: token.clone(),
        tasks: tasks.clone(),
    };
    let driver = Driver::new(config, surroundings, records, command_receiver)?;
    tasks.spawn(driver.run());
    Ok((Net { shared, commands, token, tasks }, receiver))
}

impl Net {
    /// The identity of this node.
    pub fn peer_id(&self) -> PeerId {
        self.shared.id
    }

    /// The addresses listened on now.
    pub fn listeners(&self) -> Vec<Multiaddr> {
        self.shared.listeners.read().clone()
    }

    /// The connected peers, native or not.
    pub fn connected(&self) -> Vec<PeerInfo> {
        let mut peers: Vec<_> = self.shared.connected.read().values().cloned().collect();
        for info in &mut peers {
            info.peer = self.shared.streams.number_of(&info.id);
            info.protocol = self.shared.streams.protocol_of(&info.id);
        }
        peers
    }

    /// Where others can reach a connected Shoal peer, as far as it was seen.
    pub fn reach(&self, id: &PeerId) -> Vec<Multiaddr> {
        let connected = self.shared.connected.read();
        connected.get(id).map(|info| info.reach.clone()).unwrap_or_default()
    }

    /// How many peers the routing table holds; connected or not, they can be asked. A node that
    /// knows none and is connected to nobody has nobody to ask.
    pub fn known_peers(&self) -> usize {
        self.shared.known.load(Ordering::Relaxed)
    }

    /// Sends a message to a peer; false when its stream is gone.
    pub fn send(&self, peer: PeerNo, message: Message) -> bool {
        self.shared.streams.command(peer, StreamCommand::Send(message))
    }

    /// Asks a peer for blocks of `root`, remembering where each goes; false when its stream is
    /// gone. `deadline_ms` 0 is no deadline.
    pub fn ask(&self, peer: PeerNo, root: Cid, asks: Vec<Ask>, deadline_ms: u32) -> bool {
        self.shared.streams.command(peer, StreamCommand::Ask { root, asks, deadline_ms })
    }

    /// Writes these blocks to a peer in this order; one `Sent` event per CID comes back. False
    /// when its stream is gone.
    pub fn serve(&self, peer: PeerNo, cids: Vec<Cid>, cached_ok: bool) -> bool {
        self.shared.streams.command(peer, StreamCommand::Serve { cids, cached_ok })
    }

    /// Asks a peer that speaks Bitswap whether it has any of these blocks of `root`. A `Join` or a
    /// `Leave` of the root in its name comes back. False when it is gone.
    pub fn seek(&self, peer: PeerNo, root: Cid, cids: Vec<Cid>) -> bool {
        self.shared.streams.command(peer, StreamCommand::Seek { root, cids })
    }

    /// Tells a peer that speaks Bitswap that these blocks, which it asked about, are here. False when
    /// it is gone.
    pub fn affirm(&self, peer: PeerNo, cids: Vec<Cid>) -> bool {
        self.shared.streams.command(peer, StreamCommand::Affirm { cids })
    }

    /// Ends the stream with a peer and closes its connections; `PeerDown` follows.
    pub fn disconnect(&self, peer: PeerNo) {
        self.shared.streams.close(peer);
    }

    /// Connects to a peer at these addresses and at those that the DHT knows; `addrs` may be
    /// empty. `PeerUp` or `DialFailed` follows; nothing when it is connected already.
    pub async fn dial(&self, id: PeerId, addrs: Vec<Multiaddr>) {
        self.command(Command::Dial { id, addrs }).await;
    }

    /// Searches the DHT for providers of a CID. Events of the returned number follow, `QueryDone`
    /// last. With no peer known yet it waits a few seconds for one.
    pub async fn find_providers(&self, cid: Cid) -> QueryId {
        let query = QueryId(self.shared.next_id());
        self.command(Command::Find { query, cid }).await;
        query
    }

    /// Ends a search early; its `QueryDone` still follows.
    pub async fn stop_query(&self, query: QueryId) {
        self.command(Command::StopQuery(query)).await;
    }

    /// Publishes that this node provides a CID, and keeps the record alive until `unprovide`.
    pub async fn provide(&self, cid: Cid) {
        self.command(Command::Provide(cid)).await;
    }

    /// Stops publishing a CID; records held by others run out by themselves.
    pub async fn unprovide(&self, cid: Cid) {
        self.command(Command::Unprovide(cid)).await;
    }

    /// Searches the DHT for the value records of a key. `Value` events of the returned number follow,
    /// `ValueDone` last. With no peer known yet it waits a few seconds for one.
    pub async fn find_value(&self, key: Vec<u8>) -> QueryId {
        let query = QueryId(self.shared.next_id());
        self.command(Command::FindValue { query, key }).await;
        query
    }

    /// Puts a value record to the DHT as soon as a peer is known, and again while the network comes
    /// up and every 22 h, until another value of the same key replaces it, it runs out, or
    /// [`Self::forget_value`]. `ValuePut` follows each time. At most 4096 keys.
    pub async fn put_value(&self, key: Vec<u8>, value: Vec<u8>) {
        self.command(Command::PutValue { key, value }).await;
    }

    /// Stops putting a value record; others keep it until it runs out.
    pub async fn forget_value(&self, key: Vec<u8>) {
        self.command(Command::ForgetValue(key)).await;
    }

    /// Puts a value record to these peers (at most 20) once: those that a search found without it.
    /// No event follows.
    pub async fn put_value_to(&self, key: Vec<u8>, value: Vec<u8>, peers: Vec<PeerId>) {
        self.command(Command::PutValueTo { key, value, peers }).await;
    }

    /// Asks a peer something over `/shoal/ledger/1`, at most 8 KiB, connecting to it if need be. One
    /// `Answer` event of the returned number follows, within 10 s.
    pub async fn question(&self, peer: PeerId, bytes: Vec<u8>) -> QuestionId {
        let question = QuestionId(self.shared.next_id());
        self.command(Command::Question { question, peer, bytes }).await;
        question
    }

    /// Answers a peer's question, with at most 512 KiB. One that is never answered ends by the peer's
    /// deadline.
    pub async fn answer(&self, question: QuestionId, bytes: Vec<u8>) {
        self.command(Command::Answer { question, bytes }).await;
    }

    /// Takes part in the gossip of a topic, which must begin with `/record/`; of 1024 at most.
    pub async fn subscribe(&self, topic: String) {
        self.command(Command::Subscribe(topic)).await;
    }

    /// Leaves a topic.
    pub async fn unsubscribe(&self, topic: String) {
        self.command(Command::Unsubscribe(topic)).await;
    }

    /// Sends a message of at most 16 KiB to the subscribers of a topic that are connected; with none
    /// it is gone. The same bytes again within a minute are no news to anybody.
    pub async fn gossip(&self, topic: String, bytes: Vec<u8>) {
        self.command(Command::Gossip { topic, bytes }).await;
    }

    /// Says what is to be done with a message of a `Gossip` event; without a word within 4 s it is
    /// ignored.
    pub async fn judge_gossip(&self, gossip: GossipId, verdict: GossipVerdict) {
        self.command(Command::JudgeGossip { gossip, verdict }).await;
    }

    /// Ends all tasks and connections. Returns when they are gone, within a second.
    pub async fn shutdown(&self) {
        self.token.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_WAIT, self.tasks.wait()).await.is_err() {
            tracing::debug!("tasks of the network layer are still running");
        }
    }

    /// Hands a command to the driver; a driver that has ended needs none.
    async fn command(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            tracing::debug!("command after shutdown");
        }
    }
}
