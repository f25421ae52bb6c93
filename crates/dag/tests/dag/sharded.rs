//! Sharded directories: what is written is read, by enumeration and by name, at every number of
//! slots; fixtures of kubo; and that a million entries are built and walked in bounded memory.
//!
//! Other numbers of slots than 256 are written here only, by [`shards`], slowly and from their
//! description.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_set;
use proptest::prelude::*;
use shoal_dag::build::{self, DirectoryBuilder, DirectoryError};
use shoal_dag::hamt::{self, Fanout};
use shoal_dag::hash::{self, DAG_PB, HashKind};
use shoal_dag::node::Dirent;
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::walk::{Budget, TreeStep, TreeWalk};
use shoal_dag::{Block, Bytes, Cid, Metadata, Node, Profile, Version};

use crate::codecs::{car, cars};
use crate::memory::Memory;
use crate::vectors::vectors;

/// A dag-pb block of links, which are sorted here, and a message.
pub(crate) fn shard(mut links: Vec<(Vec<u8>, Cid)>, message: &[u8]) -> Block {
    links.sort();
    let links =
        links.iter().map(|(name, hash)| PbLink { hash: *hash, name: Some(name), tsize: Some(1) });
    let data = PbNode { links: links.collect(), data: Some(message) }.encode().unwrap();
    let cid = hash::cid_of(HashKind::Blake3, DAG_PB, Version::V1, &data);
    Block { cid, data: Bytes::from(data) }
}

/// The shard of these names at a level, and all below it, with any number of slots.
pub(crate) fn shards(
    memory: &mut Memory,
    fanout: Fanout,
    names: &BTreeSet<Vec<u8>>,
    cid: Cid,
    level: u32,
) -> Cid {
    let mut slots = BTreeMap::<u16, BTreeSet<Vec<u8>>>::new();
    for name in names {
        slots.entry(fanout.slot(hamt::hash(name), level)).or_default().insert(name.clone());
    }
    let taken: Vec<u16> = slots.keys().copied().collect();
    let mut links = Vec::new();
    for (slot, names) in slots {
        links.push(if names.len() == 1 {
            (fanout.link_name(slot, names.first().unwrap()), cid)
        } else {
            let below = shards(memory, fanout, &names, cid, level + 1);
            (fanout.link_name(slot, b""), below)
        });
    }
    let block = shard(links, &hamt::message(fanout, &taken, Metadata::NONE));
    let cid = block.cid;
    memory.keep([block]);
    cid
}

fn leaf() -> Cid {
    build::leaf(Profile::Shoal, b"x").cid
}

fn named(entries: Vec<Dirent>) -> BTreeSet<Vec<u8>> {
    let count = entries.len();
    let names: BTreeSet<_> = entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), count, "no name comes twice");
    names
}

fn slots() -> impl Strategy<Value = Fanout> {
    let all = [8, 16, 32, 64, 128, 256, 512, 1024];
    prop::sample::select(all.map(|slots| Fanout::new(slots).unwrap()).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_inserted_is_enumerated_and_found(
        fanout in slots(),
        names in btree_set(prop::collection::vec(1_u8..=255, 1..5), 0..700),
        others in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..5), 0..50),
    ) {
        let mut memory = Memory::default();
        let root = shards(&mut memory, fanout, &names, leaf(), 0);
        let (entries, asked) = memory.list(root).unwrap();
        prop_assert_eq!(named(entries), names.clone());
        prop_assert_eq!(asked, memory.0.len());
        for name in names.iter().chain(&others) {
            let (found, asked) = memory.find(root, name).unwrap();
            prop_assert_eq!(found.map(|entry| entry.name == *name), names.contains(name).then_some(true));
            prop_assert!(asked <= fanout.levels() as usize);
        }
    }

    #[test]
    fn what_the_builder_makes_is_enumerated_and_found(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        // Names of about 200 bytes: some of these directories are in one block, some are not.
        count in 0_usize..1_600,
        width in 150_usize..250,
        mode in prop::option::of(0_u32..0o1000),
    ) {
        let meta = Metadata { mode, mtime: None };
        let mut builder = DirectoryBuilder::new(profile, meta);
        for i in (0..count).rev() {
            builder.insert(format!("{i:width$}").as_bytes(), leaf(), 7).unwrap();
        }
        let mut memory = Memory::default();
        let (root, dag_size) = memory.keep_all(builder);
        let blocks: usize = memory.0.values().map(Bytes::len).sum();
        prop_assert_eq!(dag_size, (blocks + count * 7) as u64);
        let node = Node::decode(&root, memory.0[&root].clone()).unwrap();
        prop_assert!(node.is_directory());
        prop_assert_eq!(*node.meta(), meta);
        let (entries, _) = memory.list(root).unwrap();
        prop_assert!(entries.iter().all(|entry| entry.cid == leaf() && entry.dag_size == 7));
        let expected = (0..count).map(|i| format!("{i:width$}").into_bytes()).collect();
        prop_assert_eq!(named(entries), expected);
        for i in (0..count + 3).step_by(97) {
            let (found, _) = memory.find(root, format!("{i:width$}").as_bytes()).unwrap();
            prop_assert_eq!(found.is_some(), i < count);
        }
    }
}

