//! The codec: everything comes back as it was, and nothing that arrives can break it.
//!
//! Messages are drawn from few CIDs, so that equal ones meet. Frames are cut, changed and made up;
//! the codec answers with a violation and never panics. How frames are gathered from a stream is
//! tested in `reader`.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use shoal_dag::Version;
use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};

use super::super::wire::{self, CONTROL_BYTES_MAX, HEADER_BYTES, Header};
use super::*;

/// Few CIDs, so that equal ones meet; both versions and hashes.
fn cid() -> impl Strategy<Value = Cid> {
    (0u8..4, any::<bool>()).prop_map(|(n, old)| {
        if old {
            cid_of(HashKind::Sha256, DAG_PB, Version::V0, &[n])
        } else {
            cid_of(HashKind::Blake3, RAW, Version::V1, &[n])
        }
    })
}

fn cids() -> impl Strategy<Value = Vec<Cid>> {
    vec(cid(), 1..20)
}

fn holding() -> impl Strategy<Value = Holding> {
    prop_oneof![Just(Holding::All), Just(Holding::Part), Just(Holding::Nothing)]
}

fn messages() -> impl Strategy<Value = Message> {
    prop_oneof![
        (cid(), holding(), any::<bool>()).prop_map(|(root, holding, reply)| Message::Join {
            root,
            holding,
            reply
        }),
        cid().prop_map(|root| Message::Leave { root }),
        (cid(), cid(), any::<u32>(), vec(any::<u8>(), 1..100))
            .prop_map(|(root, branch, first, bits)| Message::Have { root, branch, first, bits }),
        (cid(), cid()).prop_map(|(root, branch)| Message::HaveAll { root, branch }),
        (cid(), cids(), any::<u32>()).prop_map(|(root, cids, deadline_ms)| Message::Request {
            root,
            cids,
            deadline_ms
        }),
        cids().prop_map(|cids| Message::Cancel { cids }),
        cids().prop_map(|cids| Message::Refuse { cids }),
        (cid(), vec(vec(any::<u8>(), 0..40), 0..5))
            .prop_map(|(root, peers)| Message::Peers { root, peers }),
    ]
}

/// The messages in a run of frames.
fn decode_all(mut bytes: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut messages = Vec::new();
    while let Some(Header { kind, body_len }) = Header::decode(bytes)? {
        let body = bytes.get(HEADER_BYTES..HEADER_BYTES + body_len).ok_or(Violation::Malformed)?;
        messages.push(decode(kind, body)?);
        bytes = &bytes[HEADER_BYTES + body_len..];
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn what_is_written_is_read(messages in vec(messages(), 0..5)) {
        let mut out = BytesMut::new();
        for message in &messages {
            put(&mut out, message);
        }
        prop_assert_eq!(decode_all(&out), Ok(messages));
    }

    #[test]
    fn a_changed_byte_never_panics(message in messages(), at: prop::sample::Index, to: u8) {
        let mut out = BytesMut::new();
        put(&mut out, &message);
        let at = at.index(out.len());
        out[at] = to;
        let _ = decode_all(&out).map(drop);
    }

    #[test]
    fn a_cut_body_is_malformed(message in messages(), cut: prop::sample::Index) {
        let mut out = BytesMut::new();
        put(&mut out, &message);
        let header = Header::decode(&out).unwrap().unwrap();
        let body = &out[HEADER_BYTES..];
        let cut = &body[..cut.index(body.len())];
        prop_assert!(decode(header.kind, cut).is_err());
        let longer = [body, &[0]].concat();
        prop_assert!(decode(header.kind, &longer).is_err());
    }

    #[test]
    fn garbage_never_panics(kind in 0u8..12, body in vec(any::<u8>(), 0..300)) {
        let len = (body.len() as u32 + 1).to_le_bytes();
        let bytes = [&len[..], &[kind], &body].concat();
        let _ = decode_all(&bytes).map(drop);
        let _ = wire::hello(&body).map(drop);
        let _ = wire::data(&body).map(drop);
    }
}

#[test]
fn a_long_request_becomes_several_frames() {
    let root = cid_of(HashKind::Blake3, RAW, Version::V1, b"root");
    let cids = vec![root; REQUEST_CIDS_MAX * 2 + 1];
    let mut out = BytesMut::new();
    put(&mut out, &Message::Request { root, cids, deadline_ms: 7 });
    let lens: Vec<_> = decode_all(&out)
        .unwrap()
        .into_iter()
        .map(|message| match message {
            Message::Request { cids, deadline_ms: 7, .. } => cids.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lens, [REQUEST_CIDS_MAX, REQUEST_CIDS_MAX, 1]);
}

#[test]
fn bounds_are_kept_whatever_is_declared() {
    // Cancel with a count beyond the bound; the bytes that follow are never looked at.
    let mut body = BytesMut::new();
    put_uvarint(&mut body, REQUEST_CIDS_MAX as u64 + 1);
    assert_eq!(decode(Kind::Cancel, &body), Err(Violation::Oversized));
    let mut body = BytesMut::new();
    put_uvarint(&mut body, u64::MAX);
    assert_eq!(decode(Kind::Cancel, &body), Err(Violation::Oversized));
    for (kind, len) in [(Kind::Cancel, CONTROL_BYTES_MAX), (Kind::Data, wire::DATA_BYTES_MAX)] {
        let header = |len: usize| {
            let mut bytes = (len as u32 + 1).to_le_bytes().to_vec();
            bytes.push(kind as u8);
            Header::decode(&bytes)
        };
        assert_eq!(header(len), Ok(Some(Header { kind, body_len: len })));
        assert_eq!(header(len + 1), Err(Violation::Oversized));
    }
    assert_eq!(Header::decode(&[0, 0, 0, 0, 1]), Err(Violation::Malformed), "no room for a kind");
    assert_eq!(Header::decode(&[1, 0, 0, 0, 10]), Err(Violation::Malformed), "no such kind");
}

#[test]
fn hello_and_data_come_back_too() {
    let mut out = BytesMut::new();
    wire::put_hello(&mut out, "shoal/1.2.3");
    assert_eq!(wire::hello(&out[HEADER_BYTES..]), Ok("shoal/1.2.3".to_owned()));
    let block = Bytes::from_static(b"the bytes of a block");
    let cid = cid_of(HashKind::Blake3, RAW, Version::V1, &block);
    let mut out = BytesMut::new();
    wire::put_data_head(&mut out, &cid, block.len());
    out.extend_from_slice(&block);
    let header = Header::decode(&out).unwrap().unwrap();
    assert_eq!((header.kind, header.body_len), (Kind::Data, out.len() - HEADER_BYTES));
    let (read, start) = wire::data(&out[HEADER_BYTES..]).unwrap();
    assert_eq!((read, &out[HEADER_BYTES + start..]), (cid, &block[..]));
}
