//! What the engine costs: two of them exchange 65,536 leaves in one process.
//!
//! Prints nanoseconds per leaf for both engines together, with and without the work of the loop
//! around them. `cargo bench -p shoal-swarm`.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures time and prints it"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use shoal_dag::Cid;
use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_swarm::{
    Action, Child, Config, Engine, Event, Holdings, Links, LinksKind, Message, PeerNo, Prefix,
    Probe, Receipt, Served, SessionId,
};

const LEAVES: u64 = 65_536;
const LEAF: u32 = 65_536;
const SESSION: SessionId = SessionId(1);

type Blocks = BTreeMap<Cid, Links>;

fn branch(blocks: &mut Blocks, name: u64, children: Vec<Child>) -> Child {
    let size = children.iter().map(|child| child.size).sum();
    let cid = cid_of(HashKind::Blake3, DAG_PB, shoal_dag::Version::V1, &name.to_le_bytes());
    blocks.insert(cid, Links { kind: LinksKind::File, children });
    Child { cid, size }
}

fn tree() -> (Cid, Blocks) {
    let mut blocks = Blocks::new();
    let leaf = |name: u64| Child {
        cid: cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &name.to_le_bytes()),
        size: u64::from(LEAF),
    };
    let leaves: Vec<Child> = (0..LEAVES).map(leaf).collect();
    let parts = leaves.chunks(1_024).enumerate();
    let parts: Vec<Child> =
        parts.map(|(n, part)| branch(&mut blocks, LEAVES + n as u64, part.to_vec())).collect();
    (branch(&mut blocks, 2 * LEAVES, parts).cid, blocks)
}

struct Pair {
    engines: [Engine; 2],
    queue: VecDeque<(usize, Event)>,
    blocks: Blocks,
    spent: Duration,
    events: u64,
    leaves: u64,
    done: bool,
}

impl Pair {
    fn turn(&mut self, at: usize, event: Event, now: Duration) {
        let start = Instant::now();
        self.engines[at].handle(event, now);
        if self.engines[at].poll_timeout().is_some_and(|due| due <= now) {
            self.engines[at].handle_timeout(now);
        }
        self.events += 1;
        let mut actions = Vec::new();
        while let Some(action) = self.engines[at].poll_action() {
            actions.push(action);
        }
        self.spent += start.elapsed();
        for action in actions {
            self.act(at, action);
        }
    }

    fn act(&mut self, at: usize, action: Action) {
        let peer = PeerNo(at as u32);
        let mut tell = |to: usize, event| self.queue.push_back((to, event));
        match action {
            Action::Send { message, .. } => tell(1 - at, Event::Message { peer, message }),
            Action::Ask { root, asks, .. } => {
                let cids = asks.into_iter().map(|ask| ask.cid).collect();
                let message = Message::Request { root, cids, deadline_ms: 0 };
                tell(1 - at, Event::Message { peer, message });
            }
            Action::Serve { peer: to, cids, .. } => {
                for cid in cids {
                    let links = self.blocks.get(&cid).cloned();
                    self.leaves += u64::from(links.is_none());
                    let receipt = Receipt::Stored { links };
                    tell(1 - at, Event::Received { peer, cid, len: LEAF, receipt });
                    let outcome = Served::Done;
                    tell(at, Event::Sent { peer: to, cid, len: LEAF, outcome });
                }
            }
            Action::Probe { session, cids } => {
                let found = cids.into_iter().map(|(cid, _)| (cid, Probe::Missing)).collect();
                tell(at, Event::Probed { session, found });
            }
            Action::AskShared { peer, root } => {
                let holdings = Holdings { all: at == 0, ..Holdings::default() };
                tell(at, Event::Shared { peer, root, holdings });
            }
            Action::TreeDone { .. } => self.done = true,
            other => panic!("{other:?}"),
        }
    }
}

fn main() {
    let (root, blocks) = tree();
    for seed in 1..=5 {
        let engines = [0, 1].map(|n| Engine::new(Config::default(), seed * 2 + n));
        let (queue, blocks) = (VecDeque::new(), blocks.clone());
        let spent = Duration::ZERO;
        let mut pair = Pair { engines, queue, blocks, spent, events: 0, leaves: 0, done: false };
        let prefix = Prefix::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for at in 0..2 {
            let peer = PeerNo(1 - at as u32);
            pair.queue.push_back((at, Event::PeerConnected { peer, prefix }));
        }
        pair.queue.push_back((1, Event::Open { session: SESSION, root }));
        let (cid, session) = (root, SESSION);
        let want =
            Event::Want { session, cid, under: None, place: None, deadline: None, tree: true };
        pair.queue.push_back((1, want));
        let start = Instant::now();
        while let Some((at, event)) = pair.queue.pop_front() {
            pair.turn(at, event, start.elapsed());
        }
        assert!(pair.done && pair.leaves == LEAVES);
        let per_leaf = |time: Duration| time.as_nanos() as u64 / LEAVES;
        println!(
            "{} ns per leaf in both engines ({} with the loop), {:.2} events per leaf",
            per_leaf(pair.spent),
            per_leaf(start.elapsed()),
            pair.events as f64 / LEAVES as f64,
        );
    }
}
