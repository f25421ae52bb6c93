//! Collecting: what is pinned, held or on its way to a pin stays, the rest goes with its space.
//!
//! One case each, by one thread; something is done in the middle through the callback that a collection
//! asks between its steps.

use std::fs;
use std::os::unix::fs::MetadataExt;

use shoal_dag::hash::{DAG_PB, HashKind, cid_of};
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{CollectOptions, PinOptions, Progress, ReadError, Store, WriteError};

use crate::collect_fixture::{Content, collect, on_disk};
use crate::fixture::{Place, block, files_in, flip, public};

/// A block that links to others, with no data of its own.
fn node(links: &[Cid]) -> (Cid, Bytes) {
    let links = links.iter().map(|cid| PbLink { hash: *cid, name: Some(b"x"), tsize: None });
    let data = Bytes::from(PbNode { links: links.collect(), data: None }.encode().unwrap());
    (cid_of(HashKind::Blake3, DAG_PB, Version::V1, &data), data)
}

fn put(store: &Store, blocks: &[(Cid, Bytes)]) {
    let batch = store.batch(public());
    for (cid, data) in blocks {
        batch.put(cid, data).unwrap();
    }
    batch.commit().unwrap();
}

#[test]
fn what_is_not_pinned_goes_and_its_space_comes_back() {
    let place = Place::new();
    let store = place.open();
    let (kept, gone) = (Content::of(0..40, 64 << 10), Content::of(100..140, 64 << 10));
    let (small, small_gone) = (Content::of(200..210, 2000), Content::of(300..400, 2000));
    for content in [&kept, &gone, &small, &small_gone] {
        content.add(&store);
    }
    let before = on_disk(&store);
    let generation = store.generation();
    assert_eq!(collect(&store).removed_blocks, 0);
    assert_eq!(store.generation(), generation, "nothing was removed");
    assert!(store.unpin(&gone.root).unwrap() && store.unpin(&small_gone.root).unwrap());
    let options = CollectOptions { dry_run: true, ..CollectOptions::default() };
    let dry = store.collect(&options, &mut |_| true).unwrap();
    gone.assert_here(&store);
    let done = collect(&store);
    assert_eq!((done.removed_blocks, done.kept_blocks), (dry.removed_blocks, dry.kept_blocks));
    assert_eq!(
        done.removed_blocks,
        gone.blocks().count() as u64 + small_gone.blocks().count() as u64
    );
    assert_eq!((done.missing, done.left), (0, 0));
    let expected = gone.size + small_gone.size;
    assert!(done.freed_bytes.abs_diff(expected) < expected / 20, "{done:?} of {expected}");
    assert!(dry.freed_bytes.abs_diff(expected) < expected / 20, "{dry:?} of {expected}");
    assert!(on_disk(&store) <= before - expected * 19 / 20);
    let generation_after = store.generation();
    assert_ne!(generation_after, generation);
    let mut store = Some(store);
    for _ in 0..2 {
        let store = store.take().unwrap_or_else(|| place.open());
        kept.assert_here(&store);
        small.assert_here(&store);
        gone.assert_gone(&store);
        small_gone.assert_gone(&store);
        assert!(store.whole_file(&kept.root).unwrap().is_some());
        assert!(store.whole_file(&gone.root).unwrap().is_none());
        assert_eq!(store.generation(), generation_after);
    }
}

#[test]
fn what_was_removed_can_be_added_again() {
    let place = Place::new();
    let store = place.open();
    let contents = [Content::of(0..20, 64 << 10), Content::of(50..60, 3000)];
    for _ in 0..3 {
        for content in &contents {
            content.add(&store);
        }
        for content in &contents {
            content.assert_here(&store);
        }
        for content in &contents {
            assert!(store.unpin(&content.root).unwrap());
        }
        collect(&store);
        for content in &contents {
            content.assert_gone(&store);
        }
        assert!(on_disk(&store) < 64 << 10, "{}", on_disk(&store));
        for content in &contents {
            content.fetch(&store);
        }
        for content in &contents {
            content.assert_here(&store);
        }
        collect(&store);
    }
}

