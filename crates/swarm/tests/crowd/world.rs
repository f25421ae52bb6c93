//! Engines, stores, wires and a clock.
//!
//! A node's uplink and downlink are queues with a rate; a block leaves the sender's uplink, takes
//! the latency, and passes the receiver's downlink; messages take the latency only. The part of
//! the network package that remembers what is outstanding is modelled: a block that is not awaited
//! is reported as unrequested.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use shoal_dag::Cid;
use shoal_swarm::{
    Action, Config, Engine, Event, Holdings, Message, PeerNo, Prefix, Probe, Receipt, Served,
    SessionId, Stats, ViolationKind,
};

use crate::catalog::Catalog;

/// The one session of a node.
pub(crate) const SESSION: SessionId = SessionId(1);

/// How a node treats others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Honest,
    /// Every block that it sends is wrong.
    Liar,
    /// It never sends what it should.
    Mute,
}

/// One engine with what surrounds it.
pub(crate) struct Node {
    /// The machine.
    pub(crate) engine: Engine,
    /// What it holds.
    pub(crate) store: BTreeSet<Cid>,
    /// What it shares without a session.
    pub(crate) shares: BTreeMap<Cid, Holdings>,
    /// How it treats others.
    pub(crate) manner: Manner,
    /// Bytes per second, up and down.
    pub(crate) rates: (f64, f64),
    /// Blocks that it sent, in bytes.
    pub(crate) sent: u64,
    /// Blocks that came, with whom from; duplicates too.
    pub(crate) came: Vec<(u32, Cid)>,
    /// Want satisfied: when.
    pub(crate) got: BTreeMap<Cid, Duration>,
    /// Wants told to have no provider: when.
    pub(crate) lonely: Vec<(Cid, Duration)>,
    /// Wants told to have a provider again: when.
    pub(crate) found: Vec<(Cid, Duration)>,
    /// What peers did wrong.
    pub(crate) violations: Vec<(u32, ViolationKind)>,
    /// Most messages about what is here that one peer was told in one instant.
    pub(crate) told_most: usize,
    /// Blocks probed.
    pub(crate) probed: u64,
    awaited: BTreeSet<(u32, Cid)>,
    told: BTreeMap<PeerNo, (Duration, usize)>,
    free: (f64, f64),
    timer: Option<Duration>,
    alive: bool,
}

impl Node {
    /// Looks at a message that leaves.
    fn tells(&mut self, now: Duration, peer: PeerNo, message: &Message) {
        match message {
            Message::Cancel { cids } => {
                for cid in cids {
                    self.awaited.remove(&(peer.0, *cid));
                }
            }
            Message::Join { .. } | Message::Have { .. } | Message::HaveAll { .. } => {
                let told = self.told.entry(peer).or_default();
                *told = if told.0 == now { (now, told.1 + 1) } else { (now, 1) };
                self.told_most = self.told_most.max(told.1);
            }
            _ => {}
        }
    }
}

enum Happening {
    Told(Box<Event>),
    AtDoor { from: u32, cid: Cid },
    Arrives { from: u32, cid: Cid },
    Timer,
    Dies,
}

/// All of it.
pub(crate) struct World {
    /// The blocks there are.
    pub(crate) catalog: Catalog,
    /// The nodes.
    pub(crate) nodes: Vec<Node>,
    /// Virtual time.
    pub(crate) now: Duration,
    /// One way.
    pub(crate) latency: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    waiting: BTreeMap<u64, (usize, Happening)>,
    sequence: u64,
    seed: u64,
}

impl World {
    /// An empty world.
    pub(crate) fn new(catalog: Catalog, seed: u64) -> Self {
        Self {
            catalog,
            nodes: Vec::new(),
            now: Duration::ZERO,
            latency: Duration::from_millis(10),
            queue: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            sequence: 0,
            seed,
        }
    }

