//! Tests of what walks say ahead, and of walks that need no leaves.
//!
//! Files here have leaves that are never built, only named: a walk that asks for one too many
//! finds nobody to give it. Ranges against slices are in `tests/dag/properties.rs`, bombs and lies
//! in `tests/dag/hostile.rs`.

use std::sync::Arc;

use super::*;
use crate::build::{Built, FileBuilder, LeafBlock, LeafRef, leaf};
use crate::hash::RAW;
use crate::node::{FileNode, Node};
use crate::{Block, Bytes, Metadata, Profile};

/// A file of raw leaves of 10 bytes each, without the leaves.
fn file(profile: Profile, leaves: u64) -> (Built, Vec<Block>) {
    let (mut builder, mut out) = (FileBuilder::new(profile, Metadata::NONE), Vec::new());
    for i in 0..leaves {
        builder.push(LeafRef::raw(leaf_of(i).0, 10), &mut out);
    }
    (builder.finish(&mut out), out)
}

/// A file of wrapped leaves of 10 bytes each, with the leaves.
fn wrapped(leaves: u64) -> (Built, Vec<Block>) {
    let profile = Profile::UnixfsV0_2015;
    let (mut builder, mut out) = (FileBuilder::new(profile, Metadata::NONE), Vec::new());
    for i in 0..leaves {
        let leaf = leaf(builder.leaf_form(), format!("{i:010}").as_bytes());
        builder.push(leaf.link(), &mut out);
        let LeafBlock::Wrapped(data) = leaf.block else { panic!("this profile wraps") };
        out.push(Block { cid: leaf.cid, data });
    }
    (builder.finish(&mut out), out)
}

fn leaf_of(i: u64) -> (Cid, Bytes) {
    let data = Bytes::from(format!("{i:010}"));
    (leaf(Profile::Shoal, &data).cid, data)
}

fn data(blocks: &[Block], cid: &Cid) -> Bytes {
    blocks.iter().find(|block| block.cid == *cid).expect("a branch").data.clone()
}

