//! What a user can get wrong, and a disk that is full: told clearly, with the right exit code.
//!
//! Every refusal leaves things as they were: an OUT that stood there, a store that was good. Sources
//! that cannot be read are in `unreadable`, DAGs that are malicious in `hostile`.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{
        fs::{FileExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::Signal,
};

use crate::harness::{Lab, Peer, Run, Started, Store, eventually, process::Stream, require, tree};

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
    let run = run.says("nothing more of").says("1 asked directly, 1 member without");
    let run = run.says("in the DHT 1 asked, 1 answered, 1 provider found");
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
    drop(c.run(&[&"get", &cid, &"-o", &out, &"--timeout", &"20s"]).exits(1).says("that are free"));
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

/// A tree in a store, to be written where it must not be.
fn with_a_tree(lab: &Lab) -> (Store, String) {
    let (a, source) = (lab.store("above/a"), lab.path("source"));
    fs::create_dir_all(lab.path("above")).unwrap();
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("file"), 1, 100);
    let cid = a.add(&source);
    (a, cid)
}

#[test]
fn force_takes_neither_where_one_stands_nor_what_contains_it() {
    let lab = Lab::new();
    let (a, cid) = with_a_tree(&lab);
    let here = lab.path("work/here");
    fs::create_dir_all(&here).unwrap();
    fs::write(here.join("mine"), b"mine").unwrap();
    symlink(&here, lab.path("link")).unwrap();
    let (work, link) = (lab.path("work"), lab.path("link"));
    let by_number = format!("/proc/{}/root{}", std::process::id(), here.display());
    let spellings: [&dyn AsRef<std::ffi::OsStr>; 7] =
        [&".", &"../here", &here, &"./", &work, &link, &by_number];
    for out in spellings {
        let mut command = a.command(&[&"get", &cid, &"-o", out, &"--force"]);
        command.current_dir(&here);
        let run = Started::new(command).finish();
        assert!(matches!(run.code(), Some(2 | 12)), "{run}");
        drop(run.says("hint: "));
        assert_eq!(fs::read(here.join("mine")).unwrap(), b"mine");
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn force_takes_neither_the_store_nor_the_home() {
    let lab = Lab::new();
    let (a, cid) = with_a_tree(&lab);
    let other = lab.store("other");
    drop(other.run(&[&"id"]).ok());
    let before = a.run(&[&"id"]).ok().stdout;
    symlink(a.dir(), lab.path("link")).unwrap();
    // The harness's home is the laboratory.
    let home = lab.path("");
    for (out, says) in [
        (a.dir().to_owned(), "store"),
        (lab.path("above"), "store"),
        (a.dir().join("packs"), "store"),
        (a.dir().join("new"), "store"),
        (lab.path("link"), "store"),
        (lab.path("link/secrets"), "store"),
        (other.dir().to_owned(), "store"),
        (home.clone(), "home"),
    ] {
        drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).exits(12).says(says).says("hint: "));
    }
    // The one that holds its peer's store is refused by a peer that runs.
    let peer = a.seed();
    drop(a.run(&[&"get", &cid, &"-o", &a.dir(), &"--force"]).exits(12).says("store"));
    drop(peer.stop());
    assert_eq!(a.run(&[&"id"]).ok().stdout, before, "the node's key is another one");
    assert!(!a.run(&[&"pin", &"ls"]).ok().stdout.is_empty());
    drop(other.run(&[&"id"]).ok());
}

#[test]
fn force_takes_nothing_that_is_mounted() {
    if !require::root() {
        return;
    }
    let lab = Lab::new();
    let (a, cid) = with_a_tree(&lab);
    fs::create_dir(lab.path("outer")).unwrap();
    let disk = SmallDisk::new(lab.path("outer/disk"), "size=1m");
    fs::write(disk.path.join("mine"), b"mine").unwrap();
    for out in [disk.path.clone(), lab.path("outer")] {
        drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).exits(12).says("mount point"));
    }
    assert_eq!(fs::read(disk.path.join("mine")).unwrap(), b"mine");
    let out = disk.path.join("out");
    fs::create_dir(&out).unwrap();
    drop(a.run(&[&"get", &cid, &"-o", &out, &"--force"]).ok());
    assert!(out.join("file").exists());
}

