//! Tests of the wire format: numbers at the borders of their lengths, and messages cut short.
//!
//! Whole messages are tested where they are defined.

use super::*;

#[test]
fn numbers_round_trip_and_know_their_length() {
    let borders = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
    for value in borders {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        assert_eq!(bytes.len(), varint_len(value), "{value}");
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.varint(), reader.is_empty()), (Ok(value), true));
        for len in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..len]).varint(), Err(WireError::Truncated));
        }
    }
}

#[test]
fn numbers_too_long_or_not_minimal_are_refused() {
    let varint = |bytes: &[u8]| Reader::new(bytes).varint();
    assert_eq!(varint(&[0x80, 0]), Err(WireError::Varint));
    assert_eq!(varint(&[0xff, 0x80, 0]), Err(WireError::Varint));
    assert_eq!(varint(&[0xff; 11]), Err(WireError::Varint));
    assert_eq!(
        varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        Err(WireError::Varint)
    );
}

#[test]
fn skipping_passes_over_exactly_one_field() {
    let fields: [(Kind, &[u8]); 4] = [
        (Kind::Varint, &[0x80, 1]),
        (Kind::Fixed64, &[0; 8]),
        (Kind::Bytes, &[2, 9, 9]),
        (Kind::Fixed32, &[0; 4]),
    ];
    for (kind, bytes) in fields {
        let message = [bytes, &[7]].concat();
        let mut reader = Reader::new(&message);
        assert_eq!((reader.skip(kind), reader.varint()), (Ok(()), Ok(7)));
        assert!(Reader::new(&bytes[..bytes.len() - 1]).skip(kind).is_err());
    }
}
