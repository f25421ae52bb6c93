//! Wantlists against a store of a few blocks: what is handed on, told at once, and passed over.
//!
//! The store knows lengths only: nothing is read to answer a wantlist.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use shoal_dag::Version;
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_swarm::Place;

use super::*;
use crate::blocks::{BlockRead, KeepError};

/// Blocks by CID and length; all of them public.
struct Lengths(HashMap<Cid, u32>);

impl Blocks for Lengths {
    fn read(&self, _: &Cid, _: bool) -> BlockRead {
        BlockRead::Absent
    }

    fn public_len(&self, cid: &Cid) -> Option<u32> {
        self.0.get(cid).copied()
    }

    fn keep(&self, _: &Cid, _: Option<&Place>, _: Bytes) -> Result<(), KeepError> {
        Err(KeepError { reason: "only lengths".into() })
    }
}

fn cid(n: usize) -> Cid {
    cid_of(HashKind::Blake3, RAW, Version::V1, &n.to_le_bytes())
}

/// Block 0 is large, block 1 small, the others are not here.
fn store() -> Lengths {
    Lengths(HashMap::from([(cid(0), 100_000), (cid(1), SMALL_BYTES_MAX)]))
}

fn entry(n: usize, wish: Wish) -> Entry {
    Entry { cid: cid(n), priority: 1, wish, send_dont_have: true }
}

#[test]
fn wants_are_handed_on_best_first() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    let best = Entry { priority: 9, ..entry(2, Wish::Block) };
    let change =
        wants.take(false, vec![entry(0, Wish::Have), entry(1, Wish::Have), best], &store(), now);
    let want = |n, block, public| Want { cid: cid(n), block, public };
    assert_eq!(
        change.wants,
        [want(2, true, None), want(0, false, Some(100_000)), want(1, true, Some(SMALL_BYTES_MAX))],
        "a small block is sent at once"
    );
    assert!(wants.affirmed(&cid(0)) && !wants.affirmed(&cid(0)));
    assert!(!wants.affirmed(&cid(1)), "it gets the block instead");
    assert!(wants.is_wanted(&cid(1)) && !wants.is_wanted(&cid(0)));
    assert!(wants.refused(&cid(2)) && !wants.refused(&cid(2)));
    wants.sent(&cid(1));
    assert!(wants.wants.is_empty());
}

#[test]
fn a_want_becomes_larger_and_is_taken_back() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    wants.take(false, vec![entry(0, Wish::Have)], &store(), now);
    let again = wants.take(false, vec![entry(0, Wish::Have)], &store(), now);
    assert_eq!(again, Change::default(), "it waits already");
    let block = wants.take(false, vec![entry(0, Wish::Block)], &store(), now);
    assert_eq!(block.wants, [Want { cid: cid(0), block: true, public: Some(100_000) }]);
    let smaller = wants.take(false, vec![entry(0, Wish::Have)], &store(), now);
    assert_eq!(smaller, Change::default(), "the block says more");
    let cancel = vec![entry(0, Wish::Cancel), entry(5, Wish::Cancel)];
    assert_eq!(wants.take(false, cancel, &store(), now).cancelled, [cid(0)]);
}

#[test]
fn a_full_list_replaces_what_was_wanted() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    wants.take(false, vec![entry(0, Wish::Block), entry(2, Wish::Block)], &store(), now);
    let change =
        wants.take(true, vec![entry(2, Wish::Block), entry(3, Wish::Block)], &store(), now);
    assert_eq!(change.cancelled, [cid(0)]);
    assert_eq!(change.wants.iter().map(|want| want.cid).collect::<Vec<_>>(), [cid(3)]);
}

#[test]
fn who_does_not_ask_to_be_told_is_not_told() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    let quiet = Entry { send_dont_have: false, ..entry(4, Wish::Block) };
    wants.take(false, vec![quiet], &store(), now);
    assert!(!wants.refused(&cid(4)));
}

#[test]
fn a_million_wants_take_the_place_of_a_thousand() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    let (mut handed_on, mut absent, mut flooded) = (0, 0, 0);
    for message in 0..100 {
        let entries = (0..10_000).map(|n| entry(10 + message * 10_000 + n, Wish::Block));
        let change = wants.take(false, entries.collect(), &store(), now);
        handed_on += change.wants.len();
        absent += change.absent.len();
        flooded += change.flooded as usize;
    }
    assert_eq!(handed_on, WANTS_MAX);
    assert_eq!(handed_on + absent, LOOKUP_BURST as usize);
    assert_eq!(flooded, 1_000_000 - LOOKUP_BURST as usize);
    assert_eq!(wants.wants.len(), WANTS_MAX);
    let later = now + Duration::from_secs(1);
    let change = wants.take(false, vec![entry(7, Wish::Block)], &store(), later);
    assert_eq!(change.absent, [cid(7)], "time gives lookups back, but no room");
}

#[test]
fn what_no_block_is_kept_under_is_refused() {
    let now = Instant::now();
    let mut wants = Wants::new(now);
    let foreign = Cid::new_v1(0x1234, *cid(0).hash());
    let entry = Entry { cid: foreign, ..entry(0, Wish::Block) };
    let change = wants.take(false, vec![entry], &store(), now);
    assert_eq!((change.absent, change.wants.len()), (vec![foreign], 0));
}
