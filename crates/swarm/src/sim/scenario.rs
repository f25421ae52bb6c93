//! Scenarios as data: who takes part, over which links, and what for.
//!
//! A [`Scenario`] and a seed make a [`World`]; [`Scenario::run`] runs it until everybody who
//! counts has finished, and returns the figures as an [`Outcome`].

use std::time::Duration;

use shoal_dag::Cid;

use crate::Config;
use crate::sim::agenda::Happening;
use crate::sim::catalog::{Catalog, LEAF_BYTES};
use crate::sim::node::{After, Manner};
use crate::sim::outcome::Outcome;
use crate::sim::reader::Reading;
use crate::sim::wire::{SECOND, Weather};
use crate::sim::world::World;

/// Virtual time between two looks at whether all have finished.
const LOOK_EVERY: u64 = SECOND / 2;

/// How often somebody becomes somebody else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renews {
    /// Seconds between two changes.
    pub every: f64,
    /// From another address prefix each time.
    pub elsewhere: bool,
}

/// Nodes of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// What figures call it.
    pub name: &'static str,
    /// How many.
    pub count: u32,
    /// Mbit/s up and down.
    pub rates: (f64, f64),
    /// Holds everything from the start.
    pub seed: bool,
    /// How it treats others.
    pub manner: Manner,
    /// What it does when it has everything.
    pub after: After,
    /// Seconds at which the first and the last of it join, evenly spread.
    pub joins: (f64, f64),
    /// Share of the uplink that it gives.
    pub gives: f64,
    /// Identities that each keeps connected at once, and the prefixes that they come from.
    pub identities: (u32, u32),
    /// Takes new identities.
    pub renews: Option<Renews>,
    /// Connects to everybody, whatever the degree.
    pub large_view: bool,
    /// Share of it that leaves each minute, and comes back as others with nothing.
    pub churn: f64,
    /// Connections per node that break each minute, and are made again.
    pub breaks: f64,
    /// Reads the file as it comes.
    pub reads: Option<Reading>,
}

impl Group {
    /// Honest nodes that fetch and stay, all from the start.
    pub const fn new(name: &'static str, count: u32, up: f64, down: f64) -> Self {
        Self {
            name,
            count,
            rates: (up, down),
            seed: false,
            manner: Manner::Honest,
            after: After::Stay,
            joins: (0.0, 0.0),
            gives: 1.0,
            identities: (1, 1),
            renews: None,
            large_view: false,
            churn: 0.0,
            breaks: 0.0,
            reads: None,
        }
    }

    /// One that has everything.
    pub const fn seed(up: f64) -> Self {
        Self { seed: true, ..Self::new("seed", 1, up, 1_000.0) }
    }

    /// Whether it counts as one that gives what it can and fetches: for the fluid bound.
    pub fn contributes(&self) -> bool {
        !self.seed && !self.manner.gives_nothing() && self.gives > 0.0
    }
}

/// A history to be: with a seed it is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Who takes part.
    pub groups: Vec<Group>,
    /// Content of each root in leaves of 64 KiB.
    pub leaves: u32,
    /// Roots that everybody fetches, or holds.
    pub roots: u32,
    /// Children of a branch.
    pub width: u32,
    /// Connections that each aims at; 0 for everybody.
    pub degree: u32,
    /// What the links are like.
    pub weather: Weather,
    /// Virtual seconds after which it ends in any case.
    pub ends: f64,
    /// Whether it goes on until then, though all have finished.
    pub whole: bool,
}

impl Scenario {
    /// A file of `mib` MiB among `groups`, everybody connected with everybody.
    pub fn new(name: &'static str, mib: u32, groups: &[Group]) -> Self {
        Self {
            name,
            groups: groups.to_vec(),
            leaves: mib * ((1 << 20) / LEAF_BYTES),
            roots: 1,
            width: 256,
            degree: 0,
            weather: Weather::default(),
            ends: 3_600.0,
            whole: false,
        }
    }

    /// The same without those who do not play by the rules.
    #[must_use]
    pub fn without(&self, left_out: impl Fn(&Group) -> bool) -> Self {
        let groups = self.groups.iter().filter(|group| !left_out(group)).copied().collect();
        Self { groups, ..self.clone() }
    }

