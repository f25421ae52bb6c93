//! Listing directories: offsets, sizes, and entries whose attributes are not here.
//!
//! Directories are read as the kernel does, reply by reply, with room for any number of lines.
//! Counts what the tree is asked as well as what is shown.

use super::*;
use crate::inode::ROOT;

/// What a listing shows of one entry: name, inode, kind, and whether the kernel may keep it.
type Line = (Vec<u8>, u64, Kind, bool);

/// Reads a whole directory in replies of `room` lines, as the kernel does.
#[track_caller]
fn read_all(fs: &Fs, ino: u64, room: usize, counted: bool) -> Vec<Line> {
    let (handle, _) = fs.open_directory(ino).unwrap();
    let (mut lines, mut offset) = (Vec::new(), 0);
    loop {
        fs.learn_window(ino, handle, offset).unwrap();
        let before = lines.len();
        let mut left = room;
        fs.list(ino, handle, offset, counted, |line| {
            if left == 0 {
                return true;
            }
            left -= 1;
            offset = line.next;
            lines.push((
                line.name.to_vec(),
                line.stat.ino,
                line.stat.kind,
                line.keep == Keep::Lasting,
            ));
            false
        })
        .unwrap();
        if lines.len() == before {
            fs.release_directory(handle);
            return lines;
        }
    }
}

fn wide(count: usize, hidden: bool) -> (Fs, Arc<MemoryTree>) {
    let mut builder = MemoryTreeBuilder::new();
    let files: Vec<_> = (0..count)
        .map(|number| (format!("{number:06}"), builder.file(number.to_string().into_bytes())))
        .collect();
    let root = builder.hide_attributes(hidden).directory(files);
    fs_of(builder, root)
}

#[test]
fn every_entry_comes_once_whatever_the_replies_hold() {
    let (fs, _tree) = wide(10, false);
    for room in 1..13 {
        let lines = read_all(&fs, ROOT, room, false);
        let names: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(&line.0)).collect();
        assert_eq!(names[..3], [".", "..", "000000"], "room for {room}");
        assert_eq!((names.len(), &*names[11]), (12, "000009"));
    }
}

#[test]
fn a_big_directory_is_listed_with_one_request_to_the_tree() {
    let (fs, tree) = wide(20_000, false);
    let lines = read_all(&fs, ROOT, 150, true);
    assert_eq!(lines.len(), 20_002);
    assert_eq!(tree.calls().directory.load(Ordering::Relaxed), 1);
    assert_eq!(tree.calls().attributes.load(Ordering::Relaxed), 1, "of the root");
    assert_eq!(fs.inode_count(), 20_001);
    for (_, ino, ..) in &lines[2..] {
        fs.forget(*ino, 1);
    }
    assert_eq!(fs.inode_count(), 1, "what did not fit a reply was not counted");
}

#[test]
fn numbers_are_the_same_listed_and_looked_up() {
    let (fs, _tree) = wide(10, false);
    let plain = read_all(&fs, ROOT, 99, false);
    let counted = read_all(&fs, ROOT, 99, true);
    assert_eq!(plain, counted);
    for (name, ino, ..) in &plain[2..] {
        assert_eq!(find(&fs, ROOT, name).ino, *ino);
    }
}

#[test]
fn dots_show_the_directory_and_its_parent() {
    let mut builder = MemoryTreeBuilder::new();
    let inner = builder.directory([] as [(&str, Cid); 0]);
    let root = builder.directory([("inner", inner)]);
    let (fs, _tree) = fs_of(builder, root);
    let ino = find(&fs, ROOT, b"inner").ino;
    let lines = read_all(&fs, ino, 99, true);
    let numbers: Vec<_> = lines.iter().map(|line| line.1).collect();
    assert_eq!(numbers, [ino, ROOT]);
    assert_eq!(read_all(&fs, ROOT, 1, true)[1].1, ROOT);
}

#[test]
fn what_a_directory_does_not_tell_is_asked_in_windows_and_kept() {
    let (fs, tree) = wide(600, true);
    let (handle, lasting) = fs.open_directory(ROOT).unwrap();
    assert!(!lasting, "the kernel must not cache what is not known");
    assert!(!fs.is_window_known(handle, 0));
    fs.learn_window(ROOT, handle, 0).unwrap();
    assert!(fs.is_window_known(handle, 0));
    let asked = tree.calls().attributes.load(Ordering::Relaxed) - 1;
    assert_eq!(asked, crate::tree::ATTRIBUTES_OF_MAX as u64);

    assert!(read_all(&fs, ROOT, 100, true).iter().all(|line| line.3));
    let asked = tree.calls().attributes.load(Ordering::Relaxed) - 1;
    assert_eq!(asked, 600, "each was asked once");
    assert!(fs.open_directory(ROOT).unwrap().1, "now everything is known");
    assert_eq!(fs.known_lookup(ROOT, b"000599").unwrap().map(|_| ()), Ok(()));
}

#[test]
fn an_entry_that_cannot_be_had_is_listed_as_a_directory_nobody_may_enter() {
    let mut builder = MemoryTreeBuilder::new();
    let (good, bad) = (builder.file(&b"x"[..]), builder.file(&b"y"[..]));
    let root = builder.hide_attributes(true).directory([("bad", bad), ("good", good)]);
    let (fs, tree) = fs_of(builder, root);
    tree.behave(bad, Behaviour::Fail(TreeError::TimedOut));
    let lines = read_all(&fs, ROOT, 99, true);
    assert_eq!((lines[2].2, lines[2].3), (Kind::Directory, false));
    assert_eq!((lines[3].2, lines[3].3), (Kind::File, true));
    assert_eq!(fs.known_stat(lines[2].1), None, "a stat asks again");
    assert_eq!(fs.stat(lines[2].1), Err(FsError::Tree(TreeError::TimedOut)));
    tree.heal(&bad);
    assert_eq!(fs.stat(lines[2].1).unwrap().kind, Kind::File);
    assert!(read_all(&fs, ROOT, 99, true)[2].3);
}

#[test]
fn only_directories_are_opened_as_such() {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let root = builder.directory([("file", file)]);
    let (fs, _tree) = fs_of(builder, root);
    let ino = find(&fs, ROOT, b"file").ino;
    let refused = FsError::Tree(TreeError::NotDirectory);
    assert_eq!(fs.open_directory(ino), Err(refused));
    assert_eq!(fs.open_directory(77), Err(FsError::Stale));
    assert_eq!(fs.list(ROOT, 77, 0, false, |_| true), Err(FsError::Stale));
}
