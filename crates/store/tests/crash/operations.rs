//! What a store is asked to do, each with what its acknowledgement promises.
//!
//! A new operation is one more row of [`OPERATIONS`]: a name, how often it is drawn, and a function that
//! says first what it will promise and then does it. Contents are never shared between operations unless
//! they say so, so that the promises are exact.

use std::path::PathBuf;

use shoal_dag::{Bytes, Cid};
use shoal_store::{Batch, BatchOptions, PinOptions, SettleOptions, Store, WriteError};

use crate::content::{Content, bytes, small};
use crate::facts::Fact;
use crate::random::Random;
use crate::recorder::Recorder;

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
    /// Does it; again where it failed.
    pub(crate) act: Box<dyn Fn(&Store, &Recorder) -> Result<(), WriteError>>,
}

/// One kind of operation; `None` where there is nothing yet that it could work on.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How often it is drawn, beside the others.
    pub(crate) weight: usize,
    pub(crate) plan: fn(&mut World<'_>) -> Option<Plan>,
}

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation { name: "add small", weight: 3, plan: add_small },
    Operation { name: "add blob", weight: 3, plan: add_blob },
    Operation { name: "add alias", weight: 1, plan: add_alias },
    Operation { name: "add reference", weight: 2, plan: add_reference },
    Operation { name: "keep", weight: 2, plan: keep },
    Operation { name: "fetch", weight: 3, plan: fetch },
    Operation { name: "move out", weight: 3, plan: move_out },
    Operation { name: "take back", weight: 2, plan: take_back },
    Operation { name: "unpin", weight: 1, plan: unpin },
    Operation { name: "records", weight: 2, plan: records },
    Operation { name: "set public", weight: 1, plan: set_public },
    Operation { name: "forget reference", weight: 1, plan: forget_reference },
    Operation { name: "forget block", weight: 1, plan: forget_block },
    Operation { name: "secret", weight: 1, plan: secret },
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

fn plan(
    facts: Vec<Fact>,
    act: impl Fn(&Store, &Recorder) -> Result<(), WriteError> + 'static,
) -> Option<Plan> {
    Some(Plan { facts, until_power_loss: Vec::new(), act: Box::new(act) })
}

const PUBLIC: BatchOptions = BatchOptions { public: true };

fn block_facts(blocks: &[(Cid, Bytes)]) -> Vec<Fact> {
    blocks.iter().map(|(cid, data)| Fact::block(cid, Some(data))).collect()
}

fn gone(blocks: &[(Cid, Bytes)]) -> impl Iterator<Item = Fact> {
    blocks.iter().map(|(cid, _)| Fact::block(cid, None))
}

fn put_all(batch: &Batch, blocks: &[(Cid, Bytes)]) -> Result<(), WriteError> {
    blocks.iter().try_for_each(|(cid, data)| batch.put(cid, data))
}

fn add_small(world: &mut World<'_>) -> Option<Plan> {
    let count = 1 + world.random.below(5);
    let numbers: Vec<u64> = (0..count).map(|_| world.new_number()).collect();
    let blocks: Vec<_> = numbers.iter().map(|number| small(*number)).collect();
    world.smalls.extend(&numbers[1..]);
    let mut facts = block_facts(&blocks);
    facts.push(Fact::pin(&blocks[0].0, true));
    facts.push(Fact::public(&blocks[0].0, Some(&blocks[0].1)));
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        put_all(&batch, &blocks)?;
        batch.pin(&blocks[0].0, PinOptions::default())?;
        batch.commit()
    })
}

fn add_blob(world: &mut World<'_>) -> Option<Plan> {
    let number = world.new_number();
    world.owned.push(number);
    let (content, branch) = (Content::of(number), small(world.new_number()));
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::whole(&content.root, Some(content.bytes())));
    facts.push(Fact::pin(&content.root, true));
    facts.push(Fact::block(&branch.0, Some(&branch.1)));
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        content.add(&batch)?;
        batch.put(&branch.0, &branch.1)?;
        batch.pin(&content.root, PinOptions::default())?;
        batch.commit()
    })
}

