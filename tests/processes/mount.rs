//! The mount of a CID that is elsewhere: read as it comes, bounded in disk and time, and it outlives
//! its node.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Lab, Peer, Snapshot, eventually, mounted::Mounted, require, tree, within};

/// Bytes of the file that is read in its middle only.
const LARGE_BYTES: u64 = 512 << 20;

/// What the store may hold of it then.
const LARGE_STORED_BYTES_MAX: u64 = 64 << 20;

/// The read deadline of a mount, with time for a loaded machine.
const READ_WAIT_MAX: Duration = Duration::from_secs(45);

#[test]
fn a_remote_tree_is_read_through_a_mount() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    tree::small_files(&source, 400);
    tree::odd_things(&source);
    tree::odd_metadata(&source);
    let (seed, cid) = seeded(&lab, &source, "--preserve");
    let peer = lab.store("c").told(seed.address()).seed();
    let mounted = Mounted::new(peer.store(), &cid, lab.path("mounted"));
    Snapshot::preserved(&source).assert_same(&Snapshot::preserved(mounted.dir()));
    let ls = Command::new("ls").arg("-lR").arg(mounted.dir()).output().unwrap();
    assert!(ls.status.success(), "{}", String::from_utf8_lossy(&ls.stderr));
    let read_only = fs::write(mounted.path("new"), b"x").unwrap_err();
    assert_eq!(read_only.kind(), io::ErrorKind::ReadOnlyFilesystem);
    let missing = fs::metadata(mounted.path("no such name")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert_eq!(mounted.umount().code(), Some(0));
    drop(peer.stop());
}

#[test]
fn the_middle_of_a_large_remote_file_costs_little() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    let large = source.join("large");
    tree::file(&large, 1, LARGE_BYTES);
    let (seed, cid) = seeded(&lab, &source, "--ref");
    let peer = lab.store("c").told(seed.address()).seed();
    let mounted = Mounted::new(peer.store(), &cid, lab.path("mounted"));
    for offset in [LARGE_BYTES / 2 + 12_345, LARGE_BYTES - 1_000_000] {
        let (expected, found) = (read(&large, offset), read(&mounted.path("large"), offset));
        assert_eq!(expected.unwrap(), found.unwrap(), "at {offset}");
    }
    let stored = peer.store().disk_bytes();
    assert!(stored <= LARGE_STORED_BYTES_MAX, "{stored} bytes stored");
    assert_eq!(mounted.umount().code(), Some(0));
}

#[test]
fn reads_fail_in_time_when_all_providers_are_gone() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("large"), 1, 64 << 20);
    tree::file(&source.join("small"), 2, 100);
    let (seed, cid) = seeded(&lab, &source, "--ref");
    let peer = lab.store("c").told(seed.address()).seed();
    let mounted = Mounted::new(peer.store(), &cid, lab.path("mounted"));
    let (large, small) = (mounted.path("large"), mounted.path("small"));
    assert_eq!(fs::read(&small).unwrap(), fs::read(source.join("small")).unwrap());
    assert_eq!(read(&large, 0).unwrap(), read(&source.join("large"), 0).unwrap());
    seed.kill();
    let begin = Instant::now();
    let error = bounded(move || read(&large, 60 << 20)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5), "{error}");
    println!("EIO after {:?}", begin.elapsed());
    assert_eq!(fs::read(&small).unwrap(), fs::read(source.join("small")).unwrap());
    assert_eq!(fs::read_dir(mounted.dir()).unwrap().count(), 2);
    assert_eq!(mounted.umount().code(), Some(0));
}

#[test]
fn a_mount_outlives_its_node() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    for name in ["before", "after"] {
        tree::file(&source.join(name), name.len() as u64, 2_000_000);
    }
    let (seed, cid) = seeded(&lab, &source, "--ref");
    let peer = lab.store("c").told(seed.address()).seed();
    let store = peer.store().clone();
    let mounted = Mounted::new(&store, &cid, lab.path("mounted"));
    let same = |name: &'static str| {
        let (path, source) = (mounted.path(name), source.join(name));
        bounded(move || fs::read(path)).unwrap() == fs::read(source).unwrap()
    };
    assert!(same("before"));
    peer.kill();
    let _peer = store.seed();
    assert!(same("after"));
    assert!(same("before"));
    assert_eq!(mounted.umount().code(), Some(0));
}

