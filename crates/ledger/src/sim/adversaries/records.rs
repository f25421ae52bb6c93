//! Those who serve IPNS records: old, stripped, expired, of other names, or of the last sequence.
//!
//! A record is a hint and a vehicle. What a reader pins comes from the entry in it and a proof.

use std::time::Duration;

use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Cid, Version};

use super::{Dice, LATE, SEEDS, more, reader_of, shuffled};
use crate::chain::{Archive, Chain};
use crate::entry::{Body, Update};
use crate::head::prove;
use crate::ipns::{Draft, HeadError, Instant, Record, RecordError, SignedRecord, select};
use crate::reader::{Heard, Reader, Refusal, Status};
use crate::sample::*;
use crate::{Entry, Position};

fn root(version: u64) -> Cid {
    cid_of(HashKind::Blake3, RAW, Version::V1, &version.to_be_bytes())
}

/// A ledger whose every entry publishes a root.
fn published(len: u64) -> Chain {
    let mut chain = begin(&[OWNER]);
    while chain.len() < len {
        let body = Body::Update(Update::of_root(root(chain.len()).to_bytes()));
        push(&mut chain, OWNER, body);
    }
    chain
}

fn at(seconds: u64) -> Instant {
    Instant::since_1970(Duration::from_secs(seconds))
}

/// The record of an update, which ends then.
fn record(entry: &Entry, end: u64) -> SignedRecord {
    let root = root(entry.index());
    Draft::of_head(entry, &root, at(end)).sign(&key(OWNER), true).unwrap()
}

#[test]
fn old_records_of_a_hostile_dht_move_nobody_back() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let chain = published(9);
        // Old ones may well live longer than the newest.
        let all = (1..8).map(|index| record(&chain.entries()[index], 1_000 - index as u64));
        let newest = record(chain.tip().head(), 500);
        let mut reader = Reader::new(name(), None);
        let mut best = newest.clone();
        for found in shuffled(all.chain([newest.clone()]).collect(), &mut dice) {
            best = select(&best, &found).clone();
            let head = found.head(name()).unwrap().unwrap();
            let before = reader.pin().map(|pin| pin.head().position());
            let branch = chain.up_to(head.index()).unwrap();
            if let Heard::Newer(have) = reader.hear(&head) {
                reader.accept(&prove(&branch, have.as_ref()).unwrap(), LATE).unwrap();
            }
            assert!(reader.pin().map(|pin| pin.head().position()) >= before);
        }
        assert_eq!(best, newest, "seed {seed}");
        assert_eq!(reader.pin().unwrap().head(), chain.tip().head());
        assert_eq!(reader.frauds(), &[]);
    }
}

#[test]
fn a_stripped_record_says_nothing_new_and_proves_nothing() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let chain = published(2 + dice.roll(6) as u64);
        let head = chain.tip().head();
        let ours = record(head, 1_000);
        // A republisher that has the key and knows no `_shoal`: the same record with a later end.
        let mut draft = Draft::of_head(head, &root(head.index()), at(2_000));
        draft.shoal = None;
        let stripped = draft.sign(&key(OWNER), dice.once_in(2)).unwrap();
        assert_eq!(select(&ours, &stripped), &stripped, "every implementation keeps that one");
        assert_eq!(stripped.head(name()), Ok(None));
        assert!(stripped.is_stripped_of(&ours) && !ours.is_stripped_of(&stripped));
        // The reader has the entry from elsewhere; neither record moves it or accuses anybody.
        let reader = reader_of(&chain);
        assert_eq!(reader.hear(&ours.head(name()).unwrap().unwrap()), Heard::Known);
        assert_eq!((reader.frauds().len(), reader.status(LATE)), (0, Status::Stale));
    }
}

#[test]
fn records_and_their_entries_stay_with_their_name() {
    let chain = published(4);
    let bytes = record(chain.tip().head(), 1_000).bytes().clone();
    let other = key(9).public().into();
    let refused = [RecordError::Signature, RecordError::Key];
    assert!(refused.contains(&SignedRecord::read(bytes, other).unwrap_err()));
    // The head of one name in a record of another one.
    let draft = Draft::of_head(chain.tip().head(), &root(3), at(1_000));
    let foreign = draft.sign(&key(9), false).unwrap();
    assert_eq!(foreign.head(other), Err(HeadError::Mismatch));
    // An older head in a record that says it is newer.
    let mut draft = Draft::of_head(&chain.entries()[2], &root(2), at(1_000));
    draft.sequence = chain.tip().head().position().sequence();
    let newer = draft.sign(&key(OWNER), false).unwrap();
    assert_eq!(newer.head(name()), Err(HeadError::Mismatch));
}

#[test]
fn the_last_sequence_wins_the_dht_and_moves_no_reader() {
    let chain = published(5);
    let last = (1 << 63) - 1;
    let position = Position::from_sequence(last).unwrap();
    assert_eq!(position.sequence(), last, "the last position has that sequence");
    for shoal in [true, false] {
        let mut draft = Draft::of_head(chain.tip().head(), &root(4), at(1_000));
        draft.sequence = last;
        draft.shoal = draft.shoal.filter(|_| shoal);
        let thief = draft.sign(&key(OWNER), true).unwrap();
        let honest = record(chain.tip().head(), 2_000);
        assert_eq!(select(&honest, &thief), &thief);
        let head = thief.head(name());
        assert_eq!(head, if shoal { Err(HeadError::Mismatch) } else { Ok(None) });
    }
    // An entry that claims the last position has no history to show.
    let mut reader = reader_of(&chain);
    let mut draft = chain.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    draft.header.position = position;
    let mut proof = prove(&more(&chain, 1, 0), reader.have().as_ref()).unwrap();
    proof.head = draft.sign(&[&key(OWNER)]).unwrap();
    assert_eq!(reader.hear(&proof.head), Heard::Newer(reader.have()));
    assert_eq!(reader.accept(&proof, LATE), Err(Refusal::Peaks));
    // One above it is no position, and no record of ours.
    assert!(Position::from_sequence(last + 1).is_err());
}

#[test]
fn expired_records_teach_their_entry_and_confirm_nothing() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let chain = published(3 + dice.roll(6) as u64);
        let mut reader = Reader::new(name(), None);
        let now = at(5_000);
        // All that the network has is over.
        for index in shuffled((1..chain.len()).collect(), &mut dice) {
            let old = record(&chain.entries()[index as usize], 1_000 + index);
            let end = old.end();
            let bytes = old.bytes().clone();
            assert_eq!(Record::read(bytes, name(), now), Err(RecordError::Expired { end }));
            let head = old.head(name()).unwrap().unwrap();
            let branch = chain.up_to(index).unwrap();
            if let Heard::Newer(have) = reader.hear(&head) {
                reader.accept(&prove(&branch, have.as_ref()).unwrap(), LATE).unwrap();
            }
            reader.confirm(&head, end.to_duration().as_millis() as u64);
        }
        assert_eq!(reader.pin().unwrap().head(), chain.tip().head());
        let now_ms = now.to_duration().as_millis() as u64;
        assert_eq!(reader.status(now_ms), Status::Stale, "seed {seed}");
    }
}
