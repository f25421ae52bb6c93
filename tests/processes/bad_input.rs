//! What a user can get wrong, and a disk that is full: told clearly, with the right exit code.
//!
//! Every refusal leaves things as they were: an OUT that stood there, a store that was good. Sources
//! that cannot be read are in `unreadable`, DAGs that are malicious in `hostile`.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::harness::{Lab, eventually, process::Stream, require, tree};

#[test]
fn a_cid_that_nobody_has_is_told_soon_and_given_up_in_time() {
    let lab = Lab::new();
    let peer = lab.store("b").seed();
    let (c, out) = (lab.store("c").told(peer.address()), lab.path("out"));
    let mut get = c.start(&[&"get", &unknown(&lab), &"-o", &out, &"--timeout", &"5s"]);
    let phase = get.line(Stream::Err, "asked", Duration::from_secs(4));
    let run = get.finish();
    let (line, at) = phase.unwrap_or_else(|| panic!("no phase line with who was asked: {run}"));
    assert!(at < Duration::from_secs(3), "{line} came after {at:?}");
    assert!(run.took >= Duration::from_secs(4), "it gave up early: {run}");
    assert!(run.took < Duration::from_secs(15), "it gave up late: {run}");
    drop(run.exits(4).says(&unknown(&lab)));
    assert!(!out.exists());
}

/// The same with and without a running peer: that somebody might connect to it is nothing to wait for.
#[test]
fn a_miss_with_nobody_to_ask_fails_at_once() {
    let lab = Lab::new();
    let (c, cid, out) = (lab.store("c"), unknown(&lab), lab.path("out"));
    let verbs: [&[&dyn AsRef<OsStr>]; 5] = [
        &[&"cat", &cid],
        &[&"ls", &cid],
        &[&"stat", &cid],
        &[&"get", &cid, &"-o", &out],
        &[&"pin", &"add", &cid],
    ];
    let told = || {
        verbs.map(|verb| {
            let run = c.run(verb).exits(4).says("nobody to ask");
            assert!(run.took < Duration::from_secs(5), "{run}");
            run.stderr
        })
    };
    let alone = told();
    let peer = c.seed();
    assert_eq!(told(), alone);
    drop(peer.stop());
}

/// It brings a running peer of its own, which waited.
#[test]
fn a_mount_of_what_nobody_can_be_asked_for_fails_at_once() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let (c, dir) = (lab.store("c"), lab.path("mounted"));
    fs::create_dir(&dir).unwrap();
    let run = c.run(&[&"mount", &unknown(&lab), &dir]).exits(4).says("nobody to ask");
    assert!(run.took < Duration::from_secs(10), "{run}");
}

#[test]
fn a_peer_whose_only_neighbour_is_gone_does_not_wait_for_it() {
    let lab = Lab::new();
    let peer = lab.store("a").seed();
    let neighbour = lab.store("b").told(peer.address()).seed();
    let peers = || peer.store().run(&[&"peers"]).ok().lines().len();
    eventually("they are connected", || (peers() > 0).then_some(()));
    neighbour.kill();
    eventually("they are not any more", || (peers() == 0).then_some(()));
    let run = peer.store().run(&[&"cat", &unknown(&lab)]).exits(4).says("nobody to ask");
    assert!(run.took < Duration::from_secs(15), "{run}");
}

#[test]
fn a_peer_that_is_told_of_somebody_waits_for_them() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 1000);
    let (a, c) = (lab.store("a"), lab.store("c"));
    let cid = a.add(&source);
    // Its address is known before it runs: a port that was free a moment ago.
    let peer = a.seed();
    let address = peer.address().to_owned();
    drop(peer.stop());
    let running = c.told(&address).seed();
    let mut cat = running.store().start(&[&"cat", &cid]);
    let waits = cat.line(Stream::Err, "asked", Duration::from_secs(20));
    assert!(waits.is_some(), "{}", cat.kill());
    let listen = address.split("/p2p/").next().unwrap();
    let _peer = a.option("--listen", listen).seed();
    assert_eq!(cat.finish().ok().stdout, fs::read(&source).unwrap());
}

/// A root of which its only provider has a corrupt block: what was tried is told as it was.
#[test]
fn a_fetch_that_is_given_up_names_who_was_asked_and_who_was_not_reached() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 5_000_000);
    let a = lab.store("a");
    let cid = a.add(&source);
    let (_, blob) = &tree::files_by_size(&a.dir().join("blobs"))[0];
    let blob = fs::OpenOptions::new().write(true).open(blob).unwrap();
    blob.write_all_at(b"no byte of noise", 2_500_000).unwrap();
    let peer = a.seed();
    // Nobody listens there: a port below those that are given out.
    let id = lab.store("b").run(&[&"id"]).ok().lines().remove(0);
    let nobody = format!("/ip4/127.0.0.1/tcp/1/p2p/{id}");
    let c = lab.store("c").told(peer.address()).told(&nobody);
    let run = c.run(&[&"get", &cid, &"-o", &lab.path("out"), &"--timeout", &"6s"]).exits(4);
    let run = run.says("nothing more of").says("1 asked directly, 1 take part");
    let run = run.says("in the DHT 1 asked, 1 answered, 1 providers found");
    let run = run.says(&format!("no connection to {nobody}"));
    assert!(!run.stderr.contains(&format!("no connection to {}", peer.address())), "{run}");
}

#[test]
fn what_is_no_cid_is_called_that() {
    let lab = Lab::new();
    let too_long = "b".repeat(300);
    for word in ["bafybroken", "no cid", "", "Qm", "../x", &too_long] {
        let run = lab.store("c").run(&[&"cat", &word]);
        let code = run.code();
        assert!(code == Some(1) || code == Some(2), "{word:?}: {run}");
        drop(run.says("not a CID"));
    }
}

