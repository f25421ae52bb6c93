//! A node of a simulated world: the real engine, and what surrounds it.
//!
//! The store is a set of block numbers; up- and downlink are queues with a rate. The part of the
//! network package that remembers what is outstanding is modelled: a block that is not awaited is
//! reported as unrequested.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_dag::Cid;

use crate::bits::BitSet;
use crate::sim::agent::Agent;
use crate::sim::catalog::BlockNo;
use crate::sim::reader::Reader;
use crate::sim::wire::Uplink;
use crate::{Config, Engine, Event, Holdings, ViolationKind};

/// How a node treats others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    #[default]
    Honest,
    /// Says that it has nothing, and serves nothing.
    Rider,
    /// Says what it has, and serves nothing.
    Silent,
    /// Says that it has everything from the start, and serves nothing.
    ClaimAll,
    /// A rider that tells seeds that it has what its accomplices were given.
    Forger,
    /// Every block that it sends is wrong.
    Liar,
    /// Sends messages beyond their bounds.
    Garbage,
    /// Sends blocks without end that nobody asked for.
    Flooder,
    /// Serves only those four that gave it most lately.
    TopFour,
}

impl Manner {
    /// Whether it plays by the rules.
    pub fn honest(self) -> bool {
        self == Self::Honest
    }

    /// Whether it gives nothing to anybody.
    pub fn gives_nothing(self) -> bool {
        !matches!(self, Self::Honest | Self::Liar | Self::TopFour)
    }
}

/// What a node does when it has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// Closes its session and shares what it has, as a fetch that is kept does.
    #[default]
    Stay,
    /// Keeps its session open.
    Open,
    /// Goes.
    Leave,
}

/// What became of a node's fetch, and what passed through it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// When it came, in nanoseconds.
    pub joined: u64,
    /// When it had everything, in nanoseconds.
    pub done: Option<u64>,
    /// When it had 2, 10 and 50 % of the content, in nanoseconds.
    pub marks: [Option<u64>; 3],
    /// Content bytes that it has got.
    pub useful: u64,
    /// Bytes of blocks that came, whatever became of them.
    pub came: u64,
    /// Blocks that came.
    pub came_blocks: u64,
    /// Bytes of new blocks, branches too.
    pub kept: u64,
    /// Verified bytes that it had or did not wait for.
    pub duplicates: u64,
    /// Bytes of blocks that it sent.
    pub sent: u64,
    /// Lives ended before the fetch was done.
    pub given_up: u32,
    /// Lives before this one that ended after the fetch was done.
    pub finished_before: u32,
}

/// One engine with what surrounds it.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub engine: Engine,
    /// What it shares without a session.
    pub shares: BTreeMap<Cid, Holdings>,
    /// How it treats others.
    pub manner: Manner,
    /// Whether it held everything from the start.
    pub seed: bool,
    /// Bytes per second, up and down.
    pub rates: (f64, f64),
    /// What became of it.
    pub figures: Figures,
    /// Wrong blocks that came, with the node that they came from.
    pub wrong: Vec<(u32, BlockNo)>,
    /// Wants satisfied: when.
    pub got: BTreeMap<Cid, Duration>,
    /// Wants told to have no provider: when.
    pub lonely: Vec<(Cid, Duration)>,
    /// Wants told to have a provider again: when.
    pub found: Vec<(Cid, Duration)>,
    /// What nodes did wrong towards it.
    pub violations: Vec<(u32, ViolationKind)>,
    /// Most messages about what is here that one peer was told in one instant.
    pub told_most: u16,
    /// Blocks probed.
    pub probed: u64,
    pub(crate) config: Config,
    pub(crate) store: BitSet,
    pub(crate) agent: Option<Box<Agent>>,
    /// The address prefixes that it shows, one per identity.
    pub(crate) prefixes: Vec<u32>,
    /// Its open connections.
    pub(crate) conns: BTreeSet<u32>,
    pub(crate) awaited: BTreeSet<(u32, BlockNo)>,
    pub(crate) uplink: Uplink,
    /// When the downlink is free, in nanoseconds.
    pub(crate) down_free: u64,
    pub(crate) timer: Option<u64>,
    pub(crate) alive: bool,
    /// It left, and does not come back.
    pub(crate) gone: bool,
    pub(crate) reader: Option<Box<Reader>>,
    /// Group of the scenario that it belongs to.
    pub(crate) group: u16,
    /// The roots that it fetches, or holds from the start.
    pub(crate) wanted: Vec<Cid>,
    /// Content bytes of those.
    pub(crate) goal: u64,
    /// What it does when it has everything.
    pub(crate) after: After,
    /// What it had at its last search.
    pub(crate) kept_before: u64,
    /// A search is planned.
    pub(crate) searching: bool,
}

impl Node {
    pub(crate) fn new(config: Config, seed: u64, rates: (f64, f64)) -> Self {
        Self {
            engine: Engine::new(config, seed),
            shares: BTreeMap::new(),
            manner: Manner::Honest,
            seed: false,
            rates,
            figures: Figures::default(),
            wrong: Vec::new(),
            got: BTreeMap::new(),
            lonely: Vec::new(),
            found: Vec::new(),
            violations: Vec::new(),
            told_most: 0,
            probed: 0,
            config,
            store: BitSet::default(),
            agent: None,
            prefixes: Vec::new(),
            conns: BTreeSet::new(),
            awaited: BTreeSet::new(),
            uplink: Uplink::default(),
            down_free: 0,
            timer: None,
            alive: true,
            gone: false,
            reader: None,
            group: 0,
            wanted: Vec::new(),
            goal: 0,
            after: After::Open,
            kept_before: 0,
            searching: false,
        }
    }

    /// Whether it takes part.
    pub fn alive(&self) -> bool {
        self.alive
    }

    /// Whether a block is in its store.
    pub fn has(&self, block: BlockNo) -> bool {
        self.store.has(block.0)
    }

    /// Puts blocks into its store, as if they had been there from the start.
    pub fn give(&mut self, blocks: impl IntoIterator<Item = BlockNo>) {
        for block in blocks {
            self.store.set(block.0);
        }
    }

    /// Whether it fetches something that it does not have yet.
    pub(crate) fn fetching(&self) -> bool {
        self.alive && !self.seed && self.figures.done.is_none()
    }

    pub(crate) fn handle(&mut self, event: Event, now: u64) {
        self.engine.handle(event, Duration::from_nanos(now));
    }
}
