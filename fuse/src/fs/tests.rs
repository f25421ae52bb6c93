//! The file system's meaning, over a tree in memory and without a mount.
//!
//! Names, inodes, links and attributes here; listings and reads have files of their own. The kernel's
//! view is in `tests/mount.rs`.

mod listing;
mod reading;
mod root;

use std::sync::atomic::Ordering;

use super::*;
use crate::memory::{Behaviour, MemoryTree, MemoryTreeBuilder};

const OWNER: Owner = Owner { uid: 1, gid: 2 };

fn fs_of(builder: MemoryTreeBuilder, root: Cid) -> (Fs, Arc<MemoryTree>) {
    let tree = Arc::new(builder.finish(root));
    let fs = Fs::new(Arc::<MemoryTree>::clone(&tree), OWNER, false).unwrap();
    (fs, tree)
}

#[track_caller]
fn find(fs: &Fs, parent: u64, name: &[u8]) -> Stat {
    match fs.lookup(parent, name).unwrap() {
        Looked::Found(stat) => stat,
        Looked::Absent => panic!("{} is absent", name.escape_ascii()),
    }
}

#[test]
fn names_are_looked_up_once_and_then_known() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file_with(&b"hello"[..], 0o100_755, (10, 20));
    let inner = builder.directory([("file", file)]);
    let root = builder.directory([("inner", inner)]);
    let (fs, tree) = fs_of(builder, root);

    assert_eq!(fs.known_lookup(ROOT, b"inner"), None, "nothing was read yet");
    let inner = find(&fs, ROOT, b"inner");
    let stat = find(&fs, inner.ino, b"file");
    assert_eq!((stat.size, stat.permissions, stat.owner), (5, 0o755, OWNER));
    assert_eq!(fs.known_lookup(inner.ino, b"file"), Some(Ok(Looked::Found(stat))));
    assert_eq!(fs.known_stat(stat.ino), Some(Ok(stat)));
    assert_eq!(tree.calls().directory.load(Ordering::Relaxed), 2);
    assert_eq!(tree.calls().attributes.load(Ordering::Relaxed), 1, "of the root only");
}

#[test]
fn names_in_a_large_directory_are_looked_up_without_its_listing() {
    for hidden in [false, true] {
        let mut builder = MemoryTreeBuilder::new();
        let file = builder.file(&b"hello"[..]);
        builder.hide_attributes(hidden);
        let inner = builder.directory([("file", file), ("other", file)]);
        let root = builder.directory([("inner", inner)]);
        let (fs, tree) = fs_of(builder, root);
        tree.enlarge(root);
        tree.enlarge(inner);

        let dir = find(&fs, ROOT, b"inner").ino;
        let stat = find(&fs, dir, b"file");
        assert_eq!((stat.size, stat.ino), (5, find(&fs, dir, b"file").ino));
        assert_eq!(fs.lookup(dir, b"missing"), Ok(Looked::Absent));
        assert_eq!(fs.known_lookup(dir, b"file"), None, "nothing was listed");
        assert_eq!(tree.calls().directory.load(Ordering::Relaxed), 0);
        assert_eq!(tree.calls().entry.load(Ordering::Relaxed), 4);
        tree.behave(inner, Behaviour::Fail(TreeError::TimedOut));
        let error = fs.lookup(dir, b"missing").unwrap_err();
        assert_eq!(crate::errno::errno(&error), libc::EIO, "no proof of absence");
        tree.heal(&inner);

        // Once somebody lists it, names are answered from memory, with the same numbers.
        let (handle, _) = fs.open_directory(dir).unwrap();
        fs.learn_window(dir, handle, 0).unwrap();
        assert_eq!(fs.known_lookup(dir, b"file"), Some(Ok(Looked::Found(stat))));
        assert_eq!(tree.calls().directory.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn absence_is_proven_only_by_a_listing_that_was_read() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let inner = builder.directory([("there", file)]);
    let root = builder.directory([("inner", inner), ("file", file)]);
    let (fs, tree) = fs_of(builder, root);

    let dir = find(&fs, ROOT, b"inner").ino;
    tree.behave(inner, Behaviour::Fail(TreeError::Unreachable { detail: String::new() }));
    let error = fs.lookup(dir, b"missing").unwrap_err();
    assert_eq!(crate::errno::errno(&error), libc::EIO);
    tree.heal(&inner);
    assert_eq!(fs.lookup(dir, b"missing"), Ok(Looked::Absent));
    assert_eq!(fs.known_lookup(dir, b"missing"), Some(Ok(Looked::Absent)));

    let file = find(&fs, ROOT, b"file").ino;
    let below_file = FsError::Tree(TreeError::NotDirectory);
    assert_eq!(fs.lookup(file, b"x"), Err(below_file.clone()));
    assert_eq!(fs.known_lookup(file, b"x"), Some(Err(below_file)));
}

#[test]
fn names_of_every_byte_and_of_every_length() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let longest = vec![b'n'; 255];
    let odd = vec![0xff, 0xfe, b'\n', b' ', b'\\'];
    let root = builder.directory([(longest.clone(), file), (odd.clone(), file)]);
    let (fs, _tree) = fs_of(builder, root);
    assert_eq!(find(&fs, ROOT, &longest).size, 1);
    assert_eq!(find(&fs, ROOT, &odd).size, 1);
    let too_long = [b'n'; 256];
    assert_eq!(fs.lookup(ROOT, &too_long), Err(FsError::NameTooLong));
    assert_eq!(fs.known_lookup(ROOT, &too_long), Some(Err(FsError::NameTooLong)));
}

#[test]
fn inodes_are_forgotten_with_their_last_lookup() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let root = builder.directory([("a", file), ("b", file)]);
    let (fs, _tree) = fs_of(builder, root);
    let one = find(&fs, ROOT, b"a").ino;
    assert_eq!(find(&fs, ROOT, b"a").ino, one);
    assert_ne!(find(&fs, ROOT, b"b").ino, one, "two names of one file are two inodes");
    assert_eq!(fs.inode_count(), 3);
    fs.forget(one, 2);
    assert_eq!(fs.inode_count(), 2);
    assert_eq!(fs.stat(one), Err(FsError::Stale));
    assert_eq!(fs.read(one, 0, 1), Err(FsError::Stale));
    assert_eq!(find(&fs, ROOT, b"a").ino, one, "the number comes back with the path");
}