#[test]
fn a_mount_without_a_running_peer_brings_its_own_and_takes_it_away() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    tree::small_files(&source, 20);
    let (seed, cid) = seeded(&lab, &source, "--preserve");
    let c = lab.store("c").told(seed.address());
    let mounted = Mounted::new(&c, &cid, lab.path("mounted"));
    Snapshot::of(&source).assert_same(&Snapshot::of(mounted.dir()));
    assert_eq!(mounted.umount().code(), Some(0));
    eventually("its node is gone", || (!c.dir().join("control.sock").exists()).then_some(()));
}

#[test]
fn a_mount_in_the_background_is_there_when_the_verb_returns() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    tree::small_files(&source, 20);
    let a = lab.store("a");
    let cid = a.add(&source);
    let _peer = a.seed();
    let dir = lab.path("mounted");
    fs::create_dir(&dir).unwrap();
    drop(a.run(&[&"mount", &"--background", &cid, &dir]).ok());
    let read = std::panic::catch_unwind(|| {
        Snapshot::of(&source).assert_same(&Snapshot::of(&dir));
    });
    let umount = a.run(&[&"umount", &dir]);
    drop(umount.ok());
    assert!(!crate::harness::mounted::stands(&dir));
    read.unwrap();
}

#[test]
fn a_single_file_is_mounted_as_a_directory_with_it() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 900_000);
    let cid = a.add(&source);
    let _peer = a.seed();
    let mounted = Mounted::new(&a, &cid, lab.path("mounted"));
    assert_eq!(tree::digest(&source), tree::digest(&mounted.path(&cid)));
    assert_eq!(mounted.umount().code(), Some(0));
}

/// A running peer with the tree, and the tree's CID.
fn seeded(lab: &Lab, source: &Path, option: &str) -> (Peer, String) {
    let a = lab.store("a");
    let cid = a.run(&[&"add", &option, &source]).cid();
    (a.seed(), cid)
}

/// Up to 1 MiB at `offset`.
fn read(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = vec![0; 1 << 20];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], offset + len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Runs a read of the mount on a thread of its own, so that one that hangs fails the test.
#[track_caller]
fn bounded<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(read()));
    within(READ_WAIT_MAX, || receive.try_recv().ok()).expect("a read of the mount hangs")
}

#[test]
fn a_mounted_name_goes_on_to_its_new_version() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let (source, store) = (lab.path("source"), lab.store("a"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a.txt"), "one").unwrap();
    drop(store.run(&[&"name", &"new", &"docs"]).ok());
    drop(store.run(&[&"publish", &"docs", &source]).ok());
    let peer = store.seed();
    let (live, first) = (
        Mounted::new(&store, "docs", lab.path("live")),
        Mounted::new(&store, "docs@1", lab.path("first")),
    );
    let open = File::open(live.path("a.txt")).unwrap();
    fs::write(source.join("a.txt"), "two").unwrap();
    fs::write(source.join("new.txt"), "new").unwrap();
    drop(store.run(&[&"publish", &"docs", &source]).ok());
    eventually("the new version is shown", || {
        (fs::read(live.path("a.txt")).is_ok_and(|bytes| bytes == b"two")).then_some(())
    });
    assert_eq!(fs::read(live.path("new.txt")).unwrap(), b"new");
    // What was open, and what was asked for by its number, stay what they were.
    let mut bytes = [0; 3];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"one");
    assert_eq!(fs::read(first.path("a.txt")).unwrap(), b"one");
    drop(open);
    assert_eq!(live.umount().code(), Some(0));
    assert_eq!(first.umount().code(), Some(0));
    drop(peer.stop());
}

/// A child that was ready used to be taken for a dead one now and then, and a mount that ended took the one
/// with it that came after.
#[test]
fn mounting_and_unmounting_in_turn_neither_hangs_nor_loses_the_next_one() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let (source, a, dir) = (lab.path("source"), lab.store("a"), lab.path("mounted"));
    fs::create_dir(&dir).unwrap();
    tree::small_files(&source, 2);
    let cid = a.add_preserved(&source);
    let peer = a.seed();
    for _ in 0..25 {
        drop(a.run(&[&"mount", &"--background", &cid, &dir]).ok());
        assert!(fs::read_dir(&dir).unwrap().next().is_some(), "nothing is mounted");
        drop(a.run(&[&"umount", &dir]).ok());
    }
    drop(peer.stop());
}
