//! Tests of the builders that need no vectors: where metadata goes, what is given out and in
//! which order, and what is refused.
//!
//! That CIDs are right is shown in `tests/dag`, against kubo's answers and our frozen ones.

use super::*;
use crate::node::Node;
use crate::unixfs::Metadata;
use crate::{Cid, Mtime};

const META: Metadata = Metadata { mode: Some(0o640), mtime: Some(Mtime { seconds: 1, nanos: 0 }) };

fn file(profile: Profile, meta: Metadata, chunks: &[&[u8]]) -> (Built, Vec<Block>) {
    let (mut builder, mut out) = (FileBuilder::new(profile, meta), Vec::new());
    for chunk in chunks {
        builder.push(leaf(builder.leaf_form(), chunk).link(), &mut out);
    }
    (builder.finish(&mut out), out)
}

#[test]
fn a_file_of_one_leaf_is_its_leaf() {
    for profile in Profile::ALL {
        let (built, out) = file(profile, Metadata::NONE, &[b"x"]);
        let only = leaf(profile, b"x");
        assert_eq!((built.cid, built.size, built.dag_size), (only.cid, 1, only.dag_size));
        assert!(out.is_empty());
    }
}

#[test]
fn metadata_of_one_leaf_goes_above_it_or_into_it() {
    let raw = leaf(Profile::Shoal, b"x").cid;
    let (built, out) = file(Profile::Shoal, META, &[b"x"]);
    let node = Node::decode(&built.cid, out[0].data.clone()).unwrap();
    assert_eq!((node.meta(), node.links().collect::<Vec<_>>()), (&META, vec![raw]));
    assert_eq!(built.dag_size, 1 + out[0].data.len() as u64);
    for profile in [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015] {
        let (built, out) = file(profile, META, &[b"x"]);
        let node = Node::decode(&built.cid, out[0].data.clone()).unwrap();
        assert_eq!((out.len(), node.links().count(), *node.meta()), (1, 0, META));
        assert_eq!((node.file_size(), built.dag_size), (Some(1), out[0].data.len() as u64));
    }
}

#[test]
fn chunks_without_bytes_change_nothing() {
    for profile in Profile::ALL {
        for meta in [Metadata::NONE, META] {
            assert_eq!(file(profile, meta, &[b""]), file(profile, meta, &[]));
            assert_eq!(file(profile, meta, &[b"", b"x", b""]), file(profile, meta, &[b"x"]));
            let (built, out) = file(profile, meta, &[]);
            assert_eq!((built.size, out.len(), out[0].cid), (0, 1, built.cid));
        }
    }
}

#[test]
fn blocks_come_out_before_those_that_link_to_them() {
    let chunks: Vec<Vec<u8>> = (0..40_000_u32).map(|i| i.to_le_bytes().to_vec()).collect();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    let (built, out) = file(Profile::UnixfsV0_2015, Metadata::NONE, &chunks);
    let place = |cid: &Cid| out.iter().position(|block| block.cid == *cid);
    assert_eq!(place(&built.cid), Some(out.len() - 1));
    for (at, block) in out.iter().enumerate() {
        let node = Node::decode(&block.cid, block.data.clone()).unwrap();
        assert!(node.links().filter_map(|cid| place(&cid)).all(|child| child < at));
    }
    // 40,000 leaves, 230 branches, 2 above them, the root.
    assert_eq!(out.len(), 233);
}

#[test]
fn a_directory_that_is_too_large_for_one_block_tells_its_sizes() {
    let cid = leaf(Profile::Shoal, b"x").cid;
    for profile in Profile::ALL {
        let mut builder = DirectoryBuilder::new(profile, META);
        for i in 0..50_000 {
            builder.insert(format!("{i:08}").as_bytes(), cid, 1).unwrap();
        }
        let error = builder.finish().unwrap_err();
        let DirectoryError::TooLarge { entries, bytes, bytes_max } = &error else {
            panic!("{error}");
        };
        assert_eq!((*entries, *bytes_max), (50_000, 262_144));
        assert!(*bytes >= 50_000 * (8 + 36), "{bytes}");
        assert!(error.to_string().contains("50000 entries"), "{error}");
    }
}

#[test]
fn shards_come_out_before_those_that_link_to_them_and_only_the_root_has_metadata() {
    let cid = leaf(Profile::Shoal, b"x").cid;
    for profile in Profile::ALL {
        let mut builder = DirectoryBuilder::new(profile, META);
        for i in 0..20_000 {
            builder.insert(format!("{i:08}").as_bytes(), cid, 1).unwrap();
        }
        let mut out = Vec::new();
        let (root, dag_size) = builder.finish_into(keep(&mut out)).unwrap();
        assert_eq!(out.last().unwrap().cid, root);
        let place = |cid: &Cid| out.iter().position(|block| block.cid == *cid);
        let bytes: usize = out.iter().map(|block| block.data.len()).sum();
        assert_eq!(dag_size, bytes as u64 + 20_000);
        for (at, block) in out.iter().enumerate() {
            let node = Node::decode(&block.cid, block.data.clone()).unwrap();
            assert!(node.links().filter_map(|cid| place(&cid)).all(|child| child < at));
            let expected = if block.cid == root { META } else { Metadata::NONE };
            assert_eq!((*node.meta(), node.is_directory()), (expected, true));
        }
    }
}

#[test]
fn a_refused_entry_changes_nothing() {
    let cid = leaf(Profile::Shoal, b"x").cid;
    let make = |refused: bool| {
        let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
        for i in 0..6_000 {
            builder.insert(format!("{i:08}").as_bytes(), cid, 1).unwrap();
            if refused && !(5..=5_990).contains(&i) {
                let twice = builder.insert(b"00000000", cid, 1).unwrap_err();
                assert_eq!(twice, DirectoryError::Duplicate("00000000".to_owned()));
                builder.insert(b"..", cid, 1).unwrap_err();
            }
        }
        let mut out = Vec::new();
        builder.finish_into(keep(&mut out)).unwrap()
    };
    assert_eq!(make(true), make(false));
}

/// Keeps the blocks that a builder gives.
fn keep(out: &mut Vec<Block>) -> impl FnMut(Block) -> Result<(), std::convert::Infallible> {
    |block| {
        out.push(block);
        Ok(())
    }
}

/// A directory of names of 60 bytes, the last twelve of them longer by so many bytes together.
fn measured(extra: usize) -> Result<(Block, u64), DirectoryError> {
    let cid = leaf(Profile::Shoal, b"x").cid;
    let mut builder = DirectoryBuilder::new(Profile::Shoal, META);
    for i in 0..2_504 {
        builder.insert(format!("{i:060}").as_bytes(), cid, 1).unwrap();
    }
    for i in 0..12 {
        let len = (60 + extra.saturating_sub(i * 40).min(40)).min(250);
        builder.insert(format!("x{i:len$}").as_bytes(), cid, 1).unwrap();
    }
    builder.finish()
}

#[test]
fn the_measure_of_a_block_is_its_length() {
    let (mut longest, mut refused) = (0, false);
    for extra in 0..480 {
        match measured(extra) {
            Ok((block, _)) => longest = block.data.len(),
            Err(DirectoryError::TooLarge { bytes, .. }) => {
                assert_eq!((longest, bytes), (262_144, 262_145));
                refused = true;
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused, "{longest}");
}
