//! The codec: everything comes back as it was, and nothing that arrives can break it.
//!
//! Messages are drawn from few CIDs. What is written is cut, changed and made up; the codec answers
//! with a message within its bounds or with a violation, and never panics. The bytes of one message
//! that kubo sends are frozen here.

use proptest::collection::vec;
use proptest::prelude::*;
use shoal_dag::hash::{IDENTITY, RAW};

use super::super::proto::put_varint as put;
use super::*;

fn data(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) * 100]
}

/// Few CIDs, so that equal ones meet; both versions and hashes.
fn cid(n: u8) -> Cid {
    match n % 3 {
        0 => cid_of(HashKind::Sha256, DAG_PB, Version::V0, &data(n)),
        1 => cid_of(HashKind::Blake3, RAW, Version::V1, &data(n)),
        _ => cid_of(HashKind::Sha256, DAG_PB, Version::V1, &data(n)),
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let wish = prop_oneof![Just(Wish::Block), Just(Wish::Have), Just(Wish::Cancel)];
    (0u8..6, any::<i32>(), wish, any::<bool>()).prop_map(|(n, priority, wish, send_dont_have)| {
        Entry { cid: cid(n), priority, wish, send_dont_have }
    })
}

/// What was written without its length, which is checked.
fn body(written: Option<BytesMut>) -> Bytes {
    let written = written.unwrap().freeze();
    let (len, at) = shoal_dag::varint::read(&written).unwrap().unwrap();
    assert_eq!(written.len() - at, len as usize);
    written.slice(at..)
}

fn written(
    entries: &[Entry],
    blocks: &[u8],
    presences: &[(u8, bool)],
    dialect: Dialect,
) -> Option<BytesMut> {
    let mut out = Outgoing::new();
    for entry in entries {
        out.entry(entry, dialect);
    }
    for n in blocks {
        out.block(&cid(*n), &data(*n), dialect);
    }
    for (n, have) in presences {
        out.presence(&cid(*n), *have, dialect);
    }
    out.finish()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        entries in vec(entries(), 0..20),
        blocks in vec(0u8..6, 0..6),
        presences in vec((0u8..6, any::<bool>()), 1..10),
    ) {
        let read = Message::decode(&body(written(&entries, &blocks, &presences, Dialect::Full)));
        let read = read.unwrap();
        prop_assert_eq!(read.entries, entries);
        prop_assert_eq!(read.passed_over + read.foreign_blocks, 0);
        let blocks: Vec<_> = blocks.iter().map(|n| (cid(*n), Bytes::from(data(*n)))).collect();
        prop_assert_eq!(read.blocks, blocks);
        let presences: Vec<_> = presences.iter().map(|(n, have)| (cid(*n), *have)).collect();
        prop_assert_eq!(read.presences, presences);
    }

    #[test]
    fn garbage_is_no_panic(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::decode(&bytes.into()) {
            prop_assert!(message.entries.len() <= 300);
        }
    }

    /// A real message with some of its bytes changed, cut out or put in.
    #[test]
    fn a_changed_message_is_no_panic(
        entries in vec(entries(), 1..5),
        blocks in vec(0u8..4, 0..3),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let mut bytes = body(written(&entries, &blocks, &[(1, true)], Dialect::Full)).to_vec();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if !bytes.is_empty() => bytes[at] = byte,
                1 if !bytes.is_empty() => bytes.truncate(at),
                _ => bytes.insert(at.min(bytes.len()), byte),
            }
        }
        let len = bytes.len();
        if let Ok(message) = Message::decode(&bytes.into()) {
            let held: usize = message.blocks.iter().map(|(_, data)| data.len()).sum();
            prop_assert!(held <= len, "no byte is made up");
            for (cid, data) in message.blocks {
                prop_assert!(shoal_dag::hash::verify(&cid, &data).is_ok());
            }
        }
    }
}

