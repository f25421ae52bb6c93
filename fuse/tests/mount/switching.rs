//! A live mount whose root is switched, as programs see it.
//!
//! What a program opened before a switch goes on in the old tree; what it looks up after one is in the
//! new tree at once. Nothing here waits for the second after which the kernel asks again by itself: in
//! hundreds of switches a second, names that it was not told of would be found.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::scratch::{Scratch, noise, number, usable};
use rustix::fs::{Dir, Mode, OFlags, openat};
use shoal_dag::Cid;
use shoal_fuse::memory::{Behaviour, MemoryTreeBuilder};
use shoal_fuse::{MountOptions, SwitchError, TreeError};

const SWITCHES: u64 = 200;

fn live(builder: MemoryTreeBuilder, root: Cid) -> Scratch {
    let options = MountOptions { live: true, ..MountOptions::default() };
    Scratch::with(builder.finish(root), &options)
}

#[track_caller]
fn switch(scratch: &Scratch, root: Cid) {
    assert_eq!(scratch.mounted.root_switch().unwrap().switch(root), Ok(true));
}

/// The names in a directory, sorted.
fn names(path: &Path) -> Vec<String> {
    let entry = |it: std::io::Result<fs::DirEntry>| it.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(path).unwrap().map(entry).collect();
    names.sort();
    names
}

#[test]
fn a_switch_is_seen_at_once_and_what_is_open_stays() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let (old, new) = (noise(300_000, 1), noise(300_000, 2));
    let (file, changed) = (builder.file(old.clone()), builder.file(new.clone()));
    let (same, gone) = (builder.file(&b"same"[..]), builder.file(&b"gone"[..]));
    let one = builder.directory([("changed", file), ("gone", gone), ("same", same)]);
    let two = builder.directory([("added", gone), ("changed", changed), ("same", same)]);
    let scratch = live(builder, one);

    assert_eq!(names(scratch.path()), ["changed", "gone", "same"]);
    assert_eq!(number(fs::metadata(scratch.at("added"))), libc::ENOENT);
    let before = ["changed", "same"].map(|name| fs::metadata(scratch.at(name)).unwrap());
    let held = File::open(scratch.at("changed")).unwrap();
    let mut head = [0; 1000];
    held.read_exact_at(&mut head, 0).unwrap();
    let removed = File::open(scratch.at("gone")).unwrap();

    switch(&scratch, two);
    assert_eq!(names(scratch.path()), ["added", "changed", "same"]);
    assert_eq!(fs::read(scratch.at("added")).unwrap(), b"gone", "it was known to be absent");
    assert_eq!(number(fs::metadata(scratch.at("gone"))), libc::ENOENT);
    assert!(fs::read(scratch.at("changed")).unwrap() == new);
    let after = ["changed", "same"].map(|name| fs::metadata(scratch.at(name)).unwrap());

    assert_ne!(before[0].ino(), after[0].ino(), "two versions are two files");
    assert_eq!(before[1].ino(), after[1].ino(), "what did not change is the same");
    let mut rest = vec![0; old.len()];
    held.read_exact_at(&mut rest, 0).unwrap();
    assert!(rest == old, "an open file stays in its version");
    assert_eq!(held.metadata().unwrap().ino(), before[0].ino());
    let mut text = String::new();
    (&removed).read_to_string(&mut text).unwrap();
    assert_eq!(text, "gone");
}

#[test]
fn a_directory_that_is_replaced_stays_for_who_stands_in_it() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let (old, new) = (builder.file(&b"old"[..]), builder.file(&b"new"[..]));
    let deep = builder.directory([("file", old)]);
    let inner = builder.directory([("deep", deep), ("only-old", old)]);
    let one = builder.directory([("inner", inner)]);
    let deep = builder.directory([("file", new)]);
    let inner = builder.directory([("deep", deep), ("only-new", new)]);
    let two = builder.directory([("inner", inner)]);
    let scratch = live(builder, one);

    // Stands in the old directory over the switch, and says what it sees there and above.
    let script = "read go; ls; cat deep/file; echo; cd ..; cat inner/deep/file";
    let mut standing = Command::new("sh")
        .args(["-c", script])
        .current_dir(scratch.at("inner"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let held = File::open(scratch.at("inner")).unwrap();
    assert_eq!(names(&scratch.at("inner")), ["deep", "only-old"]);
    switch(&scratch, two);
    drop(standing.stdin.take());
    let said = standing.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "deep\nonly-old\nold\nnew");
    assert_eq!(names(&scratch.at("inner")), ["deep", "only-new"]);
    assert_eq!(fs::read(scratch.at("inner/deep/file")).unwrap(), b"new");
    assert_eq!(text_at(held.as_fd(), "only-old"), "old");
    assert!(openat(&held, "only-new", OFlags::RDONLY, Mode::empty()).is_err());
}

