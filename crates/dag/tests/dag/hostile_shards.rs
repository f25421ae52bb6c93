//! Shards that somebody made to hurt, or that another program made wrong.
//!
//! Each test says which check stops them. Blocks have the CIDs they claim, as an attacker's would.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shoal_dag::build;
use shoal_dag::hamt::{self, Fanout, ShardError};
use shoal_dag::node::NodeError;
use shoal_dag::unixfs::{Kind, UnixFs};
use shoal_dag::walk::{Budget, TreeStep, TreeWalk, WalkError};
use shoal_dag::{Block, Bytes, Cid, Metadata, Node, Profile};

use crate::memory::Memory;
use crate::sharded::{shard, shards};

const FANOUT: Fanout = Fanout::WRITTEN;

fn leaf() -> Cid {
    build::leaf(Profile::Shoal, b"x").cid
}

fn message(taken: &[u16]) -> Vec<u8> {
    hamt::message(FANOUT, taken, Metadata::NONE)
}

fn error_of(block: Block) -> NodeError {
    Node::decode(&block.cid, block.data).unwrap_err()
}

fn shard_error(links: &[&str], message: &[u8]) -> ShardError {
    let links = links.iter().map(|name| (name.as_bytes().to_vec(), leaf())).collect();
    match error_of(shard(links, message)) {
        NodeError::Shard(error) => error,
        other => panic!("{other}"),
    }
}

/// A root with these links, each named by its slot and what follows.
fn root(links: Vec<(u16, &[u8], Cid)>) -> Block {
    let taken: Vec<u16> = links.iter().map(|link| link.0).collect();
    let links = links.into_iter().map(|(slot, name, cid)| (FANOUT.link_name(slot, name), cid));
    shard(links.collect(), &message(&taken))
}

/// A root with one name where its hash leads, and another shard in the slot `slot`.
fn root_with_shard(slot: u16, below: Cid) -> Block {
    let name = named((slot + 1) % 256, 0);
    let honest = ((slot + 1) % 256, name.as_slice(), leaf());
    root(vec![honest, (slot, b"", below)])
}

/// Some name that leads to a slot of the root; the `n`th.
fn named(slot: u16, n: usize) -> Vec<u8> {
    let names = (0_u64..).map(|i| i.to_string().into_bytes());
    names.filter(|name| FANOUT.slot(hamt::hash(name), 0) == slot).nth(n).unwrap()
}

