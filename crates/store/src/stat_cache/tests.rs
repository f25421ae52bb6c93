//! The cache on a real disk: what it finds again, and what damage of every kind makes of it.
//!
//! Which files may be remembered is tested with `trust`, and whole adds with the node.

use std::fs;
use std::path::PathBuf;

use shoal_dag::Version;
use shoal_dag::hash::{RAW, cid_of};
use tempfile::TempDir;

use super::*;
use crate::store::Options;

const DIR: &str = "/a/directory";

struct Lab {
    dir: TempDir,
    store: Option<Store>,
}

impl Lab {
    fn new() -> Self {
        let mut lab = Self { dir: TempDir::new().unwrap(), store: None };
        lab.reopen();
        lab
    }

    fn reopen(&mut self) {
        self.store = None;
        let path = self.dir.path().join("store");
        self.store = Some(Store::open(&path, Options::default()).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("store/stat.redb")
    }

    fn memory(&self) -> Memory {
        self.store().memory(b"options", Path::new(DIR), true, true)
    }

    /// Notes these files and writes them down.
    fn remember(&self, files: &[u32]) {
        let mut memory = self.memory();
        for number in files {
            memory.note(&name(*number), print(*number), &remembered(*number));
        }
        let note = memory.finish(self.store().generation());
        self.store().remember(note.into_iter().collect());
    }

    /// Which of these files are found.
    fn found(&self, files: &[u32]) -> Vec<u32> {
        let mut memory = self.memory();
        let found = |number: &u32| {
            let found = memory.find(&name(*number), print(*number));
            found.map(|found| assert_eq!(found, remembered(*number))).is_some()
        };
        files.iter().copied().filter(found).collect()
    }
}

fn name(number: u32) -> Vec<u8> {
    // Not UTF-8, and of many lengths.
    let mut name = format!("{number}").into_bytes();
    name.resize(1 + number as usize % 255, 0xFF);
    name
}

fn print(number: u32) -> StatPrint {
    StatPrint([number as u8; 16])
}

fn remembered(number: u32) -> Remembered {
    let cid = cid_of(HashKind::Blake3, RAW, Version::V1, &number.to_le_bytes());
    Remembered { cid, dag_size: u64::from(number) << 30 }
}

#[test]
fn rows_are_found_in_any_order_and_after_a_restart() {
    let mut lab = Lab::new();
    let files: Vec<u32> = (1..600).collect();
    assert!(lab.found(&files).is_empty());
    assert!(!lab.file().exists(), "looking made a file");
    lab.remember(&files);
    assert_eq!(lab.found(&files), files);
    lab.reopen();
    let backwards: Vec<u32> = files.iter().rev().copied().collect();
    assert_eq!(lab.found(&backwards), backwards);
    // With new names between.
    let mixed: Vec<u32> = (1..1200).map(|number| number * 7 % 1200).collect();
    let there = mixed.iter().copied().filter(|number| files.contains(number));
    assert_eq!(lab.found(&mixed), there.collect::<Vec<_>>());
}

#[test]
fn another_print_name_path_or_option_is_another_file() {
    let lab = Lab::new();
    lab.remember(&[1]);
    let store = lab.store();
    assert_eq!(lab.memory().find(&name(1), print(2)), None);
    assert_eq!(lab.memory().find(b"other", print(1)), None);
    for (options, path, is_dir) in
        [(b"optionX", DIR, true), (b"options", "/a/directory/", true), (b"options", DIR, false)]
    {
        let mut memory = store.memory(options, Path::new(path), is_dir, true);
        assert_eq!(memory.find(&name(1), print(1)), None, "{path} {is_dir}");
    }
    let mut unwanted = store.memory(b"options", Path::new(DIR), true, false);
    assert_eq!(unwanted.find(&name(1), print(1)), None);
}

#[test]
fn only_what_changed_is_written() {
    let lab = Lab::new();
    lab.remember(&[1, 2]);
    let generation = lab.store().generation();
    let again = |files: &[u32]| {
        let mut memory = lab.memory();
        for file in files {
            memory.note(&name(*file), print(*file), &remembered(*file));
        }
        memory.finish(generation)
    };
    assert!(again(&[1, 2]).is_none());
    assert!(again(&[1, 2, 3]).is_some() && again(&[1]).is_some());
    // Nothing may be remembered any more.
    let gone = again(&[]).expect("the record goes");
    lab.store().remember(vec![gone]);
    assert!(lab.found(&[1, 2]).is_empty());
    assert!(again(&[]).is_none());
}

#[test]
fn a_record_does_not_grow_without_bound() {
    let lab = Lab::new();
    let mut memory = lab.memory();
    for number in 0..400_000_u32 {
        memory.note(&number.to_be_bytes(), print(number), &remembered(1));
    }
    assert!(memory.bytes() < 40 * 1024 * 1024, "{}", memory.bytes());
    let note = memory.finish(0).expect("a record");
    lab.store().remember(vec![note]);
    assert!(lab.memory().find(&0_u32.to_be_bytes(), print(0)).is_some());
}

#[test]
fn damage_costs_what_was_remembered_and_nothing_else() {
    let mut lab = Lab::new();
    let files: Vec<u32> = (1..50).collect();
    lab.remember(&files);
    lab.store = None;
    let good = fs::read(lab.file()).unwrap();
    let (mut lost, mut kept) = (0, 0);
    // Every 4,099th byte, so that all kinds of pages and all places in them are met.
    for at in (0..good.len()).step_by(4099).chain([0, 9, 64, 100, good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(lab.file(), &bad).unwrap();
        lab.reopen();
        // `found` checks every answer.
        match lab.found(&files).len() {
            0 => lost += 1,
            _ => kept += 1,
        }
        lab.remember(&files);
        assert_eq!(lab.found(&files), files, "byte {at}: not written again");
        lab.store = None;
    }
    assert!(lost > 0 && kept > 0, "{lost} lost, {kept} kept");
}

#[test]
fn a_file_that_is_cut_garbage_or_gone_is_begun_anew() {
    let mut lab = Lab::new();
    lab.remember(&[1]);
    lab.store = None;
    let good = fs::read(lab.file()).unwrap();
    let garbage = vec![0x5A; good.len()];
    for bytes in [&[][..], &good[..4096], &good[..good.len() / 2], &garbage[..]] {
        fs::write(lab.file(), bytes).unwrap();
        lab.reopen();
        assert!(lab.found(&[1]).is_empty(), "{} bytes", bytes.len());
        lab.remember(&[1]);
        lab.reopen();
        assert_eq!(lab.found(&[1]), [1], "{} bytes", bytes.len());
        lab.store = None;
    }
    fs::remove_file(lab.file()).unwrap();
    fs::create_dir(lab.file()).unwrap();
    lab.reopen();
    assert!(lab.found(&[1]).is_empty());
    lab.remember(&[1]);
    assert!(lab.found(&[1]).is_empty(), "a directory cannot hold it, and nothing else is hurt");
}

#[test]
fn a_record_under_another_key_is_none() {
    let lab = Lab::new();
    lab.remember(&[1]);
    let store = lab.store();
    let here = key(b"options", OsStr::new(DIR), true);
    let value = store.shared.stats.get(&here).unwrap();
    let elsewhere = key(b"options", OsStr::new("/b"), true);
    store.shared.stats.put(vec![(elsewhere, Some(value))]);
    let mut memory = store.memory(b"options", Path::new("/b"), true, true);
    assert_eq!(memory.find(&name(1), print(1)), None);
}

#[test]
fn the_generation_changes_with_a_loss_and_lasts() {
    let mut lab = Lab::new();
    let before = lab.store().generation();
    assert_eq!(before, 0);
    let cid = remembered(1).cid;
    lab.store().set_public(&[cid], true).unwrap();
    assert_eq!(lab.store().generation(), before, "nothing is lost");
    lab.store().set_public(&[cid], false).unwrap();
    let after = lab.store().generation();
    assert_ne!(after, before);
    lab.reopen();
    assert_eq!(lab.store().generation(), after);
}
