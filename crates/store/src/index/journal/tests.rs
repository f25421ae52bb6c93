//! What a journal gives back after damage, torn ends and commits that failed.
//!
//! That redb and the journal say the same is tested where stores are rebuilt.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::*;
use crate::disk::Disk;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn frames(rows: &[(u32, Option<usize>)]) -> Frames {
    let mut frames = Frames::default();
    for (key, len) in rows {
        let value = len.map(|len| vec![*key as u8; len]);
        let (kind, key) = (Kind::Records, key.to_be_bytes());
        frames.push(&Change { kind, key: &key, value: value.as_deref() });
    }
    frames
}

fn read_rows(path: &Path) -> (Rows, Damage) {
    let mut rows = Rows::new();
    let damage = read(path, |changes| {
        for change in changes {
            assert_eq!(change.kind, Kind::Records);
            match change.value {
                Some(value) => drop(rows.insert(change.key.to_vec(), value.to_vec())),
                None => drop(rows.remove(change.key)),
            }
        }
        Ok::<_, io::Error>(())
    });
    (rows, damage.unwrap())
}

fn keys(rows: &Rows) -> Vec<u32> {
    rows.keys().map(|key| u32::from_be_bytes(key[..].try_into().unwrap())).collect()
}

fn journal() -> (tempfile::TempDir, Layout, Journal, Position) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path(), Disk::default());
    let (journal, position) = NewJournal::create(&layout, 3).unwrap().finish(&layout).unwrap();
    (dir, layout, journal, position)
}

#[test]
fn commits_come_back_in_order_and_removals_with_them() {
    let (_dir, layout, journal, mut at) = journal();
    at = journal
        .append(at, frames(&[(1, Some(10)), (2, Some(200_000)), (3, Some(200_000))]))
        .unwrap();
    at = journal.append(at, frames(&[(1, None), (4, Some(0))])).unwrap();
    let (rows, damage) = read_rows(&layout.journal(3));
    assert_eq!((keys(&rows), damage), (vec![2, 3, 4], Damage::default()));
    assert_eq!(rows[&2u32.to_be_bytes()[..]], vec![2; 200_000]);
    assert_eq!(newest(&layout).unwrap(), Some(3));
    assert_eq!(fs::metadata(layout.journal(3)).unwrap().len(), at.len);
}

#[test]
fn a_commit_that_failed_is_written_over_and_what_it_leaves_does_not_count() {
    let (_dir, layout, journal, start) = journal();
    let first = journal.append(start, frames(&[(1, Some(10))])).unwrap();
    journal.append(first, frames(&[(2, Some(10))])).unwrap();
    // redb says that only the first counts.
    let again = Journal::resume(&layout, &first).unwrap().unwrap();
    let second = again.append(first, frames(&[(3, Some(10))])).unwrap();
    let stale = journal.append(second, frames(&[(4, Some(10))])).unwrap();
    let bytes = fs::read(layout.journal(3)).unwrap();
    again.append(first, frames(&[(5, Some(10))])).unwrap();
    assert_eq!(keys(&read_rows(&layout.journal(3)).0), [1, 5]);
    // As if the cut had not reached the disk: the stale frame is whole, but chained to another.
    let mut torn = fs::read(layout.journal(3)).unwrap();
    torn.extend_from_slice(&bytes[second.len as usize..stale.len as usize]);
    fs::write(layout.journal(3), torn).unwrap();
    assert_eq!(keys(&read_rows(&layout.journal(3)).0), [1, 5]);
    assert!(Journal::resume(&layout, &Position { len: 1 << 30, ..first }).unwrap().is_none());
    assert!(Journal::resume(&layout, &Position { number: 9, ..first }).unwrap().is_none());
}

#[test]
fn a_wrong_bit_costs_one_frame_and_a_torn_end_one_commit() {
    let (_dir, layout, journal, mut at) = journal();
    let mut ends = vec![at.len];
    for n in 1..8 {
        at = journal.append(at, frames(&[(n, Some(100))])).unwrap();
        ends.push(at.len);
    }
    let path = layout.journal(3);
    let good = fs::read(&path).unwrap();
    for byte in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[byte] ^= 4;
        fs::write(&path, bad).unwrap();
        let lost = ends.partition_point(|end| *end <= byte as u64) as u32;
        let (rows, damage) = read_rows(&path);
        let expected: Vec<u32> = (1..8).filter(|n| *n != lost).collect();
        assert_eq!(keys(&rows), expected, "byte {byte}");
        // The number of the file is not looked at.
        assert_eq!(damage.stretches, u64::from(!(12..16).contains(&byte)), "byte {byte}");
    }
    for len in (0..good.len()).step_by(13) {
        fs::write(&path, &good[..len]).unwrap();
        let whole = ends.partition_point(|end| *end <= len as u64) as u32;
        assert_eq!(keys(&read_rows(&path).0), (1..whole).collect::<Vec<_>>(), "cut to {len}");
    }
}

#[test]
fn a_commit_of_several_frames_counts_as_a_whole() {
    let (_dir, layout, journal, at) = journal();
    let large: Vec<_> = (0..30).map(|n| (n, Some(60_000))).collect();
    let end = journal.append(at, frames(&large)).unwrap();
    let path = layout.journal(3);
    assert_eq!(keys(&read_rows(&path).0).len(), 30);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..end.len as usize - 1]).unwrap();
    assert_eq!(keys(&read_rows(&path).0).len(), 0, "its end is missing");
}

#[test]
fn it_is_overgrown_at_four_times_its_live_content_and_a_mebibyte() {
    let at = |len, live| Position { len, live, ..Position::default() };
    assert!(!at(LEN_MIN, 0).is_overgrown() && at(LEN_MIN + 1, 0).is_overgrown());
    assert!(!at(5 << 20, 1 << 20).is_overgrown() && at((5 << 20) + 1, 1 << 20).is_overgrown());
}
