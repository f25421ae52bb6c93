//! What a store is asked to do, each with what its acknowledgement promises.
//!
//! A new operation is one more row of [`OPERATIONS`]: a name, how often it is drawn, and a function that
//! says first what it will promise and then does it. Contents are never shared between operations unless
//! they say so, so that the promises are exact.

mod adding;
mod collecting;
mod fetching;
mod small;
mod versions;

use std::collections::BTreeMap;
use std::path::PathBuf;

use shoal_dag::{Bytes, Cid};
use shoal_store::{BatchOptions, Store, WriteError};

use crate::facts::{Fact, Question};
use crate::random::Random;
use crate::recorder::Recorder;

use adding::{add_alias, add_blob, add_reference, add_small};
use collecting::{collect, collect_to_the_pins};
use fetching::{fetch, forget_reference, keep, move_out, take_back};
use small::{forget_block, records, secret, set_public, unpin};
use versions::{add_version, rebase};

/// What the operations of one run know of each other.
pub(crate) struct World<'a> {
    pub(crate) base: PathBuf,
    pub(crate) recorder: &'a Recorder,
    pub(crate) random: Random,
    next: u64,
    /// Contents that the store owns and has pinned, that it only fetched, and that it moved out.
    owned: Vec<u64>,
    fetched: Vec<u64>,
    moved: Vec<u64>,
    smalls: Vec<u64>,
    records: u8,
    has_secret: bool,
    /// Contents that have a second root, which is pinned.
    aliased: Vec<u64>,
    /// What no pin leads to: a collector may take it.
    loose: BTreeMap<u64, Vec<Question>>,
    /// Versions of one file, by the numbers of their leaves.
    versions: Vec<Vec<u64>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(base: PathBuf, recorder: &'a Recorder, random: Random) -> Self {
        let (owned, fetched, moved, smalls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self {
            base,
            recorder,
            random,
            next: 1,
            owned,
            fetched,
            moved,
            smalls,
            records: 0,
            has_secret: false,
            aliased: Vec::new(),
            loose: BTreeMap::new(),
            versions: Vec::new(),
        }
    }

    fn new_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn any(&mut self, of: fn(&Self) -> &Vec<u64>) -> Option<u64> {
        let len = of(self).len();
        (len > 0).then(|| self.random.below(len)).map(|n| of(self)[n])
    }

    fn out(&self, number: u64) -> PathBuf {
        self.base.join(format!("out/{number}"))
    }
}

/// What an operation will do.
pub(crate) struct Plan {
    /// What its acknowledgement promises, for a power loss too.
    pub(crate) facts: Vec<Fact>,
    /// What it promises if only the process dies.
    pub(crate) until_power_loss: Vec<Fact>,
    /// What was promised before and is not any more.
    pub(crate) withdrawn: Vec<Question>,
    /// Does it; again where it failed.
    pub(crate) act: Box<Act>,
}

type Act = dyn Fn(&Store, &Recorder) -> Result<(), WriteError>;

/// A plan; none where there is nothing yet to work on.
type MaybePlan = Option<Plan>;

/// One kind of operation; `None` where there is nothing yet that it could work on.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How often it is drawn, beside the others.
    pub(crate) weight: usize,
    pub(crate) plan: fn(&mut World<'_>) -> MaybePlan,
}

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { name: "add small", weight: 3, plan: add_small },
    Operation { name: "add blob", weight: 3, plan: add_blob },
    Operation { name: "add alias", weight: 2, plan: add_alias },
    Operation { name: "add reference", weight: 2, plan: add_reference },
    Operation { name: "keep", weight: 2, plan: keep },
    Operation { name: "fetch", weight: 3, plan: fetch },
    Operation { name: "move out", weight: 3, plan: move_out },
    Operation { name: "take back", weight: 2, plan: take_back },
    Operation { name: "unpin", weight: 2, plan: unpin },
    Operation { name: "records", weight: 2, plan: records },
    Operation { name: "set public", weight: 2, plan: set_public },
    Operation { name: "forget reference", weight: 2, plan: forget_reference },
    Operation { name: "forget block", weight: 2, plan: forget_block },
    Operation { name: "secret", weight: 2, plan: secret },
    Operation { name: "add version", weight: 3, plan: add_version },
    Operation { name: "rebase", weight: 2, plan: rebase },
    Operation { name: "collect", weight: 2, plan: collect },
    Operation { name: "collect to the pins", weight: 3, plan: collect_to_the_pins },
];

/// Draws an operation that can be done now.
pub(crate) fn draw(world: &mut World<'_>) -> (&'static str, Plan) {
    let total: usize = OPERATIONS.iter().map(|operation| operation.weight).sum();
    loop {
        let mut at = world.random.below(total);
        let drawn = OPERATIONS.iter().find(|operation| {
            let is_it = at < operation.weight;
            at = at.saturating_sub(operation.weight);
            is_it
        });
        let drawn = drawn.expect("it is below the total");
        if let Some(plan) = (drawn.plan)(world) {
            return (drawn.name, plan);
        }
    }
}

const PUBLIC: BatchOptions = BatchOptions { public: true };

fn plan(
    facts: Vec<Fact>,
    act: impl Fn(&Store, &Recorder) -> Result<(), WriteError> + 'static,
) -> MaybePlan {
    let (until_power_loss, withdrawn) = (Vec::new(), Vec::new());
    Some(Plan { facts, until_power_loss, withdrawn, act: Box::new(act) })
}

fn block_facts(blocks: &[(Cid, Bytes)]) -> Vec<Fact> {
    blocks.iter().map(|(cid, data)| Fact::block(cid, Some(data))).collect()
}