    /// The same with so many who fetch; groups keep their shares.
    #[must_use]
    pub fn with_peers(&self, peers: u32) -> Self {
        let mut scenario = self.clone();
        let fetch = |group: &&mut Group| !group.seed;
        let before: u32 = self.groups.iter().filter(|it| !it.seed).map(|it| it.count).sum();
        for group in scenario.groups.iter_mut().filter(fetch) {
            let share = f64::from(group.count) / f64::from(before.max(1));
            group.count = (share * f64::from(peers)).round() as u32;
        }
        scenario
    }

    /// Content bytes of each root.
    pub fn bytes(&self) -> u64 {
        u64::from(self.leaves) * u64::from(LEAF_BYTES)
    }

    /// The world as it is when everything begins.
    pub fn world(&self, seed: u64) -> World {
        let mut catalog = Catalog::default();
        let (leaves, width) = (self.leaves as usize, self.width as usize);
        let roots: Vec<Cid> = (0..self.roots).map(|_| catalog.file(leaves, width)).collect();
        let mut world = World::new(catalog, seed);
        world.weather = self.weather;
        world.people.degree = self.degree as usize;
        world.people.searches = self.degree > 0 || self.groups.iter().any(|it| it.churn > 0.0);
        world.people.groups.clone_from(&self.groups);
        let unsteady = |it: &Group| it.churn + it.breaks > 0.0 || it.renews.is_some();
        world.audit.lenient = self.groups.iter().any(unsteady);
        let first: Vec<usize> = (0..)
            .zip(&self.groups)
            .flat_map(|(at, it)| people(&mut world, at, it, &roots))
            .collect();
        world.mingle(&first);
        for node in first {
            world.start(node);
        }
        world
    }

    /// Runs a history to its end.
    ///
    /// # Panics
    /// Where something that must hold does not: see the module `audit`.
    pub fn run(&self, seed: u64) -> Outcome {
        let mut world = self.world(seed);
        self.run_world(&mut world);
        Outcome::of(self, &world)
    }

    /// Runs a world that was made of this scenario.
    pub fn run_world(&self, world: &mut World) {
        let ends = (self.ends * SECOND as f64) as u64;
        let mut until = 0;
        while until < ends && (self.whole || !world.settled()) {
            until = (until + LOOK_EVERY).min(ends);
            world.run(Duration::from_nanos(until));
            world.check_progress();
        }
        world.check_all();
    }
}

/// Makes the nodes of a group; those who are there from the start.
fn people(world: &mut World, at: u16, group: &Group, roots: &[Cid]) -> Vec<usize> {
    let up = (group.gives < 1.0).then_some((group.rates.0 * 125_000.0 * group.gives) as u64);
    let config = Config { up, ..Config::default() };
    let mut first = Vec::new();
    for n in 0..group.count {
        let node = world.node(group.rates.0, group.rates.1, config);
        for root in roots {
            if group.seed {
                world.hold(node, root);
            } else {
                world.will_fetch(node, root);
            }
        }
        let prefixes = (0..group.identities.1).map(|_| world.people.next_prefix()).collect();
        let lines = repeat_to(prefixes, group.identities.0);
        let it = &mut world.nodes[node];
        (it.manner, it.after, it.group) = (group.manner, group.after, at);
        it.prefixes = lines;
        it.alive = false;
        if group.seed && group.manner.honest() {
            world.people.providers.push(node as u32);
        }
        let (from, to) = group.joins;
        let joins = from + (to - from) * f64::from(n) / f64::from(group.count.max(2) - 1);
        if joins > 0.0 {
            world.agenda.plan((joins * SECOND as f64) as u64, node, Happening::Joins);
        } else {
            world.come_to_life(node);
            first.push(node);
        }
    }
    first
}

fn repeat_to(prefixes: Vec<u32>, count: u32) -> Vec<u32> {
    prefixes.iter().copied().cycle().take(count as usize).collect()
}

impl World {
    /// Whether everybody who came to fetch has finished, or is gone for good.
    pub(crate) fn settled(&self) -> bool {
        self.nodes.iter().all(|node| node.seed || node.gone || node.figures.done.is_some())
    }

    /// Notes what a node will fetch when it comes.
    fn will_fetch(&mut self, node: usize, root: &Cid) {
        self.nodes[node].wanted.push(*root);
        self.nodes[node].goal += self.catalog.size(root);
    }
}
