//! Trees that somebody made to hurt: bombs, lies, depth, foreign CIDs.
//!
//! Blocks are well formed and have the CIDs they claim, as an attacker's would; each test says
//! which check stops them, and that what is honest beside them can still be read. Random damage
//! is in `properties.rs`.

use shoal_dag::build;
use shoal_dag::hash::{self, DAG_PB, HashKind, RAW};
use shoal_dag::node::NodeError;
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::unixfs::{Kind, UnixFs};
use shoal_dag::walk::{BlockKind, Budget, FileWalk, Step, TreeStep, TreeWalk, WalkError};
use shoal_dag::{Block, Bytes, Cid, Metadata, Node, Profile, Version};

use crate::memory::Memory;

fn dag_pb(links: &[(Cid, &str)], message: &UnixFs<'_>) -> Block {
    let links = links.iter().map(|&(hash, name)| PbLink {
        hash,
        name: Some(name.as_bytes()),
        tsize: Some(0),
    });
    let data = PbNode { links: links.collect(), data: Some(&message.encode()) }.encode().unwrap();
    let cid = hash::cid_of(HashKind::Blake3, DAG_PB, Version::V1, &data);
    Block { cid, data: Bytes::from(data) }
}

/// A branch that claims these sizes for its links.
fn branch(links: &[(Cid, u64)], claimed: u64) -> Block {
    let block_sizes = links.iter().map(|link| link.1).collect();
    let message = UnixFs { file_size: Some(claimed), block_sizes, ..UnixFs::new(Kind::File) };
    let links: Vec<_> = links.iter().map(|link| (link.0, "")).collect();
    dag_pb(&links, &message)
}

fn directory(links: &[(Cid, &str)]) -> Block {
    dag_pb(links, &UnixFs::new(Kind::Directory))
}

fn raw(data: &'static [u8]) -> Block {
    Block { cid: build::leaf(Profile::Shoal, data).cid, data: Bytes::from_static(data) }
}

fn identity(codec: u64, data: &[u8]) -> Cid {
    Cid::new_v1(codec, multihash::Multihash::wrap(hash::IDENTITY, data).unwrap())
}

/// Goes through a whole tree; gives the distinct blocks in order.
fn visit(memory: &Memory, mut walk: TreeWalk) -> Result<Vec<Cid>, WalkError> {
    let mut seen = Vec::new();
    loop {
        match walk.poll()? {
            TreeStep::Need(cid) => {
                assert_eq!(walk.ahead(1), [cid]);
                walk.handle_block(&cid, memory.0[&cid].clone())?;
                seen.push(cid);
            }
            TreeStep::Done => return Ok(seen),
        }
    }
}

/// 40 branches that each link twice to the next: 2^40 leaves of 4 bytes in 41 blocks.
fn bomb(levels: u32) -> (Memory, Cid) {
    let mut memory = Memory::default();
    let leaf = raw(b"boom");
    let (mut root, mut size) = (leaf.cid, 4);
    memory.keep([leaf]);
    for _ in 0..levels {
        let block = branch(&[(root, size), (root, size)], size * 2);
        (root, size) = (block.cid, size * 2);
        memory.keep([block]);
    }
    (memory, root)
}

#[test]
fn a_doubling_tree_costs_its_distinct_blocks() {
    let (memory, root) = bomb(40);
    assert_eq!(visit(&memory, TreeWalk::new(root, Budget::TREE)).unwrap().len(), 41);
    let few = Budget { nodes_max: 40, ..Budget::TREE };
    let error = visit(&memory, TreeWalk::new(root, few)).unwrap_err();
    assert_eq!(error, WalkError::Budget { what: "blocks", max: 40 });
}

