//! Coming, going, and finding each other.
//!
//! Who joins connects to everybody, or, where the degree is limited, to some who are there; who
//! fetches and has lost peers looks for others from time to time, and finds at least one that has
//! everything, as a search in the DHT would. Who leaves may come back later as somebody else, with
//! nothing. Who renews itself drops all its connections and comes back under other names.

use crate::random::Random;
use crate::sim::agenda::Happening;
use crate::sim::node::{Figures, Node};
use crate::sim::scenario::Group;
use crate::sim::wire::SECOND;
use crate::sim::world::{SESSION, World};
use crate::{Event, SessionId};

/// How often a node that fetches looks whether it has peers enough.
const SEARCHES_EVERY: u64 = 5 * SECOND;

/// How long a search takes, and a broken connection until it is made again.
const SEARCH_TAKES: u64 = SECOND;

/// Names tried to find somebody with room.
const TRIES: usize = 8;

/// What is known of all nodes together.
#[derive(Debug, Default)]
pub(crate) struct People {
    prefixes: u32,
    /// Connections that a node aims at; 0 for everybody.
    pub(crate) degree: usize,
    /// Whether nodes look for others.
    pub(crate) searches: bool,
    /// Nodes that have, or had, everything.
    pub(crate) providers: Vec<u32>,
    /// The groups of the scenario.
    pub(crate) groups: Vec<Group>,
}

impl People {
    /// A prefix that nobody shows yet.
    pub(crate) fn next_prefix(&mut self) -> u32 {
        self.prefixes += 1;
        self.prefixes
    }
}

/// A time from now, such that on average one of `per_minute` a minute comes.
fn some_time(random: &mut Random, per_minute: f64) -> u64 {
    let minutes = -(1.0 - random.unit()).ln() / per_minute;
    (minutes.min(1e6) * 60.0 * SECOND as f64) as u64
}

impl World {
    /// A node comes: it begins, and finds its peers.
    pub(crate) fn join(&mut self, node: usize) {
        self.come_to_life(node);
        if self.everybody(node) {
            for other in 0..self.nodes.len() {
                if other != node && self.nodes[other].alive {
                    self.connect(node, other);
                }
            }
        } else {
            self.meet_some(node);
        }
        self.start(node);
    }

    /// Whether a node connects to all others.
    pub(crate) fn everybody(&self, node: usize) -> bool {
        let group = self.people.groups.get(usize::from(self.nodes[node].group));
        self.people.degree == 0 || group.is_some_and(|group| group.large_view)
    }

    /// A node lives, with nothing begun yet.
    pub(crate) fn come_to_life(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.alive = true;
        it.figures.joined = self.now;
    }

    /// Begins what a node does in its life.
    pub(crate) fn start(&mut self, node: usize) {
        let (group, wanted) =
            (usize::from(self.nodes[node].group), self.nodes[node].wanted.clone());
        if !self.nodes[node].seed {
            for (number, root) in (0..).zip(&wanted) {
                self.begin(node, SessionId(SESSION.0 + number), root);
            }
            self.plan_search(node);
        }
        self.plan_acts(node);
        let Some(group) = self.people.groups.get(group) else { return };
        let (churn, breaks, renews) = (group.churn, group.breaks, group.renews);
        if let Some(reading) = group.reads {
            self.begin_reading(node, reading);
        }
        if churn > 0.0 {
            let at = self.now + some_time(&mut self.random, churn);
            self.agenda.plan(at, node, Happening::Leaves { again: true });
        }
        if breaks > 0.0 {
            let at = self.now + some_time(&mut self.random, breaks);
            self.agenda.plan(at, node, Happening::Breaks);
        }
        if let Some(renews) = renews {
            let every = (renews.every * SECOND as f64) as u64;
            let at = self.now + (every as f64 * self.random.unit()) as u64;
            self.agenda.plan(at, node, Happening::Renews);
        }
    }

    /// Connects a node to as many as it aims at.
    fn meet_some(&mut self, node: usize) {
        let missing = self.people.degree.saturating_sub(self.nodes[node].conns.len());
        for _ in 0..missing {
            if let Some(other) = self.somebody(node) {
                self.connect(node, other);
            }
        }
        self.meet_provider(node);
    }

    /// Connects a node to one that has everything, unless it knows one.
    fn meet_provider(&mut self, node: usize) {
        let knows = |conn: &u32| {
            let far = &self.nodes[self.far(node, *conn)];
            far.manner.honest() && (far.seed || far.figures.done.is_some())
        };
        if self.nodes[node].conns.iter().any(knows) {
            return;
        }
        for _ in 0..TRIES {
            let count = self.people.providers.len() as u32;
            let at = self.random.below(count) as usize;
            let Some(other) = self.people.providers.get(at).map(|node| *node as usize) else {
                return;
            };
            let room = self.nodes[other].conns.len() < 4 * self.people.degree;
            if self.nodes[other].alive && other != node && room {
                return self.connect(node, other);
            }
        }
    }

    /// Somebody with room to whom there is no connection.
    fn somebody(&mut self, node: usize) -> Option<usize> {
        for _ in 0..TRIES {
            let other = self.random.below(self.nodes.len() as u32) as usize;
            let room = self.nodes[other].conns.len() < 2 * self.people.degree;
            let known = || self.nodes[node].conns.iter().any(|conn| self.far(node, *conn) == other);
            if other != node && self.nodes[other].alive && room && !known() {
                return Some(other);
            }
        }
        None
    }

