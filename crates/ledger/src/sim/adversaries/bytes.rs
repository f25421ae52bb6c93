//! Those who send bytes: too long, too deep, not canonical, cut, spliced, or claiming more than there
//! is.
//!
//! Every decoder is given the same: none may fall, and what it takes has one form. Bounds of each kind
//! of message are tested beside it.

use std::time::Duration;

use super::{Dice, SEEDS, more};
use crate::fraud::conflict;
use crate::head::{Have, HeadProof, prove};
use crate::ipns::{Draft, Instant, SignedRecord};
use crate::proof_file::ProofFile;
use crate::question::{Answer, Question, answer};
use crate::reader::Reader;
use crate::sample::*;
use crate::{ENTRY_BYTES_MAX, Entry, FileProof, Fraud};

/// Gives the bytes to every decoder; what is taken must be what is written again.
fn read_all(bytes: &[u8]) {
    let same = |again: Option<Vec<u8>>| again.is_none_or(|again| again == bytes);
    assert!(same(Entry::decode(bytes.to_vec()).ok().map(|entry| entry.block().to_vec())));
    assert!(same(Question::decode(bytes).ok().map(|question| question.encode())));
    assert!(same(Answer::decode(bytes).ok().map(|answer| answer.encode())));
    assert!(same(HeadProof::decode(bytes).ok().map(|proof| proof.encode())));
    assert!(same(Have::decode(bytes).ok().map(|have| have.encode())));
    assert!(same(Fraud::decode(bytes).ok().map(|fraud| fraud.encode())));
    assert!(same(FileProof::decode(bytes).ok().map(|proof| proof.encode())));
    assert!(same(ProofFile::decode(bytes).ok().map(|proof| proof.encode())));
    assert!(same(Reader::decode(bytes).ok().map(|reader| reader.encode())));
    // A protobuf has many forms; a record is passed on as it came.
    assert!(same(
        SignedRecord::read(bytes.to_vec(), name()).ok().map(|read| read.bytes().to_vec())
    ));
}

/// Good messages of every kind.
fn good() -> Vec<Vec<u8>> {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let fraud = conflict(&ours, &theirs).unwrap();
    let head = prove(&ours, None).unwrap();
    let mut reader = Reader::new(name(), None);
    reader.accept(&head, u64::MAX).unwrap();
    let have = reader.have().unwrap();
    let question = Question::Head { name: name(), have: Some(have) };
    let reply = answer(&more(&ours, 3, 0), std::slice::from_ref(&fraud), None, &question);
    let end = Instant::since_1970(Duration::from_secs(9));
    let root = shoal_dag::hash::cid_of(
        shoal_dag::hash::HashKind::Sha256,
        shoal_dag::hash::RAW,
        shoal_dag::Version::V1,
        b"",
    );
    let genesis = &ours.entries()[0];
    let record = Draft::of_head(genesis, &root, end).sign(&key(OWNER), true).unwrap();
    vec![
        ours.tip().head().block().to_vec(),
        question.encode(),
        reply.encode(),
        head.encode(),
        have.encode(),
        fraud.encode(),
        ProofFile::Fraud { name: name(), fraud: Box::new(fraud) }.encode(),
        reader.encode(),
        record.bytes().to_vec(),
    ]
}

#[test]
fn good_messages_are_read_and_only_as_what_they_are() {
    for message in good() {
        read_all(&message);
    }
}

#[test]
fn deep_and_boundless_claims_are_refused_at_once() {
    let heads: [&[u8]; 6] =
        [&[0x81], &[0x82, 0x81], &[0xa1, 0x61, b'n'], &[0xd8, 0x2a], &[0x9f], &[0xbf]];
    for head in heads {
        for len in [1, 40, 5_000, 300_000] {
            read_all(&head.repeat(len));
        }
    }
    for major in 0..8_u8 {
        for claim in [u64::MAX, 1 << 40, 1 << 31, 65_536, ENTRY_BYTES_MAX as u64 + 1] {
            let head = [&[major << 5 | 0x1b][..], &claim.to_be_bytes()].concat();
            read_all(&head);
            read_all(&[&[0x82][..], &head, &[0; 64]].concat());
        }
    }
}

#[test]
fn cut_spliced_and_stretched_messages_are_refused_or_have_one_form() {
    let good = good();
    for seed in 0..SEEDS * 20 {
        let mut dice = Dice(seed);
        let mut bytes = good[dice.roll(good.len())].clone();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len());
            match dice.roll(5) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = dice.roll(256) as u8,
                2 => bytes.insert(at, dice.roll(256) as u8),
                // A number in more bytes than it needs.
                3 => drop(bytes.splice(at..=at, [bytes[at] & 0xe0 | 0x19, 0, bytes[at] & 0x1f])),
                _ => {
                    let other = &good[dice.roll(good.len())];
                    bytes.truncate(at);
                    bytes.extend(&other[dice.roll(other.len())..]);
                }
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        read_all(&bytes);
    }
}
