//! Engines, stores, wires and a clock.
//!
//! A [`World`] is built by hand, node by node, or from a [`Scenario`](crate::sim::Scenario). It
//! then runs: takes the next happening, gives it to the node's engine, carries out its actions,
//! and audits the engine. Nothing else is a source of order or chance than the agenda and the
//! generator made from the seed.

use std::collections::VecDeque;
use std::time::Duration;

use shoal_dag::Cid;

use crate::random::Random;
use crate::sim::agenda::{Agenda, Happening};
use crate::sim::audit::Audit;
use crate::sim::catalog::{BlockNo, Catalog};
use crate::sim::history::History;
use crate::sim::node::{Manner, Node};
use crate::sim::people::People;
use crate::sim::wire::{Conn, Weather};
use crate::{Config, Event, Holdings, Receipt, SessionId, Stats};

/// The session of a node's first root; those of further roots follow.
pub const SESSION: SessionId = SessionId(1);

/// All of it.
#[derive(Debug)]
pub struct World {
    /// The blocks there are.
    pub catalog: Catalog,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the links are like.
    pub weather: Weather,
    /// What happened, as one number.
    pub history: History,
    pub(crate) people: People,
    pub(crate) conns: Vec<Conn>,
    pub(crate) agenda: Agenda,
    /// Nanoseconds since the start.
    pub(crate) now: u64,
    pub(crate) random: Random,
    /// What the node at work is told before the next thing happens.
    pub(crate) answers: VecDeque<Event>,
    pub(crate) audit: Audit,
    seed: u64,
}

impl World {
    /// An empty world. Everything that happens in it follows from `seed` and what it is told.
    pub fn new(catalog: Catalog, seed: u64) -> Self {
        Self {
            catalog,
            nodes: Vec::new(),
            weather: Weather::default(),
            history: History::default(),
            people: People::default(),
            conns: Vec::new(),
            agenda: Agenda::default(),
            now: 0,
            random: Random::new(seed),
            answers: VecDeque::new(),
            audit: Audit::default(),
            seed,
        }
    }

    /// The seed of a node's engine, another one for each of its lives.
    pub(crate) fn engine_seed(&self, node: usize) -> u64 {
        let lives = self
            .nodes
            .get(node)
            .map_or(0, |it| u64::from(it.figures.given_up) + u64::from(it.figures.finished_before));
        self.seed.wrapping_mul(1_000_003).wrapping_add(node as u64 + (lives << 32))
    }

    /// Adds a node with rates in Mbit/s; its number.
    pub fn node(&mut self, up: f64, down: f64, config: Config) -> usize {
        let number = self.nodes.len();
        let seed = self.engine_seed(number);
        let mut node = Node::new(config, seed, (up * 125_000.0, down * 125_000.0));
        node.prefixes = vec![self.people.next_prefix()];
        self.nodes.push(node);
        number
    }

    /// Adds a node that holds and shares everything below a root.
    pub fn seed_node(&mut self, root: &Cid, up: f64, down: f64) -> usize {
        let node = self.node(up, down, Config::default());
        self.hold(node, root);
        node
    }

    /// Lets a node hold and share everything below a root from the start.
    pub(crate) fn hold(&mut self, node: usize, root: &Cid) {
        let blocks = self.catalog.below(root);
        let it = &mut self.nodes[node];
        it.seed = true;
        it.wanted.push(*root);
        it.give(blocks);
        it.shares.insert(*root, Holdings { all: true, ..Holdings::default() });
    }

    /// Connects two nodes.
    pub fn connect(&mut self, a: usize, b: usize) {
        let lines = self.nodes[a].prefixes.len().max(self.nodes[b].prefixes.len());
        for line in 0..lines {
            let shown = [a, b].map(|node| {
                let prefixes = &self.nodes[node].prefixes;
                prefixes[line % prefixes.len()]
            });
            self.open([a, b], shown);
        }
    }

