//! A DAG whose entry names are not names: nothing of it reaches the disk outside of OUT.
//!
//! The blocks are written by hand, since no builder of ours makes them, and put into a store as if a
//! careless peer had added them.

use std::{fs, path::Path};

use shoal_dag::{
    Bytes, Cid, Version,
    hash::{DAG_PB, HashKind, RAW, cid_of},
    pb::{PbLink, PbNode},
    unixfs::{Kind, UnixFs},
};
use shoal_store::{BatchOptions, Options, PinOptions, Store};

use crate::harness::{Lab, Snapshot};

/// What the hostile files hold.
const EVIL: &[u8] = b"evil";

/// Names that no file system should be given.
const NAMES: [&[u8]; 9] = [
    b"",
    b".",
    b"..",
    b"../escaped",
    b"../../escaped",
    b"/tmp/shoal-hostile-escaped",
    b"a/b",
    b"nul\0inside",
    b"sub/../../escaped",
];

/// Blocks made by hand.
#[derive(Default)]
pub(crate) struct Blocks(Vec<(Cid, Bytes)>);

impl Blocks {
    fn put(&mut self, codec: u64, data: Vec<u8>) -> Cid {
        let cid = cid_of(HashKind::Sha256, codec, Version::V1, &data);
        self.0.push((cid, data.into()));
        cid
    }

    pub(crate) fn file(&mut self, data: &[u8]) -> Cid {
        self.put(RAW, data.to_vec())
    }

    /// A branch of a file that claims these sizes for its links.
    pub(crate) fn branch(&mut self, links: &[(Cid, u64)]) -> Cid {
        let block_sizes: Vec<u64> = links.iter().map(|link| link.1).collect();
        let file_size = Some(block_sizes.iter().sum());
        let message = UnixFs { file_size, block_sizes, ..UnixFs::new(Kind::File) };
        let links: Vec<_> = links.iter().map(|link| (&b""[..], link.0)).collect();
        self.node(&links, &message)
    }

    /// A node of any kind.
    pub(crate) fn node(&mut self, links: &[(&[u8], Cid)], message: &UnixFs<'_>) -> Cid {
        let link = |&(name, hash)| PbLink { hash, name: Some(name), tsize: Some(100) };
        let data = message.encode();
        let node = PbNode { links: links.iter().map(link).collect(), data: Some(&data) };
        self.put(DAG_PB, node.encode().unwrap())
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|block| block.1.len()).sum()
    }

    fn symlink(&mut self, target: &Path) -> Cid {
        let target = target.to_str().unwrap().as_bytes();
        let node = UnixFs { data: Some(target), ..UnixFs::new(Kind::Symlink) }.encode();
        self.put(DAG_PB, PbNode { links: vec![], data: Some(&node) }.encode().unwrap())
    }

    pub(crate) fn directory(&mut self, entries: &[(&[u8], Cid)]) -> Cid {
        let mut entries = entries.to_vec();
        entries.sort_by_key(|(name, _)| *name);
        self.node(&entries, &UnixFs::new(Kind::Directory))
    }

    /// Puts everything into the store at `dir`, pinned, and closes it.
    pub(crate) fn store(self, dir: &Path, root: &Cid) {
        let store = Store::open(dir, Options::default()).unwrap();
        let batch = store.batch(BatchOptions { public: true });
        for (cid, data) in &self.0 {
            batch.put(cid, data).unwrap();
        }
        batch.pin(root, PinOptions::default()).unwrap();
        batch.commit().unwrap();
    }
}