#[test]
fn a_direct_pin_keeps_its_block_alone() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..3, 1000);
    content.add(&store);
    let direct = PinOptions { direct: true, name: Some("only it".to_owned()), local: false };
    store.pin(&content.root, direct).unwrap();
    let pin = store.pinned(&content.root).unwrap().unwrap();
    assert!(pin.direct && pin.name.as_deref() == Some("only it"));
    let large = Content::of(10..30, 64 << 10);
    large.add(&store);
    let direct = PinOptions { direct: true, ..PinOptions::default() };
    store.pin(&large.root, direct).unwrap();
    collect(&store);
    for content in [content, large] {
        assert!(store.has(&content.root));
        assert!(content.leaves.iter().all(|(cid, ..)| !store.has(cid)));
        assert!(store.whole_file(&content.root).unwrap().is_none());
    }
    assert!(files_in(&place.path().join("blobs")).is_empty());
}

#[test]
fn a_leaf_of_a_dead_file_stays_with_its_pin_and_the_rest_of_the_file_becomes_a_hole() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..64, 64 << 10);
    content.add(&store);
    store.unpin(&content.root).unwrap();
    let (leaf, _, data) = &content.leaves[30];
    store.pin(leaf, PinOptions::default()).unwrap();
    let path = place.only_file("blobs");
    let done = collect(&store);
    assert_eq!((done.kept_blocks, done.left), (1, 0));
    assert!(fs::metadata(&path).unwrap().blocks() * 512 <= 80 << 10);
    assert!(store.get(leaf).unwrap().as_ref() == Some(data));
    assert!(!store.has(&content.leaves[29].0));
    assert!(store.whole_file(&content.root).unwrap().is_none());
    assert_eq!(files_in(&place.path().join("partial")).len(), 1, "the list of its leaves");
    // The whole file comes back beside it, and the old one goes when nothing is left in it.
    drop(store);
    let store = place.open();
    content.add(&store);
    content.assert_here(&store);
    assert!(store.whole_file(&content.root).unwrap().is_some());
    let done = collect(&store);
    assert_eq!(done.left, 0);
    content.assert_here(&store);
    assert!(store.unpin(leaf).unwrap());
    collect(&store);
    content.assert_here(&store);
    assert!(on_disk(&store) < content.size * 21 / 20, "{}", on_disk(&store));
}

#[test]
fn blocks_that_two_whole_files_share_outlive_either() {
    let place = Place::new();
    let store = place.open();
    let (old, new) = (Content::of(0..32, 64 << 10), Content::of(1..33, 64 << 10));
    old.add(&store);
    new.add(&store);
    store.unpin(&old.root).unwrap();
    collect(&store);
    new.assert_here(&store);
    assert!(!store.has(&old.leaves[0].0));
    let most = new.size * 21 / 20;
    assert!(on_disk(&store) < most, "{} of {most}", on_disk(&store));
}

#[test]
fn what_a_running_batch_found_or_wrote_stays() {
    let place = Place::new();
    let store = place.open();
    let (old, new) = (Content::of(0..20, 64 << 10), Content::of(40..60, 3000));
    old.add(&store);
    store.unpin(&old.root).unwrap();
    let batch = store.batch(public());
    old.put(&batch);
    new.put(&batch);
    assert_eq!(collect(&store).removed_blocks, 0);
    batch.pin(&old.root, PinOptions::default()).unwrap();
    batch.pin(&new.root, PinOptions::default()).unwrap();
    batch.commit().unwrap();
    collect(&store);
    old.assert_here(&store);
    new.assert_here(&store);
    assert!(store.whole_file(&old.root).unwrap().is_some());
    let batch = store.batch(public());
    Content::of(70..80, 3000).put(&batch);
    drop(batch);
    collect(&store);
    old.assert_here(&store);
    new.assert_here(&store);
}

#[test]
fn what_comes_in_during_a_collection_stays_at_every_step() {
    let contents = [Content::of(0..10, 64 << 10), Content::of(20..40, 2000)];
    let steps = (0..).take_while(|at| {
        let place = Place::new();
        let store = place.open();
        for content in &contents {
            content.add(&store);
        }
        for content in &contents {
            drop(store.unpin(&content.root));
        }
        let mut seen = 0;
        let mut step = |_: Progress| {
            if seen == *at {
                contents[0].add(&store);
                contents[1].fetch(&store);
            }
            seen += 1;
            true
        };
        let done = store.collect(&CollectOptions::default(), &mut step).unwrap();
        assert!(done.is_complete);
        if seen > *at {
            for content in &contents {
                content.assert_here(&store);
            }
        } else {
            for content in &contents {
                content.assert_gone(&store);
            }
        }
        drop(store);
        let store = place.open();
        if seen > *at {
            for content in &contents {
                content.assert_here(&store);
            }
        }
        seen > *at
    });
    assert!(steps.count() > 3);
}

