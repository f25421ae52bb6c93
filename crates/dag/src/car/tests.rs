//! Tests of the reader and the writers: what is read back, and every way in which a CAR is broken.
//! Public vectors are in `tests/dag/car.rs`.

use bytes::Bytes;

use super::*;
use crate::hash::{self, DAG_PB, HashKind, IDENTITY, RAW, cid_of};
use crate::{Block, Version};

fn raw(data: &[u8]) -> Block {
    let cid = cid_of(HashKind::Sha256, RAW, Version::V1, data);
    Block { cid, data: Bytes::copy_from_slice(data) }
}

fn section(cid: &Cid, data: &[u8]) -> Vec<u8> {
    [&write::section_head(cid, data.len()), data].concat()
}

/// A CAR of version 1 of these blocks, the first as its root.
fn v1(blocks: &[Block]) -> Vec<u8> {
    let sections = blocks.iter().map(|block| section(&block.cid, &block.data));
    [write::header(&[blocks[0].cid])].into_iter().chain(sections).collect::<Vec<_>>().concat()
}

/// The same in version 2, with an index.
fn v2(blocks: &[Block]) -> Vec<u8> {
    let payload = v1(blocks);
    let mut index = index::IndexBuilder::new();
    let mut at = write::header(&[blocks[0].cid]).len() as u64;
    for block in blocks {
        index.push(&block.cid, at);
        at += write::section_len(&block.cid, block.data.len() as u64);
    }
    assert_eq!(at, payload.len() as u64);
    [write::head_v2(at, true), payload, index.finish()].concat()
}

/// Everything that a reader says when it is fed pieces of this size.
fn read(bytes: &[u8], piece: usize) -> (Vec<Event>, Option<CarError>) {
    let (mut reader, mut events) = (CarReader::new(), Vec::new());
    let mut pieces = bytes.chunks(piece);
    loop {
        match reader.poll() {
            Ok(Event::More) => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => reader.end(),
            },
            Ok(Event::Done) => {
                assert_eq!(reader.poll(), Ok(Event::Done));
                assert_eq!(reader.offset(), bytes.len() as u64);
                return (events, None);
            }
            Ok(event) => events.push(event),
            Err(error) => {
                assert_eq!(reader.poll(), Err(error.clone()));
                return (events, Some(error));
            }
        }
    }
}

#[track_caller]
fn fails(bytes: &[u8], offset: u64, fault: CarFault) {
    for piece in [1, 7, bytes.len().max(1)] {
        assert_eq!(read(bytes, piece).1, Some(CarError { offset, fault: fault.clone() }));
    }
}

fn blocks() -> Vec<Block> {
    vec![raw(b"first"), raw(b""), raw(&[7; 300]), raw(b"first")]
}

#[test]
fn what_is_written_is_read_in_pieces_of_any_size() {
    let blocks = blocks();
    for (version, bytes) in [(1, v1(&blocks)), (2, v2(&blocks))] {
        for piece in [1, 2, 3, 50, bytes.len()] {
            let (events, error) = read(&bytes, piece);
            assert_eq!(error, None);
            let header = Header { version, roots: vec![blocks[0].cid] };
            let expected = blocks.iter().cloned().map(Event::Block);
            assert!(events.into_iter().eq([Event::Header(header)].into_iter().chain(expected)));
        }
    }
}

#[test]
fn a_car_cut_anywhere_gives_what_came_before_and_an_error() {
    let blocks = blocks();
    for bytes in [v1(&blocks), v2(&blocks)] {
        let is_v2 = bytes.starts_with(&PRAGMA);
        let payload = if is_v2 { V2_PAYLOAD_MIN as usize + v1(&blocks).len() } else { bytes.len() };
        let whole = read(&bytes, 9).0;
        for len in 0..bytes.len() {
            let (events, error) = read(&bytes[..len], 9);
            assert!(whole.starts_with(&events), "{len}");
            // Between two sections a version 1 CAR may end, and an index may end anywhere.
            let complete = events.len() < whole.len() || len >= payload;
            match error {
                None => assert!(complete && (len >= payload || ends_between(&blocks, is_v2, len))),
                Some(error) => {
                    assert!(matches!(error.fault, CarFault::Truncated(_)), "{error}");
                    assert!(error.offset <= len as u64 && len < payload);
                }
            }
        }
    }
}

/// Whether a version 1 CAR ends between two parts here.
fn ends_between(blocks: &[Block], is_v2: bool, len: usize) -> bool {
    let ends = (0..blocks.len()).map(|count| {
        let sections = blocks[..count].iter();
        sections.map(|block| section(&block.cid, &block.data).len()).sum::<usize>()
    });
    !is_v2 && ends.map(|end| end + write::header(&[blocks[0].cid]).len()).any(|end| end == len)
}

