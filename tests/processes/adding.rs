//! `add` and `rm` as a user sees them: writers at the same time, what is left out, what is taken back.
//!
//! A writer at the same time is made certain by stopping the adding process while it has read a part of
//! the file. What depends on the file system's clock is awaited, not timed.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{Seek, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
};

use rustix::process::Signal;
use serde_json::Value;

use super::harness::{Lab, Run, Started, Store, eventually, tree};

/// Long enough that it is met half read.
const LARGE_BYTES: u64 = 256 << 20;

/// An add may be through before it is stopped.
const ATTEMPTS_MAX: usize = 20;

const BTRFS: u64 = 0x9123_683E;
const XFS: u64 = 0x5846_5342;
const TMPFS: u64 = 0x0102_1994;

/// Starts to add `path` and stops the process while it reads it.
#[track_caller]
fn stopped_half_way(store: &Store, arguments: &[&dyn AsRef<OsStr>], path: &Path) -> Started {
    for _ in 0..ATTEMPTS_MAX {
        let mut add = store.start(arguments);
        eventually("the file is read", || (position(&add, path)? > 0).then_some(()));
        add.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", add.id());
        eventually("the process has stopped", || {
            fs::read_to_string(&stat).ok()?.contains(") T ").then_some(())
        });
        if position(&add, path).is_some_and(|at| at < LARGE_BYTES) {
            return add;
        }
    }
    panic!("it was never met half read");
}

/// How far a process has read a file that it has open, perhaps more than once.
fn position(process: &Started, path: &Path) -> Option<u64> {
    let real = fs::canonicalize(path).unwrap();
    let files = fs::read_dir(format!("/proc/{}/fd", process.id())).ok()?.flatten();
    let open = files.filter(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == real));
    let at = |fd: fs::DirEntry| -> Option<u64> {
        let info = format!("/proc/{}/fdinfo/{}", process.id(), fd.file_name().display());
        let info = fs::read_to_string(info).ok()?;
        info.lines().next()?.strip_prefix("pos:")?.trim().parse().ok()
    };
    open.filter_map(at).max()
}

/// Whether a file is added by a clone here, which is at one moment and cannot be met half read.
fn is_cloned(lab: &Lab) -> bool {
    let kind = rustix::fs::statfs(lab.path("")).unwrap().f_type as u64 & 0xFFFF_FFFF;
    let is_cloned = [BTRFS, XFS].contains(&kind);
    if is_cloned {
        println!("left out: files are added by clones here");
    }
    is_cloned
}

/// What a writer does to a file that is being added.
type Change = fn(&Path);

const CHANGES: [(&str, Change); 4] = [
    ("grew", |path| {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    }),
    ("bytes are left", |path| {
        OpenOptions::new().write(true).open(path).unwrap().set_len(LARGE_BYTES - 1).unwrap();
    }),
    ("its times moved", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(b"mixed", LARGE_BYTES - 10).unwrap();
    }),
    ("its times moved", |path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"mixed", 0).unwrap();
        file.set_modified(before).unwrap();
    }),
];

#[test]
fn a_file_that_changes_while_it_is_added_is_named_and_left_out() {
    let lab = Lab::new();
    if is_cloned(&lab) {
        return;
    }
    let (source, other) = (lab.path("source"), lab.path("other"));
    fs::write(&other, "other").unwrap();
    for (number, (says, change)) in CHANGES.into_iter().enumerate() {
        tree::file(&source, number as u64, LARGE_BYTES);
        let store = lab.store(&format!("store {number}"));
        for reference in ["--json", "--ref"] {
            let mut add = stopped_half_way(&store, &[&"add", &reference, &source, &other], &source);
            change(&source);
            add.signal(Signal::CONT);
            let run = add.finish().exits(3).says(&format!("left out {}", source.display()));
            let run = run.says("changed while it was added").says(says);
            if reference == "--json" {
                let outcome = run.outcome();
                assert_eq!(
                    (&outcome["added"], &outcome["skipped"]),
                    (&1.into(), &1.into()),
                    "{run}"
                );
            } else {
                assert_eq!(run.lines().len(), 1, "one CID, of the other file: {run}");
            }
            tree::file(&source, number as u64, LARGE_BYTES);
        }
        assert_eq!(pins(&store).len(), 1);
    }
}

