//! Tests of records: the public vectors, our own by both formats, selection, and hostile ones.
//!
//! The vectors are in `tests/vectors.rs` and are compared with the files beside the checkout where
//! they are. Not here: what a DHT does with records.

mod vectors;

use super::*;
use crate::chain::Archive;
use crate::entry::Update;
use crate::sample::*;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;
use vectors::Vector;

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn at(seconds: u64) -> Instant {
    Instant::since_1970(Duration::from_secs(seconds))
}

const NOW: u64 = 1_795_000_000;

#[track_caller]
fn vector(vector: &Vector) -> Result<String, RecordError> {
    let name: LedgerId = vector.name.parse().unwrap();
    assert_eq!(name.to_string(), vector.name);
    let bytes = unhex(vector.hex);
    let file = format!("{}_{}.ipns-record", vector.name, vector.what);
    let folder = "../../../shared/vectors/gateway-conformance/fixtures/ipns_records";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(file);
    #[expect(clippy::disallowed_methods, reason = "a test may read a vector")]
    match std::fs::read(&path) {
        Ok(there) => assert_eq!(there, bytes, "{}", vector.what),
        Err(_) => println!("{}: not beside the checkout, compared with nothing", vector.what),
    }
    let record = Record::read(bytes.clone(), name, at(NOW))?;
    let wire = Wire::decode(&Bytes::from(bytes.clone())).unwrap();
    assert_eq!(wire.encode(), bytes, "boxo's own bytes come back");
    assert_eq!(record.signed().data.encode(), wire.data[..]);
    assert_eq!(record.signed().head(name), Ok(None));
    Ok(String::from_utf8(record.signed().value().to_vec()).unwrap())
}

#[test]
fn the_six_public_records() {
    assert_eq!(vector(&vectors::V1), Err(RecordError::NoV2));
    let value = |text: &str| Ok(format!("/ipfs/{text}"));
    assert_eq!(vector(&vectors::V1_V2), value("bafkqaddwgevxmmraojswg33smq"));
    assert_eq!(vector(&vectors::BROKEN_V1_VALUE), Err(RecordError::V1("Value")));
    let signature = "bafkqahtwgevxmmrao5uxi2bamjzg623fnyqhg2lhnzqxi5lsmuqhmmi";
    assert_eq!(vector(&vectors::BROKEN_SIGNATURE_V1), value(signature));
    assert_eq!(vector(&vectors::BROKEN_SIGNATURE_V2), Err(RecordError::Signature));
    assert_eq!(vector(&vectors::V2), value("bafkqadtwgiww63tmpeqhezldn5zgi"));
}

#[test]
fn the_older_signature_is_over_what_boxo_signs() {
    // Made by boxo: so ours, which nobody of today checks, is what older nodes expect.
    let wire = Wire::decode(&unhex(vectors::V1_V2.hex).into()).unwrap();
    let name: LedgerId = vectors::V1_V2.name.parse().unwrap();
    let parts = [&wire.value[..], &wire.validity, b"EOL"];
    assert!(PublicKey::from(name).verifies(&parts, &wire.signature_v1));
}

fn root() -> Cid {
    "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e".parse().unwrap()
}

fn head() -> Entry {
    let mut chain = chain(3, 0);
    push(&mut chain, OWNER, Body::Update(Update::of_root(root().to_bytes())));
    chain.entry(3).unwrap()
}

fn draft() -> Draft {
    Draft::of_head(&head(), &root(), at(NOW + 100))
}

fn signed(draft: &Draft) -> SignedRecord {
    draft.sign(&key(OWNER), true).unwrap()
}

#[test]
fn a_head_goes_in_and_comes_out_by_both_formats() {
    for (v1, most) in [(true, 800), (false, 620)] {
        let record = draft().sign(&key(OWNER), v1).unwrap();
        assert_eq!(record.head(name()), Ok(Some(head())));
        assert_eq!(record.sequence(), 4);
        assert_eq!(record.value(), &format!("/ipfs/{}", root()));
        assert_eq!(record.ttl_ns(), 300_000_000_000);
        // The report counts 790 bytes with the older format and 607 without.
        assert!(record.bytes().len() <= most, "{}", record.bytes().len());
        let read = Record::read(record.bytes().clone(), name(), at(NOW)).unwrap();
        assert_eq!(read.signed(), &record);
    }
}