#[test]
fn broken_headers_are_named() {
    fails(b"", 0, CarFault::Truncated("its header"));
    fails(b"\0", 0, CarFault::Empty("a header"));
    fails(&[0x80; 9], 0, CarFault::Varint);
    fails(b"\x80\0", 0, CarFault::Varint);
    let max = HEADER_BYTES_MAX as u64;
    let len = (1 << 63) - 1;
    let what = "a header";
    fails(&[&[0xff; 8][..], b"\x7f"].concat(), 0, CarFault::TooLarge { what, len, max });
    fails(b"\x81\x80\x40", 0, CarFault::TooLarge { what, len: max + 1, max });
    fails(b"\x01\xf6", 0, CarFault::Header(CborError::Kind));
    fails(b"\x01\xa0", 0, CarFault::HeaderKeys);
    fails(b"\x0a\xa1\x67version\x03", 0, CarFault::Version(3));
    fails(b"\x0a\xa1\x67version\x00", 0, CarFault::Version(0));
    fails(b"\x13\xa2\x65roots\x80\x67version\x01\0\0", 0, CarFault::Header(CborError::Trailing));
    fails(b"\x12\xa2\x65roots\x80\x67version\x02\0", 0, CarFault::Header(CborError::Trailing));
    fails(b"\x11\xa2\x65roots\x80\x67version\x02", 0, CarFault::HeaderKeys);
    fails(b"\x09\xa1\x67version", 0, CarFault::Header(CborError::Truncated));
    fails(b"\x0a\xa2\x65roots\x80\x65r", 0, CarFault::Header(CborError::Truncated));
    fails(b"\x0f\xa2\x65roots\x80\x65roots\x80", 0, CarFault::HeaderKeys);
    fails(
        b"\x10\xa1\x65roots\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        0,
        CarFault::Roots(i64::MAX as u64),
    );
    fails(b"\x0a\xa1\x65roots\x81\x01\xf6", 0, CarFault::Header(CborError::Kind));
    // Either order of the keys is read.
    let (events, error) = read(b"\x11\xa2\x67version\x01\x65roots\x80", 4);
    assert_eq!((events.len(), error), (1, None));
}

#[test]
fn broken_sections_are_named_with_their_place() {
    let start = v1(&blocks()[..1]);
    let at = start.len() as u64;
    let broken = |rest: &[u8], fault| fails(&[&start, rest].concat(), at, fault);
    let max = SECTION_BYTES_MAX as u64;
    broken(b"\0", CarFault::Empty("a section"));
    broken(&[0x80; 10], CarFault::Varint);
    let len = max + 1;
    let mut long = Vec::new();
    crate::wire::put_varint(&mut long, len);
    broken(&long, CarFault::TooLarge { what: "a section", len, max });
    broken(b"\x01\x01", CarFault::Cid);
    broken(b"\x04\x01\x55\x12\x20", CarFault::Cid);
    broken(b"\x04\x02\x55\0\0", CarFault::Cid);
    broken(b"\x02\x12\x20", CarFault::Cid);
    broken(&[&b"\x0b\x01\x55\0\0"[..], &[0x80; 7]].concat(), {
        let cid = Cid::new_v1(RAW, multihash::Multihash::wrap(IDENTITY, b"").unwrap());
        CarFault::Mismatch(Box::new(cid))
    });
    let block = raw(b"right");
    broken(&section(&block.cid, b"wrong"), CarFault::Mismatch(Box::new(block.cid)));
    let large = vec![0; BLOCK_BYTES_MAX + 1];
    let (len, max) = (large.len() as u64, BLOCK_BYTES_MAX as u64);
    let bytes = [start.clone(), section(&raw(&large).cid, &large)].concat();
    let fault = CarFault::TooLarge { what: "a block", len, max };
    assert_eq!(read(&bytes, 1 << 20).1, Some(CarError { offset: at, fault }));
}

#[test]
fn the_places_of_version_2_must_agree() {
    let places = |start: u64, size: u64, index: u64| {
        let numbers = [start, size, index].map(u64::to_le_bytes).concat();
        [&PRAGMA[..], &[0; 16], &numbers].concat()
    };
    let wrong = |bytes: Vec<u8>, what| fails(&bytes, 11, CarFault::Places(what));
    wrong(places(50, 10, 0), "the payload begins within the header");
    wrong(places(0, 10, 0), "the payload begins within the header");
    wrong(places(51, u64::MAX, 0), "the payload ends beyond 64 bits");
    wrong(places(51, 0, 0), "the payload is empty");
    wrong(places(51, 10, 60), "the index begins within the payload");
    fails(&places(u64::MAX - 9, 9, 0), 51, CarFault::Truncated("the space before its payload"));
    fails(&PRAGMA, 11, CarFault::Truncated("its CARv2 header"));
    // A payload that is shorter than what is in it.
    let whole = v2(&blocks());
    let size = v1(&blocks()).len() as u64;
    for less in 1..size {
        let mut bytes = whole.clone();
        bytes[35..43].copy_from_slice(&(size - less).to_le_bytes());
        bytes[43..51].fill(0);
        let (events, error) = read(&bytes, 64);
        let fits = !events.is_empty() && error.is_none();
        assert_eq!(fits, ends_between(&blocks(), false, (size - less) as usize) && less < size);
    }
    // A payload of version 2 within version 2.
    let inner = [write::head_v2(100, false), PRAGMA.to_vec(), vec![0; 100]].concat();
    assert_eq!(read(&inner, 8).1.unwrap().fault, CarFault::Version(2));
}