    /// Those who are there from the start meet: each chooses half of those it aims at.
    pub(crate) fn mingle(&mut self, first: &[usize]) {
        for (at, node) in first.iter().enumerate() {
            if self.everybody(*node) {
                for (before, other) in first.iter().enumerate() {
                    if before < at || (before > at && !self.everybody(*other)) {
                        self.connect(*node, *other);
                    }
                }
                continue;
            }
            for _ in 0..self.people.degree.div_ceil(2) {
                if let Some(other) = self.somebody(*node) {
                    self.connect(*node, other);
                }
            }
        }
    }

    /// A node goes; what it held is lost to the others.
    pub(crate) fn leave(&mut self, node: usize, again: bool) {
        self.close_all(node);
        let fresh = self.engine_seed(node);
        let prefix = self.people.next_prefix();
        let again_at = self.now + SECOND + (4.0 * SECOND as f64 * self.random.unit()) as u64;
        let it = &mut self.nodes[node];
        it.alive = false;
        if !again {
            it.gone = true;
            return;
        }
        let done = it.figures.done.is_some();
        let figures = Figures {
            given_up: it.figures.given_up + u32::from(!done),
            finished_before: it.figures.finished_before + u32::from(done),
            ..Figures::default()
        };
        let old = std::mem::replace(it, Node::new(it.config, fresh.wrapping_add(1), it.rates));
        it.figures = figures;
        it.prefixes = vec![prefix];
        (it.manner, it.group, it.after) = (old.manner, old.group, old.after);
        (it.wanted, it.goal, it.alive) = (old.wanted, old.goal, false);
        self.agenda.plan(again_at, node, Happening::Joins);
    }

    fn close_all(&mut self, node: usize) {
        let conns: Vec<u32> = self.nodes[node].conns.iter().copied().collect();
        for conn in conns {
            self.close(conn, node);
        }
    }

    /// A node comes back under other names, perhaps from elsewhere.
    pub(crate) fn renew(&mut self, node: usize) {
        let group = &self.people.groups[usize::from(self.nodes[node].group)];
        let Some(renews) = group.renews else { return };
        let mut others: Vec<usize> =
            self.nodes[node].conns.iter().map(|conn| self.far(node, *conn)).collect();
        others.dedup();
        self.close_all(node);
        if renews.elsewhere {
            for at in 0..self.nodes[node].prefixes.len() {
                self.nodes[node].prefixes[at] = self.people.next_prefix();
            }
        }
        for other in others {
            let known = self.nodes[node].conns.iter().any(|conn| self.far(node, *conn) == other);
            if self.nodes[other].alive && !known {
                self.connect(node, other);
            }
        }
        if self.nodes[node].fetching() {
            let at = self.now + (renews.every * SECOND as f64) as u64;
            self.agenda.plan(at, node, Happening::Renews);
        }
    }

    /// A connection breaks, and is made again soon.
    pub(crate) fn break_one(&mut self, node: usize) {
        let count = self.nodes[node].conns.len() as u32;
        let at = self.random.below(count) as usize;
        if let Some(conn) = self.nodes[node].conns.iter().nth(at).copied() {
            let far = self.far(node, conn);
            self.close(conn, node);
            let meets = Happening::Meets { other: far as u32 };
            self.agenda.plan(self.now + SEARCH_TAKES, node, meets);
        }
        let breaks = self.people.groups[usize::from(self.nodes[node].group)].breaks;
        let next = self.now + some_time(&mut self.random, breaks);
        self.agenda.plan(next, node, Happening::Breaks);
    }

    /// Two that were connected are again.
    pub(crate) fn meet(&mut self, node: usize, other: usize) {
        let known = self.nodes[node].conns.iter().any(|conn| self.far(node, *conn) == other);
        if self.nodes[other].alive && !known {
            self.connect(node, other);
        }
    }

    /// A node will look for peers, if nodes do.
    pub(crate) fn plan_search(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        if self.people.searches && !it.searching {
            it.searching = true;
            self.agenda.plan(self.now + SEARCH_TAKES, node, Happening::Searches);
        }
    }

    /// A node looks for peers.
    pub(crate) fn search(&mut self, node: usize) {
        if !self.nodes[node].fetching() {
            self.nodes[node].searching = false;
            return;
        }
        let it = &self.nodes[node];
        // Nobody there, or nobody that gives anything.
        let stuck = it.figures.kept == it.kept_before;
        let lonely = stuck || it.lonely.len() > it.found.len();
        self.nodes[node].kept_before = self.nodes[node].figures.kept;
        let it = &self.nodes[node];
        if it.conns.len() < self.people.degree.div_ceil(2).max(1) {
            self.meet_some(node);
        } else if lonely {
            self.meet_provider(node);
        }
        self.agenda.plan(self.now + SEARCHES_EVERY, node, Happening::Searches);
    }

    pub(crate) fn opened(&mut self, node: usize, conn: u32) {
        let it = &self.conns[conn as usize];
        if !it.open {
            return;
        }
        let side = usize::from(it.ends[0] as usize != node);
        let prefix = Self::prefix(it.shown[1 - side]);
        let peer = Self::peer(conn);
        self.nodes[node].handle(Event::PeerConnected { peer, prefix }, self.now);
    }

    pub(crate) fn closed(&mut self, node: usize, conn: u32) {
        let peer = Self::peer(conn);
        self.nodes[node].awaited.retain(|(other, _)| *other != conn);
        self.nodes[node].handle(Event::PeerDisconnected { peer }, self.now);
    }
}