#[test]
fn a_stock_validator_sees_a_plain_record() {
    let record = signed(&draft());
    let wire = Wire::decode(record.bytes()).unwrap();
    let other: ipld_core::ipld::Ipld = serde_ipld_dagcbor::from_slice(&wire.data).unwrap();
    assert_eq!(serde_ipld_dagcbor::to_vec(&other).unwrap(), wire.data[..]);
    let keys = ["TTL", "Value", "_shoal", "Sequence", "Validity", "ValidityType"];
    assert!(keys.iter().all(|key| matches!(other.get(*key), Ok(Some(_)))));
    assert_eq!(wire.validity_type, Some(0));
    let v1 = [&wire.value[..], &wire.validity, b"EOL"];
    assert!(key(OWNER).public().verifies(&v1, &wire.signature_v1));
}

#[test]
fn expired_records_are_never_live_and_still_teach_their_entry() {
    let record = signed(&draft());
    assert!(record.clone().live(at(NOW + 100)).is_ok());
    let end = at(NOW + 100);
    for late in [NOW + 101, NOW + 1_000_000, u64::MAX] {
        assert_eq!(record.clone().live(at(late)), Err(RecordError::Expired { end }));
        let read = Record::read(record.bytes().clone(), name(), at(late));
        assert_eq!(read, Err(RecordError::Expired { end }));
    }
    let past = SignedRecord::read(record.bytes().clone(), name()).unwrap();
    assert_eq!(past.head(name()), Ok(Some(head())));
}

#[test]
fn other_names_and_other_keys_are_refused() {
    let record = signed(&draft());
    let other = key(2).public().into();
    assert_eq!(SignedRecord::read(record.bytes().clone(), other), Err(RecordError::Signature));
    let mut wire = Wire::decode(record.bytes()).unwrap();
    wire.public_key = Bytes::copy_from_slice(&name().to_cid_bytes()[4..]);
    assert!(SignedRecord::read(wire.encode(), name()).is_ok(), "its own key may be there");
    wire.public_key = Bytes::from_static(b"\x08\x01\x12\x20no key");
    assert_eq!(SignedRecord::read(wire.encode(), name()), Err(RecordError::Key));
}

#[test]
fn a_head_that_is_not_the_records_own_is_not_used() {
    let with = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        signed(&draft).head(name())
    };
    assert_eq!(with(|draft| draft.sequence += 1), Err(HeadError::Mismatch));
    assert_eq!(
        with(|draft| draft.value = Bytes::from_static(b"/ipfs/x")),
        Err(HeadError::Mismatch)
    );
    let foreign = draft().sign(&key(2), true).unwrap();
    assert_eq!(foreign.head(key(2).public().into()), Err(HeadError::Mismatch), "a replayed head");
    let trailing = |draft: &mut Draft| {
        let shoal = draft.shoal.as_ref().unwrap();
        draft.shoal = Some([&shoal[..], b"\x00"].concat().into());
    };
    assert_eq!(with(trailing), Err(HeadError::Cbor(CborError::Trailing)));
    assert_eq!(
        with(|draft| draft.shoal = Some(vec![0x82, 2, 0x40].into())),
        Err(HeadError::Version(2))
    );
    assert_eq!(with(|draft| draft.shoal = Some(vec![0; 3000].into())), Ok(None));
}

#[test]
fn a_head_without_content_of_its_own_goes_with_the_newest_root() {
    let mut chain = chain(3, 0);
    push(&mut chain, OWNER, writers(0, &[2], 0));
    let head = chain.entry(3).unwrap();
    let record = signed(&Draft::of_head(&head, &root(), at(NOW)));
    assert_eq!(record.head(name()), Ok(Some(head)));
}

