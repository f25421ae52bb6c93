//! Who owns a store: one process, and everybody else by its socket.
//!
//! Verbs beside each other with and without a running peer, a second peer, an owner that is killed or
//! stopped, a store that a newer Shoal has written.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{Lab, Started, eventually, process::Stream, tree};

#[test]
fn cat_into_add_works_without_a_running_peer() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 3_000_000);
    let cid = a.add(&source);
    let (reader, writer) = io::pipe().unwrap();
    let cat = Started::with_stdout(a.command(&[&"cat", &cid]), writer);
    let mut add = a.command(&[&"add", &"-"]);
    add.stdin(reader);
    let add = Started::new(add);
    // The pipe's reading end is this process's too until the command is gone, which it is by now.
    assert_eq!(add.finish().cid(), cid);
    drop(cat.finish().ok());
}

#[test]
fn two_gets_at_once_work_without_a_running_peer() {
    let lab = Lab::new();
    let seed = lab.store("a").seed();
    let sources = [lab.path("source0"), lab.path("source1")];
    let cids = [1, 2].map(|seed_number| {
        let source = &sources[seed_number as usize - 1];
        tree::file(source, seed_number, 4_000_000);
        seed.store().add(source)
    });
    let c = lab.store("c").told(seed.address());
    let outs = [lab.path("out0"), lab.path("out1")];
    let gets = [0, 1].map(|n| c.start(&[&"get", &cids[n], &"-o", &outs[n]]));
    for get in gets {
        drop(get.finish().ok());
    }
    for (source, out) in sources.iter().zip(&outs) {
        assert_eq!(tree::digest(source), tree::digest(out));
    }
}

#[test]
fn a_verb_goes_on_when_the_owner_of_the_store_is_killed() {
    let lab = Lab::new();
    let seed = lab.store("a").option("--bwlimit", "4M:off").seed();
    let (first, second) = (lab.path("first"), lab.path("second"));
    tree::file(&first, 1, 16_000_000);
    tree::file(&second, 2, 8_000_000);
    let cids = [seed.store().add(&first), seed.store().add(&second)];
    let (c, out) = (lab.store("c").told(seed.address()), lab.path("out"));
    let owner = c.start(&[&"get", &cids[0], &"-o", &lab.path("never")]);
    eventually("the owner serves its socket", || {
        c.dir().join("control.sock").exists().then_some(())
    });
    let attached = c.start(&[&"get", &cids[1], &"-o", &out]);
    eventually("both are fetched", || (c.disk_bytes() > 3_000_000).then_some(()));
    drop(owner.kill());
    drop(attached.finish().ok());
    assert_eq!(tree::digest(&second), tree::digest(&out));
}

#[test]
fn a_verb_prints_the_same_with_and_without_a_running_peer() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::odd_things({
        fs::create_dir(&source).unwrap();
        &source
    });
    let cid = a.add(&source);
    let verbs = |what: &str| -> Vec<Vec<u8>> {
        let ls = a.run(&[&"ls", &cid]);
        let stat = a.run(&[&"stat", &format!("{cid}/one byte")]);
        let cat = a.run(&[&"cat", &format!("{cid}/one byte")]);
        let pins = a.run(&[&"pin", &"ls"]);
        let add = a.run(&[&"add", &source]);
        let id = a.run(&[&"cat", &format!("{cid}/no such entry")]);
        assert_eq!(id.code(), Some(4), "{what}: {id}");
        [ls, stat, cat, pins, add].map(|run| run.ok().stdout).into()
    };
    let alone = verbs("alone");
    let peer = a.seed();
    assert_eq!(verbs("attached"), alone);
    drop(peer.stop());
}

#[test]
fn a_second_peer_is_refused_and_hands_over_what_it_was_given() {
    let lab = Lab::new();
    let a = lab.store("a");
    let mut peer = a.seed();
    let pid = peer.process().id().to_string();
    drop(a.run(&[&"seed"]).exits(1).says(&pid));

    let source = lab.path("source");
    tree::file(&source, 1, 1_000_000);
    let cid = lab.store("other").run(&[&"add", &"--only-hash", &source]).cid();
    drop(a.run(&[&"seed", &source]).ok());
    let (c, out) = (lab.store("c").told(peer.address()), lab.path("out"));
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
}