fn add_alias(world: &mut World<'_>) -> Option<Plan> {
    let content = Content::of(world.any(|world| &world.owned)?);
    let facts =
        vec![Fact::whole(&content.alias, Some(content.bytes())), Fact::pin(&content.alias, true)];
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        // An add that failed may have left nothing to be an alias of: then it is added again.
        if !batch.alias(&content.alias, &content.root)? {
            content.add(&batch)?;
            assert!(batch.alias(&content.alias, &content.root)?);
        }
        batch.pin(&content.alias, PinOptions::default())?;
        batch.commit()
    })
}

fn add_reference(world: &mut World<'_>) -> Option<Plan> {
    let content = Content::of(world.new_number());
    let path = world.base.join(format!("out/given-{}", world.next));
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::pin(&content.root, true));
    facts.push(Fact::file(path.clone(), Some(content.bytes())));
    world.recorder.users_file(&path, &content.bytes());
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        let mut reference = batch.reference(&path)?;
        for (cid, offset, len) in content.spans() {
            reference.leaf(&cid, offset, len)?;
        }
        reference.finish(&content.root)?;
        batch.pin(&content.root, PinOptions::default())?;
        batch.commit()
    })
}

/// A fetch that stops half-way: what was kept survives the process at once and a checkpoint for good.
fn keep(world: &mut World<'_>) -> Option<Plan> {
    let content = Content::of(world.new_number());
    let block = small(world.new_number());
    let count = 1 + world.random.below(content.leaves.len() - 1);
    let mut facts = block_facts(&content.leaves[..count]);
    facts.push(Fact::block(&block.0, Some(&block.1)));
    let is_checkpointed = world.random.chance(50);
    let act = move |store: &Store, _: &Recorder| {
        (0..count).try_for_each(|n| content.keep(store, n))?;
        store.keep(&block.0, None, &block.1, true)?;
        if is_checkpointed { store.checkpoint() } else { Ok(()) }
    };
    let (facts, until_power_loss) =
        if is_checkpointed { (facts, Vec::new()) } else { (Vec::new(), facts) };
    Some(Plan { facts, until_power_loss, act: Box::new(act) })
}

fn fetch_all(store: &Store, content: &Content, options: SettleOptions) -> Result<(), WriteError> {
    store.prepare(&content.root, content.size(), true)?;
    (0..content.leaves.len()).rev().try_for_each(|n| content.keep(store, n))?;
    let mut spans = content.spans().into_iter();
    assert!(store.settle(&content.root, content.size(), &mut spans, options)?);
    Ok(())
}

fn fetch(world: &mut World<'_>) -> Option<Plan> {
    let number = world.new_number();
    let (content, kept) = (Content::of(number), world.random.chance(40));
    if kept { &mut world.owned } else { &mut world.fetched }.push(number);
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::whole(&content.root, Some(content.bytes())));
    facts.push(Fact::public(&content.leaves[0].0, Some(&content.leaves[0].1)));
    facts.extend(kept.then(|| Fact::pin(&content.root, true)));
    plan(facts, move |store, _| {
        fetch_all(store, &content, SettleOptions { sync: true, kept, sparse: false })?;
        if kept { store.pin(&content.root, PinOptions::default()) } else { Ok(()) }
    })
}

