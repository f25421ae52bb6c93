//! The task that owns the libp2p swarm: connections, the DHT, and what the node asks of both.
//!
//! It takes commands at any time, and events of libp2p only while the node keeps up (its own
//! events wait in a bounded outbox), so neither can block the other. It never touches a block.
//!
//! - `behaviour`: the protocols and their settings.
//! - `events`: what libp2p tells. `lookups`: searches and publishing; `values`: those of value
//!   records. `joining`: the walks. `dials`: whom to connect to; `trimming`: whom to let go.
//!   `questions`: those that are open. `gossip`: messages and their verdicts.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::vec;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::kad::{self, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, TransportError, noise};
use shoal_dag::Cid;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, NetError, Network};
use crate::event::{GossipId, NetEvent, QueryId, QuestionId};
use crate::gossip::Door;
use crate::native::Surroundings;
use crate::net::GossipVerdict;
use crate::providers::OWN_KEYS_MAX;
use crate::publish::Publisher;
use crate::records::Records;
use crate::shared::Shared;
use crate::transport::{MuxUpgrade, TlsUpgrade, tcp_config};
use crate::values::OWN_VALUES_MAX;

mod behaviour;
mod dials;
mod events;
mod gossip;
mod joining;
mod lookups;
mod questions;
mod trimming;
mod values;

use behaviour::Behaviour;
use dials::Dials;
use gossip::Verdicts;
use joining::Joining;
use lookups::Searches;
use questions::Questions;

/// Events that wait for room in the node's channel before libp2p's events wait too.
const OUTBOX_MAX: usize = 256;
/// Events that wait before commands wait too: some commands are answered at once, so a node that
/// sends them and never reads its events must stop somewhere.
const COMMANDS_OUTBOX_MAX: usize = 4 * OUTBOX_MAX;
/// How often expired records are looked for.
const EXPIRE_INTERVAL: Duration = Duration::from_mins(10);
/// An idle connection is closed after this; lookups make many that are used once.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Dial { id: PeerId, addrs: Vec<Multiaddr> },
    Find { query: QueryId, cid: Cid },
    StopQuery(QueryId),
    Provide(Cid),
    Unprovide(Cid),
    FindValue { query: QueryId, key: Vec<u8> },
    PutValue { key: Vec<u8>, value: Vec<u8> },
    ForgetValue(Vec<u8>),
    PutValueTo { key: Vec<u8>, value: Vec<u8>, peers: Vec<PeerId> },
    Question { question: QuestionId, peer: PeerId, bytes: Vec<u8> },
    Answer { question: QuestionId, bytes: Vec<u8> },
    Subscribe(String),
    Unsubscribe(String),
    Gossip { topic: String, bytes: Vec<u8> },
    JudgeGossip { gossip: GossipId, verdict: GossipVerdict },
}

/// Events on their way to the node.
struct Outbox {
    sender: mpsc::Sender<NetEvent>,
    queue: VecDeque<NetEvent>,
}

impl Outbox {
    fn push(&mut self, event: NetEvent) {
        self.queue.push_back(event);
    }

    /// Whether the node is behind; what is only of passing interest is left out then.
    fn is_full(&self) -> bool {
        self.queue.len() >= OUTBOX_MAX
    }
}

/// Owns the libp2p swarm.
pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    outbox: Outbox,
    token: CancellationToken,
    network: Network,
    short_lived: bool,
    connections_max: usize,
    /// Whether loopback addresses are told to others: only if asked to listen on one.
    loopback: bool,
    searches: Searches,
    records: Arc<dyn Records>,
    publisher: Publisher<Cid>,
    publishing: HashMap<kad::QueryId, (RecordKey, Cid)>,
    putter: Publisher<Bytes>,
    putting: HashMap<kad::QueryId, RecordKey>,
    /// Value records of others from before the start that have not been judged.
    restoring: vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    dials: Dials,
    joining: Joining,
    questions: Questions,
    verdicts: Verdicts,
    expire_at: Instant,
}

impl Driver {
    /// Makes the swarm and binds its addresses.
    pub(crate) fn new(
        mut config: Config,
        surroundings: Surroundings,
        records: Arc<dyn Records>,
        commands: mpsc::Receiver<Command>,
    ) -> Result<Self, NetError> {
        let Surroundings { shared, events, token, .. } = surroundings.clone();
        let listen = config.listen.clone();
        let questions = Questions::new(config.question_deadline);
        let dials = Dials::new(config.bootstrap.clone(), Instant::now());
        let restoring = std::mem::take(&mut config.values).into_iter();
        let (network, short_lived) = (config.network, config.short_lived);
        let connections_max = config.limits.connections_max as usize;
        let (swarm, door) = swarm(config, surroundings)?;
        let mut driver = Self {
            network,
            short_lived,
            connections_max,
            loopback: listen.iter().any(dials::is_loopback),
            restoring,
            dials,
            swarm,
            shared,
            commands,
            outbox: Outbox { sender: events, queue: VecDeque::new() },
            token,
            searches: Searches::default(),
            records,
            publisher: Publisher::new(OWN_KEYS_MAX),
            publishing: HashMap::new(),
            putter: Publisher::new(OWN_VALUES_MAX),
            putting: HashMap::new(),
            joining: Joining::default(),
            questions,
            verdicts: Verdicts::new(door),
            expire_at: Instant::now() + EXPIRE_INTERVAL,
        };
        for addr in listen {
            let free = probe(&addr).map_err(TransportError::Other);
            let bound = free.and_then(|()| driver.swarm.listen_on(addr.clone()));
            bound.map_err(|source| NetError::Listen { addr, source })?;
        }
        Ok(driver)
    }

