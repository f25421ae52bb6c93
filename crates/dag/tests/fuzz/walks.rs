//! Walks over damaged trees: whatever blocks say, a walk ends within its budget, gives every byte once
//! and in order, and what a range gives is a slice of the whole.

use std::collections::HashMap;

use shoal_dag::build::{self, DirectoryBuilder, FileBuilder, LeafBlock};
use shoal_dag::hash::{self, DAG_PB, HashKind, RAW};
use shoal_dag::walk::{Budget, FileWalk, Step, TreeStep, TreeWalk};
use shoal_dag::{Bytes, Cid, Metadata, Profile, Version};

use crate::dag_pb::nodes;
use crate::mutate;

pub(crate) const BUDGET: Budget = Budget { nodes_max: 2_000, bytes_max: 1 << 20, depth_max: 32 };

/// Blocks by CID: those that the input describes, which is a row of nodes with their lengths in 2 bytes,
/// and the leaves that they may link to.
pub(crate) fn blocks(bytes: &[u8]) -> (HashMap<Cid, Bytes>, Option<Cid>) {
    let (mut blocks, mut root, mut rest) = (HashMap::new(), None, bytes);
    let leaf = build::leaf(Profile::Shoal, b"leaf");
    blocks.insert(leaf.cid, Bytes::from_static(b"leaf"));
    while let [low, high, tail @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (node, tail) = tail.split_at(len);
        rest = tail;
        let node = Bytes::copy_from_slice(node);
        let cid = hash::cid_of(HashKind::Sha256, DAG_PB, Version::V1, &node);
        root = Some(cid);
        blocks.insert(cid, node.clone());
        blocks.insert(hash::cid_of(HashKind::Blake3, DAG_PB, Version::V1, &node), node);
    }
    (blocks, root)
}

/// The bytes of a range, as far as they can be read.
fn read(blocks: &HashMap<Cid, Bytes>, root: Cid, range: std::ops::Range<u64>) -> (Vec<u8>, bool) {
    let (mut walk, mut out, mut at) =
        (FileWalk::new(root, range.clone(), BUDGET), Vec::new(), None);
    loop {
        match walk.poll() {
            Ok(Step::Need(cid)) => match blocks.get(&cid) {
                Some(data) if walk.handle_block(&cid, data.clone()).is_ok() => {}
                _ => return (out, false),
            },
            Ok(Step::Leaf { range: place, data, .. }) => {
                assert_eq!(place.end - place.start, data.len() as u64);
                assert_eq!(*at.get_or_insert(range.start), place.start, "without a gap");
                at = Some(place.end);
                assert!(place.end <= range.end);
                out.extend_from_slice(&data);
            }
            Ok(Step::Place { .. }) => panic!("places were not asked for"),
            Ok(Step::Done) => return (out, true),
            Err(_) => return (out, false),
        }
    }
}

fn target(bytes: &[u8]) {
    let (blocks, Some(root)) = blocks(bytes) else { return };
    let (whole, complete) = read(&blocks, root, 0..u64::MAX);
    if complete {
        let end = whole.len() as u64;
        for range in [0..end, end / 3..end, end / 3..end / 2] {
            let (part, complete) = read(&blocks, root, range.clone());
            assert!(complete);
            assert_eq!(part, whole[range.start as usize..range.end as usize]);
        }
    }
    for walk in [TreeWalk::new(root, BUDGET), TreeWalk::new(root, BUDGET).of_any_format()] {
        let (mut walk, mut asked) = (walk, 0);
        while let Ok(TreeStep::Need(cid)) = walk.poll() {
            asked += 1;
            assert!(asked <= BUDGET.nodes_max);
            let handled = match blocks.get(&cid) {
                Some(data) => walk.handle_block(&cid, data.clone()).is_ok(),
                None => walk.skip(&cid).is_ok(),
            };
            if !handled {
                break;
            }
        }
    }
}

/// A row of nodes, as [`blocks`] reads it.
pub(crate) fn row(nodes: &[Vec<u8>]) -> Vec<u8> {
    let framed = nodes.iter().map(|node| [&(node.len() as u16).to_le_bytes()[..], node].concat());
    framed.collect::<Vec<_>>().concat()
}

#[test]
fn fuzz_walk() {
    let mut corpus: Vec<_> = nodes().iter().map(|node| row(std::slice::from_ref(node))).collect();
    for (profile, leaves) in [(Profile::Shoal, 5), (Profile::UnixfsV0_2015, 180)] {
        let (mut builder, mut out) = (FileBuilder::new(profile, Metadata::NONE), Vec::new());
        let leaf = build::leaf(builder.leaf_form(), b"leaf");
        for _ in 0..leaves {
            builder.push(leaf.link(), &mut out);
        }
        let built = builder.finish(&mut out);
        let mut nodes: Vec<Vec<u8>> = out.iter().map(|block| block.data.to_vec()).collect();
        if let LeafBlock::Wrapped(leaf) = &leaf.block {
            nodes.insert(0, leaf.to_vec());
        }
        corpus.push(row(&nodes));
        let mut directory = DirectoryBuilder::new(profile, Metadata::NONE);
        directory.insert(b"a", built.cid, 1).unwrap();
        directory.insert(b"b", Cid::new_v1(RAW, *built.cid.hash()), 1).unwrap();
        nodes.push(directory.finish().unwrap().0.data.to_vec());
        corpus.push(row(&nodes));
    }
    mutate::run("walk", &corpus, 5_000, target);
}