    /// Connects everybody with everybody.
    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..a {
                self.connect(a, b);
            }
        }
    }

    /// Lets a node fetch a whole tree, in a session of its own.
    pub fn fetch(&mut self, node: usize, root: &Cid) {
        let session = SessionId(SESSION.0 + self.nodes[node].wanted.len() as u64);
        self.nodes[node].wanted.push(*root);
        self.nodes[node].goal += self.catalog.size(root);
        self.begin(node, session, root);
    }

    pub(crate) fn begin(&mut self, node: usize, session: SessionId, root: &Cid) {
        self.tell(node, Event::Open { session, root: *root });
        let (cid, under, place, deadline, tree) = (*root, None, None, None, true);
        self.tell(node, Event::Want { session, cid, under, place, deadline, tree });
    }

    /// Lets a node want something in its first session.
    pub fn want(
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
    pub fn kill_at(&mut self, node: usize, at: Duration) {
        self.agenda.plan(at.as_nanos() as u64, node, Happening::Leaves { again: false });
    }

    /// The figures of a node's first session.
    pub fn stats(&self, node: usize) -> Stats {
        self.nodes[node].engine.stats(SESSION)
    }

    /// Virtual time.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// When a node had everything below a root, in seconds; `None` when it has not.
    pub fn done(&self, node: usize, root: &Cid) -> Option<f64> {
        self.nodes[node].got.get(root).map(Duration::as_secs_f64)
    }

    /// An event for a node, now.
    pub fn tell(&mut self, node: usize, event: Event) {
        self.agenda.plan(self.now, node, Happening::Told(Box::new(event)));
    }

    /// Runs until nothing happens any more, or until a time.
    pub fn run(&mut self, until: Duration) {
        let until = until.as_nanos() as u64;
        self.run_while(until, |_| true);
        self.now = self.now.max(until);
    }

    /// Runs until a time, or until `go_on` says no.
    pub(crate) fn run_while(&mut self, until: u64, go_on: impl Fn(&Self) -> bool) {
        while self.agenda.next_at().is_some_and(|at| at <= until) && go_on(self) {
            let Some((at, node, what)) = self.agenda.take() else { return };
            self.now = at;
            self.history.note(at, node, &what);
            self.happen(node, what);
        }
    }

    fn happen(&mut self, node: usize, what: Happening) {
        match what {
            Happening::Joins => return self.join(node),
            _ if !self.nodes[node].alive => return,
            Happening::Told(event) => self.nodes[node].handle(*event, self.now),
            Happening::Opens { conn } => self.opened(node, conn),
            Happening::Closes { conn } => self.closed(node, conn),
            Happening::Message { conn, message } => self.hear(node, conn, *message),
            Happening::Door { conn, block, wrong } => {
                return self.enter(node, conn, block, wrong);
            }
            Happening::Arrives { conn, block, wrong } => self.arrive(node, conn, block, wrong),
            Happening::Left => self.has_left(node),
            Happening::Resumes => self.resume(node),
            Happening::Timer => self.wake(node),
            Happening::Leaves { again } => return self.leave(node, again),
            Happening::Renews => return self.renew(node),
            Happening::Breaks => return self.break_one(node),
            Happening::Meets { other } => return self.meet(node, other as usize),
            Happening::Searches => return self.search(node),
            Happening::Acts => self.act_up(node),
            Happening::Reads => self.read_on(node),
        }
        self.settle(node);
    }

    /// Carries out what the engine wants, and plans when it is to be woken.
    pub(crate) fn settle(&mut self, node: usize) {
        loop {
            while let Some(action) = self.nodes[node].engine.poll_action() {
                self.act(node, action);
            }
            let Some(event) = self.answers.pop_front() else { break };
            self.nodes[node].handle(event, self.now);
        }
        let it = &mut self.nodes[node];
        let at = it.engine.poll_timeout().map(|at| (at.as_nanos() as u64).max(self.now));
        if let Some(at) = at.filter(|at| it.timer.is_none_or(|set| *at < set)) {
            it.timer = Some(at);
            self.agenda.plan(at, node, Happening::Timer);
        }
        self.check(node);
    }

    fn wake(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if it.timer.is_some_and(|set| set <= self.now) {
            it.timer = None;
        }
        let now = Duration::from_nanos(self.now);
        if it.engine.poll_timeout().is_some_and(|at| at <= now) {
            it.engine.handle_timeout(now);
        }
    }

    fn hear(&mut self, node: usize, conn: u32, message: crate::Message) {
        if !self.conns[conn as usize].open {
            return;
        }
        if let Some(message) = self.heard(node, conn, message) {
            let peer = Self::peer(conn);
            self.nodes[node].handle(Event::Message { peer, message }, self.now);
        }
    }

    /// A block has come: verified, kept and reported.
    fn arrive(&mut self, node: usize, conn: u32, block: BlockNo, wrong: bool) {
        if !self.conns[conn as usize].open {
            return;
        }
        self.landed(node, conn, block);
        let from = self.far(node, conn) as u32;
        let (cid, len) = (self.catalog.cid(block), self.catalog.len(block));
        let it = &mut self.nodes[node];
        it.figures.came += u64::from(len);
        it.figures.came_blocks += 1;
        let awaited = it.awaited.remove(&(conn, block));
        let new = awaited && !wrong && it.store.set(block.0);
        if wrong {
            it.wrong.push((from, block));
        } else if !new {
            it.figures.duplicates += u64::from(len);
        }
        let receipt = match (awaited, wrong) {
            (false, _) => Receipt::Unrequested,
            (true, true) => Receipt::Corrupt,
            (true, false) => Receipt::Stored { links: self.catalog.links(block).cloned() },
        };
        if new {
            self.progress(node, block);
            self.gained(node, conn, block);
        }
        let peer = Self::peer(conn);
        self.nodes[node].handle(Event::Received { peer, cid, len, receipt }, self.now);
    }

    /// Counts content that came.
    fn progress(&mut self, node: usize, block: BlockNo) {
        self.audit.moved(self.now);
        let len = u64::from(self.catalog.len(block));
        let leaf = self.catalog.links(block).is_none();
        let it = &mut self.nodes[node];
        it.figures.kept += len;
        if !leaf {
            return;
        }
        it.figures.useful += len;
        for (mark, hundredths) in it.figures.marks.iter_mut().zip([2, 10, 50]) {
            if mark.is_none() && it.figures.useful * 100 >= it.goal.saturating_mul(hundredths) {
                *mark = Some(self.now);
            }
        }
    }

    /// Sets how a node treats others.
    pub fn set_manner(&mut self, node: usize, manner: Manner) {
        self.nodes[node].manner = manner;
        self.plan_acts(node);
    }
}
