//! Single bits that flip anywhere in a store: right answers or errors that name the damage, and after a
//! rebuild the answers of before.
//!
//! `SHOAL_FLIPS` says how many bits are tried and `SHOAL_FLIP_SEED` which; each is flipped in a store of
//! its own copy, so that no damage hides another.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use shoal_store::{OpenError, ReadError, Store};

use crate::answers::{Answers, Filled};
use crate::fixture::files_in;

/// Enough to meet every kind of file a few times.
const FLIPS: u64 = 200;

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Met {
    /// All answers were right.
    unnoticed: u64,
    /// The store named the damage when it was opened.
    refused: u64,
    /// An answer named it.
    named: u64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 20
}

/// The files that may be damaged. Which of them is drawn first, so that small ones are met too; the user's
/// own files are his.
fn targets(store: &Path) -> Vec<PathBuf> {
    let mut files = vec![store.join("index.redb")];
    for dir in ["runs", "journal", "packs", "blobs", "partial"] {
        files.extend(files_in(&store.join(dir)));
    }
    files.sort();
    files
}

#[test]
fn no_flipped_bit_leaves_as_an_answer_and_a_rebuild_brings_all_answers_back() {
    let (count, mut state) = (number("SHOAL_FLIPS", FLIPS), number("SHOAL_FLIP_SEED", 1));
    let mut met: BTreeMap<String, Met> = BTreeMap::new();
    for level0_rows in [8, 16 * 1024] {
        let filled = Filled::new(level0_rows);
        let before = filled.answers(&filled.open());
        let good = Copy::of(&filled.place.path());
        for _ in 0..count / 2 {
            let files = targets(&filled.place.path());
            let file = &files[next(&mut state) as usize % files.len()];
            let Ok(len @ 1..) = fs::metadata(file).map(|file| file.len()) else { continue };
            let (at, bit) = (next(&mut state) % len, next(&mut state) % 8);
            let what = format!("bit {bit} of byte {at} of {}", file.display());
            flip(file, at, bit);
            let kind = file.strip_prefix(filled.place.path()).unwrap().components().next().unwrap();
            let kind = kind.as_os_str().to_string_lossy().into_owned();
            look(&filled, &before, &what, met.entry(kind).or_default());
            mend(&filled, &before, &what);
            good.restore(&filled.place.path());
        }
    }
    println!("flipped: {met:?}");
    let index = &met["index.redb"];
    assert!(index.refused + index.named > 0, "{met:?}");
    for kind in ["runs", "packs", "blobs"] {
        assert!(met[kind].named + met[kind].refused > 0, "{met:?}");
    }
    assert_eq!(met["journal"].named + met["journal"].refused, 0, "it is not read: {met:?}");
}

/// Asks a damaged store everything.
fn look(filled: &Filled, before: &Answers, what: &str, met: &mut Met) {
    let store = match Store::open(&filled.place.path(), filled.options()) {
        Ok(store) => store,
        Err(OpenError::Damaged { .. }) => {
            met.refused += 1;
            return;
        }
        Err(other) => panic!("{what}: {other:?}"),
    };
    let mut is_named = false;
    for (cid, data) in &filled.blocks {
        let (was_here, was_public) = before.blocks[cid];
        match store.get(cid) {
            Ok(found) => {
                assert!(found.as_ref().is_none_or(|found| found == data), "{what}: {cid}");
                // A leaf of a fetch under way is as good as its presence record.
                let may_be_gone = filled.partial.contains(cid);
                assert!(found.is_some() == was_here || may_be_gone, "{what}: {cid} is gone");
            }
            Err(
                ReadError::Corrupt { .. } | ReadError::Index { .. } | ReadError::Changed { .. },
            ) => {
                is_named = true;
            }
            Err(other) => panic!("{what}: {other:?}"),
        }
        match store.get_public(cid) {
            Ok(Some(_)) => assert!(was_public, "{what}: {cid} is private"),
            Ok(None) => {}
            Err(_) => is_named = true,
        }
    }
    match (store.pins(None, 1000), store.records("seeds", &[], 1000)) {
        (Ok(pins), Ok(records)) => before.assert_tables(&pins, &records, what),
        _ => is_named = true,
    }
    for root in &filled.roots {
        is_named |= store.whole_file(root).is_err();
    }
    if what.contains("/runs/") || what.contains("/journal/") {
        let faults = store.check_index().unwrap();
        assert!(faults.len() == 1 && what.ends_with(&*faults[0].path.to_string_lossy()), "{what}");
    }
    if is_named { met.named += 1 } else { met.unnoticed += 1 }
}

/// Makes the index again: what is not damaged itself answers as before.
fn mend(filled: &Filled, before: &Answers, what: &str) {
    let report = Store::rebuild(&filled.place.path(), &filled.options(), &mut |_| ());
    let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
    let store = filled.open();
    for (cid, data) in &filled.blocks {
        let (was_here, was_public) = before.blocks[cid];
        let is_public = store.is_public(cid);
        assert!(was_public || !is_public, "{what}: {cid} was private, {report:?}");
        match store.get(cid) {
            Ok(Some(found)) => assert_eq!(&found, data, "{what}"),
            Ok(None) => {
                let may_be_gone = !was_here || filled.partial.contains(cid) || is_data(what);
                assert!(may_be_gone, "{what}: {cid} is gone, {report:?}");
            }
            Err(ReadError::Corrupt { .. }) if is_data(what) => {}
            Err(other) => panic!("{what}: {cid}: {other:?}, {report:?}"),
        }
    }
    let (pins, records) = (store.pins(None, 1000), store.records("seeds", &[], 1000));
    before.assert_tables(&pins.unwrap(), &records.unwrap(), what);
    if !is_data(what) && !what.contains("/partial/") {
        before.assert_wholes(&filled.answers(&store), what);
    }
}

/// Is the damage in blocks themselves, so that one of them is lost?
fn is_data(what: &str) -> bool {
    what.contains("/packs/") || what.contains("/blobs/")
}

fn flip(path: &Path, at: u64, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

/// The bytes of a store when it was well.
struct Copy {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Copy {
    fn of(store: &Path) -> Self {
        let files = files_in(store).into_iter();
        Self { files: files.map(|path| (path.clone(), fs::read(path).unwrap())).collect() }
    }

    /// Puts back what changed.
    fn restore(&self, store: &Path) {
        for path in files_in(store) {
            if !self.files.contains_key(&path) {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &self.files {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::write(path, bytes).unwrap();
            }
        }
    }
}