/// Every directory that kubo made in the fixtures: each entry is found by its name.
#[test]
fn directories_of_the_gateway_fixtures_are_read() {
    let Some(folder) = vectors("gateway-conformance/fixtures") else { return };
    let (mut files, mut memory) = (Vec::new(), Memory::default());
    cars(&folder, &mut files);
    for file in files {
        let blocks = car(&file).into_iter().filter(|(cid, _)| hash::check(cid).is_ok());
        memory.keep(blocks.map(|(cid, data)| Block { cid, data }));
    }
    let (mut roots, mut below) = (Vec::new(), BTreeSet::new());
    for (cid, data) in &memory.0 {
        if let Ok(Node::Shard(shard)) = Node::decode(cid, data.clone()) {
            assert_eq!(shard.fanout, Fanout::WRITTEN);
            roots.push(*cid);
            below.extend(shard.links.iter().filter(|link| link.is_shard()).map(|link| link.cid));
        }
    }
    roots.retain(|root| !below.contains(root));
    assert!(!roots.is_empty());
    for root in roots {
        let (entries, _) = memory.list(root).unwrap();
        assert!(!entries.is_empty());
        for entry in entries {
            assert_eq!(memory.find(root, &entry.name).unwrap().0, Some(entry));
        }
        assert_eq!(memory.find(root, b"no such entry").unwrap().0, None);
    }
}

/// Blocks come one at a time and are forgotten at once, as a store takes them.
#[test]
fn a_name_among_200000_needs_three_blocks_and_a_tree_walk_comes_by_every_shard() {
    let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
    for i in 0..200_000 {
        builder.insert(format!("entry-{i:07}").as_bytes(), leaf(), 1).unwrap();
    }
    let mut memory = Memory::default();
    let (root, _) = memory.keep_all(builder);
    let (entries, asked) = memory.list(root).unwrap();
    assert_eq!((entries.len(), asked), (200_000, memory.0.len()));
    let (found, asked) = memory.find(root, b"entry-0123456").unwrap();
    assert_eq!((found.is_some(), asked), (true, 3));
    assert!(memory.find(root, b"entry-9999999").unwrap().0.is_none());
    let mut walk = TreeWalk::new(root, Budget::TREE).without_leaves();
    let mut visited = 0;
    while let TreeStep::Need(cid) = walk.poll().unwrap() {
        walk.handle_block(&cid, memory.0[&cid].clone()).unwrap();
        visited += 1;
    }
    assert_eq!(visited, memory.0.len());
}

/// Two names of 32 bytes with one hash: the second half of the other is what makes up for its first.
fn collision() -> (Vec<u8>, Vec<u8>) {
    let (first, mut state) = ([b'a'; 32], (0, 0));
    for half in first.as_chunks::<16>().0 {
        state = mixed(state, *half);
    }
    let others = (b'b'..=b'z').map(|byte| {
        let before = mixed((0, 0), [byte; 16]);
        [[byte; 16], between(before, state)].concat()
    });
    let good = |name: &Vec<u8>| shoal_dag::name::check(name).is_ok();
    (first.to_vec(), others.into_iter().find(good).unwrap())
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The state of the hash after 16 more bytes.
fn mixed((mut h1, mut h2): (u64, u64), half: [u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(half);
    let (low, high) = (both as u64, (both >> 64) as u64);
    h1 ^= low.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
    h2 ^= high.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    (h1, h2)
}

/// The 16 bytes that lead from one state to another.
fn between((h1, h2): (u64, u64), (end1, end2): (u64, u64)) -> [u8; 16] {
    let back = |end: u64, add: u64, other: u64, turn: u32, from: u64| {
        end.wrapping_sub(add).wrapping_mul(inverse(5)).wrapping_sub(other).rotate_right(turn) ^ from
    };
    let low = back(end1, 0x52dc_e729, h2, 27, h1).wrapping_mul(inverse(C2)).rotate_right(31);
    let high = back(end2, 0x3849_5ab5, end1, 31, h2).wrapping_mul(inverse(C1)).rotate_right(33);
    let low = u128::from(low.wrapping_mul(inverse(C1)));
    (low | u128::from(high.wrapping_mul(inverse(C2))) << 64).to_le_bytes()
}

/// The inverse of an odd number, by Newton's method.
fn inverse(odd: u64) -> u64 {
    (0..6).fold(odd, |x, _| x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x))))
}

#[test]
fn of_two_names_with_one_hash_a_sharded_directory_takes_the_first() {
    let (one, two) = collision();
    assert_eq!(hamt::hash(&one), hamt::hash(&two));
    assert_ne!(one, two);
    let full = |names: &[&[u8]]| {
        let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
        for i in 0..20_000 {
            builder.insert(format!("{i:07}").as_bytes(), leaf(), 1).unwrap();
        }
        let results: Vec<_> = names.iter().map(|name| builder.insert(name, leaf(), 1)).collect();
        let mut memory = Memory::default();
        let (root, _) = memory.keep_all(builder);
        (results, memory, root)
    };
    let (results, memory, root) = full(&[&one, &two, &one]);
    assert_eq!(results[0], Ok(()));
    assert!(matches!(results[1], Err(DirectoryError::Collision(..))), "{results:?}");
    assert!(matches!(results[2], Err(DirectoryError::Duplicate(_))), "{results:?}");
    assert!(memory.find(root, &one).unwrap().0.is_some());
    assert!(memory.find(root, &two).unwrap().0.is_none());
    // In one block they stand beside each other.
    let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
    builder.insert(&one, leaf(), 1).unwrap();
    builder.insert(&two, leaf(), 1).unwrap();
    // But then the directory cannot grow into shards: what would make it do so is refused.
    let refused =
        (0..20_000).find_map(|i| builder.insert(format!("{i:07}").as_bytes(), leaf(), 1).err());
    assert!(matches!(refused, Some(DirectoryError::Collision(..))), "{refused:?}");
    let mut memory = Memory::default();
    let (root, _) = memory.keep_all(builder);
    assert!(memory.find(root, &two).unwrap().0.is_some());
}