#[test]
fn reading_a_doubling_tree_ends_at_the_budget() {
    let (memory, root) = bomb(40);
    // Too deep to be read at all.
    let depth = memory.read(root, 0..1, Budget::FILE).unwrap_err();
    assert_eq!(depth, WalkError::Budget { what: "levels", max: 32 });
    let (memory, root) = bomb(31);
    let budget = Budget { nodes_max: 10_000, ..Budget::FILE };
    let nodes = memory.read(root, 0..u64::MAX, budget).unwrap_err();
    assert_eq!(nodes, WalkError::Budget { what: "blocks", max: 10_000 });
    let budget = Budget { bytes_max: 100_000, ..Budget::FILE };
    let bytes = memory.read(root, 0..u64::MAX, budget).unwrap_err();
    assert_eq!(bytes, WalkError::Budget { what: "bytes", max: 100_000 });
    // A small range anywhere is cheap: one way down.
    let end = 4 << 31_u64;
    assert_eq!(memory.read(root, end - 2..end, Budget::FILE).unwrap(), (b"om".to_vec(), 32));
    let size = Node::decode(&root, memory.0[&root].clone()).unwrap().file_size();
    assert_eq!(size, Some(end));
}

#[test]
fn sizes_that_exceed_64_bits_are_refused() {
    let leaf = raw(b"boom");
    let half = 1 << 63;
    let block = branch(&[(leaf.cid, half), (leaf.cid, half)], 0);
    let error = Node::decode(&block.cid, block.data).unwrap_err();
    assert_eq!(error, NodeError::SizeSum { claimed: 0, parts: u64::MAX });
    let block = branch(&[(leaf.cid, u64::MAX)], u64::MAX);
    let mut memory = Memory::default();
    let root = block.cid;
    memory.keep([block, leaf]);
    let last = memory.read(root, u64::MAX - 1..u64::MAX, Budget::FILE);
    assert!(matches!(last, Err(WalkError::Size { claimed: u64::MAX, actual: 4, .. })), "{last:?}");
}

#[test]
fn parents_that_lie_about_sizes_are_found_out() {
    let leaf = raw(b"boom");
    for claimed in [0_u64, 3, 5] {
        let parts = [(leaf.cid, 4), (leaf.cid, claimed), (leaf.cid, 4)];
        let block = branch(&parts, 8 + claimed);
        let (root, mut memory) = (block.cid, Memory::default());
        memory.keep([block, leaf.clone()]);
        let all = memory.read(root, 0..u64::MAX, Budget::FILE);
        if claimed == 0 {
            // A part without bytes is not part of any range.
            assert_eq!(all.unwrap().0, b"boomboom");
        } else {
            let cid = Box::new(leaf.cid);
            assert_eq!(all.unwrap_err(), WalkError::Size { cid, claimed, actual: 4 });
        }
        // The part before the lie can be read.
        assert_eq!(memory.read(root, 0..4, Budget::FILE).unwrap().0, b"boom");
    }
    // A branch that lies about a branch.
    let inner = branch(&[(leaf.cid, 4)], 4);
    let outer = branch(&[(inner.cid, 40)], 40);
    let (root, mut memory) = (outer.cid, Memory::default());
    memory.keep([leaf, inner, outer]);
    assert!(matches!(memory.read(root, 0..4, Budget::FILE), Err(WalkError::Size { .. })));
}