#[test]
fn a_map_of_a_file_stays_what_it_was() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let sleep = fs::read("/bin/sleep").unwrap();
    let program = builder.file_with(sleep, 0o755, (0, 0));
    let other = builder.file_with(&b"#!/bin/sh\nexit 7\n"[..], 0o755, (0, 0));
    let one = builder.directory([("program", program)]);
    let two = builder.directory([("program", other)]);
    let scratch = live(builder, one);
    // The kernel maps a program into memory and reads its pages as they are touched.
    let mut running = Command::new(scratch.at("program")).arg("1").spawn().unwrap();
    switch(&scratch, two);
    assert_eq!(Command::new(scratch.at("program")).status().unwrap().code(), Some(7));
    assert!(running.wait().unwrap().success());
}

#[test]
fn a_stream_that_was_begun_ends_in_its_version() {
    if !usable() {
        return;
    }
    // Several replies of the kernel's.
    let listed = |version: char| (0..2000).map(move |at| format!("{version}-{at:04}-{:0100}", 0));
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let one = builder.directory(listed('a').map(|name| (name, file)));
    let two = builder.directory(listed('b').map(|name| (name, file)));
    let scratch = live(builder, one);
    let root = open(scratch.path());
    let mut stream = Dir::new(root).unwrap();
    let mut first: Vec<String> = stream.by_ref().take(500).map(name_of).collect();
    switch(&scratch, two);
    first.extend(stream.by_ref().map(name_of));
    first.retain(|name| !name.starts_with('.'));
    assert!(first.iter().eq(listed('a').collect::<Vec<_>>().iter()), "{} names", first.len());
    // The old stream went on over the switch: what it showed last must not be found.
    assert_eq!(number(fs::metadata(scratch.at(&first[1999]))), libc::ENOENT);
    stream.rewind();
    let again: Vec<String> = stream.map(name_of).filter(|name| !name.starts_with('.')).collect();
    assert!(again.iter().eq(listed('b').collect::<Vec<_>>().iter()), "{} names", again.len());
}

#[test]
fn a_root_may_change_its_kind() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"alone"[..]);
    let directory = builder.directory([("file", file)]);
    let scratch = live(builder, directory);
    assert_eq!(names(scratch.path()), ["file"]);
    switch(&scratch, file);
    assert_eq!(names(scratch.path()), [file.to_string()]);
    assert_eq!(fs::read(scratch.at(&file.to_string())).unwrap(), b"alone");
    assert_eq!(number(fs::metadata(scratch.at("file"))), libc::ENOENT);
    switch(&scratch, directory);
    assert_eq!(fs::read(scratch.at("file")).unwrap(), b"alone");
    assert_eq!(number(fs::metadata(scratch.at(&file.to_string()))), libc::ENOENT);
}

#[test]
fn a_root_that_cannot_be_had_is_refused_and_a_mount_that_ended_says_so() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let one = builder.directory([("file", file)]);
    let two = builder.directory([("other", file)]);
    let scratch = live(builder, one);
    let root = scratch.mounted.root_switch().unwrap();
    scratch.tree.behave(two, Behaviour::Fail(TreeError::TimedOut));
    assert_eq!(root.switch(two), Err(SwitchError::Tree(TreeError::TimedOut)));
    assert_eq!(names(scratch.path()), ["file"]);
    assert_eq!(root.switch(one), Ok(false));
    scratch.tree.heal(&two);
    drop(scratch);
    // Its server ends a moment after it left the mount table.
    let began = Instant::now();
    while let Ok(_until_then) = root.switch(two) {
        assert!(began.elapsed() < Duration::from_secs(20));
        thread::yield_now();
    }
    assert_eq!(root.switch(one), Err(SwitchError::Ended));
    let mut builder = MemoryTreeBuilder::new();
    let fixed = builder.directory([] as [(&str, Cid); 0]);
    assert!(Scratch::new(builder.finish(fixed)).mounted.root_switch().is_none());
}

