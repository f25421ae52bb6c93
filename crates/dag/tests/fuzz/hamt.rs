//! Sharded directories with damaged shards: a walk ends within its budget and gives no name twice, and
//! a search by name finds what the walk gave, and nothing else.

use std::collections::{BTreeMap, HashMap};

use shoal_dag::build;
use shoal_dag::hamt::{self, Fanout};
use shoal_dag::hash::{self, DAG_PB, HashKind};
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::walk::{DirectoryStep, DirectoryWalk, Lookup, LookupStep};
use shoal_dag::{Bytes, Cid, Metadata, Node, Profile, Version};

use crate::mutate;
use crate::walks::{BUDGET, blocks, row};

type Blocks = HashMap<Cid, Bytes>;

/// The entries, and whether the walk came to its end.
fn listed(blocks: &Blocks, root: Cid) -> (Vec<(Vec<u8>, Cid)>, bool) {
    let (mut walk, mut entries, mut asked) = (DirectoryWalk::new(root, BUDGET), Vec::new(), 0);
    loop {
        match walk.poll() {
            Ok(DirectoryStep::Need(cid)) => {
                asked += 1;
                assert!(asked <= BUDGET.nodes_max);
                match blocks.get(&cid) {
                    Some(data) if walk.handle_block(&cid, data.clone()).is_ok() => {}
                    _ => return (entries, false),
                }
            }
            Ok(DirectoryStep::Entries(some)) => {
                assert!(!some.is_empty());
                entries.extend(some.into_iter().map(|entry| (entry.name, entry.cid)));
            }
            Ok(DirectoryStep::Done) => return (entries, true),
            Err(_) => return (entries, false),
        }
    }
}

/// What a search finds; `None` where it cannot go on.
fn looked_up(blocks: &Blocks, root: Cid, name: &[u8]) -> Option<Option<Cid>> {
    let mut lookup = Lookup::new(root, name);
    loop {
        match lookup.poll().ok()? {
            LookupStep::Need(cid) => lookup.handle_block(&cid, blocks.get(&cid)?.clone()).ok()?,
            LookupStep::Found(entry) => return Some(Some(entry.cid)),
            LookupStep::Absent => return Some(None),
        }
    }
}

fn target(bytes: &[u8]) {
    let (blocks, Some(root)) = blocks(bytes) else { return };
    let (entries, complete) = listed(&blocks, root);
    let is_sharded = matches!(Node::decode(&root, blocks[&root].clone()), Ok(Node::Shard(_)));
    let mut first = BTreeMap::new();
    for (name, cid) in &entries {
        first.entry(name.clone()).or_insert(*cid);
    }
    assert!(!is_sharded || first.len() == entries.len(), "a name comes twice");
    for (name, cid) in &first {
        assert_eq!(looked_up(&blocks, root, name), Some(Some(*cid)));
    }
    if complete && !first.contains_key(&b"not there"[..]) {
        assert_eq!(looked_up(&blocks, root, b"not there"), Some(None));
    }
}

/// The shards of these names, those below before those above; the CID of the last.
fn shards(fanout: Fanout, names: &[Vec<u8>], level: u32, out: &mut Vec<Vec<u8>>) -> Cid {
    let leaf = build::leaf(Profile::Shoal, b"leaf").cid;
    let mut slots = BTreeMap::<u16, Vec<Vec<u8>>>::new();
    for name in names {
        slots.entry(fanout.slot(hamt::hash(name), level)).or_default().push(name.clone());
    }
    let taken: Vec<u16> = slots.keys().copied().collect();
    let mut links = Vec::new();
    for (slot, names) in slots {
        links.push(match &names[..] {
            [name] => (fanout.link_name(slot, name), leaf),
            names => (fanout.link_name(slot, b""), shards(fanout, names, level + 1, out)),
        });
    }
    links.sort();
    let links =
        links.iter().map(|(name, hash)| PbLink { hash: *hash, name: Some(name), tsize: Some(1) });
    let message = hamt::message(fanout, &taken, Metadata::NONE);
    let node = PbNode { links: links.collect(), data: Some(&message) }.encode().unwrap();
    let cid = hash::cid_of(HashKind::Sha256, DAG_PB, Version::V1, &node);
    out.push(node);
    cid
}

#[test]
fn fuzz_hamt() {
    let mut corpus = Vec::new();
    for (fanout, count) in [(8, 30), (16, 5), (256, 40), (1024, 3)] {
        let names: Vec<_> = (0..count).map(|i| format!("name {i}").into_bytes()).collect();
        let mut nodes = Vec::new();
        shards(Fanout::new(fanout).unwrap(), &names, 0, &mut nodes);
        corpus.push(row(&nodes));
    }
    mutate::run("hamt", &corpus, 5_000, target);
}