/// A `get`: of what was fetched before, or of something new.
fn move_out(world: &mut World<'_>) -> Option<Plan> {
    let known = world.any(|world| &world.fetched);
    let number = known.unwrap_or_else(|| world.new_number());
    world.fetched.retain(|other| *other != number);
    world.moved.push(number);
    let content = Content::of(number);
    let (out, temp) = (world.out(number), world.base.join(format!("out/.{number}.part")));
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::file(out.clone(), Some(content.bytes())));
    let is_checkpointed = world.random.chance(60);
    let act = move |store: &Store, recorder: &Recorder| {
        recorder.users_remove(&temp);
        fetch_all(store, &content, SettleOptions::default())?;
        let moved = store.move_out(&content.root, &temp, 0o644, false)?;
        let moved = moved.expect("it was made whole above");
        recorder.users_rename(&temp, &out);
        moved.finish(&out)?;
        if is_checkpointed { store.checkpoint() } else { Ok(()) }
    };
    // What was synced by an earlier fetch is not lost by moving it.
    let blocks = facts[..facts.len() - 1].to_vec();
    let (facts, until_power_loss) = match (is_checkpointed, known) {
        (true, _) => (facts, Vec::new()),
        (false, Some(_)) => (blocks, facts),
        (false, None) => (Vec::new(), facts),
    };
    Some(Plan { facts, until_power_loss, act: Box::new(act) })
}

/// A pin of what was moved out: the store takes a copy back.
fn take_back(world: &mut World<'_>) -> Option<Plan> {
    let number = world.any(|world| &world.moved)?;
    world.moved.retain(|other| *other != number);
    world.owned.push(number);
    let content = Content::of(number);
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::pin(&content.root, true));
    plan(facts, move |store, _| {
        for (cid, _) in &content.leaves {
            assert!(store.own(cid, true)?);
        }
        store.pin(&content.root, PinOptions::default())
    })
}

fn unpin(world: &mut World<'_>) -> Option<Plan> {
    let content = Content::of(world.any(|world| &world.owned)?);
    plan(vec![Fact::pin(&content.root, false)], move |store, _| {
        store.unpin(&content.root).map(drop)
    })
}

fn records(world: &mut World<'_>) -> Option<Plan> {
    world.records = world.records.wrapping_add(1);
    let old = [world.records.wrapping_sub(2)];
    let keys = [[world.records], [200]];
    let value = bytes(world.next + u64::from(world.records), 1 + world.random.below(3000));
    let mut facts: Vec<_> =
        keys.iter().map(|key| Fact::record("crash", key, Some(&value))).collect();
    facts.push(Fact::record("crash", &old, None));
    plan(facts, move |store, _| {
        let mut changes: Vec<(&[u8], Option<&[u8]>)> = vec![(&old, None)];
        changes.extend(keys.iter().map(|key| (key.as_slice(), Some(value.as_ref()))));
        store.put_records("crash", &changes)
    })
}

fn set_public(world: &mut World<'_>) -> Option<Plan> {
    let (cid, data) = small(world.any(|world| &world.smalls)?);
    let public = world.random.chance(50);
    plan(vec![Fact::public(&cid, public.then_some(&data))], move |store, _| {
        store.set_public(&[cid], public)
    })
}

fn forget_reference(world: &mut World<'_>) -> Option<Plan> {
    let number = world.any(|world| &world.moved)?;
    world.moved.retain(|other| *other != number);
    let content = Content::of(number);
    let mut facts: Vec<_> = gone(&content.leaves).collect();
    facts.push(Fact::whole(&content.root, None));
    facts.push(Fact::public(&content.leaves[0].0, None));
    plan(facts, move |store, _| store.forget_reference(&content.root).map(drop))
}

fn forget_block(world: &mut World<'_>) -> Option<Plan> {
    let number = world.any(|world| &world.smalls)?;
    world.smalls.retain(|other| *other != number);
    let block = small(number);
    let facts = vec![Fact::block(&block.0, None), Fact::public(&block.0, None)];
    plan(facts, move |store, _| store.forget_block(&block.0))
}

fn secret(world: &mut World<'_>) -> Option<Plan> {
    world.has_secret = !world.has_secret;
    let value = world.has_secret.then(|| bytes(world.next, 64));
    plan(vec![Fact::secret("key", value.clone())], move |store, _| {
        let done = match &value {
            Some(value) => store.read_or_create_secret("key", || value.to_vec()).map(drop),
            None => store.remove_secret("key"),
        };
        done.map_err(|error| WriteError::Index { reason: error.to_string() })
    })
}