#[test]
fn alone_it_ends_with_1() {
    let lab = Lab::new();
    if is_cloned(&lab) {
        return;
    }
    let (store, source) = (lab.store("a"), lab.path("source"));
    tree::file(&source, 1, LARGE_BYTES);
    let mut add = stopped_half_way(&store, &[&"add", &source], &source);
    CHANGES[0].1(&source);
    add.signal(Signal::CONT);
    let run = add.finish().exits(1).says("changed while it was added");
    assert!(run.stdout.is_empty(), "{run}");
    assert!(store.disk_bytes() < LARGE_BYTES / 2, "{} bytes stay", store.disk_bytes());
}

fn pins(store: &Store) -> Vec<String> {
    store.run(&[&"pin", &"ls"]).ok().lines()
}

fn outcome(run: Run) -> Value {
    run.ok().outcome()
}

#[test]
fn what_is_left_out_is_counted() {
    let lab = Lab::new();
    let (a, source) = (lab.store("a"), lab.path("source"));
    fs::create_dir_all(source.join("target")).unwrap();
    for name in ["a", "b.log", "target/x", ".hidden"] {
        fs::write(source.join(name), name).unwrap();
    }
    fs::write(source.join(".shoalignore"), "target/\n").unwrap();
    let run = a.run(&[&"add", &"--json", &"--exclude", &"*.log", &source]).ok();
    let run = run.says("2 left out by --exclude or .shoalignore");
    assert_eq!((&run.outcome()["excluded"], &run.outcome()["files"]), (&2.into(), &3.into()));
    let mut exact: Vec<&dyn AsRef<OsStr>> =
        vec![&"add", &"--json", &"--profile", &"unixfs-v1-2025", &source];
    let run = a.run(&exact).ok().says("2 left out as hidden");
    assert_eq!((&run.outcome()["hidden"], &run.outcome()["files"]), (&2.into(), &2.into()));
    exact.extend([&"--hidden" as &dyn AsRef<OsStr>, &"--no-ignore"]);
    let all = outcome(a.run(&exact));
    assert_eq!((&all["hidden"], &all["excluded"]), (&0.into(), &0.into()));
    assert_eq!(all["files"], 5);
    drop(a.run(&[&"add", &"--exclude", &"[", &source]).exits(2).says("is no pattern"));
}

#[test]
fn hashing_alone_needs_no_store_that_can_be_written() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 3_000_000);
    let cid = lab.store("a").add(&source);
    let nowhere = lab.store("/proc/no/such/place");
    assert_eq!(nowhere.run(&[&"add", &"--only-hash", &source]).cid(), cid);
    let mut command = nowhere.command(&[&"add", &"--only-hash", &"-", &source]);
    command.stdin(fs::File::open(&source).unwrap());
    assert_eq!(Started::new(command).finish().ok().lines(), [cid.as_str(), cid.as_str()]);
    // Nor one that nobody else uses, nor is one made.
    let peer = lab.store("b").seed();
    assert_eq!(peer.store().run(&[&"add", &"--only-hash", &source]).cid(), cid);
    drop(lab.store("c").run(&[&"add", &"--only-hash", &source]).ok());
    assert!(!lab.path("c").exists());
    assert!(pins(peer.store()).is_empty());
    drop(nowhere.run(&[&"add", &"--only-hash", &"/no/such"]).exits(1).says("left out /no/such"));
}

