//! Every interleaving of a small world: 2 machines with one key, 3 readers.
//!
//! A machine publishes, or is set back to an older copy of itself (a restored disk); a reader meets a
//! machine or another reader. Nothing happens that is not one of these, so a partition is a stretch of
//! a run without some of them. A crash can come anywhere: every state of a reader is replaced by what
//! comes back from its bytes, and must go on as if nothing had happened; a machine keeps no state but
//! its disk. The code under test is the real one; what a meeting does to a reader depends only on both
//! their states, so each pair of states is run once and remembered, and the walk visits each state of
//! the world once.

use super::{ALL, Checks, Node};
use crate::chain::Chain;
use crate::sample::{OWNER, begin, push, update};
use std::collections::{HashMap, HashSet};

const READERS: usize = 3;
/// Entries that a machine may have: the genesis, and what it publishes.
const LEN_MAX: usize = 3;

/// Indices into the tables of [`Explorer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    machines: [usize; 2],
    set_back: bool,
    readers: [usize; READERS],
}

struct Explorer {
    chains: Vec<Chain>,
    nodes: Vec<Node>,
    checks: Checks,
    met: HashMap<(usize, usize), usize>,
    met_reader: HashMap<(usize, usize), usize>,
    published: HashMap<(usize, usize), usize>,
    violations: Vec<String>,
}

impl Explorer {
    fn new(checks: Checks) -> Self {
        Self {
            chains: vec![begin(&[OWNER])],
            nodes: vec![Node::new(checks)],
            checks,
            met: HashMap::new(),
            met_reader: HashMap::new(),
            published: HashMap::new(),
            violations: Vec::new(),
        }
    }

    /// The chain after that machine published on it; both may publish the same content at times.
    fn publish(&mut self, machine: usize, chain: usize) -> Option<usize> {
        if self.chains[chain].entries().len() >= LEN_MAX {
            return None;
        }
        if let Some(known) = self.published.get(&(machine, chain)) {
            return Some(*known);
        }
        let mut grown = self.chains[chain].clone();
        let root = grown.entries().len() as u64 * 10 + machine as u64;
        push(&mut grown, OWNER, update(root));
        let same = |known: &Chain| known.entries() == grown.entries();
        let index = self.chains.iter().position(same).unwrap_or_else(|| {
            self.chains.push(grown.clone());
            self.chains.len() - 1
        });
        self.published.insert((machine, chain), index);
        Some(index)
    }

    fn meet(&mut self, reader: usize, chain: usize) -> usize {
        if let Some(known) = self.met.get(&(reader, chain)) {
            return *known;
        }
        let theirs = self.chains[chain].clone();
        let index = self.step(reader, |node| node.meet(&theirs, &[], 0));
        self.met.insert((reader, chain), index);
        index
    }

    fn meet_reader(&mut self, reader: usize, other: usize) -> usize {
        if let Some(known) = self.met_reader.get(&(reader, other)) {
            return *known;
        }
        let Some(theirs) = self.nodes[other].branch.clone() else { return reader };
        let frauds = self.nodes[other].reader.frauds().to_vec();
        let index = self.step(reader, |node| node.meet(&theirs, &frauds, 0));
        self.met_reader.insert((reader, other), index);
        index
    }

    /// The state after a step, judged. What was seen belongs to the state of the judge.
    fn step(&mut self, reader: usize, act: impl FnOnce(&mut Node)) -> usize {
        let before = self.nodes[reader].clone();
        let mut after = before.clone();
        act(&mut after);
        if let Err(what) = after.judge(&before) {
            self.violations.push(what);
        }
        let key = after.key();
        after.crash();
        if after.key() != key || after.judge(&before).is_err() {
            self.violations.push("a crash loses something".to_owned());
        }
        let seen = |node: &Node| {
            let mut heads: Vec<_> = node.seen.iter().map(|chain| chain.tip().head().id()).collect();
            heads.sort();
            heads.dedup();
            (node.key(), heads)
        };
        let key = seen(&after);
        self.nodes.iter().position(|node| seen(node) == key).unwrap_or_else(|| {
            self.nodes.push(after);
            self.nodes.len() - 1
        })
    }

    fn successors(&mut self, world: World) -> Vec<World> {
        let mut next = Vec::new();
        for machine in 0..2 {
            if let Some(chain) = self.publish(machine, world.machines[machine]) {
                let mut after = world;
                after.machines[machine] = chain;
                next.push(after);
            }
            if !world.set_back && world.machines[machine] != 0 {
                let mut after = world;
                after.machines[machine] = 0;
                after.set_back = true;
                next.push(after);
            }
        }
        for reader in 0..READERS {
            let machines = world.machines.map(|chain| self.meet(world.readers[reader], chain));
            let others = world.readers.map(|other| self.meet_reader(world.readers[reader], other));
            for state in machines.into_iter().chain(others) {
                let mut after = world;
                after.readers[reader] = state;
                // Readers are alike: worlds that differ by their order are one.
                after.readers.sort_unstable();
                next.push(after);
            }
        }
        next
    }

    /// Walks all there is; the number of worlds.
    fn walk(&mut self, worlds_max: usize) -> usize {
        let first = World { machines: [0; 2], set_back: false, readers: [0; READERS] };
        let mut seen = HashSet::from([first]);
        let mut open = vec![first];
        while let Some(world) = open.pop() {
            for after in self.successors(world) {
                if seen.insert(after) {
                    open.push(after);
                }
            }
            assert!(seen.len() < worlds_max, "the world is larger than it should be");
        }
        seen.len()
    }
}

#[test]
fn no_reader_goes_back_and_every_fork_that_is_seen_is_proven() {
    let mut explorer = Explorer::new(ALL);
    let worlds = explorer.walk(3_000_000);
    assert_eq!(explorer.violations, Vec::<String>::new());
    let forked = explorer.nodes.iter().filter(|node| !node.reader.frauds().is_empty()).count();
    println!("{worlds} worlds, {} states of a reader, {forked} forked", explorer.nodes.len());
    assert!(
        worlds > 10_000 && forked > 20,
        "{worlds} worlds, {forked} forked: too small to mean much"
    );
}

#[test]
fn without_its_checks_the_walk_finds_what_they_are_for() {
    for checks in [Checks { fork: false, ..ALL }, Checks { extend: false, ..ALL }] {
        let mut explorer = Explorer::new(checks);
        // Two steps of one reader are enough: no need for the whole world.
        let machines = [explorer.publish(0, 0).unwrap(), explorer.publish(1, 0).unwrap()];
        let longer = explorer.publish(1, machines[1]).unwrap();
        let first = explorer.meet(0, machines[0]);
        explorer.meet(first, machines[1]);
        explorer.meet(first, longer);
        assert_ne!(explorer.violations, Vec::<String>::new(), "{checks:?}");
        assert_eq!(explorer.checks, checks);
    }
}
