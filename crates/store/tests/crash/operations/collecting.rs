//! Collecting: garbage goes, and nothing of what was promised.
//!
//! Roots are only names here, so that no walk finds what lies below them: everything that any operation
//! promised is named to the collection. What goes was brought in just before, in every way: as small
//! blocks, as a whole file, as a half of one, and beside a leaf that stays.

use shoal_dag::Cid;
use shoal_store::{CollectOptions, WriteError};

use super::versions::all_blocks;
use super::{MaybePlan, PUBLIC, World, plan};
use crate::content::{Content, small};
use crate::facts::Fact;

/// Numbers from here on are garbage.
const GARBAGE: u64 = 1 << 40;

pub(super) fn collect(world: &mut World<'_>) -> MaybePlan {
    // Each time another garbage, since it is promised that the last one is gone.
    let number = GARBAGE + world.new_number() * 64;
    let (whole, half) = (Content::of(number), Content::of(number + (1 << 20)));
    // Found again by what stays of it: the next collection lets it go.
    let stays = whole.leaves[2].clone();
    let (mut roots, mut blocks) = all_blocks(world);
    for number in 0..=world.next {
        let content = Content::of(number);
        roots.extend([content.root, content.alias]);
        blocks.extend(content.leaves.iter().map(|leaf| leaf.0));
        blocks.push(small(number).0);
    }
    blocks.push(stays.0);
    let smalls: Vec<_> = (0..20).map(|n| small(number + n)).collect();
    let gone: Vec<Cid> = smalls.iter().map(|block| block.0).collect();
    let mut facts: Vec<Fact> = gone.iter().map(|cid| Fact::block(cid, None)).collect();
    facts.push(Fact::whole(&whole.root, None));
    facts.push(Fact::block(&half.leaves[0].0, None));
    plan(facts, move |store, _| {
        let batch = store.batch(PUBLIC);
        smalls.iter().try_for_each(|(cid, data)| batch.put(cid, data))?;
        whole.add(&batch)?;
        batch.commit()?;
        half.keep(store, 0)?;
        let options = CollectOptions {
            roots: roots.clone(),
            blocks: blocks.clone(),
            ..CollectOptions::default()
        };
        let done = store.collect(&options, &mut |_| true)?;
        assert!(done.is_complete);
        // Durable, as far as it went.
        assert!(store.get(&stays.0).map_err(WriteError::from)?.is_some());
        Ok(())
    })
}
