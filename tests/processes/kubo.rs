//! Beside a real kubo: blocks go both ways by Bitswap, over a connection and nothing else.
//!
//! Left out where no kubo was built; `scripts/interop-kubo` builds one, and does the same with a
//! gibibyte and five thousand files.

use std::fs;

use crate::harness::{Lab, Snapshot, eventually, kubo::Kubo, tree};

/// Larger than a few windows, in leaves of 1 MiB (kubo) or about 64 KiB (ours).
const LARGE_BYTES: u64 = 24_000_000;

/// A leaf as kubo makes it.
const LEAF_BYTES: u64 = 1 << 20;

fn source(lab: &Lab) -> std::path::PathBuf {
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::small_files(&source, 60);
    tree::file(&source.join("large"), 1, LARGE_BYTES);
    source
}

#[test]
fn a_kubo_is_provider_enough() {
    let lab = Lab::new();
    let Some(kubo) = Kubo::new(&lab, "kubo") else { return };
    let source = source(&lab);
    let cid = kubo.add(&source);
    let (store, out) = (lab.store("getter").told(kubo.address()), lab.path("out"));
    let run = store.run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    let outcome = run.outcome();
    let given = outcome["sources"][kubo.peer_id()].as_u64().unwrap_or_default();
    assert!(given >= LARGE_BYTES, "{outcome}");
    let received = outcome["bytes_received"].as_u64().unwrap();
    assert!(received < LARGE_BYTES / 100 * 110, "hardly anything came twice: {outcome}");
}

#[test]
fn a_part_of_what_a_kubo_has_is_had_alone() {
    let lab = Lab::new();
    let Some(kubo) = Kubo::new(&lab, "kubo") else { return };
    let source = source(&lab);
    let cid = kubo.add(&source);
    let store = lab.store("getter").told(kubo.address());
    let out = lab.path("out");
    drop(store.run(&[&"get", &format!("{cid}/large"), &"-o", &out]).ok());
    assert_eq!(tree::digest(&source.join("large")), tree::digest(&out));
    let listed = store.run(&[&"ls", &cid]).ok().lines();
    assert_eq!(listed.len(), fs::read_dir(&source).unwrap().count());
}

#[test]
fn a_kubo_gets_what_is_shared_and_nothing_else() {
    let lab = Lab::new();
    let Some(kubo) = Kubo::new(&lab, "kubo") else { return };
    let source = source(&lab);
    let hidden = lab.path("hidden");
    tree::file(&hidden, 2, 100_000);
    let store = lab.store("seed");
    let cid = store.add(&source);
    let private = store.run(&[&"add", &"--local", &hidden]).cid();
    let peer = store.seed();
    kubo.connect(peer.address());
    eventually("it is a peer by Bitswap", || {
        let peers = store.run(&[&"peers"]).ok().lines();
        let is_kubo = |line: &String| line.contains(" bitswap ") && line.contains(" kubo/");
        peers.iter().any(is_kubo).then_some(())
    });
    let out = lab.path("out");
    drop(kubo.run(&["get", &cid, "-o", out.to_str().unwrap()]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    let refused = kubo.run(&["block", "get", "--timeout=4s", &private]);
    assert_ne!(refused.code(), Some(0), "what was not given to the network is served to nobody");
    let status = store.status();
    assert!(status["sent"].as_u64().unwrap() >= LARGE_BYTES, "{status}");
    assert_eq!(status["violations"].as_object().map_or(0, serde_json::Map::len), 0, "{status}");
}

#[test]
fn a_kubo_and_a_peer_of_ours_are_sources_of_one_fetch() {
    let lab = Lab::new();
    let Some(kubo) = Kubo::new(&lab, "kubo") else { return };
    let source = lab.path("source");
    tree::file(&source, 1, 2 * LARGE_BYTES);
    let cid = kubo.add(&source);
    let ours = lab.store("ours").option("--bwlimit", "8M:off");
    let same = ours.run(&[&"add", &"--profile", &"unixfs-v1-2025", &source]).cid();
    assert_eq!(cid, same);
    let peer = ours.seed();
    let (store, out) = (lab.store("getter").told(kubo.address()), lab.path("out"));
    let run = store.told(peer.address()).run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let outcome = run.outcome();
    for id in [kubo.peer_id(), peer.peer_id()] {
        let given = outcome["sources"][id].as_u64().unwrap_or_default();
        assert!(given >= LEAF_BYTES, "{id}: {outcome}");
    }
}