#[test]
fn a_hold_keeps_what_is_here_and_what_comes() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..20, 64 << 10);
    let hold = store.hold(&content.root);
    content.keep(&store, 0..10);
    collect(&store);
    content.leaves[..10].iter().for_each(|(cid, ..)| assert!(store.has(cid)));
    content.keep(&store, 10..20);
    collect(&store);
    assert!(content.settle(&store));
    content.assert_here(&store);
    assert_eq!(hold.root(), &content.root);
    drop(hold);
    collect(&store);
    content.assert_gone(&store);
    assert!(files_in(&place.path().join("blobs")).is_empty());
    assert!(files_in(&place.path().join("partial")).is_empty());
}

#[test]
fn a_fetch_that_was_given_up_goes_and_can_begin_again() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..20, 64 << 10);
    content.keep(&store, 0..10);
    collect(&store);
    content.assert_gone(&store);
    assert!(files_in(&place.path().join("blobs")).is_empty());
    content.fetch(&store);
    content.assert_here(&store);
    assert!(content.pin(&store));
    collect(&store);
    content.assert_here(&store);
}

#[test]
fn a_leased_file_gets_no_holes_until_it_is_given_back() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..32, 64 << 10);
    content.add(&store);
    store.unpin(&content.root).unwrap();
    store.pin(&content.leaves[3].0, PinOptions::default()).unwrap();
    let whole = store.whole_file(&content.root).unwrap().unwrap();
    assert_eq!(collect(&store).left, 1);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut &whole.file, &mut read).unwrap();
    assert!(read == content.leaves.iter().flat_map(|leaf| leaf.2.to_vec()).collect::<Vec<_>>());
    drop(whole);
    let done = collect(&store);
    assert_eq!(done.left, 0);
    assert!(done.freed_bytes > content.size * 9 / 10, "{done:?}");
}

#[test]
fn a_users_file_is_forgotten_and_never_touched() {
    let place = Place::new();
    let store = place.open();
    let content = Content::of(0..8, 64 << 10);
    let path = place.dir.path().join("mine");
    let all: Vec<u8> = content.leaves.iter().flat_map(|leaf| leaf.2.to_vec()).collect();
    fs::write(&path, &all).unwrap();
    let batch = store.batch(public());
    let mut reference = batch.reference(&path).unwrap();
    for (cid, offset, data) in &content.leaves {
        reference.leaf(cid, *offset, data.len() as u32).unwrap();
    }
    reference.finish(&content.root).unwrap();
    for block in &content.branches {
        batch.put(&block.cid, &block.data).unwrap();
    }
    batch.pin(&content.root, PinOptions::default()).unwrap();
    batch.commit().unwrap();
    collect(&store);
    content.assert_here(&store);
    // A pin of one leaf keeps that one, where it lies.
    let (leaf, _, data) = &content.leaves[3];
    store.pin(leaf, PinOptions::default()).unwrap();
    store.unpin(&content.root).unwrap();
    collect(&store);
    assert!(store.get(leaf).unwrap().as_ref() == Some(data));
    assert!(!store.has(&content.leaves[4].0));
    assert_eq!(fs::read(&path).unwrap(), all);
    store.unpin(leaf).unwrap();
    collect(&store);
    content.assert_gone(&store);
    assert_eq!(fs::read(&path).unwrap(), all);
    assert_eq!(store.usage().unwrap().blobs, 0);
}

#[test]
fn a_link_as_raw_does_not_hide_what_lies_below() {
    let place = Place::new();
    let store = place.open();
    let leaf = block(1);
    let inner = node(&[leaf.0]);
    let as_raw = Cid::new_v1(shoal_dag::hash::RAW, *inner.0.hash());
    let outer = node(&[as_raw, inner.0]);
    put(&store, &[leaf.clone(), inner.clone(), outer.clone()]);
    store.pin(&outer.0, PinOptions::default()).unwrap();
    collect(&store);
    assert!([leaf.0, inner.0, outer.0].iter().all(|cid| store.has(cid)));
}

#[test]
fn a_tiny_tree_that_expands_without_bound_is_marked_in_linear_time() {
    let place = Place::new();
    let store = place.open();
    let mut blocks = vec![block(1)];
    for _ in 0..200 {
        let below = blocks.last().unwrap().0;
        blocks.push(node(&[below, below]));
    }
    put(&store, &blocks);
    store.pin(&blocks[200].0, PinOptions::default()).unwrap();
    assert_eq!(collect(&store).kept_blocks, 201);
}

