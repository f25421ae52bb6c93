//! Runs against maps, and runs with a wrong bit.
//!
//! How runs and level 0 work together is tested with the index.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::Disk;
use crate::key::{Digest, Entry, Place, Slot};

type Rows = BTreeMap<Digest, Slot>;

fn digest(n: u64) -> Digest {
    checksum(&n.to_le_bytes())
}

fn slot(n: u64) -> Slot {
    let entry =
        Entry { place: Place::Pack(3), offset: n, len: 9, hash: 0x1e, public: n.is_multiple_of(2) };
    (!n.is_multiple_of(7)).then_some(entry)
}

fn write(path: &Path, number: u32, rows: &Rows) -> Arc<Run> {
    let mut writer = RunWriter::create(&Disk::default(), path, number, rows.len() as u64).unwrap();
    for (digest, slot) in rows {
        writer.push(digest, *slot).unwrap();
    }
    Arc::new(writer.finish().unwrap().into_run(number))
}

/// Asks a run everything that a map knows, and some more.
fn compare(run: &Arc<Run>, rows: &Rows) {
    assert_eq!(run.row.rows, rows.len() as u64);
    let mut scan = Scan::new(run, 0);
    for (rank, (digest, slot)) in rows.iter().enumerate() {
        assert_eq!(run.find(digest).unwrap(), Some((rank as u64, *slot)));
        assert_eq!(run.row_at(rank as u64).unwrap(), Some((*digest, *slot)));
        assert_eq!(scan.next().unwrap(), Some((rank as u64, *digest, *slot)));
    }
    assert_eq!(scan.next().unwrap(), None);
    assert_eq!(run.row_at(rows.len() as u64).unwrap(), None);
    for n in 1 << 40..(1 << 40) + 50 {
        assert_eq!(run.find(&digest(n)).unwrap(), None);
    }
}

#[test]
fn a_run_answers_as_the_map_that_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    for count in [0, 1, 77, 78, 79, 156, 157, 6000] {
        let rows: Rows = (0..count).map(|n| (digest(n), slot(n))).collect();
        let path = dir.path().join(format!("{count}.run"));
        let run = write(&path, 1, &rows);
        compare(&run, &rows);
        let opened = Arc::new(Run::open(1, run.row, &path).unwrap());
        compare(&opened, &rows);
        let mut later = Scan::new(&opened, count / 2);
        let expected = rows.iter().nth(count as usize / 2);
        assert_eq!(later.next().unwrap().map(|row| row.1), expected.map(|row| *row.0));
        let bytes = fs::metadata(&path).unwrap().len();
        assert!(count < 6000 || bytes < 54 * count, "{bytes} bytes for {count} rows");
    }
}

#[test]
fn a_run_of_version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.run");
    let rows: Rows = (0..200).map(|n| (digest(n), slot(n))).collect();
    let row = write(&path, 1, &rows).row;
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes[..3 * PAGE_BYTES].chunks_mut(PAGE_BYTES) {
        let (said, sum) = page.split_at_mut(PAGE_BYTES - 32);
        sum.copy_from_slice(&checksum(said));
    }
    let at = bytes.len() - FOOTER_BYTES;
    let (said, sum) = bytes[at..].split_at_mut(FOOTER_BYTES - 32);
    said[8] = 1;
    sum.copy_from_slice(&checksum(said));
    fs::write(&path, &bytes).unwrap();
    compare(&Arc::new(Run::open(1, row, &path).unwrap()), &rows);
    bytes[5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(is_refused(&path, row, &rows));
}

#[test]
fn digests_that_begin_alike_are_found_over_many_pages() {
    let dir = tempfile::tempdir().unwrap();
    let alike = |n: u64| {
        let mut digest = [9; 32];
        digest[24..].copy_from_slice(&n.to_be_bytes());
        digest
    };
    let mut rows: Rows = (0..500).map(|n| (alike(n), slot(n))).collect();
    rows.extend((0..100).map(|n| (digest(n), slot(n))));
    compare(&write(&dir.path().join("1.run"), 1, &rows), &rows);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merged_runs_answer_as_the_newest(
        parts in prop::collection::vec(prop::collection::btree_map(0u64..400, 0u64..1000, 0..300), 1..5),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = Rows::new();
        let mut runs = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let rows: Rows = part.iter().map(|(key, value)| (digest(*key), slot(*value))).collect();
            expected.extend(rows.clone());
            let path = dir.path().join(format!("{number}.run"));
            runs.insert(0, write(&path, number as u32, &rows));
        }
        let mut merge = Merge::new(&runs).unwrap();
        let mut merged = Rows::new();
        while let Some((digest, slot)) = merge.next().unwrap() {
            prop_assert!(merged.last_key_value().is_none_or(|last| *last.0 < digest));
            merged.insert(digest, slot);
        }
        prop_assert_eq!(&merged, &expected);
        for (digest, slot) in &expected {
            let found = find_newest(&runs, digest).unwrap();
            prop_assert_eq!(found.map(|row| row.2), Some(*slot));
        }
    }
}

/// Opens a run with wrong bytes: right answers or errors that name it. Says whether one was met.
fn is_refused(path: &Path, row: RunRow, rows: &Rows) -> bool {
    let named = |error: IndexError| {
        assert!(error.to_string().contains("1.run"), "{error}");
        true
    };
    let run = match Run::open(1, row, path) {
        Ok(run) => Arc::new(run),
        Err(error) => return named(error),
    };
    let mut is_refused = false;
    for (digest, slot) in rows {
        match run.find(digest) {
            Ok(found) => assert_eq!(found.map(|row| row.1), Some(*slot)),
            Err(error) => is_refused = named(error),
        }
    }
    let mut scan = Scan::new(&run, 0);
    loop {
        match scan.next() {
            Ok(Some((_, digest, slot))) => assert_eq!(rows.get(&digest), Some(&slot)),
            Ok(None) => return is_refused,
            Err(error) => return named(error),
        }
    }
}

#[test]
fn a_wrong_bit_anywhere_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.run");
    let rows: Rows = (0..200).map(|n| (digest(n), slot(n))).collect();
    let row = write(&path, 1, &rows).row;
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(31).chain(good.len() - 136..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, bad).unwrap();
        assert!(is_refused(&path, row, &rows), "byte {at}");
    }
    for len in (0..good.len()).step_by(997) {
        fs::write(&path, &good[..len]).unwrap();
        assert!(is_refused(&path, row, &rows), "cut to {len}");
    }
    fs::remove_file(&path).unwrap();
    assert!(is_refused(&path, row, &rows));
}

#[test]
fn a_run_that_was_given_up_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("1.run");
    let mut writer = RunWriter::create(&Disk::default(), &path, 1, 5).unwrap();
    writer.push(&digest(1), slot(1)).unwrap();
    drop(writer);
    assert!(!path.exists());
}

#[test]
fn the_index_row_of_a_run_survives_its_bytes() {
    let row = RunRow { age: 7, rows: 1 << 40, gone: 3, bytes: u64::MAX };
    assert_eq!(RunRow::from_bytes(&row.to_bytes()), row);
}
