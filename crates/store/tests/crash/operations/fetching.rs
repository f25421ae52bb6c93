//! Fetching: leaves that come one by one, files that become whole, files that are moved out to the user
//! and taken back.
//!
//! Some of it promises something until the power goes only.

use shoal_dag::{Bytes, Cid};
use shoal_store::{Moved, PinOptions, SettleOptions, Store, WriteError};

use super::{MaybePlan, Plan, World, block_facts, plan};
use crate::content::{CONTENT_BYTES, Content, small};
use crate::facts::{Fact, Question};
use crate::recorder::Recorder;

/// A fetch that stops half-way: what was kept survives the process at once and a checkpoint for good.
pub(super) fn keep(world: &mut World<'_>) -> MaybePlan {
    let number = world.new_number();
    let (content, block) = (Content::of(number), small(world.new_number()));
    let mut questions = content.questions();
    questions.push(Question::Block(block.0.to_bytes()));
    world.loose.insert(number, questions);
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
    Some(Plan { facts, until_power_loss, withdrawn: Vec::new(), act: Box::new(act) })
}

fn fetch_all(store: &Store, content: &Content, options: SettleOptions) -> Result<(), WriteError> {
    store.prepare(&content.root, CONTENT_BYTES, true)?;
    content.keep_branches(store)?;
    (0..content.leaves.len()).rev().try_for_each(|n| content.keep(store, n))?;
    let mut spans = content.spans().into_iter();
    assert!(store.settle(&content.root, CONTENT_BYTES, &mut spans, options)?);
    Ok(())
}

pub(super) fn fetch(world: &mut World<'_>) -> MaybePlan {
    let number = world.new_number();
    let (content, kept) = (Content::of(number), world.random.chance(40));
    if kept {
        world.owned.push(number);
    } else {
        world.fetched.push(number);
        world.loose.insert(number, content.questions());
    }
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
pub(super) fn move_out(world: &mut World<'_>) -> MaybePlan {
    let known = world.any(|world| &world.fetched);
    let number = known.unwrap_or_else(|| world.new_number());
    world.fetched.retain(|other| *other != number);
    world.moved.push(number);
    let content = Content::of(number);
    world.loose.insert(number, content.questions());
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
        if moved.how() != Moved::Linked {
            // The store does not answer for a copy: whoever asked for it syncs it.
            recorder.users_sync(&out);
        }
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
    Some(Plan { facts, until_power_loss, withdrawn: Vec::new(), act: Box::new(act) })
}

/// A pin of what was moved out: the store takes a copy back.
pub(super) fn take_back(world: &mut World<'_>) -> MaybePlan {
    let number = world.any(|world| &world.moved)?;
    world.moved.retain(|other| *other != number);
    world.owned.push(number);
    world.loose.remove(&number);
    let content = Content::of(number);
    let mut facts = block_facts(&content.leaves);
    facts.push(Fact::pin(&content.root, true));
    plan(facts, move |store, _| {
        for (cid, _) in &content.leaves {
            if !store.own(cid, true)? {
                // A failed sync took it away: it is fetched again.
                let options = SettleOptions { sync: false, kept: true, sparse: false };
                fetch_all(store, &content, options)?;
            }
        }
        store.pin(&content.root, PinOptions::default())
    })
}

pub(super) fn forget_reference(world: &mut World<'_>) -> MaybePlan {
    let number = world.any(|world| &world.moved)?;
    world.moved.retain(|other| *other != number);
    let content = Content::of(number);
    let mut facts: Vec<_> = gone(&content.leaves).collect();
    facts.push(Fact::whole(&content.root, None));
    facts.push(Fact::public(&content.leaves[0].0, None));
    // The names of its files go after the commit and are not synced: a power loss may bring it back.
    let act = move |store: &Store, _: &Recorder| store.forget_reference(&content.root).map(drop);
    let (facts, until_power_loss) = (Vec::new(), facts);
    Some(Plan { facts, until_power_loss, withdrawn: Vec::new(), act: Box::new(act) })
}

fn gone(blocks: &[(Cid, Bytes)]) -> impl Iterator<Item = Fact> {
    blocks.iter().map(|(cid, _)| Fact::block(cid, None))
}
