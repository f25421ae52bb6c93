//! What a mount shows is what the tree holds: names, bytes, kinds, modes, times, attributes.
//!
//! Also what it does *not* do: ask again for what it knows, or pass over what it cannot have.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use crate::scratch::{Scratch, mount_line, noise, number, usable};
use shoal_dag::Cid;
use shoal_fuse::memory::{Behaviour, MemoryTreeBuilder};
use shoal_fuse::{MountOptions, TreeError};

/// What is told of one path: mode, mtime, and bytes or target; by path below the root.
type Shown = BTreeMap<OsString, (u32, (i64, i64), Vec<u8>)>;

fn show(directory: &Path, below: &OsStr, shown: &mut Shown) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.path().symlink_metadata().unwrap();
        assert_eq!(entry.file_type().unwrap(), metadata.file_type());
        let mut name = below.to_owned();
        name.push("/");
        name.push(entry.file_name());
        let content = if metadata.is_dir() {
            show(&entry.path(), &name, shown);
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(entry.path()).unwrap().into_os_string().into_vec()
        } else {
            fs::read(entry.path()).unwrap()
        };
        let mtime = (metadata.mtime(), metadata.mtime_nsec());
        shown.insert(name, (metadata.mode(), mtime, content));
    }
}

/// Ten directories of thirty files, odd names, links, and nothing at all.
fn varied(builder: &mut MemoryTreeBuilder) -> (Cid, Shown) {
    let mut expected = Shown::new();
    let mut top: Vec<(Vec<u8>, Cid)> = Vec::new();
    let epoch = (0, 0);
    for number in 0..10_usize {
        let mut names = Vec::new();
        for file in 0..30_usize {
            let data = noise(file * file * 150 * (number % 3), (number * 100 + file) as u64);
            let mode = if file % 2 == 0 { 0o640 } else { 0o755 };
            let mtime = (file as i64 - 5, 123_456_789);
            names.push((
                format!("{file}"),
                builder.file_with(data.clone(), mode, (mtime.0, 123_456_789)),
            ));
            expected.insert(format!("/d{number}/{file}").into(), (0o100_000 | mode, mtime, data));
        }
        top.push((format!("d{number}").into(), builder.directory(names)));
        expected.insert(format!("/d{number}").into(), (0o40_555, epoch, Vec::new()));
    }
    for name in [vec![b'n'; 255], b"\xff\xfe\n \\".to_vec(), b"plain".to_vec()] {
        top.push((name.clone(), builder.file(&b"x"[..])));
        let path = OsString::from_vec([b"/", &name[..]].concat());
        expected.insert(path, (0o100_444, epoch, b"x".to_vec()));
    }
    top.push((b"empty".to_vec(), builder.directory([] as [(&str, Cid); 0])));
    expected.insert("/empty".into(), (0o40_555, epoch, Vec::new()));
    top.push((b"link".to_vec(), builder.symlink("../\u{e9}/nowhere")));
    expected.insert("/link".into(), (0o120_777, epoch, "../\u{e9}/nowhere".into()));
    (builder.directory(top), expected)
}

#[test]
fn a_tree_of_hundreds_of_files_is_shown_as_it_is() {
    if !usable() {
        return;
    }
    for hidden in [false, true] {
        let mut builder = MemoryTreeBuilder::new();
        builder.hide_attributes(hidden);
        let (root, expected) = varied(&mut builder);
        let scratch = Scratch::new(builder.finish(root));
        for pass in ["cold", "warm"] {
            let mut shown = Shown::new();
            show(scratch.path(), OsStr::new(""), &mut shown);
            assert_eq!(shown.len(), 315);
            assert!(shown == expected, "hidden {hidden}, {pass}");
        }
        assert_eq!(scratch.tree.calls().directory.load(Ordering::Relaxed), 12);
        let found = Command::new("find").arg(scratch.path()).args(["-type", "f"]).output().unwrap();
        assert!(found.status.success());
    }
}

#[test]
fn programs_run_from_the_mount() {
    if !usable() {
        return;
    }
    let program = fs::read("/bin/cat").unwrap();
    let mut builder = MemoryTreeBuilder::new();
    let cat = builder.file_with(program, 0o755, (0, 0));
    let no = builder.file_with(&b"#!/bin/sh\n"[..], 0o644, (0, 0));
    let root = builder.directory([("cat", cat), ("no", no)]);
    let scratch = Scratch::new(builder.finish(root));
    // The kernel maps a program into memory: this is mmap through the mount.
    let ran = Command::new(scratch.at("cat")).arg(scratch.at("no")).output().unwrap();
    assert_eq!(ran.stdout, b"#!/bin/sh\n");
    let refused = Command::new(scratch.at("no")).spawn();
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
}

