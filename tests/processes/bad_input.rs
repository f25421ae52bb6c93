//! What a user can get wrong, and a disk that is full: told clearly, with the right exit code.
//!
//! Every refusal leaves things as they were: an OUT that stood there, a store that was good. Sources
//! that cannot be read are in `unreadable`, DAGs that are malicious in `hostile`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::harness::{Lab, process::Stream, require, tree};

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

#[test]
fn a_miss_with_nobody_to_ask_fails_at_once() {
    let lab = Lab::new();
    for verb in ["cat", "ls", "stat"] {
        let run = lab.store("c").run(&[&verb, &unknown(&lab)]).exits(4);
        assert!(run.took < Duration::from_secs(5), "{run}");
    }
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