    /// Adds a node with rates in Mbit/s; its number.
    pub(crate) fn node(&mut self, up: f64, down: f64, config: Config) -> usize {
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.nodes.len() as u64);
        self.nodes.push(Node {
            engine: Engine::new(config, seed),
            store: BTreeSet::new(),
            shares: BTreeMap::new(),
            manner: Manner::Honest,
            rates: (up * 125_000.0, down * 125_000.0),
            sent: 0,
            came: Vec::new(),
            got: BTreeMap::new(),
            lonely: Vec::new(),
            found: Vec::new(),
            violations: Vec::new(),
            told_most: 0,
            probed: 0,
            awaited: BTreeSet::new(),
            told: BTreeMap::new(),
            free: (0.0, 0.0),
            timer: None,
            alive: true,
        });
        self.nodes.len() - 1
    }

    /// Adds a node that holds and shares everything below a root.
    pub(crate) fn seed_node(&mut self, root: &Cid, up: f64, down: f64) -> usize {
        let node = self.node(up, down, Config::default());
        self.nodes[node].store = self.catalog.below(root).into_iter().collect();
        self.nodes[node].shares.insert(*root, Holdings { all: true, ..Holdings::default() });
        node
    }

    /// Connects two nodes.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        for (node, other) in [(a, b), (b, a)] {
            let address =
                IpAddr::V4(Ipv4Addr::new(10, 0, (other / 250) as u8, (other % 250) as u8));
            let prefix = Prefix::of(address);
            self.tell(node, Event::PeerConnected { peer: PeerNo(other as u32), prefix });
        }
    }

    /// Connects everybody with everybody.
    pub(crate) fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Lets a node fetch a whole tree.
    pub(crate) fn fetch(&mut self, node: usize, root: &Cid) {
        self.tell(node, Event::Open { session: SESSION, root: *root });
        self.want(node, root, None, None, true);
    }

    /// Lets a node want something.
    pub(crate) fn want(
        &mut self,
        node: usize,
        cid: &Cid,
        under: Option<&Cid>,
        deadline: Option<Duration>,
        tree: bool,
    ) {
        let (cid, under) = (*cid, under.copied());
        let want = Event::Want { session: SESSION, cid, under, place: None, deadline, tree };
        self.tell(node, want);
    }

    /// A node dies at a time.
    pub(crate) fn kill_at(&mut self, node: usize, at: Duration) {
        self.later(at, node, Happening::Dies);
    }

    /// The figures of a node's session.
    pub(crate) fn stats(&self, node: usize) -> Stats {
        self.nodes[node].engine.stats(SESSION)
    }

    /// When a node had everything below a root.
    #[track_caller]
    pub(crate) fn done(&self, node: usize, root: &Cid) -> f64 {
        let missing = || {
            let all = self.catalog.below(root);
            let here = all.iter().filter(|cid| self.nodes[node].store.contains(*cid)).count();
            format!("node {node} has {here} of {}: {:?}", all.len(), self.stats(node))
        };
        self.nodes[node].got.get(root).unwrap_or_else(|| panic!("{}", missing())).as_secs_f64()
    }

    /// An event for a node, now.
    pub(crate) fn tell(&mut self, node: usize, event: Event) {
        self.later(self.now, node, Happening::Told(Box::new(event)));
    }

    fn later(&mut self, at: Duration, node: usize, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.waiting.insert(self.sequence, (node, what));
    }

    /// Runs until nothing happens any more, or until a time.
    pub(crate) fn run(&mut self, until: Duration) {
        while let Some(Reverse((at, sequence))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = at;
            let (node, what) = self.waiting.remove(&sequence).unwrap();
            if self.nodes[node].alive {
                self.happen(node, what);
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, node: usize, what: Happening) {
        let now = self.now;
        match what {
            Happening::Told(event) => {
                self.nodes[node].engine.handle(*event, now);
            }
            Happening::AtDoor { from, cid } => return self.enter(node, from, cid),
            Happening::Arrives { from, cid } => self.arrive(node, from, cid),
            Happening::Timer => {
                self.nodes[node].timer = None;
                let due = self.nodes[node].engine.poll_timeout().is_some_and(|at| at <= now);
                if due {
                    self.nodes[node].engine.handle_timeout(now);
                }
            }
            Happening::Dies => return self.die(node),
        }
        while let Some(action) = self.nodes[node].engine.poll_action() {
            self.act(node, action);
        }
        let it = &mut self.nodes[node];
        let at = it.engine.poll_timeout().map(|at| at.max(now));
        if let Some(at) = at.filter(|at| it.timer.is_none_or(|set| *at < set)) {
            it.timer = Some(at);
            self.later(at, node, Happening::Timer);
        }
    }

    fn die(&mut self, node: usize) {
        self.nodes[node].alive = false;
        for other in 0..self.nodes.len() {
            if other != node {
                self.tell(other, Event::PeerDisconnected { peer: PeerNo(node as u32) });
            }
        }
    }

    /// A block passes the downlink, in order of arrival; what a dead node sent is lost.
    fn enter(&mut self, node: usize, from: u32, cid: Cid) {
        if !self.nodes[from as usize].alive {
            return;
        }
        let len = self.catalog.blocks[&cid].len;
        let it = &mut self.nodes[node];
        let in_at = it.free.1.max(self.now.as_secs_f64()) + f64::from(len) / it.rates.1;
        it.free.1 = in_at;
        self.later(Duration::from_secs_f64(in_at), node, Happening::Arrives { from, cid });
    }

    fn arrive(&mut self, node: usize, from: u32, cid: Cid) {
        let sender = &self.nodes[from as usize];
        if !sender.alive {
            return;
        }
        let liar = sender.manner == Manner::Liar;
        let known = self.catalog.blocks[&cid].clone();
        let it = &mut self.nodes[node];
        it.came.push((from, cid));
        let receipt = match (it.awaited.remove(&(from, cid)), liar) {
            (false, _) => Receipt::Unrequested,
            (true, true) => Receipt::Corrupt,
            (true, false) => {
                it.store.insert(cid);
                Receipt::Stored { links: known.links }
            }
        };
        let peer = PeerNo(from);
        it.engine.handle(Event::Received { peer, cid, len: known.len, receipt }, self.now);
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { peer, message } => {
                self.nodes[node].tells(self.now, peer, &message);
                self.deliver(node, peer, message);
            }
            Action::Ask { peer, root, asks, deadline } => {
                let cids: Vec<Cid> = asks.iter().map(|ask| ask.cid).collect();
                for cid in &cids {
                    self.nodes[node].awaited.insert((peer.0, *cid));
                }
                let left = deadline.map(|at| at.saturating_sub(self.now).as_millis() as u32);
                let deadline_ms = left.map_or(0, |ms| ms.max(1));
                self.deliver(node, peer, Message::Request { root, cids, deadline_ms });
            }
            Action::Serve { peer, cids, cached_ok } => {
                for cid in cids {
                    self.serve(node, peer, cid, cached_ok);
                }
            }
            Action::Probe { session, cids } => {
                self.nodes[node].probed += cids.len() as u64;
                let found = cids.iter().map(|(cid, _)| (*cid, self.probe(node, cid))).collect();
                self.tell(node, Event::Probed { session, found });
            }
            Action::AskShared { peer, root } => {
                let holdings = self.nodes[node].shares.get(&root).cloned().unwrap_or_default();
                self.tell(node, Event::Shared { peer, root, holdings });
            }
            Action::Got { cid, .. } | Action::TreeDone { cid, .. } => {
                self.nodes[node].got.insert(cid, self.now);
            }
            Action::NoProvider { cid, .. } => self.nodes[node].lonely.push((cid, self.now)),
            Action::Provider { cid, .. } => self.nodes[node].found.push((cid, self.now)),
            Action::Violation { peer, kind } => self.nodes[node].violations.push((peer.0, kind)),
            Action::Seek { .. } | Action::Affirm { .. } => panic!("all peers here are native"),
            // Nobody here is told how to reach anybody: all are connected as the test says.
            Action::Told { .. } => {}
            Action::Disconnect { peer } => {
                self.tell(node, Event::PeerDisconnected { peer });
                let back = Event::PeerDisconnected { peer: PeerNo(node as u32) };
                self.tell(peer.0 as usize, back);
            }
        }
    }

    fn probe(&self, node: usize, cid: &Cid) -> Probe {
        if !self.nodes[node].store.contains(cid) {
            return Probe::Missing;
        }
        self.catalog.blocks[cid].links.clone().map_or(Probe::Leaf, Probe::Branch)
    }

    fn deliver(&mut self, node: usize, peer: PeerNo, message: Message) {
        let event = Event::Message { peer: PeerNo(node as u32), message };
        self.later(self.now + self.latency, peer.0 as usize, Happening::Told(Box::new(event)));
    }

    fn serve(&mut self, node: usize, peer: PeerNo, cid: Cid, cached_ok: bool) {
        let now = self.now.as_secs_f64();
        let to = peer.0 as usize;
        let public = self.nodes[node].shares.values().any(|holdings| !holdings.is_empty());
        let there = self.nodes[node].store.contains(&cid) && (cached_ok || public);
        if !there {
            let sent = Event::Sent { peer, cid, len: 0, outcome: Served::Absent };
            return self.tell(node, sent);
        }
        if self.nodes[node].manner == Manner::Mute {
            return;
        }
        let len = self.catalog.blocks[&cid].len;
        let it = &mut self.nodes[node];
        it.sent += u64::from(len);
        let left = it.free.0.max(now) + f64::from(len) / it.rates.0;
        it.free.0 = left;
        let from = node as u32;
        let arrival = Duration::from_secs_f64(left) + self.latency;
        self.later(arrival, to, Happening::AtDoor { from, cid });
        let sent = Event::Sent { peer, cid, len, outcome: Served::Done };
        self.later(Duration::from_secs_f64(left), node, Happening::Told(Box::new(sent)));
    }
}

/// Seconds.
pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
