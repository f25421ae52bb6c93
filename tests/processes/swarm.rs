//! Several peers: second hand, two at once, the death of one, a fetch that is taken up again.
//!
//! Uplinks are limited so that there is a half-way on loopback; half-way itself is awaited by looking
//! at counters of running peers.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::{Lab, Peer, Run, Snapshot, Started, Store, eventually, tree};

/// Size of the file that two peers give.
const LARGE_BYTES: u64 = 48_000_000;

#[test]
fn parts_are_had_second_hand_after_their_origin_is_gone() {
    let lab = Lab::new();
    let source = lab.path("source");
    for part in ["a", "b"] {
        fs::create_dir_all(source.join(part)).unwrap();
        tree::small_files(&source.join(part), 60);
    }
    tree::file(&source.join("a/large"), 1, 4_000_000);
    tree::file(&source.join("b/large"), 2, 4_000_000);
    let introducer = lab.store("introducer").seed();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| lab.store(name).told(introducer.address()));
    let cid = a.add(&source);
    let origin = a.seed();
    a.announced(1);

    let mut peers = Vec::new();
    for (store, part) in [(&b, "a"), (&d, "b")] {
        let peer = store.seed();
        let out = lab.path(format!("part {part}"));
        let run = store.run(&[&"get", &format!("{cid}/{part}"), &"-o", &out, &"--keep"]);
        drop(run.ok());
        store.announced(1);
        peers.push(peer);
    }
    origin.kill();

    let out = lab.path("out");
    let run = c.run(&[&"get", &cid, &"-o", &out, &"--json", &"--timeout", &"30s"]).ok();
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    assert_gave(&run.outcome(), &peers, 4_000_000);
}

#[test]
fn two_peers_both_give_and_their_counters_agree() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, LARGE_BYTES);
    let Two { cid, seeds, getter, .. } = &Two::new(&lab, &source);
    let out = lab.path("out");
    let run = getter.run(&[&"get", cid, &"-o", &out, &"--json"]).ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let outcome = run.outcome();
    assert_gave(&outcome, seeds, LARGE_BYTES / 10);
    let mut given = 0;
    for seed in seeds {
        let (from, sent) = (from(&outcome, seed), sent(seed.store()));
        assert!(sent >= from, "{} sent {sent}, {from} came", seed.peer_id());
        given += sent;
    }
    let received = outcome["bytes_received"].as_u64().unwrap();
    assert!(received >= LARGE_BYTES && received <= given, "{received} of {given}");
    assert!(received < LARGE_BYTES / 100 * 105, "{received} bytes for {LARGE_BYTES}");
}

#[test]
fn one_of_two_peers_killed_half_way_is_no_harm() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, LARGE_BYTES);
    let Two { cid, seeds: [first, second], getter, _introducer } = Two::new(&lab, &source);
    let out = lab.path("out");
    let fetch = getter.start(&[&"get", &cid, &"-o", &out, &"--json"]);
    eventually("half of it is sent", || {
        (sent(first.store()) + sent(second.store()) >= LARGE_BYTES / 2).then_some(())
    });
    let given = sent(first.store());
    second.kill();
    let run = fetch.finish().ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let outcome = run.outcome();
    assert_eq!(outcome["sources"].as_object().unwrap().len(), 2, "{outcome}");
    assert!(from(&outcome, &first) > given, "nothing came after the other's death: {outcome}");
}

#[test]
fn a_fetch_killed_half_way_fetches_only_the_rest() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("large"), 1, LARGE_BYTES);
    tree::small_files(&source, 30);
    let a = lab.store("a").option("--bwlimit", "12M:off");
    let cid = a.add(&source);
    let peer = a.seed();
    let (c, out) = (lab.store("c").told(peer.address()), lab.path("out"));
    let fetch = c.start(&[&"get", &cid, &"-o", &out]);
    let sent = half_sent(&a, fetch);
    assert!(!out.exists(), "OUT appears only whole");

    let run = c.run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    let received = run.outcome()["bytes_received"].as_u64().unwrap();
    let total = LARGE_BYTES + LARGE_BYTES / 20;
    assert!(received + sent < total, "{received} bytes again after {sent} of {LARGE_BYTES}");
}

/// Kills a fetch with SIGKILL once half is sent, and gives what was sent by then.
fn half_sent(a: &Store, fetch: Started) -> u64 {
    let sent = eventually("half of it is sent", || {
        let sent = sent(a);
        (sent >= LARGE_BYTES / 2).then_some(sent)
    });
    let run: Run = fetch.kill();
    assert_eq!(run.code(), None, "the fetch was over before it was killed: {run}");
    sent
}

/// Two running peers with the same content, and a store that can find them.
struct Two {
    cid: String,
    seeds: [Peer; 2],
    /// Told of the introducer only.
    getter: Store,
    /// Kept running: nobody else knows anybody.
    _introducer: Peer,
}

impl Two {
    fn new(lab: &Lab, source: &Path) -> Self {
        let introducer = lab.store("introducer").seed();
        let told = |name| lab.store(name).told(introducer.address());
        let stores = ["a", "b"].map(|name| told(name).option("--bwlimit", "12M:off"));
        let cid = stores[0].add(source);
        assert_eq!(stores[1].add(source), cid);
        let seeds = stores.map(|store| {
            let seed = store.seed();
            store.announced(1);
            seed
        });
        Self { cid, seeds, getter: told("c"), _introducer: introducer }
    }
}

/// Asserts that each of the peers gave at least so many bytes.
#[track_caller]
fn assert_gave(outcome: &Value, peers: &[Peer], least: u64) {
    for peer in peers {
        assert!(from(outcome, peer) >= least, "{} in {outcome}", peer.peer_id());
    }
}

/// Bytes that came from a peer, says `get --json`.
fn from(outcome: &Value, peer: &Peer) -> u64 {
    outcome["sources"][peer.peer_id()].as_u64().unwrap_or(0)
}

/// Bytes that a running peer sent, says its status.
fn sent(store: &Store) -> u64 {
    store.status()["sent"].as_u64().unwrap_or(0)
}
