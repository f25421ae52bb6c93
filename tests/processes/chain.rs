//! A chain of peers, each told only of its predecessor.
//!
//! The far end finds what the first one holds, and does not have to speak to everybody for it. The
//! figure for 100 peers comes from `scripts/`; here the chain is as long as two cores bear.

use crate::harness::{Lab, tree};

/// Peers of the chain.
const PEERS: usize = 12;

#[test]
fn the_far_end_of_a_chain_finds_the_file() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 1_000_000);
    let holder = lab.store("0");
    let cid = holder.add(&source);
    let mut peers = vec![holder.seed()];
    for number in 1..PEERS {
        let before = peers[number - 1].address().to_owned();
        peers.push(lab.store(&number.to_string()).told(&before).seed());
    }
    holder.announced(1);

    let last = peers[PEERS - 1].address();
    let (c, out) = (lab.store("c").told(last), lab.path("out"));
    let run = c.run(&[&"get", &cid, &"-o", &out, &"--json", &"--timeout", &"30s"]).ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let outcome = run.outcome();
    let connected = outcome["peers_connected"].as_u64().unwrap();
    assert!((1..=40).contains(&connected), "{outcome}");
    assert_eq!(outcome["sources"].as_object().unwrap().len(), 1, "{outcome}");
}
