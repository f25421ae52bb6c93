//! What `rm` takes back, what it leaves, and how it says that there is nothing.
//!
//! On a store without a node: what a running peer tells the network of it is tested between processes.

use std::{fs, path::PathBuf};

use shoal_store::{Options, Store};
use tempfile::TempDir;

use super::*;
use crate::{
    control::{
        frame::Frame,
        protocol::{Add, Response},
        server::Responder,
    },
    node::add,
};

/// Two chunks and more, so that a file has a branch and leaves.
const LARGE: usize = 900_000;

struct Lab {
    dir: TempDir,
    store: Store,
    out: Responder,
    _answers: tokio::sync::mpsc::Receiver<Frame<Response>>,
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
        let (out, answers) = Responder::for_tests(1000);
        Self { dir, store, out, _answers: answers }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn words(&self, name: &str) -> Vec<u8> {
        self.path(name).into_os_string().into_encoded_bytes()
    }

    fn write(&self, name: &str, seed: u64, len: usize) {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..len).map(|_| next()).collect();
        fs::write(self.path(name), bytes).expect("a file");
    }

    /// Adds a path as the verb does.
    fn add(&self, name: &str, reference: bool) -> Cid {
        let request = Add { reference, ..Add::path(self.words(name)) };
        let (added, outcome) = add::add_for_tests(&self.store, &request, &self.out);
        outcome.expect("all of it");
        let root: Cid = added[0].cid.parse().expect("a CID");
        given::note_all(&self.store, &[(self.words(name), root)]).expect("noted");
        root
    }

    fn rm_path(&self, name: &str) -> Result<Removed, Failure> {
        remove_path(&self.store, &self.words(name))
    }

    fn rm(&self, root: &Cid) -> Result<Removed, Failure> {
        remove_root(&self.store, root.to_string().as_bytes())
    }
}

#[test]
fn a_root_is_unpinned_once() {
    let lab = Lab::new();
    lab.write("a", 1, 10);
    let root = lab.add("a", false);
    let removed = lab.rm(&root).expect("removed");
    assert_eq!(removed.unpinned, [root.to_string()]);
    assert!(!lab.store.is_pinned(&root));
    let failure = lab.rm(&root).expect_err("it is gone");
    assert_eq!((failure.exit, failure.message), (Exit::NotFound, format!("{root} is not pinned")));
    // The path knows nothing of it any more either.
    assert_eq!(lab.rm_path("a").expect_err("it is gone").exit, Exit::NotFound);
}

#[test]
fn a_path_stands_for_every_version_that_was_added_from_it_also_when_it_is_gone() {
    let lab = Lab::new();
    let mut roots = Vec::new();
    for version in 1..4 {
        lab.write("a", version, 10);
        roots.push(lab.add("a", false).to_string());
    }
    fs::remove_file(lab.path("a")).expect("removed");
    assert_eq!(lab.rm_path("a").expect("removed").unpinned, roots);
    assert_eq!(lab.rm_path("a").expect_err("it is gone").exit, Exit::NotFound);
}

#[test]
fn a_path_that_was_never_added_is_told() {
    let lab = Lab::new();
    lab.write("a", 1, 10);
    let failure = lab.rm_path("a").expect_err("it was not added");
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.message.starts_with("nothing was added from "), "{}", failure.message);
    let failure = remove_root(&lab.store, b"no such name").expect_err("no CID");
    assert_eq!(failure.exit, Exit::Usage);
}

#[test]
fn what_another_path_gave_too_stays_until_that_is_removed() {
    let lab = Lab::new();
    lab.write("a", 1, 10);
    lab.write("b", 1, 10);
    let root = lab.add("a", false);
    assert_eq!(lab.add("b", false), root);
    let removed = lab.rm_path("a").expect("an answer");
    let why = format!("it was added as {} too", lab.path("b").display());
    assert_eq!(removed.kept, [(root.to_string(), why)]);
    assert!(removed.unpinned.is_empty() && lab.store.is_pinned(&root));
    assert_eq!(lab.rm_path("b").expect("removed").unpinned, [root.to_string()]);
    assert!(!lab.store.is_pinned(&root));
}

#[test]
fn a_reference_is_forgotten_and_the_file_stays() {
    let lab = Lab::new();
    fs::create_dir(lab.path("tree")).expect("a directory");
    lab.write("tree/large", 1, LARGE);
    lab.write("tree/small", 2, 10);
    let root = lab.add("tree", true);
    let file = *references(&lab.store, &root).expect("the store").first().expect("a reference");
    assert!(lab.store.has(&file));
    let removed = lab.rm_path("tree").expect("removed");
    assert_eq!((removed.references, removed.references_kept), (1, 0));
    assert!(!lab.store.is_reference(&file).expect("the store"));
    assert_eq!(fs::metadata(lab.path("tree/large")).expect("the file").len(), LARGE as u64);
    // And added again it is all there.
    assert_eq!(lab.add("tree", true), root);
    assert!(lab.store.is_reference(&file).expect("the store"));
}

#[test]
fn a_reference_that_another_pin_needs_stays() {
    let lab = Lab::new();
    fs::create_dir(lab.path("tree")).expect("a directory");
    lab.write("tree/large", 1, LARGE);
    lab.write("tree/more", 2, LARGE);
    let root = lab.add("tree", true);
    // The same file, and one that shares most of its chunks with the second.
    let alone = lab.add("tree/large", true);
    let mut bytes = fs::read(lab.path("tree/more")).expect("a file");
    bytes.extend_from_slice(b"and more");
    fs::write(lab.path("longer"), bytes).expect("a file");
    let longer = lab.add("longer", true);
    let removed = lab.rm(&root).expect("removed");
    assert_eq!((removed.references, removed.references_kept), (0, 2));
    for pinned in [alone, longer] {
        unshare::below(&lab.store, &pinned, &mut |cid| {
            assert!(matches!(lab.store.get(&cid), Ok(Some(_))), "{cid} is gone");
        });
    }
}
