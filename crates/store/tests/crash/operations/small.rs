//! What changes rows of the index only: pins, records, public marks, secrets, blocks that are forgotten.
//!
//! A secret is a file of its own, beside the index.

use std::io::ErrorKind;

use shoal_store::{OpenError, WriteError};

use super::{MaybePlan, World, plan};
use crate::content::{Content, bytes, small};
use crate::facts::{Fact, Question};

pub(super) fn unpin(world: &mut World<'_>) -> MaybePlan {
    let number = world.any(|world| &world.owned)?;
    world.owned.retain(|other| *other != number);
    let content = Content::of(number);
    // Under its other root it stays pinned.
    let questions = if world.aliased.contains(&number) {
        let own = content.questions();
        let leaves: Vec<_> = content.leaves.iter().map(|leaf| leaf.0.to_bytes()).collect();
        let is_leaf = |question: &Question| matches!(question, Question::Block(bytes) | Question::Public(bytes) if leaves.contains(bytes));
        own.into_iter().filter(|question| !is_leaf(question)).collect()
    } else {
        content.questions()
    };
    world.loose.insert(number, questions);
    plan(vec![Fact::pin(&content.root, false)], move |store, _| {
        store.unpin(&content.root).map(drop)
    })
}

pub(super) fn records(world: &mut World<'_>) -> MaybePlan {
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

pub(super) fn set_public(world: &mut World<'_>) -> MaybePlan {
    let (cid, data) = small(world.any(|world| &world.smalls)?);
    let public = world.random.chance(50);
    plan(vec![Fact::public(&cid, public.then_some(&data))], move |store, _| {
        store.set_public(&[cid], public)
    })
}

pub(super) fn forget_block(world: &mut World<'_>) -> MaybePlan {
    let number = world.any(|world| &world.smalls)?;
    world.smalls.retain(|other| *other != number);
    let block = small(number);
    let facts = vec![Fact::block(&block.0, None), Fact::public(&block.0, None)];
    plan(facts, move |store, _| store.forget_block(&block.0))
}

pub(super) fn secret(world: &mut World<'_>) -> MaybePlan {
    world.has_secret = !world.has_secret;
    let value = world.has_secret.then(|| bytes(world.next, 64));
    plan(vec![Fact::secret("key", value.clone())], move |store, _| {
        let done = match &value {
            Some(value) => store.read_or_create_secret("key", || value.to_vec()).map(drop),
            None => store.remove_secret("key"),
        };
        done.map_err(|error| match error {
            OpenError::Io { path, source } if source.kind() == ErrorKind::StorageFull => {
                WriteError::Full { path }
            }
            error => WriteError::Index { reason: error.to_string() },
        })
    })
}