/// What goes wrong when all entries are asked for.
fn listed(blocks: impl IntoIterator<Item = Block>, root: Cid) -> &'static str {
    let mut memory = Memory::default();
    memory.keep(blocks);
    match memory.list(root).unwrap_err() {
        WalkError::Misplaced { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn a_shard_that_contradicts_itself_is_refused() {
    let with = |hash_type, fanout, data| UnixFs {
        hash_type,
        fanout,
        data,
        ..UnixFs::new(Kind::HamtShard)
    };
    let decode = |message: UnixFs<'_>| shard_error(&[], &message.encode());
    assert_eq!(decode(with(None, Some(256), None)), ShardError::Hash(0));
    assert_eq!(decode(with(Some(0x12), Some(256), None)), ShardError::Hash(0x12));
    assert_eq!(decode(with(Some(0x22), None, None)), ShardError::Fanout(0));
    for fanout in [1, 4, 12, 255, 2048, 1 << 16 | 256, u64::MAX] {
        assert_eq!(decode(with(Some(0x22), Some(fanout), None)), ShardError::Fanout(fanout));
    }
    let field = ShardError::Field { bytes: 33, fanout: 256 };
    assert_eq!(decode(with(Some(0x22), Some(256), Some(&[1; 33]))), field);
    let field = ShardError::Field { bytes: 2, fanout: 8 };
    assert_eq!(decode(with(Some(0x22), Some(8), Some(&[0, 1]))), field);
}

#[test]
fn links_that_are_not_those_of_the_bit_field_are_refused() {
    let links = |bits, links| ShardError::Links { bits, links };
    assert_eq!(shard_error(&["01x"], &message(&[])), links(0, 1));
    assert_eq!(shard_error(&["01x"], &message(&[1, 2])), links(2, 1));
    assert_eq!(shard_error(&["01x", "02x", "03x"], &message(&[1, 2])), links(2, 3));
    assert_eq!(shard_error(&["02x"], &message(&[1])), ShardError::Prefix(1));
    for name in ["", "0", "1x", "0ax", "0x", "001x"] {
        assert_eq!(shard_error(&[name], &message(&[0xa])), ShardError::Prefix(0xa));
    }
    // Two links for one slot.
    assert_eq!(shard_error(&["01x", "01y"], &message(&[1])), links(1, 2));
    assert_eq!(shard_error(&["01x", "01y"], &message(&[1, 2])), ShardError::Prefix(2));
    // Of 45,000 links the first too many ends it.
    let many: Vec<String> = (0..40_000).map(|i| format!("01{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(shard_error(&many, &message(&[1])), links(1, 2));
}

#[test]
fn a_name_must_be_where_its_hash_leads() {
    let name = named(7, 0);
    let wrong = root(vec![(8, &name, leaf())]);
    let cid = wrong.cid;
    assert_eq!(listed([wrong], cid), "a name where its hash does not lead");
    // The same name at two levels: it can be right at one of them only.
    let below = root(vec![(FANOUT.slot(hamt::hash(&name), 1), &name, leaf())]);
    let top = root(vec![(7, b"", below.cid), (9, &name, leaf())]);
    let cid = top.cid;
    let mut memory = Memory::default();
    memory.keep([below, top]);
    assert!(matches!(memory.list(cid), Err(WalkError::Misplaced { .. })));
    assert!(matches!(memory.find(cid, &name), Err(WalkError::Misplaced { .. })));
}

#[test]
fn a_shard_in_two_places_fails_at_its_first_name() {
    let (one, two) = (named(7, 0), named(7, 1));
    let names = BTreeSet::from([one, two]);
    let mut memory = Memory::default();
    let below = shards(&mut memory, FANOUT, &names, leaf(), 1);
    let top = root(vec![(7, b"", below), (8, b"", below)]);
    let cid = top.cid;
    memory.keep([top]);
    assert!(matches!(memory.list(cid), Err(WalkError::Misplaced { .. })));
    // A walk over blocks sees it once.
    let mut walk = TreeWalk::new(cid, Budget::TREE).without_leaves();
    let mut visited = 0;
    while let TreeStep::Need(cid) = walk.poll().unwrap() {
        walk.handle_block(&cid, memory.0[&cid].clone()).unwrap();
        visited += 1;
    }
    assert_eq!(visited, memory.0.len());
}

#[test]
fn a_tree_of_shards_without_entries_is_refused_at_once() {
    // Each shard links 256 times to the next: 2^64 ways down to a shard without entries.
    let mut below = root(Vec::new());
    let mut memory = Memory::default();
    for _ in 0..8 {
        let links = (0..256).map(|slot| (slot, &b""[..], below.cid)).collect();
        let above = root(links);
        memory.keep([std::mem::replace(&mut below, above)]);
    }
    let cid = below.cid;
    memory.keep([below]);
    let error = memory.list(cid).unwrap_err();
    let deep = "more shards above each other than a hash has bits";
    assert!(matches!(&error, WalkError::Misplaced { what, .. } if *what == deep), "{error}");
    assert!(memory.find(cid, b"x").is_err());
    let empty = root(Vec::new());
    let top = root_with_shard(3, empty.cid);
    let cid = top.cid;
    assert_eq!(listed([empty.clone(), top], cid), "a shard without entries");
    // A root may be empty.
    let mut memory = Memory::default();
    let cid = empty.cid;
    memory.keep([empty]);
    assert_eq!(memory.list(cid).unwrap(), (Vec::new(), 1));
}

#[test]
fn what_is_among_shards_must_be_a_shard_with_as_many_slots() {
    let (file, directory) = (Bytes::from_static(b"x"), build::DirectoryBuilder::new);
    let directory = directory(Profile::Shoal, Metadata::NONE).finish().unwrap().0;
    let narrow = Fanout::new(16).unwrap();
    let narrow = shard(
        vec![(narrow.link_name(3, b"x"), leaf())],
        &hamt::message(narrow, &[3], Metadata::NONE),
    );
    let something = "something else than a shard among shards";
    for (below, what) in [
        (Block { cid: leaf(), data: file }, something),
        (directory, something),
        (narrow, "a shard with another number of slots"),
    ] {
        let top = root_with_shard(FANOUT.slot(hamt::hash(b"y"), 0), below.cid);
        let cid = top.cid;
        let mut memory = Memory::default();
        memory.keep([top.clone(), below.clone()]);
        assert!(matches!(memory.find(cid, b"y"), Err(WalkError::Misplaced { .. })), "{what}");
        assert_eq!(listed([top, below], cid), what);
    }
}

#[test]
fn a_shard_that_is_no_root_is_no_directory() {
    let names = BTreeSet::from([named(7, 0), named(7, 1)]);
    let mut memory = Memory::default();
    let below = shards(&mut memory, FANOUT, &names, leaf(), 1);
    assert!(matches!(memory.list(below), Err(WalkError::Misplaced { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_shards_never_panic(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        count in 1_usize..40,
    ) {
        let names = (0..count).map(|i| i.to_string().into_bytes()).collect();
        let mut memory = Memory::default();
        let root = shards(&mut memory, Fanout::new(8).unwrap(), &names, leaf(), 0);
        let mut data = memory.0[&root].to_vec();
        let at = at.index(data.len());
        data[at] = value;
        if let Ok(Node::Shard(shard)) = Node::decode(&root, Bytes::from(data)) {
            prop_assert!(shard.links.len() <= usize::from(shard.fanout.slots()));
            prop_assert!(shard.links.is_sorted_by(|a, b| a.slot < b.slot));
        }
    }
}
