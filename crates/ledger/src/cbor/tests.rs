//! Tests of the codec: one form per value, held against another implementation.
//!
//! That other implementation may take more or fewer values than ours; both directions say which.
//! Not here: what the maps of entries must hold.

use super::*;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;

fn uint(value: u64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.uint(value);
    writer.finish()
}

#[test]
fn numbers_have_one_length_each() {
    for (value, len) in [
        (0, 1),
        (23, 1),
        (24, 2),
        (255, 2),
        (256, 3),
        (65_535, 3),
        (65_536, 5),
        (u64::from(u32::MAX), 5),
        (1 << 32, 9),
        (u64::MAX, 9),
    ] {
        let bytes = uint(value);
        assert_eq!(bytes.len(), len, "{value}");
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.uint(), Ok(value));
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn longer_forms_are_refused() {
    for bytes in [
        &[0x18, 23][..],
        &[0x19, 0, 255],
        &[0x1a, 0, 0, 255, 255],
        &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
        &[0x1c],
        &[0x1f],
    ] {
        assert_eq!(Reader::new(bytes).uint(), Err(CborError::NotShortest), "{bytes:?}");
    }
    assert_eq!(Reader::new(&[0x5f, 0x41, 1, 0xff]).bytes(), Err(CborError::NotShortest));
    assert_eq!(Reader::new(&[0x20]).uint(), Err(CborError::Type("a number")));
}

#[test]
fn lengths_beyond_the_input_allocate_nothing_and_are_refused() {
    let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(Reader::new(&huge).bytes(), Err(CborError::Truncated));
    let mut list = huge;
    list[0] = 0x9b;
    assert_eq!(Reader::new(&list).array(), Err(CborError::Truncated));
    list[0] = 0xbb;
    assert_eq!(Reader::new(&list).map().err(), Some(CborError::Truncated));
}

#[test]
fn skipping_is_bounded_in_depth() {
    let nested = [0x81; 40];
    assert_eq!(Reader::new(&nested).skip(8), Err(CborError::Type("a shallow value")));
    let flat = [0x83, 0x01, 0x41, 0x07, 0x61, b'x'];
    let mut reader = Reader::new(&flat);
    assert_eq!(reader.skip(1), Ok(()));
    assert_eq!(reader.end(), Ok(()));
}

proptest! {
    #[test]
    fn what_is_written_reads_in_another_implementation(
        number in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in "[a-z]{0,40}",
    ) {
        let mut writer = Writer::default();
        writer.array(4);
        writer.uint(number);
        writer.bytes(&bytes);
        writer.text(&text);
        writer.link_or_null(Some(&EntryId::of(&bytes)));
        let encoded = writer.finish();
        let other: Ipld = serde_ipld_dagcbor::from_slice(&encoded).unwrap();
        let Ipld::List(items) = &other else { panic!("a list was written") };
        prop_assert_eq!(&items[0], &Ipld::Integer(i128::from(number)));
        prop_assert_eq!(&items[1], &Ipld::Bytes(bytes));
        prop_assert_eq!(&items[2], &Ipld::String(text));
        prop_assert!(matches!(items[3], Ipld::Link(_)));
        prop_assert_eq!(serde_ipld_dagcbor::to_vec(&other).unwrap(), encoded);
    }

    #[test]
    fn skipping_agrees_with_another_implementation_on_small_inputs(
        bytes in prop::collection::vec(prop::sample::select(
            &[0u8, 1, 0x18, 0x41, 0x60, 0x61, 0x80, 0x81, 0x82, 0xa0, 0xa1, 0xd8, 0x2a, 0xf5, 0xf6][..],
        ), 1..8),
    ) {
        let mut reader = Reader::new(&bytes);
        let ours = reader.skip(8).and_then(|()| reader.end());
        let theirs: Result<Ipld, _> = serde_ipld_dagcbor::from_slice(&bytes);
        // Ours reads past any link and any order of keys: it may take more, never less.
        prop_assert!(theirs.is_err() || ours.is_ok(), "{:?} {:?}", ours, theirs);
    }
}