#[test]
fn a_switch_does_not_wait_for_what_hangs_and_nothing_waits_for_the_switch() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let (bad, good) = (builder.file(&b"bad"[..]), builder.file(&b"good"[..]));
    builder.hide_attributes(true);
    let one = builder.directory([("bad", bad), ("file", bad)]);
    builder.hide_attributes(false);
    let two = builder.directory([("file", good)]);
    let scratch = live(builder, one);
    scratch.tree.behave(bad, Behaviour::Hang);
    let asked = scratch.tree.calls().attributes.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let hung = scope.spawn(|| fs::metadata(scratch.at("bad")));
        while scratch.tree.calls().attributes.load(Ordering::Relaxed) == asked {
            thread::yield_now();
        }
        let began = Instant::now();
        switch(&scratch, two);
        assert_eq!(fs::read(scratch.at("file")).unwrap(), b"good");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "took {took:?}");
        assert!(!hung.is_finished());
        scratch.tree.release();
        assert_eq!(number(hung.join().unwrap()), libc::ENOENT, "it is not in the new version");
    });
}

#[test]
fn readers_see_whole_versions_only() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let versions: Vec<Cid> = (0..=SWITCHES).map(|number| version(&mut builder, number)).collect();
    let scratch = live(builder, versions[0]);
    let (done, shown, seen) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    read_version(&scratch, &shown);
                    seen.fetch_add(1, Ordering::Release);
                }
            });
        }
        let root = scratch.mounted.root_switch().unwrap();
        for (number, cid) in (0..).zip(&versions).skip(1) {
            // Some readings begin in each version.
            let read = seen.load(Ordering::Acquire);
            while seen.load(Ordering::Acquire) < read + 2 {
                thread::yield_now();
            }
            let (here, next) = (scratch.at(&only_in(number - 1)), scratch.at(&only_in(number)));
            assert!(here.exists() && !next.exists());
            assert_eq!(root.switch(*cid), Ok(true));
            shown.store(number, Ordering::Release);
            assert!(!here.exists() && next.exists());
            let text = fs::read_to_string(scratch.at("top")).unwrap();
            assert_eq!(text, number.to_string(), "it was switched before it was opened");
        }
        done.store(true, Ordering::Release);
    });
    assert!(seen.load(Ordering::Relaxed) >= 2 * SWITCHES);
}

/// A version that says its number at the top and twice in a directory.
fn version(builder: &mut MemoryTreeBuilder, number: u64) -> Cid {
    let mut told = || builder.file(number.to_string().into_bytes());
    let (one, two, top) = (told(), told(), told());
    let inner = builder.directory([("one", one), ("two", two)]);
    let names = [("inner".to_owned(), inner), ("top".to_owned(), top), (only_in(number), top)];
    builder.directory(names)
}

/// A name that no other version has.
fn only_in(number: u64) -> String {
    format!("only-{number}")
}

/// Reads both numbers through one open directory: they are of one version, which is not older than
/// what was shown before.
#[track_caller]
fn read_version(scratch: &Scratch, shown: &AtomicU64) {
    let at_least = shown.load(Ordering::Acquire);
    let inner = open(&scratch.at("inner"));
    let one = text_at(inner.as_fd(), "one");
    thread::yield_now();
    let two = text_at(inner.as_fd(), "two");
    assert_eq!(one, two, "half of two versions");
    assert!(one.parse::<u64>().unwrap() >= at_least, "{one} after {at_least} was shown");
}

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

fn text_at(directory: BorrowedFd<'_>, name: impl AsRef<OsStr>) -> String {
    let opened = openat(directory, name.as_ref(), OFlags::RDONLY, Mode::empty()).unwrap();
    let mut text = String::new();
    File::from(opened).read_to_string(&mut text).unwrap();
    text
}

fn name_of(entry: rustix::io::Result<rustix::fs::DirEntry>) -> String {
    entry.unwrap().file_name().to_str().unwrap().to_owned()
}