#[test]
fn space_and_index_are_passed_over_and_never_read() {
    let payload = v1(&blocks());
    let start = 51 + 1000_u64;
    let numbers = [start, payload.len() as u64, u64::MAX].map(u64::to_le_bytes).concat();
    let garbage = [0xff; 5000];
    let bytes = [&PRAGMA[..], &[0xff; 16], &numbers, &garbage[..1000], &payload, &garbage].concat();
    let (events, error) = read(&bytes, 100);
    assert_eq!((events.len(), error), (5, None));
}

#[test]
fn blocks_that_cannot_be_checked_are_passed_over_by_name() {
    let multihash = |code, digest: &[u8]| multihash::Multihash::wrap(code, digest).unwrap();
    let unknown = Cid::new_v1(RAW, multihash(0x1b, &[1; 32]));
    let short = Cid::new_v1(DAG_PB, multihash(hash::SHA2_256, &[1; 19]));
    let identity = Cid::new_v1(RAW, multihash(IDENTITY, b"here"));
    let other_codec =
        Cid::new_v1(0x0200, multihash(hash::SHA2_256, &HashKind::Sha256.digest(b"{}")));
    let mut bytes = write::header(&[]);
    let at = |bytes: &Vec<u8>| bytes.len() as u64;
    let mut expected = Vec::new();
    for (cid, reason) in [
        (unknown, CidError::Hash(0x1b)),
        (short, CidError::DigestLength { code: hash::SHA2_256, len: 19 }),
    ] {
        expected.push(Event::Refused(Refused { offset: at(&bytes), cid: Some(cid), reason }));
        bytes.extend(section(&cid, b"data"));
    }
    // An identity digest of 129 bytes does not fit into the type.
    let reason = CidError::DigestLength { code: IDENTITY, len: 129 };
    expected.push(Event::Refused(Refused { offset: at(&bytes), cid: None, reason }));
    let long = [&b"\x01\x55\0\x81\x01"[..], &[7; 129], &[7; 129]].concat();
    crate::wire::put_varint(&mut bytes, long.len() as u64);
    bytes.extend(long);
    for (cid, data) in [(identity, &b"here"[..]), (other_codec, b"{}")] {
        bytes.extend(section(&cid, data));
        expected.push(Event::Block(Block { cid, data: Bytes::from_static(b"") }));
        let Some(Event::Block(block)) = expected.last_mut() else { panic!("just pushed") };
        block.data = Bytes::copy_from_slice(data);
    }
    let (events, error) = read(&bytes, 10);
    assert_eq!((&events[1..], error), (&expected[..], None));
}

#[test]
fn a_declared_length_allocates_nothing() {
    let mut reader = CarReader::new();
    let start = v1(&blocks()[..1]);
    reader.feed(&start);
    while reader.poll().unwrap() != Event::More {}
    // A section of 2 MiB is announced; of it one byte comes.
    let mut announced = Vec::new();
    crate::wire::put_varint(&mut announced, SECTION_BYTES_MAX as u64);
    reader.feed(&announced);
    reader.feed(b"\x01");
    assert_eq!(reader.poll(), Ok(Event::More));
    assert!(reader.held() < 4096, "{}", reader.held());
}

#[test]
fn an_index_is_the_one_of_the_format() {
    let (a, b) = (raw(b"a"), raw(b"b"));
    let blake = cid_of(HashKind::Blake3, RAW, Version::V1, b"c");
    let mut index = index::IndexBuilder::new();
    for (place, cid) in [(70, &a.cid), (59, &b.cid), (90, &blake)] {
        index.push(cid, place);
    }
    index.push(&Cid::new_v1(RAW, multihash::Multihash::wrap(IDENTITY, b"x").unwrap()), 100);
    let (a, b) = (a.cid.hash().digest(), b.cid.hash().digest());
    let mut sha = [(a, 70_u64), (b, 59)];
    sha.sort_unstable();
    let place = |place: u64| place.to_le_bytes();
    let expected = [
        &b"\x81\x08\x02\0\0\0\x12\0\0\0\0\0\0\0\x01\0\0\0\x28\0\0\0\x50\0\0\0\0\0\0\0"[..],
        sha[0].0,
        &place(sha[0].1),
        sha[1].0,
        &place(sha[1].1),
        b"\x1e\0\0\0\0\0\0\0\x01\0\0\0\x28\0\0\0\x28\0\0\0\0\0\0\0",
        blake.hash().digest(),
        &place(90),
    ];
    assert_eq!(index.finish(), expected.concat());
}
