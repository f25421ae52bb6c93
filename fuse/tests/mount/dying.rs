//! How mounts end: unmounted from outside, in use, or with their process killed.
//!
//! The process to kill is this test program itself, run again for the one test `child`. What is no
//! mount of ours must come to no harm.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::{Place, Scratch, mount_line, number, usable};
use shoal_dag::Cid;
use shoal_fuse::memory::{Behaviour, MemoryTree, MemoryTreeBuilder};
use shoal_fuse::{MountError, MountOptions, Mounted, TreeError, UnmountError, unmount};

const CHILD: &str = "SHOAL_FUSE_TEST_CHILD";

fn tree() -> MemoryTree {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"hello"[..]);
    let root = builder.directory([("file", file)]);
    builder.finish(root)
}

fn start(path: &Path) -> Result<Mounted, MountError> {
    Mounted::start(Arc::new(tree()), path, &MountOptions::default())
}

/// Not a test but the process that the tests below kill.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mounted = start(Path::new(&path)).unwrap();
    println!("mounted");
    mounted.wait().unwrap();
}

/// A process that mounts on a directory, once it has.
fn mounting_child(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dying::child", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("mounted") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the child did not mount");
    }
    // Kept: it would fail to print its result into a closed pipe.
    child.stdout = Some(reader.into_inner());
    child
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_mount_whose_process_was_killed_is_cleared_away() {
    if !usable() {
        return;
    }
    let place = Place::new();
    let child = mounting_child(place.path());
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"hello");
    kill(child);
    assert_eq!(number(fs::read_dir(place.path())), libc::ENOTCONN);
    unmount(place.path()).unwrap();
    assert_eq!(mount_line(place.path()), None);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_dead_mount_that_somebody_holds_open_is_cleared_away_too() {
    if !usable() {
        return;
    }
    let place = Place::new();
    let child = mounting_child(place.path());
    let held = fs::File::open(place.path()).unwrap();
    kill(child);
    unmount(place.path()).unwrap();
    assert_eq!(mount_line(place.path()), None);
    drop(held);
}

#[test]
fn mounting_over_a_dead_mount_replaces_it() {
    if !usable() {
        return;
    }
    let place = Place::new();
    kill(mounting_child(place.path()));
    let mounted = start(place.path()).unwrap();
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"hello");
    drop(mounted);
    assert_eq!(mount_line(place.path()), None, "the dead one lay below no more");
}

#[test]
fn mounting_over_a_living_mount_is_refused() {
    if !usable() {
        return;
    }
    let scratch = Scratch::new(tree());
    let refused = start(scratch.path()).unwrap_err();
    assert!(matches!(refused, MountError::AlreadyMounted { .. }), "{refused}");
    assert_eq!(fs::read(scratch.at("file")).unwrap(), b"hello");
}

#[test]
fn waiting_ends_when_somebody_unmounts() {
    if !usable() {
        return;
    }
    let place = Place::new();
    let mut child = mounting_child(place.path());
    unmount(place.path()).unwrap();
    assert_eq!(mount_line(place.path()), None);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_mount_in_use_is_busy_and_stays() {
    if !usable() {
        return;
    }
    let scratch = Scratch::new(tree());
    let held = fs::File::open(scratch.at("file")).unwrap();
    let busy = unmount(scratch.path()).unwrap_err();
    assert!(matches!(busy, UnmountError::Busy { .. }), "{busy}");
    assert_eq!(fs::read(scratch.at("file")).unwrap(), b"hello");
    drop(held);
    // RELEASE comes a moment after close: until then the mount is busy.
    let began = Instant::now();
    while let Err(error) = unmount(scratch.path()) {
        assert!(matches!(error, UnmountError::Busy { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(8), "{error}");
        thread::yield_now();
    }
    assert_eq!(mount_line(scratch.path()), None);
}

#[test]
fn a_dropped_mount_is_gone_even_when_it_was_in_use() {
    if !usable() {
        return;
    }
    let place = Place::new();
    let mounted = start(place.path()).unwrap();
    let held = fs::File::open(place.path().join("file")).unwrap();
    drop(mounted);
    assert_eq!(mount_line(place.path()), None);
    drop(held);
}

#[test]
fn what_is_no_mount_of_ours_is_left_alone() {
    let place = Place::new();
    for path in [place.path(), Path::new("/"), Path::new("/proc"), Path::new("/no/such/place")] {
        let error = unmount(path).unwrap_err();
        assert!(matches!(error, UnmountError::NotMounted { .. }), "{error}");
    }
    assert!(mount_line(Path::new("/proc")).is_some());
}

#[test]
fn a_link_to_a_mount_is_followed() {
    if !usable() {
        return;
    }
    let (place, links) = (Place::new(), Place::new());
    let link = links.path().join("link");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let mounted = start(&link).unwrap();
    assert_eq!(mounted.mountpoint(), place.path().canonicalize().unwrap());
    assert!(matches!(start(&link), Err(MountError::AlreadyMounted { .. })));
    unmount(&link).unwrap();
    mounted.wait().unwrap();
}

#[test]
fn what_cannot_be_mounted_says_why_and_leaves_nothing() {
    if !usable() {
        return;
    }
    let place = Place::new();
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.as_path(), &place.path().join("missing"), Path::new("/no/such/place")] {
        let error = start(path).unwrap_err();
        assert!(matches!(error, MountError::NotADirectory { .. }), "{error}");
    }
    let mut builder = MemoryTreeBuilder::new();
    let root = builder.directory([] as [(&str, Cid); 0]);
    let tree = builder.finish(root);
    tree.behave(root, Behaviour::Fail(TreeError::TimedOut));
    let error = Mounted::start(Arc::new(tree), place.path(), &MountOptions::default()).unwrap_err();
    assert!(matches!(error, MountError::Tree(TreeError::TimedOut)), "{error}");
    assert_eq!(mount_line(place.path()), None);
}
