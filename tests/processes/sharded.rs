//! Directories of thousands of entries, which are sharded: added, listed, fetched, pinned, mounted,
//! compared. One of a million entries is for `scripts/` and its figures are in `ARCHITECTURE.md`.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::harness::{Lab, Snapshot, mounted::Mounted, require, tree};

/// Entries of a directory that must be sharded: 6,000 names of 60 bytes are more than 256 KiB.
const ENTRIES: usize = 6_000;

fn name(number: usize) -> String {
    format!("{number:060}")
}

/// A directory with so many files, each with its number in it, and a directory with things in it.
fn large(dir: &Path) {
    fs::create_dir_all(dir.join("below")).unwrap();
    for number in 0..ENTRIES {
        fs::write(dir.join(name(number)), number.to_string()).unwrap();
    }
    tree::odd_things(&dir.join("below"));
}

#[test]
fn a_sharded_directory_is_the_same_everywhere() {
    let lab = Lab::new();
    let source = lab.path("source");
    large(&source);
    let a = lab.store("a");
    let cid = a.add(&source);
    let root = a.run(&[&"stat", &"--json", &cid]).ok().outcome();
    assert_eq!((&root["links"], &root["sharded"]), (&256.into(), &true.into()), "{root}");
    let peer = a.seed();

    // Nothing of it is here: one name costs some shards, a listing all of them, and no file.
    let c = lab.store("c").told(peer.address());
    let path = |number: usize| format!("{cid}/{}", name(number));
    assert_eq!(c.run(&[&"cat", &path(4_321)]).ok().stdout, b"4321");
    let missing = c.run(&[&"cat", &path(ENTRIES)]).exits(4);
    drop(missing.says("has no entry"));
    let listed: BTreeSet<String> = c.run(&[&"ls", &cid]).ok().lines().into_iter().collect();
    assert_eq!(listed.len(), ENTRIES + 1);
    assert!(listed.iter().any(|line| line.ends_with(&format!(" 4 {}", name(4_321)))));
    // What it is would have to be fetched.
    assert!(listed.iter().any(|line| line.ends_with(" - below")));

    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    assert_eq!(c.add(&out), cid, "what arrived adds to another CID");
}

#[test]
fn a_pinned_sharded_directory_is_whole_without_its_source() {
    let lab = Lab::new();
    let source = lab.path("source");
    large(&source);
    let a = lab.store("a");
    let cid = a.add(&source);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());
    drop(c.run(&[&"pin", &"add", &cid]).ok());
    drop(peer.stop());
    let second = c.seed();
    let (d, out) = (lab.store("d").told(second.address()), lab.path("out"));
    drop(d.run(&[&"get", &cid, &"-o", &out]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
}

#[test]
fn a_name_in_a_mounted_sharded_directory_is_found_without_listing_it() {
    if !require::fuse() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    large(&source);
    let a = lab.store("a");
    let cid = a.add(&source);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address()).seed();
    let mounted = Mounted::new(c.store(), &cid, lab.path("mounted"));
    assert_eq!(fs::read(mounted.path(&name(1_234))).unwrap(), b"1234");
    let missing = fs::metadata(mounted.path(&name(ENTRIES))).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    let few = c.store().disk_bytes();
    Snapshot::of(&source).assert_same(&Snapshot::of(mounted.dir()));
    let all = c.store().disk_bytes();
    assert!(few < all / 4, "{few} bytes for one name, {all} for all");
    assert_eq!(mounted.umount().code(), Some(0));
    drop(c.stop());
}

#[test]
fn versions_of_a_sharded_directory_differ_in_what_was_changed() {
    let lab = Lab::new();
    let source = lab.path("source");
    large(&source);
    let a = lab.store("a");
    let before = a.add(&source);
    fs::write(source.join(name(7)), "other").unwrap();
    fs::remove_file(source.join(name(8))).unwrap();
    fs::write(source.join("new"), "new").unwrap();
    let after = a.add(&source);
    let lines = a.run(&[&"diff", &"--json", &before, &after]).ok().lines();
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut told: Vec<(String, String)> = lines
        .iter()
        .filter_map(|line| Some((line["path"].as_str()?.into(), line["change"].as_str()?.into())))
        .collect();
    told.sort();
    let expected = [(name(7), "changed"), (name(8), "removed"), ("new".to_owned(), "added")];
    assert_eq!(told, expected.map(|(path, change)| (path, change.to_owned())), "{lines:?}");
    // From one block to shards, and back.
    let small = lab.path("small");
    fs::create_dir(&small).unwrap();
    fs::write(small.join(name(9)), "9").unwrap();
    let small = a.add(&small);
    for (from, to) in [(&small, &after), (&after, &small)] {
        let lines = a.run(&[&"diff", from, to]).ok().lines();
        assert!(lines.len() >= ENTRIES, "{} lines", lines.len());
        assert!(!lines.iter().any(|line| line.contains(&name(9))), "it is the same in both");
    }
}