/// `ipfs get` of one block of kubo 0.43 asks so: a want-have with priority, and a cancel.
#[test]
fn a_frozen_message_means_what_it_meant() {
    let cid = cid_of(HashKind::Sha256, RAW, Version::V1, b"hello world");
    let mut entry = vec![0x0a, 36];
    entry.extend(cid.to_bytes());
    entry.extend([0x10, 0xff, 0xff, 0xff, 0xff, 0x07, 0x20, 1, 0x28, 1]);
    let mut message = vec![0x0a, entry.len() as u8 + 4, 0x0a, entry.len() as u8];
    message.extend(&entry);
    message.extend([0x10, 1]);
    let read = Message::decode(&message.clone().into()).unwrap();
    let priority = i32::MAX;
    let want = Entry { cid, priority, wish: Wish::Have, send_dont_have: true };
    assert_eq!(read, Message { full: true, entries: vec![want], ..Message::default() });
    let ours = body(written(&[want], &[], &[], Dialect::Full));
    assert_eq!(ours[2..], message[2..message.len() - 2], "the same bytes, but for `full`");
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut bytes = body(written(&[], &[1], &[(2, false)], Dialect::Full)).to_vec();
    for (key, value) in
        [(9u64 << 3, &[5u8][..]), (9 << 3 | 2, &[2, 7, 7][..]), (9 << 3 | 5, &[0; 4][..])]
    {
        let mut field = BytesMut::new();
        put(&mut field, key);
        field.extend_from_slice(value);
        bytes.extend_from_slice(&field);
        bytes.extend([0x28, 100]);
    }
    let read = Message::decode(&bytes.into()).unwrap();
    assert_eq!(read.blocks.len(), 1);
    assert_eq!(read.presences, [(cid(2), false)]);
}

#[test]
fn old_peers_are_told_what_they_understand() {
    let entry = Entry { cid: cid(1), priority: 7, wish: Wish::Have, send_dont_have: true };
    let read = Message::decode(&body(written(&[entry], &[1], &[(1, true)], Dialect::AnyCid)));
    let read = read.unwrap();
    assert_eq!(read.entries, [Entry { wish: Wish::Block, send_dont_have: false, ..entry }]);
    assert_eq!((read.blocks[0].0, read.presences.len()), (cid(1), 0));

    let read = Message::decode(&body(written(&[], &[0, 1], &[], Dialect::BlocksOnly))).unwrap();
    assert_eq!(read.blocks, [(cid(0), data(0).into())], "a BLAKE3 block cannot be named");
    assert!(written(&[], &[1], &[(1, true)], Dialect::BlocksOnly).is_none());
}

#[test]
fn blocks_that_nothing_is_asked_for_by_are_counted() {
    let mut bytes = BytesMut::new();
    for prefix in
        [[1, 0x55, 0x16, 32], [1, 0x55, 0x12, 20], [0, 0x55, 0x12, 32], [2, 0x55, 0x12, 32]]
    {
        put_head(&mut bytes, 3, 6 + 3);
        put_bytes(&mut bytes, 1, &prefix);
        put_bytes(&mut bytes, 2, b"x");
    }
    let read = Message::decode(&bytes.freeze()).unwrap();
    assert_eq!((read.foreign_blocks, read.blocks.len()), (4, 0));
}

#[test]
fn cids_that_cannot_be_named_are_passed_over() {
    let mut list = BytesMut::new();
    let long = [&[1, 0x55, IDENTITY as u8, 0x81, 0x01][..], &[7; 129]].concat();
    for bytes in [&long[..], b"", &[0xff; 200]] {
        let mut entry = BytesMut::new();
        put_bytes(&mut entry, 1, bytes);
        put_bytes(&mut list, 1, &entry);
    }
    let mut message = BytesMut::new();
    put_bytes(&mut message, 1, &list);
    let read = Message::decode(&message.freeze()).unwrap();
    assert_eq!((read.passed_over, read.entries.len()), (3, 0));
}

#[test]
fn a_message_makes_no_more_than_its_bounds() {
    let entry = Entry { cid: cid(1), priority: 1, wish: Wish::Block, send_dont_have: true };
    let mut out = Outgoing::new();
    (0..ENTRIES_MAX + 5).for_each(|_| out.entry(&entry, Dialect::Full));
    let read = Message::decode(&body(out.finish())).unwrap();
    assert_eq!((read.entries.len(), read.passed_over), (ENTRIES_MAX, 5));

    let mut out = Outgoing::new();
    (0..=PRESENCES_MAX).for_each(|_| out.presence(&cid(1), true, Dialect::Full));
    assert_eq!(Message::decode(&body(out.finish())), Err(Violation::Oversized));

    let mut out = Outgoing::new();
    assert!((0..=BLOCKS_MAX).all(|_| out.block(&cid(1), b"", Dialect::Full)));
    assert_eq!(Message::decode(&body(out.finish())), Err(Violation::Oversized));

    let mut out = Outgoing::new();
    out.block(&cid(1), &vec![0; BLOCK_BYTES_MAX], Dialect::Full);
    assert_eq!(Message::decode(&body(out.finish())).unwrap().blocks.len(), 1);
    let mut out = Outgoing::new();
    out.block(&cid(1), &vec![0; BLOCK_BYTES_MAX + 1], Dialect::Full);
    assert_eq!(Message::decode(&body(out.finish())), Err(Violation::Oversized));
}