/// Gives branches until a leaf is asked for.
fn go_down(walk: &mut FileWalk, blocks: &[Block]) -> Cid {
    loop {
        match walk.poll().unwrap() {
            Step::Need(cid) if cid.codec() == RAW => return cid,
            Step::Need(cid) => walk.handle_block(&cid, data(blocks, &cid)).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn ahead_lists_what_is_needed_next_within_the_range() {
    // 175 leaves: a branch of 174 and one of 1.
    let (built, blocks) = file(Profile::UnixfsV0_2015, 175);
    let mut walk = FileWalk::new(built.cid, 1715..1735, Budget::FILE);
    assert_eq!(walk.ahead(9), [built.cid]);
    assert_eq!(go_down(&mut walk, &blocks), leaf_of(171).0);
    let second = Node::decode(&built.cid, data(&blocks, &built.cid)).unwrap().links().nth(1);
    let expected = [leaf_of(171).0, leaf_of(172).0, leaf_of(173).0];
    assert_eq!(walk.ahead(9), expected);
    assert_eq!(walk.ahead(2), expected[..2]);
    // A range that goes on has the next branch behind these leaves.
    let mut walk = FileWalk::new(built.cid, 1735..u64::MAX, Budget::FILE);
    go_down(&mut walk, &blocks);
    assert_eq!(walk.ahead(9), [leaf_of(173).0, second.unwrap()]);
    assert_eq!(walk.size(), Some(1750));
    walk.handle_block(&leaf_of(173).0, leaf_of(173).1).unwrap();
    let Step::Leaf { range, data, .. } = walk.poll().unwrap() else { panic!("a leaf") };
    assert_eq!((range, &data[..]), (1735..1740, &b"00173"[..]));
}

#[test]
fn places_are_told_without_leaves() {
    let (built, blocks) = file(Profile::Shoal, 5_000);
    let mut walk = FileWalk::places(built.cid, 25..49_995, Budget::FILE);
    let mut at = 20;
    loop {
        match walk.poll().unwrap() {
            Step::Need(cid) => walk.handle_block(&cid, data(&blocks, &cid)).unwrap(),
            Step::Place { range, cid } => {
                assert_eq!((range, cid), (at..at + 10, leaf_of(at / 10).0));
                at += 10;
            }
            Step::Leaf { .. } => panic!("leaves were not asked for"),
            Step::Done => break,
        }
    }
    assert_eq!(at, 50_000);
}

/// Their bytes had to be looked at, so they are given: a place would have them looked up as if the block
/// were the bytes.
#[test]
fn of_wrapped_leaves_no_places_are_told() {
    for count in [1, 3, 200] {
        let (built, blocks) = wrapped(count);
        let mut walk = FileWalk::places(built.cid, 0..u64::MAX, Budget::FILE);
        let mut read = Vec::new();
        loop {
            match walk.poll().unwrap() {
                Step::Need(cid) => walk.handle_block(&cid, data(&blocks, &cid)).unwrap(),
                Step::Leaf { range, data, .. } => {
                    assert_eq!(range, read.len() as u64..(read.len() + data.len()) as u64);
                    read.extend_from_slice(&data);
                }
                Step::Place { .. } => panic!("a wrapped leaf is no slice of its file"),
                Step::Done => break,
            }
        }
        assert_eq!(read.len() as u64, built.size);
    }
}

#[test]
fn branches_decoded_before_serve_again() {
    let (built, blocks) = file(Profile::Shoal, 300);
    let Ok(Node::File(node)) = Node::decode(&built.cid, data(&blocks, &built.cid)) else {
        panic!("a branch");
    };
    let node: Arc<FileNode> = Arc::new(node);
    for i in [0, 150, 299] {
        let mut walk = FileWalk::new(built.cid, i * 10..i * 10 + 1, Budget::FILE);
        assert_eq!(walk.poll(), Ok(Step::Need(built.cid)));
        walk.handle_branch(&built.cid, Arc::clone(&node)).unwrap();
        assert_eq!(walk.poll(), Ok(Step::Need(leaf_of(i).0)));
    }
}

#[test]
fn a_tree_walk_can_pass_over_leaves_and_parts() {
    let (built, blocks) = file(Profile::Shoal, 5_000);
    let count = |mut walk: TreeWalk| {
        let mut leaves = 0;
        while let TreeStep::Need(cid) = walk.poll().unwrap() {
            if cid.codec() == RAW {
                walk.skip(&cid).unwrap();
                leaves += 1;
            } else {
                walk.handle_block(&cid, data(&blocks, &cid)).unwrap();
            }
        }
        (leaves, walk.nodes())
    };
    let branches = blocks.len() as u64;
    assert_eq!(count(TreeWalk::new(built.cid, Budget::TREE)), (5_000, 5_000 + branches));
    let without = TreeWalk::new(built.cid, Budget::TREE).without_leaves();
    assert_eq!(count(without), (0, branches));
    let mut skipped = TreeWalk::new(built.cid, Budget::TREE);
    assert_eq!(skipped.poll(), Ok(TreeStep::Need(built.cid)));
    skipped.skip(&built.cid).unwrap();
    assert_eq!((skipped.poll(), skipped.nodes()), (Ok(TreeStep::Done), 1));
}

#[test]
fn a_tree_walk_says_ahead_what_it_will_ask_for() {
    let (built, blocks) = file(Profile::UnixfsV0_2015, 400);
    let mut walk = TreeWalk::new(built.cid, Budget::TREE);
    let mut asked = Vec::new();
    let mut told: Vec<Cid> = Vec::new();
    while let TreeStep::Need(cid) = walk.poll().unwrap() {
        if cid.codec() == RAW {
            if told.is_empty() {
                told = walk.ahead(usize::MAX);
            }
            walk.skip(&cid).unwrap();
        } else {
            walk.handle_block(&cid, data(&blocks, &cid)).unwrap();
            told.clear();
        }
        asked.push(cid);
    }
    // From the first leaf of the last branch on, nothing new turned up.
    assert_eq!(asked[asked.len() - told.len()..], told);
    assert_eq!(asked.len(), 400 + 3 + 1);
}
