//! Parts of a root had second hand: from a peer that only fetched them, after their origin is gone.
//!
//! A plain `get` owes what it took, and a running peer seeds it on: the one that fetched it, or the next
//! one on its store. What was kept with `--keep` is in `swarm`.

use std::{fs, path::Path};

use crate::harness::{Lab, Peer, Snapshot, Store, tree};

/// Parts of the tree: directories, a file of many leaves, which `get` moves out, and one of few bytes.
const TARGETS: [&str; 6] =
    ["a", "a/x", "a/x/y", "a/x/y/large", "a/x/y/small file", "a/one leaf that is large"];

/// Makes the tree.
fn plant(source: &Path) {
    for part in ["a", "b"] {
        fs::create_dir_all(source.join(part).join("x/y")).unwrap();
        tree::small_files(&source.join(part), 60);
    }
    tree::file(&source.join("a/one leaf that is large"), 1, 300_000);
    tree::file(&source.join("a/x/y/large"), 2, 1_500_000);
    tree::file(&source.join("a/x/y/small file"), 3, 300);
    tree::file(&source.join("b/large"), 4, 1_500_000);
}

/// A store with the tree, and its root.
fn planted(lab: &Lab) -> (Store, String) {
    let source = lab.path("source");
    plant(&source);
    let a = lab.store("a");
    let cid = a.add(&source);
    (a, cid)
}

/// Fetches a part with a plain `get` and gives the running peer that is to seed it on.
fn fetcher(lab: &Lab, store: Store, what: &str, before: bool) -> Peer {
    let out = lab.path(format!("{} out", store.dir().display()));
    let get = |store: &Store| drop(store.run(&[&"get", &what, &"-o", &out]).ok());
    let peer = if before {
        let peer = store.seed();
        get(peer.store());
        peer
    } else {
        get(&store);
        store.seed()
    };
    peer.store().announced(1);
    peer
}

#[test]
fn whatever_part_was_fetched_is_seeded_on_by_the_peer_that_fetched_it() {
    every_target_is_given_on(true);
}

#[test]
fn whatever_part_was_fetched_is_seeded_on_by_the_next_peer_on_the_store() {
    every_target_is_given_on(false);
}

/// Each target by itself, so that its fetcher is the only one who could give it.
fn every_target_is_given_on(before: bool) {
    let lab = Lab::new();
    let (a, cid) = planted(&lab);
    for (n, target) in TARGETS.iter().enumerate() {
        let (origin, what) = (a.seed(), format!("{cid}/{target}"));
        let store = lab.store(&format!("b{n}")).told(origin.address());
        let peer = fetcher(&lab, store, &what, before);
        origin.kill();
        let c = lab.store(&format!("c{n}")).told(peer.address());
        let out = lab.path(format!("c{n} out"));
        drop(c.run(&[&"get", &what, &"-o", &out, &"--timeout", &"10s"]).ok());
        same(&lab.path("source").join(target), &out);
    }
}

#[test]
fn a_root_is_had_whole_from_two_that_fetched_a_half_of_it_each() {
    for before in [true, false] {
        let lab = Lab::new();
        let introducer = lab.store("introducer").seed();
        let (a, cid) = planted(&lab);
        let origin = a.seed();
        let halves = ["a", "b"].map(|part| {
            let store = lab.store(&format!("fetcher of {part}"));
            let store = store.told(origin.address()).told(introducer.address());
            fetcher(&lab, store, &format!("{cid}/{part}"), before)
        });
        origin.kill();
        let (c, out) = (lab.store("c").told(introducer.address()), lab.path("out"));
        let run = c.run(&[&"get", &cid, &"-o", &out, &"--json", &"--timeout", &"30s"]).ok();
        same(&lab.path("source"), &out);
        for peer in halves {
            let given = run.outcome()["sources"][peer.peer_id()].as_u64().unwrap_or(0);
            assert!(given >= 1_500_000, "{given} from {}: {run}", peer.peer_id());
        }
    }
}

#[track_caller]
fn same(source: &Path, out: &Path) {
    if source.is_dir() {
        Snapshot::of(source).assert_same(&Snapshot::of(out));
    } else {
        assert_eq!(fs::read(source).unwrap(), fs::read(out).unwrap());
    }
}