#[test]
fn a_single_file_is_shown_in_a_directory_under_its_cid() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file_with(&b"hello"[..], 0o600, (5, 0));
    let (fs, tree) = fs_of(builder, file);
    let root = fs.known_stat(ROOT).unwrap().unwrap();
    assert_eq!((root.kind, root.permissions), (Kind::Directory, 0o555));
    let stat = find(&fs, ROOT, file.to_string().as_bytes());
    assert_eq!((stat.kind, stat.size, stat.permissions), (Kind::File, 5, 0o600));
    assert_eq!(&fs.read(stat.ino, 0, 100).unwrap()[..], b"hello");
    assert_eq!(fs.lookup(ROOT, b"other"), Ok(Looked::Absent));
    assert_eq!(tree.calls().directory.load(Ordering::Relaxed), 0);
}

#[test]
fn a_root_that_cannot_be_had_is_no_file_system() {
    let mut builder = MemoryTreeBuilder::new();
    let root = builder.directory([] as [(&str, Cid); 0]);
    let tree = Arc::new(builder.finish(root));
    tree.behave(root, Behaviour::Fail(TreeError::TimedOut));
    assert_eq!(Fs::new(tree, OWNER, false).unwrap_err(), TreeError::TimedOut);
}

#[test]
fn links_tell_their_target_and_bad_targets_are_errors() {
    let mut builder = MemoryTreeBuilder::new();
    let good = builder.symlink(&b"../a/\xff"[..]);
    let empty = builder.symlink("");
    let nul = builder.symlink(&b"a\0b"[..]);
    let long = builder.symlink(vec![b'x'; 4096]);
    let root = builder.directory([("good", good), ("empty", empty), ("nul", nul), ("long", long)]);
    let (fs, _tree) = fs_of(builder, root);
    let stat = find(&fs, ROOT, b"good");
    assert_eq!((stat.kind, stat.size, stat.permissions), (Kind::Symlink, 6, 0o777));
    assert_eq!(fs.readlink(stat.ino).unwrap(), b"../a/\xff");
    for name in [&b"empty"[..], b"nul"] {
        let error = fs.readlink(find(&fs, ROOT, name).ino).unwrap_err();
        assert_eq!(crate::errno::errno(&error), libc::EIO, "{}", name.escape_ascii());
    }
    assert_eq!(crate::errno::errno(&fs.lookup(ROOT, b"long").unwrap_err()), libc::EIO);
    let inodes = fs.inode_count();
    fs.known_lookup(ROOT, b"long").unwrap().unwrap_err();
    assert_eq!(fs.inode_count(), inodes, "a refused entry is no lookup");
}

#[test]
fn extended_attributes_tell_what_shoal_knows() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"hello"[..]);
    let root = builder.directory([("file", file)]);
    let (fs, tree) = fs_of(builder, root);
    let ino = find(&fs, ROOT, b"file").ino;
    let cid = file.to_string().into_bytes();
    assert_eq!(fs.known_extended(ino, b"user.shoal.cid"), Some(Ok(cid.clone())));
    assert_eq!(fs.extended(ino, b"ipfs.cid"), Ok(cid));
    assert_eq!(fs.known_extended(ino, b"user.shoal.local"), None);
    assert_eq!(fs.extended(ino, b"user.shoal.local"), Ok(b"5".to_vec()));
    assert_eq!(fs.extended(ino, b"user.other"), Err(FsError::NoAttribute));
    assert_eq!(fs.extended(ino, b"security.selinux"), Err(FsError::NotSupported));
    assert_eq!(fs.extended(ino, b"user.shoal.lasterror"), Err(FsError::NoAttribute));
    assert_eq!(fs.extended_names(ino).unwrap(), b"user.shoal.cid\0user.shoal.local\0");

    tree.behave(file, Behaviour::Fail(TreeError::TimedOut));
    fs.read(ino, 0, 1).unwrap_err();
    let why = fs.extended(ino, b"user.shoal.lasterror").unwrap();
    assert_eq!(why, TreeError::TimedOut.to_string().into_bytes());
    assert!(fs.extended_names(ino).unwrap().ends_with(b"user.shoal.lasterror\0"));
}

#[test]
fn last_errors_are_bounded() {
    let mut builder = MemoryTreeBuilder::new();
    let root = builder.directory([] as [(&str, Cid); 0]);
    let (fs, _tree) = fs_of(builder, root);
    for ino in 0..2 * LAST_ERRORS_MAX as u64 {
        fs.failed(ino % 300, TreeError::TimedOut);
    }
    assert!(fs.last_errors.lock().len() <= LAST_ERRORS_MAX);
}