#[test]
fn a_node_that_contradicts_itself_is_refused() {
    let leaf = raw(b"boom").cid;
    let decode = |block: Block| Node::decode(&block.cid, block.data).unwrap_err();
    assert_eq!(decode(branch(&[(leaf, 4)], 5)), NodeError::SizeSum { claimed: 5, parts: 4 });
    let no_sizes = UnixFs { file_size: Some(4), ..UnixFs::new(Kind::File) };
    let count = NodeError::SizeCount { links: 1, sizes: 0 };
    assert_eq!(decode(dag_pb(&[(leaf, "")], &no_sizes)), count);
    let no_links = UnixFs { block_sizes: vec![1], ..UnixFs::new(Kind::File) };
    assert_eq!(decode(dag_pb(&[], &no_links)), NodeError::SizeCount { links: 0, sizes: 1 });
    let short = UnixFs { data: Some(b"abc"), file_size: Some(4), ..UnixFs::new(Kind::File) };
    assert_eq!(decode(dag_pb(&[], &short)), NodeError::SizeSum { claimed: 4, parts: 3 });
    assert_eq!(decode(dag_pb(&[(leaf, "")], &UnixFs::new(Kind::Symlink))), NodeError::Links);
    assert_eq!(decode(dag_pb(&[(leaf, "")], &UnixFs::new(Kind::Raw))), NodeError::Links);
    assert!(matches!(decode(dag_pb(&[], &UnixFs::new(Kind::Metadata))), NodeError::Unsupported(_)));
    let empty = hash::cid_of(HashKind::Blake3, DAG_PB, Version::V1, b"");
    assert_eq!(Node::decode(&empty, Bytes::new()), Err(NodeError::NoData));
    let large = Bytes::from(vec![0; shoal_dag::BLOCK_BYTES_MAX + 1]);
    assert!(matches!(Node::decode(&leaf, large), Err(NodeError::TooLarge(_))));
}

#[test]
fn bad_names_are_listed_as_they_are() {
    let leaf = raw(b"x").cid;
    let block = directory(&[(leaf, ""), (leaf, ".."), (leaf, "../../x"), (leaf, "x"), (leaf, "x")]);
    let node = Node::decode(&block.cid, block.data).unwrap();
    assert!(node.entry(b"../../x").is_some());
    let Node::Directory { entries, .. } = node else { panic!("a directory") };
    let good = |entry: &&shoal_dag::node::Dirent| shoal_dag::name::check(&entry.name).is_ok();
    assert_eq!((entries.len(), entries.iter().filter(good).count()), (5, 2));
}

#[test]
fn deep_directories_end_at_the_budget() {
    let (mut memory, mut root) = (Memory::default(), directory(&[]));
    for _ in 0..1_100 {
        let above = directory(&[(root.cid, "d")]);
        memory.keep([std::mem::replace(&mut root, above)]);
    }
    let cid = root.cid;
    memory.keep([root]);
    let error = visit(&memory, TreeWalk::new(cid, Budget::TREE)).unwrap_err();
    assert_eq!(error, WalkError::Budget { what: "levels", max: 1024 });
}

#[test]
fn cids_that_are_not_handled_stop_a_walk_before_they_are_asked_for() {
    let sha1 = Cid::new_v1(RAW, multihash::Multihash::wrap(0x11, &[7; 20]).unwrap());
    let short = Cid::new_v1(RAW, multihash::Multihash::wrap(hash::BLAKE3, &[7; 19]).unwrap());
    let json = Cid::new_v1(0x0129, multihash::Multihash::wrap(hash::BLAKE3, &[7; 32]).unwrap());
    for cid in [sha1, short, json] {
        let (file, tree) = (branch(&[(cid, 4)], 4), directory(&[(cid, "x")]));
        let mut memory = Memory::default();
        let roots = [file.cid, tree.cid];
        memory.keep([file, tree]);
        let error = memory.read(roots[0], 0..4, Budget::FILE).unwrap_err();
        assert!(matches!(error, WalkError::Cid { .. }), "{error}");
        let error = visit(&memory, TreeWalk::new(roots[1], Budget::TREE)).unwrap_err();
        assert!(matches!(error, WalkError::Cid { .. }), "{error}");
        assert!(FileWalk::new(cid, 0..1, Budget::FILE).poll().is_err());
    }
}