#[test]
fn missing_sources_are_named_and_the_rest_is_added() {
    let lab = Lab::new();
    let (a, good, missing) = (lab.store("a"), lab.path("good"), lab.path("missing"));
    tree::file(&good, 1, 10);
    drop(a.run(&[&"add", &missing]).exits(1).says("missing"));
    let run = a.run(&[&"add", &missing, &good]).exits(3).says("missing");
    assert_eq!(run.lines().len(), 1, "{run}");
    let cid = run.lines()[0].split(' ').next().unwrap().to_owned();
    assert_eq!(a.run(&[&"cat", &cid]).ok().stdout, fs::read(&good).unwrap());
}

/// A running peer serves the rest, and whoever has none is told so, as when everything is added.
#[test]
fn who_serves_the_rest_is_told_when_sources_are_left_out() {
    let lab = Lab::new();
    let (a, good, missing) = (lab.store("a"), lab.path("good"), lab.path("missing"));
    tree::file(&good, 1, 10);
    let add = |json: bool| {
        let verb: &[&dyn AsRef<OsStr>] = &[&"add", &missing, &good, &"--json"];
        a.run(&verb[..if json { 4 } else { 3 }]).exits(3)
    };
    drop(add(false).says("no running peer serves this"));
    let outcome = add(true).outcome();
    assert_eq!((&outcome["served"], &outcome["skipped"]), (&false.into(), &1.into()), "{outcome}");
    let peer = a.seed();
    let run = add(false);
    assert!(!run.stderr.contains("no running peer"), "{run}");
    let outcome = add(true).outcome();
    assert_eq!((&outcome["served"], &outcome["skipped"]), (&true.into(), &1.into()), "{outcome}");
    drop(peer.stop());
}

#[test]
fn an_existing_out_is_refused_unless_forced() {
    let lab = Lab::new();
    let (a, source, out) = (lab.store("a"), lab.path("source"), lab.path("out"));
    tree::file(&source, 1, 700_000);
    let cid = a.add(&source);
    fs::write(&out, b"mine").unwrap();
    drop(a.run(&[&"get", &cid, &"-o", &out]).exits(1).says("out"));
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
    drop(a.run(&[&"cat", &cid]).ok());
}

#[test]
fn an_existing_directory_is_replaced_only_by_force_and_whole() {
    let lab = Lab::new();
    let (a, source, out) = (lab.store("a"), lab.path("source"), lab.path("out"));
    fs::create_dir_all(source.join("sub")).unwrap();
    tree::file(&source.join("sub/file"), 1, 100);
    let cid = a.add(&source);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), b"mine").unwrap();
    drop(a.run(&[&"get", &cid, &"-o", &out]).exits(1));
    assert_eq!(fs::read(out.join("mine")).unwrap(), b"mine");
    drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).ok());
    assert!(!out.join("mine").exists());
    assert_eq!(fs::read(out.join("sub/file")).unwrap(), fs::read(source.join("sub/file")).unwrap());
}

#[test]
fn out_below_a_missing_directory_is_told_before_anything_is_fetched() {
    let lab = Lab::new();
    let a = lab.store("a");
    let source = lab.path("source");
    tree::file(&source, 1, 100);
    let cid = a.add(&source);
    drop(a.run(&[&"get", &cid, &"-o", &lab.path("no/such/out")]).exits(1).says("such"));
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    let lab = Lab::new();
    let a = lab.store("a");
    drop(a.run(&[&"no-such-verb"]).exits(2));
    drop(a.run(&[&"get"]).exits(2));
    drop(a.run(&[&"add", &"--profile", &"no-such-profile", &"/etc/hostname"]).exits(2));
    drop(a.run(&[&"cat", &unknown(&lab), &"--range", &"9-3"]).exits(2));
    drop(a.run(&[&"id", &"--bwlimit", &"fast"]).exits(2));
}

#[test]
fn a_full_disk_is_told_and_nothing_acknowledged_is_lost() {
    if !require::root() {
        return;
    }
    let lab = Lab::new();
    let disk = SmallDisk::new(lab.path("disk"), "size=24m");
    let (small, large) = (lab.path("small"), lab.path("large"));
    tree::file(&small, 1, 1_000_000);
    tree::file(&large, 2, 64_000_000);
    let a = lab.store("disk/store");
    let cid = a.add(&small);
    let run = a.run(&[&"add", &large]).exits(1);
    assert!(run.stdout.is_empty(), "a CID was acknowledged: {run}");
    drop(run.says("space"));
    assert_eq!(a.run(&[&"cat", &cid]).ok().stdout, fs::read(&small).unwrap());
    let second = lab.path("second");
    tree::file(&second, 3, 1_000_000);
    let cid = a.add(&second);
    assert_eq!(a.run(&[&"cat", &cid]).ok().stdout, fs::read(&second).unwrap());

    let peer = lab.store("b").seed();
    let cid = peer.store().add(&large);
    let out = disk.path.join("out");
    let c = lab.store("disk/other").told(peer.address());
    drop(c.run(&[&"get", &cid, &"-o", &out, &"--timeout", &"20s"]).exits(1).says("space"));
    assert!(!out.exists());
}

/// A file system in memory that is soon full.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn new(path: PathBuf, size: &str) -> Self {
        fs::create_dir(&path).unwrap();
        let options = std::ffi::CString::new(size).unwrap();
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
        Self { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.path, UnmountFlags::DETACH).ok();
    }
}

/// A CID of bytes that were never stored.
fn unknown(lab: &Lab) -> String {
    let path: &Path = &lab.path("nobody has this");
    fs::write(path, "nobody has this").unwrap();
    lab.store("only hash").run(&[&"add", &"--only-hash", &path]).cid()
}