#[test]
fn names_that_are_no_names_never_reach_the_disk() {
    let lab = Lab::new();
    let mut blocks = Blocks::default();
    let (good, evil) = (blocks.file(b"good"), blocks.file(EVIL));
    let mut entries = vec![(&b"good"[..], good)];
    entries.extend(NAMES.map(|name| (name, evil)));
    let root = blocks.directory(&entries);
    let a = lab.store("a");
    blocks.store(a.dir(), &root);
    let peer = a.seed();

    let (c, outer) = (lab.store("c").told(peer.address()), lab.path("outer"));
    fs::create_dir_all(outer.join("inner")).unwrap();
    let out = outer.join("inner/out");
    let run = c.run(&[&"get", &root.to_string(), &"-o", &out, &"--json"]);
    assert_nothing_escaped(&outer);
    assert!(!Path::new("/tmp/shoal-hostile-escaped").exists());
    if out.exists() {
        assert_eq!(Snapshot::of(&out).len(), 2, "more than the good name: {run}");
        assert_eq!(fs::read(out.join("good")).unwrap(), b"good");
        let refused = run.outcome()["refused"].as_array().map_or(0, Vec::len);
        assert_eq!(refused, NAMES.len(), "{run}");
    } else {
        assert_ne!(run.code(), Some(0), "{run}");
    }
}

#[test]
fn a_symlink_of_the_dag_is_no_way_out() {
    let lab = Lab::new();
    let outer = lab.path("outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    let mut blocks = Blocks::default();
    let evil = blocks.file(EVIL);
    let directory = blocks.directory(&[(b"escaped", evil)]);
    let link = blocks.symlink(&outer);
    // The same name twice, in both orders: whoever follows the link writes beside OUT.
    let one = blocks.directory(&[(b"x", link), (b"x", directory)]);
    let two = blocks.directory(&[(b"x", directory), (b"x", link)]);
    let file = blocks.directory(&[(b"x", link), (b"x", evil)]);
    let root = blocks.directory(&[(b"1", one), (b"2", two), (b"3", file)]);
    let a = lab.store("a");
    blocks.store(a.dir(), &root);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());
    let out = outer.join("inner/out");
    let run = c.run(&[&"get", &root.to_string(), &"-o", &out]);
    println!("{run}");
    assert_nothing_escaped(&outer);
}

#[test]
fn an_existing_symlink_at_out_is_not_followed() {
    let lab = Lab::new();
    let (a, source, outer) = (lab.store("a"), lab.path("source"), lab.path("outer"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("escaped"), EVIL).unwrap();
    fs::create_dir_all(outer.join("inner")).unwrap();
    let cid = a.add(&source);
    let out = outer.join("inner/out");
    std::os::unix::fs::symlink("..", &out).unwrap();
    drop(a.run(&[&"get", &cid, &"-o", &out]).exits(1));
    assert_nothing_escaped(&outer);
    drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).ok());
    assert_nothing_escaped(&outer);
    assert!(fs::symlink_metadata(&out).unwrap().is_dir());
}

#[test]
fn a_listing_has_names_exactly_for_programs_and_harmless_in_json() {
    let lab = Lab::new();
    let mut blocks = Blocks::default();
    let evil = blocks.file(EVIL);
    let name = b"red\x1b[31m\nnext\xff";
    let root = blocks.directory(&[(name, evil)]);
    let a = lab.store("a");
    blocks.store(a.dir(), &root);
    let run = a.run(&[&"ls", &root.to_string()]).ok();
    assert!(run.stdout.ends_with(&[&name[..], b"\n"].concat()), "{run}");
    let run = a.run(&[&"ls", &"--json", &root.to_string()]).ok();
    let entry: serde_json::Value = serde_json::from_str(&run.lines()[0]).unwrap();
    assert_eq!(entry["name_hex"], "7265641b5b33316d0a6e657874ff", "{run}");
    assert!(!run.stdout.contains(&0x1b), "{run}");
}

/// Nothing stands below `outer` but `inner` and, in it, OUT.
#[track_caller]
fn assert_nothing_escaped(outer: &Path) {
    let names = |dir: &Path| -> Vec<String> {
        let items = fs::read_dir(dir).unwrap();
        items.map(|item| item.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(outer), ["inner"]);
    let inner = names(&outer.join("inner"));
    assert!(inner.iter().all(|name| name == "out"), "beside OUT: {inner:?}");
}
