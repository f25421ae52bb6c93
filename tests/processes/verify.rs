//! `verify` as its user meets it: a sound store, flipped bits, an edited file, a damaged index, and mending
//! from a peer. What a check finds in every corner of a store is the store's own test.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::harness::{Lab, Run, Snapshot, Store, tree};

/// Flips one bit.
fn flip(path: &Path, byte: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut old = [0];
    file.read_exact_at(&mut old, byte).unwrap();
    file.write_all_at(&[old[0] ^ 8], byte).unwrap();
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_in(&path)) } else { files.push(path) }
    }
    files
}

fn faults(run: &Run) -> Vec<Value> {
    let lines = run.lines();
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["type"] == "fault").collect()
}

/// A tree with a large file, so that blobs and packs have something.
fn added(lab: &Lab, store: &Store) -> (PathBuf, String) {
    let source = lab.path("source");
    fs::create_dir_all(source.join("small")).unwrap();
    tree::small_files(&source.join("small"), 20);
    tree::file(&source.join("large"), 1, 3_000_000);
    let cid = store.add(&source);
    (source, cid)
}

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let lab = Lab::new();
    let store = lab.store("a");
    added(&lab, &store);
    let run = store.run(&[&"verify"]).ok().says("blocks");
    assert_eq!(run.lines(), Vec::<String>::new());
    let outcome = store.run(&[&"verify", &"--json"]).ok().outcome();
    assert_eq!(outcome["faults"], 0);
    assert!(outcome["bytes"].as_u64().unwrap() >= 3_000_000, "{outcome}");
}

#[test]
fn a_flipped_bit_is_served_to_nobody_named_and_mended_from_a_peer() {
    let lab = Lab::new();
    let (a, b) = (lab.store("a"), lab.store("b"));
    let (source, cid) = added(&lab, &a);
    let peer = a.seed();
    let b = b.told(peer.address());
    drop(b.run(&[&"get", &cid, &"-o", &lab.path("first"), &"--keep"]).ok());
    let [blob] = &files_in(&lab.path("b/blobs"))[..] else { panic!("one blob") };
    flip(blob, 1_234_567);

    let file = format!("{cid}/large");
    drop(b.run(&[&"cat", &file]).exits(6));
    drop(b.run(&[&"get", &file, &"-o", &lab.path("wrong")]).exits(6));
    assert!(!lab.path("wrong").exists());
    let run = b.run(&[&"verify"]).exits(6).says("shoal verify --repair");
    let lines = run.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("corrupt bafk") && line.contains("/blobs/"), "{line}");

    let run = b.run(&[&"verify", &"--repair", &"--json"]).ok();
    let [fault] = &faults(&run)[..] else { panic!("{run}") };
    assert_eq!((&fault["fault"], &fault["mended"]), (&"corrupt".into(), &true.into()));
    drop(b.run(&[&"verify"]).ok());
    peer.kill();
    let out = lab.path("out");
    drop(b.run(&[&"get", &cid, &"-o", &out]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
}

#[test]
fn what_no_peer_has_stays_named_and_goes_to_nobody() {
    let lab = Lab::new();
    let store = lab.store("a");
    let (_, cid) = added(&lab, &store);
    let [blob] = &files_in(&lab.path("a/blobs"))[..] else { panic!("one blob") };
    flip(blob, 2_000_000);
    let run = store.run(&[&"verify", &"--repair", &"--timeout", &"5s"]).exits(6);
    assert!(run.stderr.contains("is not whole"), "{run}");
    let run = store.run(&[&"verify"]).exits(6);
    assert_eq!(run.lines(), [format!("missing {cid}")]);
}

#[test]
fn an_edited_file_that_was_added_by_reference_is_named() {
    let lab = Lab::new();
    let store = lab.store("a");
    let mine = lab.path("mine");
    tree::file(&mine, 3, 1_000_000);
    let cid = store.run(&[&"add", &"--ref", &mine]).cid();
    drop(store.run(&[&"verify"]).ok());
    flip(&mine, 10);
    let run = store.run(&[&"verify"]).exits(6);
    let [line] = &run.lines()[..] else { panic!("{run}") };
    assert!(line.starts_with("changed - ") && line.ends_with("/mine"), "{line}");
    drop(store.run(&[&"cat", &cid]).exits(6));
}

#[test]
fn a_running_peer_is_asked_and_works_on() {
    let lab = Lab::new();
    let store = lab.store("a");
    let (_, cid) = added(&lab, &store);
    let peer = store.seed();
    drop(store.run(&[&"verify"]).ok());
    drop(store.run(&[&"cat", &format!("{cid}/large")]).ok());
    drop(peer.stop().ok());
}

#[test]
fn a_damaged_or_lost_index_is_told_and_made_again_with_its_pins() {
    let lab = Lab::new();
    let store = lab.store("a");
    let (source, cid) = added(&lab, &store);
    let index = lab.path("a/index.redb");
    let pins = store.run(&[&"pin", &"ls"]).ok().lines();
    for damage in 0..3 {
        match damage {
            0 => fs::remove_file(&index).unwrap(),
            1 => fs::write(&index, b"").unwrap(),
            _ => fs::write(&index, vec![7; 100_000]).unwrap(),
        }
        drop(store.run(&[&"ls", &cid]).exits(1).says("shoal verify --rebuild-index"));
        let verb: &str = if damage == 0 { "--rebuild-index" } else { "--repair" };
        drop(store.run(&[&"verify", &verb]).ok().says("the index is made again"));
        assert_eq!(store.run(&[&"pin", &"ls"]).ok().lines(), pins);
    }
    let out = lab.path("out");
    drop(store.run(&[&"get", &cid, &"-o", &out]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
}

#[test]
fn an_index_is_not_made_again_under_a_running_peer() {
    let lab = Lab::new();
    let store = lab.store("a");
    added(&lab, &store);
    let peer = store.seed();
    drop(store.run(&[&"verify", &"--rebuild-index"]).exits(11).says("end that process first"));
    drop(peer.stop().ok());
}

/// A pin of one block was called missing for what lies below it, and `--repair` fetched all of that.
#[test]
fn a_direct_pin_lacks_nothing_while_its_block_is_here() {
    let lab = Lab::new();
    let store = lab.store("a");
    let (_, cid) = added(&lab, &store);
    drop(store.run(&[&"pin", &"rm", &cid]).ok());
    drop(store.run(&[&"pin", &"add", &"--direct", &cid]).ok());
    drop(store.run(&[&"gc"]).ok());
    drop(store.run(&[&"verify"]).ok());
    drop(store.run(&[&"verify", &"--repair"]).ok());
    drop(store.run(&[&"cat", &format!("{cid}/large")]).exits(4));
}