#[test]
fn reads_at_offsets_of_a_large_file() {
    if !usable() {
        return;
    }
    let data = noise(5_000_001, 7);
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(data.clone());
    let root = builder.directory([("file", file)]);
    let scratch = Scratch::new(builder.finish(root));
    let file = fs::File::open(scratch.at("file")).unwrap();
    for (offset, len) in [(4_999_999, 10), (0, 1), (1_048_575, 2), (3_333_333, 1_200_000)] {
        let mut read = vec![0; len];
        let got = file.read_at(&mut read, offset as u64).unwrap();
        assert_eq!(got, len.min(data.len() - offset));
        assert!(read[..got] == data[offset..][..got]);
    }
    assert_eq!(file.read_at(&mut [0; 9], 5_000_001).unwrap(), 0);
    assert!(fs::read(scratch.at("file")).unwrap() == data);
    let metadata = file.metadata().unwrap();
    assert_eq!((metadata.nlink(), metadata.blksize(), metadata.blocks()), (1, 1 << 20, 9_766));
}

#[test]
fn what_is_missing_is_asked_once() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let inner = builder.directory([] as [(&str, Cid); 0]);
    let root = builder.directory([("inner", inner)]);
    let scratch = Scratch::new(builder.finish(root));
    for _ in 0..5 {
        assert_eq!(number(fs::metadata(scratch.at("inner/missing"))), libc::ENOENT);
    }
    let too_long = "n".repeat(256);
    assert_eq!(number(fs::metadata(scratch.at(&too_long))), libc::ENAMETOOLONG);
    assert_eq!(scratch.tree.calls().directory.load(Ordering::Relaxed), 2);
}

#[test]
fn an_entry_that_cannot_be_had_is_seen_and_every_use_of_it_fails() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let (good, bad) = (builder.file(&b"good"[..]), builder.file(&b"bad"[..]));
    let root = builder.hide_attributes(true).directory([("bad", bad), ("good", good)]);
    let scratch = Scratch::new(builder.finish(root));
    scratch.tree.behave(bad, Behaviour::Fail(TreeError::TimedOut));
    let names: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["bad", "good"]);
    assert_eq!(number(fs::metadata(scratch.at("bad"))), libc::EIO);
    let find = Command::new("find").arg(scratch.path()).args(["-type", "f"]).output().unwrap();
    assert!(!find.status.success(), "find must not pass it by");
    assert_eq!(fs::read(scratch.at("good")).unwrap(), b"good");

    scratch.tree.heal(&bad);
    assert_eq!(fs::read(scratch.at("bad")).unwrap(), b"bad");
    let kinds: Vec<_> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_type().unwrap().is_file())
        .collect();
    assert_eq!(kinds, [true, true]);
}

#[test]
fn extended_attributes_come_through() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"hello"[..]);
    let root = builder.directory([("file", file)]);
    let scratch = Scratch::new(builder.finish(root));
    let path = scratch.at("file");
    let get = |name: &str| {
        let mut value = [0_u8; 200];
        rustix::fs::getxattr(&path, name, &mut value).map(|len| value[..len].to_vec())
    };
    assert_eq!(get("user.shoal.cid").unwrap(), file.to_string().into_bytes());
    assert_eq!(get("user.shoal.local").unwrap(), b"5");
    assert_eq!(get("user.shoal.lasterror"), Err(rustix::io::Errno::NODATA));
    assert_eq!(get("trusted.x"), Err(rustix::io::Errno::OPNOTSUPP));
    let small = rustix::fs::getxattr(&path, "user.shoal.cid", &mut [0_u8; 3][..]);
    assert_eq!(small, Err(rustix::io::Errno::RANGE));
    let mut names = [0_u8; 200];
    let len = rustix::fs::listxattr(&path, &mut names).unwrap();
    assert_eq!(&names[..len], b"user.shoal.cid\0user.shoal.local\0");
}

#[test]
fn a_single_file_and_numbers_that_stay_over_remounts() {
    if !usable() {
        return;
    }
    let numbers = |()| {
        let mut builder = MemoryTreeBuilder::new();
        let file = builder.file(&b"hello"[..]);
        let scratch = Scratch::new(builder.finish(file));
        let name = file.to_string();
        assert_eq!(fs::read(scratch.at(&name)).unwrap(), b"hello");
        let root = fs::metadata(scratch.path()).unwrap();
        assert_eq!((root.ino(), root.permissions().mode()), (1, 0o40_555));
        fs::metadata(scratch.at(&name)).unwrap().ino()
    };
    let numbers = [(); 2].map(numbers);
    assert_eq!(numbers[0], numbers[1]);
}

#[test]
fn the_mount_table_tells_what_it_is() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let root = builder.directory([] as [(&str, Cid); 0]);
    let options = MountOptions { fs_name: "a name".to_owned(), ..MountOptions::default() };
    let scratch = Scratch::with(builder.finish(root), &options);
    let line = mount_line(scratch.path()).unwrap();
    assert!(line.contains(" - fuse.shoal a\\040name ro,"), "{line}");
    let flags = line.split(' ').nth(5).unwrap();
    for flag in ["ro", "nosuid", "nodev"] {
        assert!(flags.split(',').any(|it| it == flag), "{flag} in {flags}");
    }
    let device = line.split(' ').nth(2).unwrap();
    let ahead = fs::read_to_string(format!("/sys/class/bdi/{device}/read_ahead_kb"));
    if let Ok(ahead) = ahead {
        assert_eq!(ahead.trim(), "1024");
    }
    let space = rustix::fs::statvfs(scratch.path()).unwrap();
    assert_eq!((space.f_bfree, space.f_namemax), (0, 255));
}
