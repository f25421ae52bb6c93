//! Versions of a name on the disk: each costs what is new in it, and the newest is a whole file.
//!
//! A running peer turns that over in the background; `status` says when it is done. What is unique in the
//! versions is counted here from the files, by the same cuts that an add makes.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::PathBuf,
};

use rustix::process::Signal;
use shoal_dag::{Profile, build, chunk::Chunker};

use crate::harness::{Lab, Peer, Store, eventually, mounted::Mounted, require, tree};

const VERSIONS: u64 = 10;
const FILE_BYTES: u64 = 64 << 20;

/// A directory with one large file, which is edited from version to version.
struct Source {
    dir: PathBuf,
    content: Vec<u8>,
    leaves: HashMap<[u8; 32], u64>,
    digests: Vec<[u8; 32]>,
}

impl Source {
    fn new(lab: &Lab) -> Self {
        let dir = lab.path("source");
        fs::create_dir(&dir).unwrap();
        tree::file(&dir.join("large"), 1, FILE_BYTES);
        let content = fs::read(dir.join("large")).unwrap();
        let mut source = Self { dir, content, leaves: HashMap::new(), digests: Vec::new() };
        source.count();
        source
    }

    fn large(&self) -> PathBuf {
        self.dir.join("large")
    }

    /// Notes the leaves and the digest of the file as it is.
    fn count(&mut self) {
        let mut chunker = Chunker::new(&Profile::Shoal);
        let mut at = 0;
        while let Some(len) = chunker.cut(&self.content[at..], true) {
            let leaf = build::leaf(Profile::Shoal, &self.content[at..at + len]).cid;
            self.leaves.insert(leaf.hash().digest().try_into().unwrap(), len as u64);
            at += len;
        }
        self.digests.push(tree::digest(&self.large()));
    }

    /// Overwrites, inserts and removes here and there.
    fn edit(&mut self) {
        let version = self.digests.len() as u64;
        for number in 0..8_u64 {
            let seed = version * 100 + number;
            let new = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes().repeat(512);
            let at = (u64::from_le_bytes(new[..8].try_into().unwrap()) >> 8) as usize;
            let at = at % (self.content.len() - new.len());
            let end = if number % 4 == 0 { at } else { at + new.len() };
            let new = if number % 4 == 1 { Vec::new() } else { new };
            self.content.splice(at..end, new);
        }
        fs::write(self.large(), &self.content).unwrap();
        self.count();
    }

    fn unique_bytes(&self) -> u64 {
        self.leaves.values().sum()
    }
}

#[track_caller]
fn publish(store: &Store, source: &Source) {
    drop(store.run(&[&"publish", &"docs", &source.dir]).ok());
}

/// Waits until nothing is left to do, and `in_use` files wait for their readers.
#[track_caller]
fn settled(store: &Store, source: &Source, in_use: u64) {
    let most = source.unique_bytes() + source.unique_bytes() / 10 + in_use * FILE_BYTES;
    eventually("the newest version is whole and the others are thin", || {
        let rebasing = store.status()["rebasing"].clone();
        let idle = rebasing["now"].is_null() && rebasing["in_use"] == in_use;
        (idle && is_whole(store, source) && store.disk_bytes() <= most).then_some(())
    });
}

/// Does a file of the store have exactly the newest content?
fn is_whole(store: &Store, source: &Source) -> bool {
    let files = tree::files_by_size(&store.dir().join("blobs"));
    let size = source.content.len() as u64;
    let mut same = files.iter().filter(|(len, _)| *len == size);
    same.any(|(_, path)| tree::digest(path) == *source.digests.last().unwrap())
}

#[test]
fn ten_versions_cost_what_is_new_in_them_and_the_newest_is_whole() {
    let lab = Lab::new();
    let mut source = Source::new(&lab);
    let mut peer = lab.store("peer").seed();
    let store = peer.store();
    drop(store.run(&[&"name", &"new", &"docs"]).ok());
    publish(store, &source);
    while (source.digests.len() as u64) < VERSIONS {
        source.edit();
        publish(store, &source);
    }
    settled(store, &source, 0);
    println!("{} bytes on disk, {} unique", store.disk_bytes(), source.unique_bytes());
    for (at, digest) in source.digests.iter().enumerate() {
        let run = store.run(&[&"cat", &format!("docs@{}/large", at + 1)]).ok();
        assert!(tree::digest_of(&run.stdout[..]) == *digest, "version {}", at + 1);
    }
    if require::fuse() {
        a_mount_has_the_whole_file(&lab, &mut peer, &source);
        a_mount_reads_on(&lab, peer.store(), &mut source);
    }
    drop(peer.stop());
}

/// While the node is stopped it can give no byte: what is read then comes from the store's file.
fn a_mount_has_the_whole_file(lab: &Lab, peer: &mut Peer, source: &Source) {
    let mounted = Mounted::new(peer.store(), "docs", lab.path("newest"));
    let open = File::open(mounted.path("large")).unwrap();
    peer.process().signal(Signal::STOP);
    let digest = tree::digest_of(&open);
    peer.process().signal(Signal::CONT);
    drop(open);
    assert!(digest == *source.digests.last().unwrap());
    assert_eq!(mounted.umount().code(), Some(0));
}

/// A file of a mount that is open keeps its bytes while newer versions come, and gives them up after.
fn a_mount_reads_on(lab: &Lab, store: &Store, source: &mut Source) {
    let mounted = Mounted::new(store, &format!("docs@{VERSIONS}"), lab.path("mounted"));
    let open = File::open(mounted.path("large")).unwrap();
    let shown = tree::digest(&mounted.path("large"));
    assert!(shown == source.digests[VERSIONS as usize - 1]);
    source.edit();
    publish(store, source);
    settled(store, source, 1);
    // From the file, not from what the mount has cached.
    rustix::fs::fadvise(&open, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    assert!(tree::digest_of(&open) == shown, "the file that is open was thinned");
    drop(open);
    assert_eq!(mounted.umount().code(), Some(0));
    source.edit();
    publish(store, source);
    settled(store, source, 0);
}