#[test]
fn an_empty_out_is_a_wrong_command_line() {
    let lab = Lab::new();
    drop(lab.store("a").run(&[&"get", &unknown(&lab), &"-o", &""]).exits(2).says("OUT is empty"));
}

/// The deletion of what was replaced once held an interrupted process for as long as it took.
#[test]
fn a_process_that_deletes_what_was_replaced_ends_soon_after_a_signal() {
    let lab = Lab::new();
    let (a, cid) = with_a_tree(&lab);
    let out = lab.path("out");
    for directory in 0..200 {
        let directory = out.join(directory.to_string());
        fs::create_dir_all(&directory).unwrap();
        for file in 0..500 {
            fs::write(directory.join(file.to_string()), b"").unwrap();
        }
    }
    let mut get = a.start(&[&"get", &cid, &"-o", &out, &"--force"]);
    eventually("OUT stands", || out.join("file").exists().then_some(()));
    let signalled = Instant::now();
    get.signal(Signal::TERM);
    let run = get.finish();
    assert!(signalled.elapsed() < Duration::from_secs(4), "{run}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // Either it was done already, or the rest stands beside OUT under a name that says whose it is.
    let beside: Vec<_> =
        fs::read_dir(lab.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let left = beside.iter().filter(|name| name.to_string_lossy().starts_with(".out.shoal-"));
    match run.code() {
        Some(0) => assert_eq!(left.count(), 0, "{beside:?}"),
        code => assert_eq!((code, left.count()), (Some(130), 1), "{beside:?} {run}"),
    }
}

#[test]
fn a_store_among_the_sources_is_left_out_and_its_keys_with_it() {
    let lab = Lab::new();
    let (a, other) = (lab.store("home/a"), lab.store("home/deep/other"));
    for store in [&a, &other] {
        fs::create_dir_all(store.dir()).unwrap();
        drop(store.run(&[&"id"]).ok());
    }
    tree::file(&lab.path("home/file"), 1, 10);
    let left_out = |run: Run| run.says("home/a: is a").says("other: is a Shoal store");
    let run = left_out(a.run(&[&"add", &lab.path("home")]).exits(3));
    let cid = run.lines()[0].clone();
    let out = lab.path("out");
    drop(a.run(&[&"get", &cid, &"-o", &out]).ok());
    let names: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(out.join("file").exists() && !out.join("a").exists(), "{names:?}");
    assert_eq!(fs::read_dir(out.join("deep")).unwrap().count(), 0);

    let key = a.dir().join("secrets/node.key");
    for path in [a.dir(), &key, &a.dir().join("secrets"), other.dir()] {
        let run = a.run(&[&"add", &path]).exits(1).says("Shoal store");
        assert!(run.stdout.is_empty(), "{run}");
    }
    drop(a.run(&[&"name", &"new", &"notes"]).ok());
    drop(a.run(&[&"publish", &"notes", &a.dir()]).exits(1).says("Shoal store"));
    let mut seed = a.start(&[&"seed", &a.dir()]);
    let told = seed.line(Stream::Err, "is a Shoal store", Duration::from_mins(1));
    let run = seed.kill();
    assert!(told.is_some(), "{run}");
    assert_eq!(a.run(&[&"pin", &"ls"]).ok().lines().len(), 1);
}

#[test]
fn a_store_that_may_not_be_opened_is_told_with_the_cause() {
    if !require::root() {
        return;
    }
    let lab = Lab::new();
    let a = lab.store("a");
    drop(a.run(&[&"id"]).ok());
    // Another user may run the program and reach the store's parent, but not the store.
    let program = lab.path("shoal");
    fs::copy(env!("CARGO_BIN_EXE_shoal"), &program).unwrap();
    fs::set_permissions(lab.path(""), Permissions::from_mode(0o755)).unwrap();
    for verb in ["id", "seed", "status"] {
        let mut command = a.command_in(&[&program], &[&verb]);
        command.uid(65534).gid(65534);
        let run = Started::new(command).finish().exits(12).says("ermission denied");
        assert_eq!(run.stderr.matches("error: ").count(), 1, "{run}");
    }
}

#[test]
fn a_store_on_a_full_disk_is_told_with_the_cause() {
    if !require::root() {
        return;
    }
    let lab = Lab::new();
    let disk = SmallDisk::new(lab.path("disk"), "size=64k");
    fs::write(disk.path.join("filler"), vec![1; 64 << 10]).unwrap();
    drop(lab.store("disk/store").run(&[&"id"]).exits(1).says("o space left").says("make room"));
}

#[test]
fn an_address_that_cannot_be_listened_on_is_told_with_the_cause() {
    let lab = Lab::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    for (address, says) in [(busy.as_str(), "in use"), ("/ip4/192.0.2.1/tcp/4001", "assign")] {
        let run = lab.store("a").run(&[&"seed", &"--listen", &address]).exits(1).says(says);
        drop(run.says(address));
    }
}

#[test]
fn a_peer_that_does_not_answer_is_named_by_status_and_peers() {
    let lab = Lab::new();
    let mut peer = lab.store("a").seed();
    let a = peer.store().clone();
    let process = peer.process();
    let pid = process.id().to_string();
    process.signal(Signal::STOP);
    for verb in ["status", "peers"] {
        let run = a.run(&[&verb]).exits(11).says(&pid);
        // The verb that holds the store, not the words of its command line.
        drop(run.says(&format!("shoal seed (pid {pid})")));
    }
    process.signal(Signal::CONT);
    drop(a.run(&[&"status"]).ok());
    drop(peer.stop());
    drop(a.run(&[&"status"]).exits(10).says("no running peer"));
}

#[test]
fn who_holds_a_store_and_says_nothing_is_not_called_by_the_last_ones_name() {
    let lab = Lab::new();
    let a = lab.store("a");
    drop(a.run(&[&"id"]).ok());
    let lock = fs::File::open(a.dir().join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = a.run(&[&"id"]).exits(11).says("an unknown");
    assert!(!run.stderr.contains("shoal id"), "{run}");
}

#[test]
fn a_hang_up_ends_a_peer_cleanly_unless_it_was_started_to_ignore_it() {
    let lab = Lab::new();
    let mut peer = lab.store("a").seed();
    let socket = peer.store().dir().join("control.sock");
    assert!(socket.exists());
    peer.process().signal(Signal::HUP);
    let (mut runs, store) = (true, peer.store().clone());
    eventually("it ends", || {
        runs = peer.process().runs();
        (!runs).then_some(())
    });
    assert!(!socket.exists(), "it ended without closing");
    drop(peer.stop().ok());
    if require::program("nohup").is_none() {
        return;
    }
    let binary = env!("CARGO_BIN_EXE_shoal");
    let mut kept =
        Peer::new(store.clone(), Started::new(store.command_in(&[&"nohup", &binary], &[&"seed"])));
    kept.process().signal(Signal::HUP);
    drop(store.run(&[&"status"]).ok());
    drop(kept.stop().ok());
}

#[test]
fn a_damaged_index_is_told_without_a_panic() {
    let lab = Lab::new();
    let a = lab.store("a");
    let source = lab.path("source");
    tree::file(&source, 1, 1000);
    drop(a.add(&source));
    let index = a.dir().join("index.redb");
    let whole = fs::read(&index).unwrap();
    let mut told = 0;
    for page in 1..(whole.len() / 4096).min(24) {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..4096].fill(0xff);
        fs::write(&index, damaged).unwrap();
        let run = a.run(&[&"pin", &"ls"]);
        assert!(!run.stderr.contains("panicked") && !run.stderr.contains("backtrace"), "{run}");
        told += usize::from(run.stderr.contains("damaged"));
    }
    assert!(told > 0, "no damage was found");
}

#[test]
fn a_referenced_file_that_is_gone_is_called_gone() {
    let lab = Lab::new();
    let (a, source) = (lab.store("a"), lab.path("source"));
    tree::file(&source, 1, 700_000);
    let cid = a.run(&[&"add", &"--ref", &source]).cid();
    fs::remove_file(&source).unwrap();
    drop(a.run(&[&"cat", &cid]).exits(6).says("source is gone"));
    tree::file(&source, 2, 700_000);
    drop(a.run(&[&"cat", &cid]).exits(6).says("source was changed"));
}