#[test]
fn what_others_strip_is_no_news_and_no_fraud() {
    let full = signed(&draft());
    let stripped = signed(&Draft { shoal: None, end: at(NOW + 500), ..draft() });
    assert_eq!(stripped.head(name()), Ok(None));
    assert!(stripped.is_stripped_of(&full));
    assert!(!full.is_stripped_of(&stripped));
    assert_eq!(select(&full, &stripped), &stripped, "the later end wins among kubo nodes");
    let other = signed(&Draft { shoal: None, value: Bytes::from_static(b"/ipfs/y"), ..draft() });
    assert!(!other.is_stripped_of(&full));
}

#[test]
fn hostile_records_are_refused() {
    let with = |change: fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        draft.sign(&key(OWNER), true)
    };
    assert_eq!(with(|draft| draft.sequence = 1 << 63), Err(RecordError::Field("Sequence")));
    assert_eq!(with(|draft| draft.ttl_ns = u64::MAX), Err(RecordError::Field("TTL")));
    // The last possible sequence is a valid record, but no head of ours can have come with it.
    let last = with(|draft| draft.sequence = (1 << 63) - 1).unwrap();
    assert_eq!(last.head(name()), Err(HeadError::Mismatch));
    let long = with(|draft| draft.value = vec![b'x'; RECORD_BYTES_MAX].into());
    assert!(matches!(long, Err(RecordError::TooLong { .. })));
    assert_eq!(SignedRecord::read(vec![0xff; 40], name()), Err(RecordError::Wire));
    assert_eq!(SignedRecord::read(Vec::new(), name()), Err(RecordError::NoV2));
}

#[test]
fn the_older_fields_must_be_what_was_signed() {
    let record = signed(&draft());
    let with = |change: fn(&mut Wire)| {
        let mut wire = Wire::decode(record.bytes()).unwrap();
        change(&mut wire);
        SignedRecord::read(wire.encode(), name()).map(drop)
    };
    assert_eq!(with(|wire| wire.sequence = Some(99)), Err(RecordError::V1("Sequence")));
    assert_eq!(with(|wire| wire.ttl_ns = None), Err(RecordError::V1("TTL")));
    assert_eq!(with(|wire| wire.validity_type = Some(1)), Err(RecordError::V1("ValidityType")));
    let validity = |wire: &mut Wire| wire.validity = Bytes::from_static(b"2030-01-01T00:00:00Z");
    assert_eq!(with(validity), Err(RecordError::V1("Validity")));
    assert_eq!(with(|wire| wire.signature_v1 = Bytes::from_static(b"anything")), Ok(()));
}

#[test]
fn the_routing_key_is_the_specifications() {
    let key = routing_key(name());
    assert_eq!(key[..12], *b"/ipns/\x00\x24\x08\x01\x12\x20");
    assert_eq!(key.len(), 6 + 38);
}

#[test]
fn one_flipped_bit_changes_a_record_or_is_refused() {
    let record = signed(&draft());
    for bit in (0..record.bytes().len() * 8).step_by(5) {
        let mut bytes = record.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Unsigned parts may change: the older signature, and fields that nobody knows.
        if let Ok(changed) = SignedRecord::read(bytes, name()) {
            assert_eq!(changed.data, record.data, "bit {bit}");
        }
    }
}

fn any_record() -> impl Strategy<Value = SignedRecord> {
    (0..3_u64, 0..3_u64, 0..2_u8, any::<bool>()).prop_map(|(sequence, end, value, v1)| {
        let draft = Draft {
            value: Bytes::copy_from_slice(&[b'/', b'a' + value]),
            sequence,
            end: at(NOW + end),
            ttl_ns: 0,
            shoal: None,
        };
        draft.sign(&key(OWNER), v1).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn selection_is_a_join(a in any_record(), b in any_record(), c in any_record()) {
        prop_assert_eq!(select(&a, &a), &a);
        prop_assert_eq!(select(&a, &b), select(&b, &a));
        prop_assert_eq!(select(select(&a, &b), &c), select(&a, select(&b, &c)));
        let best = select(&a, &b);
        prop_assert!(best.sequence() >= a.sequence() && best.sequence() >= b.sequence());
    }

    #[test]
    fn no_bytes_make_the_reader_fall(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(SignedRecord::read(bytes, name()).is_err());
    }
}
