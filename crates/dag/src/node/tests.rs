//! Tests of decoding nodes: that bytes are shared with the block, and nodes as only other writers
//! make them.
//!
//! Nodes that contradict themselves are in `tests/dag/hostile.rs`.

use super::*;
use crate::Version;
use crate::hash::{HashKind, cid_of};
use crate::pb::PbNode;

fn block(links: &[(Cid, Option<&'static [u8]>)], message: &UnixFs<'_>) -> (Cid, Bytes) {
    let link = |&(hash, name)| PbLink { hash, name, tsize: None };
    let message = message.encode();
    let node = PbNode { links: links.iter().map(link).collect(), data: Some(&message) };
    let data = Bytes::from(node.encode().unwrap());
    (cid_of(HashKind::Sha256, DAG_PB, Version::V1, &data), data)
}

#[test]
fn bytes_of_a_leaf_are_a_slice_of_its_block() {
    let raw = Bytes::from_static(b"raw");
    let cid = cid_of(HashKind::Blake3, RAW, Version::V1, &raw);
    let Ok(Node::Leaf { data, .. }) = Node::decode(&cid, raw.clone()) else { panic!("a leaf") };
    assert_eq!(data.as_ptr(), raw.as_ptr());
    for kind in [Kind::File, Kind::Raw] {
        let message = UnixFs { data: Some(b"wrapped"), ..UnixFs::new(kind) };
        let (cid, wrapped) = block(&[], &message);
        let range = wrapped.as_ptr_range();
        let Ok(Node::Leaf { data, .. }) = Node::decode(&cid, wrapped) else { panic!("a leaf") };
        assert_eq!(data, "wrapped");
        assert!(range.contains(&data.as_ptr()));
    }
}

#[test]
fn a_branch_may_have_bytes_of_its_own_and_no_size() {
    let leaf = cid_of(HashKind::Blake3, RAW, Version::V1, b"tail");
    let message = UnixFs { data: Some(b"head"), block_sizes: vec![4], ..UnixFs::new(Kind::File) };
    let (cid, data) = block(&[(leaf, None)], &message);
    let Ok(Node::File(file)) = Node::decode(&cid, data) else { panic!("a file") };
    assert_eq!((file.size, &file.inline[..]), (8, &b"head"[..]));
    assert_eq!(file.links, [FileLink { cid: leaf, size: 4, dag_size: 0 }]);
}

#[test]
fn the_first_of_two_entries_of_a_name_counts() {
    let child = |data: &[u8]| cid_of(HashKind::Blake3, RAW, Version::V1, data);
    let links = [(child(b"1"), None), (child(b"2"), Some(&b"a"[..])), (child(b"3"), Some(b"a"))];
    let (cid, data) = block(&links, &UnixFs::new(Kind::Directory));
    let node = Node::decode(&cid, data).unwrap();
    assert_eq!(node.entry(b"a").unwrap().cid, child(b"2"));
    assert_eq!(node.entry(b"").unwrap().cid, child(b"1"));
    assert_eq!((node.entry(b"b"), node.file_size()), (None, None));
    assert_eq!(node.links().count(), 3);
}

#[test]
fn other_codecs_are_named_as_not_supported() {
    let cid = cid_of(HashKind::Blake3, crate::hash::DAG_CBOR, Version::V1, b"\xa0");
    let error = Node::decode(&cid, Bytes::from_static(b"\xa0")).unwrap_err();
    assert_eq!(error, NodeError::Unsupported("this codec"));
}