#[test]
fn identity_blocks_are_read_without_being_asked_for_and_counted() {
    let part = identity(RAW, b"in");
    let root = branch(&[(part, 2), (part, 2), (raw(b"boom").cid, 4)], 8);
    let (cid, mut memory) = (root.cid, Memory::default());
    memory.keep([root, raw(b"boom")]);
    assert_eq!(memory.read(cid, 1..6, Budget::FILE).unwrap(), (b"ninbo".to_vec(), 2));
    let budget = Budget { nodes_max: 3, ..Budget::FILE };
    assert!(memory.read(cid, 0..8, budget).is_err());
    assert_eq!(visit(&memory, TreeWalk::new(cid, Budget::TREE)).unwrap().len(), 2);
    // `bafkqaaa`, the empty file.
    let empty = identity(RAW, b"");
    assert_eq!(Memory::default().read(empty, 0..9, Budget::FILE).unwrap(), (Vec::new(), 0));
}

#[test]
fn a_walk_that_failed_says_so_again() {
    let broken = identity(DAG_PB, b"no protobuf");
    let sha1 = Cid::new_v1(RAW, multihash::Multihash::wrap(0x11, &[7; 20]).unwrap());
    for bad in [broken, sha1] {
        let tree = directory(&[(raw(b"boom").cid, "a"), (bad, "b"), (raw(b"boom").cid, "c")]);
        let mut walk = TreeWalk::new(tree.cid, Budget::TREE).without_leaves();
        assert_eq!(walk.poll(), Ok(TreeStep::Need(tree.cid)));
        walk.handle_block(&tree.cid, tree.data).unwrap();
        if bad == broken {
            let error = walk.poll().unwrap_err();
            assert_eq!((walk.poll(), walk.poll()), (Err(error.clone()), Err(error)));
        } else {
            assert_eq!(walk.poll(), Ok(TreeStep::Done), "raw leaves were passed over");
        }
        let mut walk = FileWalk::new(bad, 0..1, Budget::FILE);
        let error = walk.poll().unwrap_err();
        assert_eq!((walk.poll(), walk.poll()), (Err(error.clone()), Err(error)));
    }
}

#[test]
fn directories_and_links_are_not_files() {
    let (tree, leaf) = (directory(&[]), raw(b"boom"));
    let link = build::symlink(Profile::Shoal, b"x", Metadata::NONE).0;
    let file = branch(&[(tree.cid, 4)], 4);
    let roots = [tree.cid, link.cid, file.cid];
    let mut memory = Memory::default();
    memory.keep([tree, leaf, link, file]);
    for root in roots {
        let error = memory.read(root, 0..4, Budget::FILE).unwrap_err();
        assert!(matches!(error, WalkError::NotAFile(_)), "{error}");
    }
}

#[test]
fn walks_refuse_what_they_did_not_ask_for() {
    let leaf = raw(b"boom");
    let mut walk = FileWalk::new(leaf.cid, 0..9, Budget::FILE);
    let not_asked = Err(WalkError::NotAsked(Box::new(leaf.cid)));
    assert_eq!(walk.handle_block(&leaf.cid, leaf.data.clone()), not_asked);
    assert_eq!(walk.poll(), Ok(Step::Need(leaf.cid)));
    assert_eq!(walk.poll(), Ok(Step::Need(leaf.cid)));
    walk.handle_block(&leaf.cid, leaf.data.clone()).unwrap();
    assert_eq!(walk.handle_block(&leaf.cid, leaf.data.clone()), not_asked);
    let step = Step::Leaf { range: 0..4, cid: leaf.cid, data: leaf.data.clone() };
    assert_eq!((walk.poll(), walk.poll()), (Ok(step), Ok(Step::Done)));
    assert_eq!((walk.poll(), walk.size()), (Ok(Step::Done), Some(4)));
    let mut walk = TreeWalk::new(leaf.cid, Budget::TREE);
    assert!(walk.handle_block(&leaf.cid, leaf.data.clone()).is_err());
    assert_eq!(walk.poll(), Ok(TreeStep::Need(leaf.cid)));
    assert_eq!(walk.handle_block(&leaf.cid, leaf.data), Ok(BlockKind::Leaf));
    assert_eq!(walk.poll(), Ok(TreeStep::Done));
}
