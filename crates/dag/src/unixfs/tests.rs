//! Tests of the UnixFS message: bytes as they are written, forms that only others write, and
//! what is refused.
//!
//! Whole nodes against kubo's CIDs are in `tests/dag/kubo.rs`.

use super::*;

#[test]
fn messages_are_written_byte_for_byte() {
    let message = UnixFs {
        data: Some(b"hi"),
        file_size: Some(300),
        block_sizes: vec![1, 128],
        meta: Metadata { mode: Some(0o755), mtime: Some(Mtime { seconds: 2, nanos: 3 }) },
        ..UnixFs::new(Kind::File)
    };
    let bytes = message.encode();
    let expected = [
        &[0x08, 2, 0x12, 2, b'h', b'i', 0x18, 0xac, 2, 0x20, 1, 0x20, 0x80, 1][..],
        &[0x38, 0xed, 3, 0x42, 7, 0x08, 2, 0x15, 3, 0, 0, 0],
    ]
    .concat();
    assert_eq!(bytes, expected);
    assert_eq!(UnixFs::decode(&bytes), Ok(message));
    assert_eq!(UnixFs::new(Kind::Directory).encode(), [0x08, 1]);
}

#[test]
fn times_before_1970_and_without_a_fraction_round_trip() {
    for mtime in [
        Mtime { seconds: -1, nanos: 999_999_999 },
        Mtime { seconds: i64::MIN, nanos: 0 },
        Mtime { seconds: i64::MAX, nanos: 1 },
    ] {
        let meta = Metadata { mode: None, mtime: Some(mtime) };
        let bytes = UnixFs { meta, ..UnixFs::new(Kind::Symlink) }.encode();
        assert_eq!(UnixFs::decode(&bytes).unwrap().meta, meta);
        assert_eq!(bytes.contains(&0x15), mtime.nanos != 0);
    }
}

#[test]
fn what_other_writers_may_write_is_read() {
    // Packed block sizes, and fields of a later version.
    let packed = [0x08, 2, 0x18, 3, 0x22, 2, 1, 2, 0x78, 5, 0x7a, 1, 0, 0x7d, 0, 0, 0, 0];
    let message = UnixFs::decode(&packed).unwrap();
    assert_eq!((message.file_size, message.block_sizes), (Some(3), vec![1, 2]));
    // A shard, for those who will read it.
    let shard = [0x08, 5, 0x12, 1, 0xff, 0x28, 0x22, 0x30, 0x80, 2];
    let message = UnixFs::decode(&shard).unwrap();
    let found = (message.kind, message.data, message.hash_type, message.fanout);
    assert_eq!(found, (Kind::HamtShard, Some(&[0xff][..]), Some(0x22), Some(256)));
}

#[test]
fn malformed_messages_are_refused() {
    let refused = |bytes: &[u8]| UnixFs::decode(bytes).unwrap_err();
    assert_eq!(refused(&[]), UnixFsError::Type);
    assert_eq!(refused(&[0x18, 1]), UnixFsError::Type);
    assert_eq!(refused(&[0x08, 6]), UnixFsError::Type);
    assert_eq!(refused(&[0x08, 1, 0x08, 1]), UnixFsError::Field(1));
    assert_eq!(refused(&[0x08, 2, 0x10, 1]), UnixFsError::Field(2));
    assert_eq!(refused(&[0x08, 2, 0x1a, 0]), UnixFsError::Field(3));
    assert_eq!(refused(&[0x08, 2, 0x12, 0, 0x12, 0]), UnixFsError::Field(2));
    assert_eq!(refused(&[0x08, 2, 0x22, 1, 0x80]), WireError::Truncated.into());
    // No seconds; a fraction of a whole second; a fraction as a varint.
    assert_eq!(refused(&[0x08, 2, 0x42, 0]), UnixFsError::Mtime);
    let whole = [0x08, 2, 0x42, 7, 0x08, 1, 0x15, 0x00, 0xca, 0x9a, 0x3b];
    assert_eq!(refused(&whole), UnixFsError::Mtime);
    assert_eq!(refused(&[0x08, 2, 0x42, 4, 0x08, 1, 0x10, 1]), UnixFsError::Mtime);
}