#[test]
fn what_is_unchanged_is_not_read_again_and_what_changed_is() {
    let lab = Lab::new();
    let (a, source) = (lab.store("a"), lab.path("source"));
    fs::create_dir(&source).unwrap();
    tree::small_files(&source, 50);
    if rustix::fs::statfs(&source).unwrap().f_type as u64 == TMPFS {
        println!("left out: the temporary directory is a tmpfs, where nothing is remembered");
        return;
    }
    let cid = a.add(&source);
    // As soon as the files are old enough.
    let add = || outcome(a.run(&[&"add", &"--json", &source]));
    eventually("they are remembered", || (add()["unchanged"] == 50).then_some(()));
    let all = outcome(a.run(&[&"add", &"--json", &"--no-cache", &source]));
    assert_eq!(all["unchanged"], 0);
    assert_eq!(a.add(&source), cid);
    let mut one = source.clone();
    while one.is_dir() {
        one = fs::read_dir(&one).unwrap().next().unwrap().unwrap().path();
    }
    let before = fs::metadata(&one).unwrap();
    let file = OpenOptions::new().write(true).open(&one).unwrap();
    file.write_all_at(b"!", 0).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let changed = a.add(&source);
    assert_ne!(changed, cid);
    assert_eq!(a.run(&[&"add", &"--only-hash", &source]).cid(), changed);
    // A file that may not be read any more is found out by its ctime.
    fs::set_permissions(&one, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(a.add(&source), a.run(&[&"add", &"--only-hash", &source]).cid());
}

#[test]
fn small_files_are_copied_with_ref_and_large_ones_are_not() {
    let lab = Lab::new();
    let (a, source) = (lab.store("a"), lab.path("source"));
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("small"), 1, 100_000);
    tree::file(&source.join("large"), 2, 10_000_000);
    let cid = a.run(&[&"add", &"--ref", &source]).cid();
    assert!(a.disk_bytes() < 5_000_000, "{} bytes", a.disk_bytes());
    let small = fs::read(source.join("small")).unwrap();
    for name in ["small", "large"] {
        let mut file = OpenOptions::new().write(true).open(source.join(name)).unwrap();
        file.rewind().unwrap();
        file.write_all(b"edited").unwrap();
    }
    assert_eq!(a.run(&[&"cat", &format!("{cid}/small")]).ok().stdout, small);
    drop(a.run(&[&"cat", &format!("{cid}/large")]).exits(6).says("large was changed"));
}

#[test]
fn rm_takes_back_what_was_added_with_a_peer_and_without() {
    let lab = Lab::new();
    let (one, two) = (lab.path("one"), lab.path("two"));
    fs::write(&one, "one").unwrap();
    tree::file(&two, 2, 1_000_000);
    let a = lab.store("a");
    for running in [false, true] {
        let peer = running.then(|| a.seed());
        let (first, second) = (a.add(&one), a.run(&[&"add", &"--ref", &two]).cid());
        let run = a.run(&[&"rm", &first, &two]).ok();
        let run = run.says("1 of your files are referred to no more").says("shoal gc");
        assert_eq!(run.lines(), [first.as_str(), second.as_str()]);
        assert!(pins(&a).is_empty());
        assert_eq!(fs::metadata(&two).unwrap().len(), 1_000_000);
        drop(a.run(&[&"rm", &first]).exits(4).says(&format!("{first} is not pinned")));
        let run = a.run(&[&"rm", &"--json", &two, &"nothing"]).exits(4);
        drop(run.says("nothing was added from"));
        // The rest is done whatever becomes of one.
        let first = a.add(&one);
        let run = a.run(&[&"rm", &"--json", &"/nothing", &one]).exits(4);
        assert_eq!((&run.outcome()["unpinned"], pins(&a).len()), (&1.into(), 0), "{run}");
        assert!(run.lines()[0].contains(&first), "{run}");
        drop(peer);
    }
}

#[test]
fn rm_takes_the_words_that_seed_took() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 1_000_000);
    let peer = lab.store("a").seed();
    let a = peer.store();
    drop(a.run(&[&"seed", &source]).ok());
    let cid = pins(a).pop().unwrap();
    let run = a.run(&[&"rm", &source]).ok();
    assert_eq!(run.lines(), [cid]);
    assert!(pins(a).is_empty());
    drop(a.run(&[&"seed", &"--forget", &source]).exits(4).says("is not seeded"));
}