#[test]
fn what_was_seeded_is_remembered_until_it_is_forgotten() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 1_000_000);
    let cid = lab.store("other").run(&[&"add", &"--only-hash", &source]).cid();
    let get = |name: &str, address: &str| {
        let c = lab.store(name).told(address);
        c.run(&[&"get", &cid, &"-o", &lab.path(format!("{name} out")), &"--timeout", &"4s"])
    };
    let mut process = a.start(&[&"seed", &source]);
    let ready = process.line(Stream::Out, "ready ", Duration::from_mins(1)).unwrap().0;
    let address = ready.trim_start_matches("ready ");
    eventually("it is served", || (get("c1", address).code() == Some(0)).then_some(()));
    process.signal(Signal::TERM);
    drop(process.finish());

    let peer = a.seed();
    drop(get("c2", peer.address()).ok());
    drop(a.run(&[&"seed", &"--forget", &source]).ok());
    drop(get("c3", peer.address()).exits(4));
}

#[test]
fn what_was_to_be_seeded_comes_from_whoever_connects_first() {
    let lab = Lab::new();
    let (source, a, b) = (lab.path("source"), lab.store("a"), lab.store("b"));
    tree::file(&source, 1, 1_000_000);
    let cid = a.add(&source);
    let peer = b.seed();
    // Nobody is there to be asked: it is remembered, and told.
    drop(b.run(&[&"seed", &cid]).exits(4));
    let begin = Instant::now();
    let _origin = a.told(peer.address()).seed();
    eventually("it is pinned", || (b.status()["pins"] == 1).then_some(()));
    assert!(begin.elapsed() < Duration::from_mins(1), "only the next round fetched it");
}

#[test]
fn a_stopped_owner_is_named() {
    let lab = Lab::new();
    let a = lab.store("a");
    let mut peer = a.seed();
    let pid = peer.process().id().to_string();
    peer.process().signal(Signal::STOP);
    let run = a.start(&[&"pin", &"ls"]).finish_within(Duration::from_secs(30));
    peer.process().signal(Signal::CONT);
    drop(run.exits(11).says(&pid));
    drop(a.run(&[&"pin", &"ls"]).ok());
}

#[test]
fn a_killed_owner_leaves_nothing_in_the_way() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 600_000);
    let peer = a.seed();
    let cid = a.add(&source);
    peer.kill();
    let bytes = a.run(&[&"cat", &cid]).ok().stdout;
    assert_eq!(bytes, fs::read(&source).unwrap());
    drop(a.seed());
}

#[test]
fn sigterm_ends_a_peer_soon_and_takes_its_socket_away() {
    let lab = Lab::new();
    let a = lab.store("a");
    let mut peer = a.seed();
    let socket = a.dir().join("control.sock");
    assert!(socket.exists());
    let begin = std::time::Instant::now();
    peer.process().signal(Signal::TERM);
    let run = peer.stop();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?} until the end of {run}");
    assert!(run.code().is_some(), "it was ended by the signal itself: {run}");
    assert!(!socket.exists());
}

#[test]
fn without_a_running_peer_there_are_no_peers_and_no_status() {
    let lab = Lab::new();
    let a = lab.store("a");
    for verb in ["peers", "status"] {
        drop(a.run(&[&verb]).exits(10));
    }
    drop(a.run(&[&"id"]).ok());
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 1000);
    let cid = a.add(&source);
    let format = a.dir().join("format");
    let ours = fs::read_to_string(&format).unwrap();
    fs::write(&format, "shoal-store 999\n").unwrap();
    for verb in [&["add", source.to_str().unwrap()][..], &["cat", &cid], &["seed"]] {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = verb.iter().map(|a| a as _).collect();
        drop(a.run(&arguments).exits(1).says("999"));
    }
    assert_eq!(fs::read_to_string(&format).unwrap(), "shoal-store 999\n");
    fs::write(&format, ours).unwrap();
    drop(a.run(&[&"cat", &cid]).ok());
}
