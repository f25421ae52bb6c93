//! Switching the root: which tree each request is answered from, and what the kernel is told.
//!
//! What the kernel makes of it is in `tests/mount/switching.rs`.

use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::inode::ROOT;

/// Long enough for whatever the test waits for on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn live(builder: MemoryTreeBuilder, root: Cid) -> (Fs, Arc<MemoryTree>) {
    let tree = Arc::new(builder.finish(root));
    (Fs::new(Arc::<MemoryTree>::clone(&tree), OWNER, true).unwrap(), tree)
}

#[track_caller]
fn changed(fs: &Fs, root: Cid) -> Vec<String> {
    let names = fs.switch_root(root).unwrap().expect("it was another root");
    names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// The names that a stream of a handle shows, and for how long the kernel may keep them.
fn names(fs: &Fs, handle: u64, from: u64) -> (Vec<String>, Vec<Keep>) {
    let (mut names, mut keeps) = (Vec::new(), Vec::new());
    fs.list(ROOT, handle, from, true, |line| {
        names.push(String::from_utf8_lossy(line.name).into_owned());
        keeps.push(line.keep);
        false
    })
    .unwrap();
    (names, keeps)
}

#[test]
fn what_differs_is_told_and_what_does_not_keeps_its_number() {
    let mut builder = MemoryTreeBuilder::new();
    let files: Vec<Cid> = (0..5_u8).map(|at| builder.file(vec![at])).collect();
    let one = builder.directory([("changed", files[0]), ("gone", files[1]), ("same", files[2])]);
    let two = builder.directory([("added", files[3]), ("changed", files[4]), ("same", files[2])]);
    let (fs, _tree) = live(builder, one);
    let before = ["changed", "gone", "same"].map(|name| find(&fs, ROOT, name.as_bytes()).ino);
    assert_eq!(fs.lookup(ROOT, b"added"), Ok(Looked::Absent));

    assert_eq!(changed(&fs, two), ["changed", "gone", "added"]);
    assert_eq!(fs.switch_root(two), Ok(None), "it is shown already");
    assert_eq!(fs.lookup(ROOT, b"gone"), Ok(Looked::Absent));
    assert_eq!(find(&fs, ROOT, b"same").ino, before[2]);
    assert_ne!(find(&fs, ROOT, b"changed").ino, before[0]);
    assert_eq!(&fs.read(before[0], 0, 9).unwrap()[..], [0], "who holds it reads on");
    assert_eq!(&fs.read(before[1], 0, 9).unwrap()[..], [1]);
    assert_eq!(fs.known_extended(ROOT, b"user.shoal.cid"), Some(Ok(two.to_string().into())));

    assert_eq!(changed(&fs, one).len(), 3);
    assert_eq!(
        find(&fs, ROOT, b"changed").ino,
        before[0],
        "the number comes back with the version"
    );
}

#[test]
fn only_the_root_is_forgotten_soon() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let inner = builder.directory([("file", file)]);
    let root = builder.directory([("inner", inner)]);
    let (fs, _tree) = live(builder, root);
    let inner = find(&fs, ROOT, b"inner").ino;
    assert_eq!((fs.keep(ROOT), fs.keep(inner)), (Keep::Shortly, Keep::Lasting));
    assert!(!fs.open_directory(ROOT).unwrap().1, "the kernel caches no listing of it");
    assert!(fs.open_directory(inner).unwrap().1);
}

#[test]
fn a_stream_shows_one_root_until_it_is_begun_again() {
    let mut builder = MemoryTreeBuilder::new();
    let (old, new) = (builder.file(&b"old"[..]), builder.file(&b"new"[..]));
    let one = builder.directory([("a", old), ("b", old), ("c", old)]);
    let two = builder.directory([("b", new), ("d", new)]);
    let (fs, _tree) = live(builder, one);
    let (handle, _) = fs.open_directory(ROOT).unwrap();
    fs.begin_listing(ROOT, handle);
    assert_eq!(
        names(&fs, handle, 2),
        (vec!["a".into(), "b".into(), "c".into()], vec![Keep::Shortly; 3])
    );
    fs.switch_root(two).unwrap();
    let (rest, keeps) = names(&fs, handle, 3);
    assert_eq!(rest, ["b", "c"]);
    assert_eq!(keeps, [Keep::Never; 2], "it must not take the place of the new one");
    fs.begin_listing(ROOT, handle);
    assert_eq!(names(&fs, handle, 2).0, ["b", "d"]);
}

