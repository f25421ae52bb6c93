//! Adding: small blocks, files in blobs, second roots, users' files by reference.
//!
//! Everything here is a batch with a pin, and is durable when it returns.

use shoal_dag::{Bytes, Cid};
use shoal_store::{Batch, PinOptions, WriteError};

use super::{MaybePlan, PUBLIC, World, block_facts, plan};
use crate::content::{Content, small};
use crate::facts::{Fact, Question};

fn put_all(batch: &Batch, blocks: &[(Cid, Bytes)]) -> Result<(), WriteError> {
    blocks.iter().try_for_each(|(cid, data)| batch.put(cid, data))
}

pub(super) fn add_small(world: &mut World<'_>) -> MaybePlan {
    let count = 1 + world.random.below(5);
    let numbers: Vec<u64> = (0..count).map(|_| world.new_number()).collect();
    let blocks: Vec<_> = numbers.iter().map(|number| small(*number)).collect();
    world.smalls.extend(&numbers[1..]);
    for (number, (cid, _)) in numbers.iter().zip(&blocks).skip(1) {
        let bytes = cid.to_bytes();
        world.loose.insert(*number, vec![Question::Block(bytes.clone()), Question::Public(bytes)]);
    }
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

pub(super) fn add_blob(world: &mut World<'_>) -> MaybePlan {
    let number = world.new_number();
    world.owned.push(number);
    let content = Content::of(number);
    let mut facts = block_facts(&content.leaves);
    facts.extend(block_facts(&content.branches));
    facts.push(Fact::whole(&content.root, Some(content.bytes())));
    facts.push(Fact::pin(&content.root, true));
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        content.add(&batch)?;
        batch.pin(&content.root, PinOptions::default())?;
        batch.commit()
    })
}

pub(super) fn add_alias(world: &mut World<'_>) -> MaybePlan {
    let number = world.any(|world| &world.owned)?;
    world.aliased.push(number);
    let (content, alias) = (Content::of(number), Content::alias_of(number));
    let mut facts = block_facts(&alias.branches);
    facts.push(Fact::whole(&alias.root, Some(content.bytes())));
    facts.push(Fact::pin(&alias.root, true));
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        // An add that failed may have left nothing to be an alias of: then it is added again.
        if !batch.alias(&alias.root, &content.root)? {
            content.add(&batch)?;
            assert!(batch.alias(&alias.root, &content.root)?);
        }
        alias.put_branches(&batch)?;
        batch.pin(&alias.root, PinOptions::default())?;
        batch.commit()
    })
}

pub(super) fn add_reference(world: &mut World<'_>) -> MaybePlan {
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
        content.put_branches(&batch)?;
        batch.pin(&content.root, PinOptions::default())?;
        batch.commit()
    })
}