#[test]
fn a_branch_that_cannot_be_read_below_a_pin_ends_the_collection_before_anything_goes() {
    let place = Place::new();
    let store = place.open();
    let leaf = block(1);
    let inner = node(&[leaf.0]);
    put(&store, &[leaf.clone(), inner.clone(), block(2)]);
    store.pin(&inner.0, PinOptions::default()).unwrap();
    let extent = store.extent(&inner.0).unwrap();
    flip(&place.only_file("packs"), extent.offset);
    let done = store.collect(&CollectOptions::default(), &mut |_| true);
    let Err(WriteError::Read(error)) = done else { panic!("{done:?}") };
    assert!(matches!(*error, ReadError::Corrupt { .. }));
    assert!(store.has(&leaf.0) && store.has(&block(2).0));
    store.unpin(&inner.0).unwrap();
    collect(&store);
    assert!(!store.has(&leaf.0));
}

#[test]
fn what_is_missing_below_a_pin_is_counted() {
    let place = Place::new();
    let store = place.open();
    let inner = node(&[block(1).0, block(2).0]);
    put(&store, &[block(1), inner.clone()]);
    store.pin(&inner.0, PinOptions::default()).unwrap();
    let done = collect(&store);
    assert_eq!((done.missing, done.kept_blocks), (1, 2));
}

#[test]
fn roots_and_blocks_that_the_caller_names_stay() {
    let place = Place::new();
    let store = place.open();
    let (root, single) = (node(&[block(1).0]), node(&[block(2).0]));
    put(&store, &[block(1), block(2), root.clone(), single.clone()]);
    let (roots, blocks) = (vec![root.0], vec![single.0]);
    let options = CollectOptions { roots, blocks, ..CollectOptions::default() };
    store.collect(&options, &mut |_| true).unwrap();
    assert!(store.has(&root.0) && store.has(&block(1).0) && store.has(&single.0));
    assert!(!store.has(&block(2).0));
}

#[test]
fn one_that_is_stopped_leaves_a_store_that_the_next_one_cleans() {
    let contents = [Content::of(0..10, 64 << 10), Content::of(20..40, 2000)];
    let kept = Content::of(5..12, 64 << 10);
    for stop_at in 0..12 {
        let place = Place::new();
        let store = place.open();
        kept.add(&store);
        for content in &contents {
            content.add(&store);
        }
        for content in &contents {
            drop(store.unpin(&content.root));
        }
        let mut seen = 0;
        let mut step = |_: Progress| {
            seen += 1;
            seen <= stop_at
        };
        store.collect(&CollectOptions::default(), &mut step).unwrap();
        kept.assert_here(&store);
        // What is added in this state is whole.
        let batch = store.batch(public());
        contents[0].put(&batch);
        batch.commit().unwrap();
        contents[0].assert_here(&store);
        collect(&store);
        kept.assert_here(&store);
        let most = kept.size * 21 / 20 + (64 << 10);
        assert!(on_disk(&store) < most, "{} of {most} after {stop_at}", on_disk(&store));
    }
}

#[test]
fn many_small_packs_become_one() {
    let place = Place::new();
    let store = place.open();
    let contents: Vec<Content> = (0..40).map(|n| Content::of([n], 5000)).collect();
    for content in &contents {
        content.add(&store);
        collect(&store);
    }
    assert!(files_in(&place.path().join("packs")).len() < 20);
    for content in &contents {
        content.assert_here(&store);
    }
}

#[test]
fn small_records_between_live_ones_are_freed_by_moving_these() {
    let place = Place::new();
    let store = place.open();
    let blocks: Vec<_> = (0..4000).map(block).collect();
    put(&store, &blocks);
    let root = node(&blocks.iter().step_by(4).map(|block| block.0).collect::<Vec<_>>());
    put(&store, std::slice::from_ref(&root));
    store.pin(&root.0, PinOptions::default()).unwrap();
    let done = collect(&store);
    assert_eq!((done.kept_blocks, done.left), (1001, 0));
    let live = done.kept_bytes + 1001 * 48;
    assert!(on_disk(&store) < live * 21 / 20 + 16384, "{} of {live}", on_disk(&store));
    let mut store = Some(store);
    for _ in 0..2 {
        let store = store.take().unwrap_or_else(|| place.open());
        for (cid, data) in blocks.iter().step_by(4) {
            assert!(store.get(cid).unwrap().as_ref() == Some(data));
        }
        assert!(!store.has(&blocks[1].0));
    }
}