#[test]
fn a_lookup_that_outlives_a_switch_is_answered_from_the_new_root() {
    let mut builder = MemoryTreeBuilder::new();
    let (old, new) = (builder.file(&b"old"[..]), builder.file(&b"newer"[..]));
    let one = builder.hide_attributes(true).directory([("file", old)]);
    let two = builder.hide_attributes(false).directory([("file", new)]);
    let (fs, tree) = live(builder, one);
    tree.behave(old, Behaviour::Hang);
    let asked = tree.calls().attributes.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let looking = scope.spawn(|| find(&fs, ROOT, b"file"));
        let began = Instant::now();
        while fs.root_rests(Instant::now()) {
            assert!(began.elapsed() < PATIENCE);
            thread::yield_now();
        }
        while tree.calls().attributes.load(Ordering::Relaxed) == asked {
            assert!(began.elapsed() < PATIENCE);
            thread::yield_now();
        }
        assert_eq!(changed(&fs, two), ["file"]);
        assert!(!fs.root_rests(Instant::now()), "somebody waits for the old root");
        tree.release();
        assert_eq!(looking.join().unwrap().size, 5);
    });
    assert!(fs.root_rests(Instant::now() + PATIENCE));
}

#[test]
fn a_root_that_cannot_be_had_changes_nothing() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let one = builder.directory([("file", file)]);
    let two = builder.directory([] as [(&str, Cid); 0]);
    let (fs, tree) = live(builder, one);
    tree.behave(two, Behaviour::Fail(TreeError::TimedOut));
    assert_eq!(fs.switch_root(two), Err(TreeError::TimedOut));
    assert_eq!(find(&fs, ROOT, b"file").size, 1);
    tree.heal(&two);
    assert_eq!(changed(&fs, two), ["file"]);
}

#[test]
fn what_nobody_looked_at_is_not_told() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let one = builder.directory([("file", file)]);
    let two = builder.directory([] as [(&str, Cid); 0]);
    let (fs, _tree) = live(builder, one);
    assert!(changed(&fs, two).is_empty());
    assert_eq!(fs.lookup(ROOT, b"file"), Ok(Looked::Absent));
}

#[test]
fn a_directory_becomes_a_single_file_and_comes_back() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file_with(&b"hello"[..], 0o600, (5, 0));
    let other = builder.file(&b"other"[..]);
    let directory = builder.directory([("a", other)]);
    let (fs, _tree) = live(builder, directory);
    find(&fs, ROOT, b"a");
    let named = file.to_string();
    assert_eq!(changed(&fs, file), ["a", &named]);
    let root = fs.known_stat(ROOT).unwrap().unwrap();
    assert_eq!((root.kind, root.permissions), (Kind::Directory, 0o555));
    assert_eq!(find(&fs, ROOT, named.as_bytes()).permissions, 0o600);
    assert_eq!(fs.lookup(ROOT, b"a"), Ok(Looked::Absent));
    assert_eq!(changed(&fs, other), [named, other.to_string()]);
    assert_eq!(changed(&fs, directory), [other.to_string(), "a".to_owned()]);
    assert_eq!(find(&fs, ROOT, b"a").size, 5);
}

#[test]
fn attributes_learned_once_are_not_asked_again_after_a_switch() {
    let mut builder = MemoryTreeBuilder::new();
    let (same, new) = (builder.file(&b"same"[..]), builder.file(&b"new"[..]));
    builder.hide_attributes(true);
    let one = builder.directory([("same", same)]);
    let two = builder.directory([("new", new), ("same", same)]);
    let (fs, tree) = live(builder, one);
    find(&fs, ROOT, b"same");
    fs.switch_root(two).unwrap();
    let asked = tree.calls().attributes.load(Ordering::Relaxed);
    assert_eq!(find(&fs, ROOT, b"same").size, 4);
    assert_eq!(tree.calls().attributes.load(Ordering::Relaxed), asked);
}