    /// Runs until shutdown, or until every handle is gone.
    pub(crate) async fn run(mut self) {
        let sender = self.outbox.sender.clone();
        loop {
            let wake = self.next_wake();
            let waiting = self.outbox.queue.len();
            tokio::select! {
                () = self.token.cancelled() => break,
                command = self.commands.recv(), if waiting < COMMANDS_OUTBOX_MAX => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                permit = sender.reserve(), if waiting > 0 => {
                    match (permit, self.outbox.queue.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        _ => break,
                    }
                }
                event = self.swarm.select_next_some(), if waiting < OUTBOX_MAX => {
                    self.swarm_event(event);
                }
                () = sleep_until(wake.into()) => {}
            }
            self.tick();
        }
        self.token.cancel();
        self.farewell(sender).await;
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial { id, addrs } => self.dial(id, addrs),
            Command::Find { query, cid } => self.find(query, cid),
            Command::StopQuery(query) => self.stop_search(query),
            Command::Provide(cid) => self.provide(cid),
            Command::Unprovide(cid) => self.unprovide(&cid),
            Command::FindValue { query, key } => self.find_value(query, &key),
            Command::PutValue { key, value } => self.put_value(&key, value),
            Command::ForgetValue(key) => self.forget_value(&key),
            Command::PutValueTo { key, value, peers } => self.put_value_to(&key, &value, peers),
            Command::Question { question, peer, bytes } => self.question(question, peer, bytes),
            Command::Answer { question, bytes } => self.answer(question, bytes),
            Command::Subscribe(topic) => self.subscribe(topic),
            Command::Unsubscribe(topic) => self.unsubscribe(topic),
            Command::Gossip { topic, bytes } => self.gossip(topic, bytes),
            Command::JudgeGossip { gossip, verdict } => self.judge_gossip(gossip, verdict),
        }
    }

    /// Does what is due now. Cheap when nothing is.
    fn tick(&mut self) {
        let now = Instant::now();
        self.pump_dials(now);
        self.tick_searches(now);
        self.pump_publishing(now);
        self.pump_putting(now);
        self.pump_restoring();
        self.pump_joining(now);
        self.tick_questions(now);
        self.tick_verdicts(now);
        if now >= self.expire_at {
            self.expire_at = now + EXPIRE_INTERVAL;
            self.swarm.behaviour_mut().kad.store_mut().expire();
        }
        self.tell_record_changes();
    }

    fn next_wake(&mut self) -> Instant {
        let dials = self.next_dial();
        let due = [
            dials,
            self.searches.next_tick(),
            self.publisher.next_due(),
            self.putter.next_due(),
            (self.restoring.len() > 0).then(Instant::now),
            self.joining.next_due(),
            self.questions.next_due(),
            self.verdicts.next_due(),
        ];
        due.into_iter().flatten().fold(self.expire_at, Instant::min)
    }

    fn tell_record_changes(&mut self) {
        let store = self.swarm.behaviour_mut().kad.store_mut();
        while !self.outbox.is_full() {
            let event = if let Some(change) = store.next_change() {
                NetEvent::ProviderRecord { change }
            } else if let Some(change) = store.values.next_change() {
                NetEvent::ValueRecord { change }
            } else {
                break;
            };
            self.outbox.push(event);
        }
    }

    /// Peers that a lookup can begin with.
    fn known_peers(&mut self) -> usize {
        self.swarm.behaviour_mut().kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }
}

/// Fails if somebody listens on this address already: the transport binds with `SO_REUSEPORT`, and
/// two nodes would silently share the port.
fn probe(addr: &Multiaddr) -> io::Result<()> {
    let mut parts = addr.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => IpAddr::from(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::from(ip),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

/// The swarm with its transport and protocols, and the door of its gossip.
fn swarm(config: Config, surroundings: Surroundings) -> Result<(Swarm<Behaviour>, Door), NetError> {
    let tcp = SwarmBuilder::with_existing_identity(config.keypair.clone())
        .with_tokio()
        .with_tcp(tcp_config(), (TlsUpgrade::new, noise::Config::new), MuxUpgrade::new)
        .map_err(|error| NetError::Transport(error.to_string()))?;
    let (behaviour, door) = Behaviour::new(config, surroundings)?;
    let swarm = tcp
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE_CONNECTION_TIMEOUT))
        .build();
    Ok((swarm, door))
}
