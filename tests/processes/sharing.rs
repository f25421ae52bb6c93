//! What is given to the network, and what never is.
//!
//! Pins are announced and served; what was added with `--local`, what was unpinned and what was never
//! pinned is served to nobody, even to one who knows the CID and is connected.

use rustix::process::Signal;

use crate::harness::{Lab, Run, Store, process::Stream, tree};

/// Tries to fetch a CID from one peer in a short time, into a fresh store.
fn fetched(lab: &Lab, name: &str, address: &str, cid: &str) -> Run {
    let c: Store = lab.store(name).told(address);
    c.run(&[&"get", &cid, &"-o", &lab.path(format!("{name} out")), &"--timeout", &"3s"])
}

#[test]
fn local_content_is_served_to_nobody() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 600_000);
    let cid = a.run(&[&"add", &"--local", &source]).cid();
    let peer = a.seed();
    drop(fetched(&lab, "c", peer.address(), &cid).exits(4));
    // The same content given to the network afterwards is.
    assert_eq!(a.add(&source), cid);
    drop(fetched(&lab, "d", peer.address(), &cid).ok());
}

#[test]
fn an_unpinned_root_is_no_longer_served() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 600_000);
    let peer = a.seed();
    let cid = a.add(&source);
    drop(fetched(&lab, "c", peer.address(), &cid).ok());
    drop(a.run(&[&"pin", &"rm", &cid]).ok());
    assert!(a.run(&[&"pin", &"ls"]).ok().stdout.is_empty());
    drop(fetched(&lab, "d", peer.address(), &cid).exits(4));
}

#[test]
fn what_is_kept_is_served_on() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 2_000_000);
    let seed = lab.store("a").seed();
    let cid = seed.store().add(&source);
    let b = lab.store("b").told(seed.address());
    let peer = b.seed();
    drop(b.run(&[&"get", &cid, &"-o", &lab.path("kept"), &"--keep"]).ok());
    assert!(b.run(&[&"pin", &"ls"]).ok().lines()[0].starts_with(&cid));
    seed.kill();
    drop(fetched(&lab, "c", peer.address(), &cid).ok());
    // Whatever becomes of OUT, the store has its own.
    std::fs::write(lab.path("kept"), "edited").unwrap();
    drop(fetched(&lab, "d", peer.address(), &cid).ok());
}

#[test]
fn a_fetch_that_is_interrupted_is_exit_130_and_leaves_no_out() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 20_000_000);
    let seed = lab.store("a").option("--bwlimit", "2M:off").seed();
    let cid = seed.store().add(&source);
    let (c, out) = (lab.store("c").told(seed.address()), lab.path("out"));
    let mut get = c.start(&[&"get", &cid, &"-o", &out]);
    let phase = get.line(Stream::Err, "", crate::harness::WAIT_MAX);
    get.signal(Signal::INT);
    drop(get.finish().exits(130));
    assert!(phase.is_some() && !out.exists());
}
