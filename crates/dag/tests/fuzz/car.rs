//! CARs: the same in pieces of any size, every block has its CID, and a whole one is written again as it
//! was.

use shoal_dag::car::index::IndexBuilder;
use shoal_dag::car::{CarError, CarReader, Event, write};
use shoal_dag::hash::{self, DAG_PB, HashKind, RAW};
use shoal_dag::{Bytes, Cid, Version};

use crate::dag_pb::nodes;
use crate::mutate;

/// Reads in pieces; memory is bounded by what was fed.
fn read(bytes: &[u8], piece: usize) -> (Vec<Event>, Result<(), CarError>) {
    let (mut reader, mut events) = (CarReader::new(), Vec::new());
    let mut pieces = bytes.chunks(piece.max(1));
    loop {
        assert!(reader.held() <= 2 * bytes.len() + 64, "{} bytes are held", reader.held());
        match reader.poll() {
            Ok(Event::More) => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => reader.end(),
            },
            Ok(Event::Done) => return (events, Ok(())),
            Ok(event) => events.push(event),
            Err(error) => return (events, Err(error)),
        }
    }
}

fn written(roots: &[Cid], blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let mut out = write::header(roots);
    for (cid, data) in blocks {
        out.extend(write::section_head(cid, data.len()));
        out.extend_from_slice(data);
    }
    out
}

fn target(bytes: &[u8]) {
    let (events, result) = read(bytes, bytes.len());
    for piece in [1, 7, 60] {
        assert_eq!(read(bytes, piece), (events.clone(), result.clone()));
    }
    if let Err(error) = &result {
        assert!(error.offset <= bytes.len() as u64, "{error}");
    }
    let (mut header, mut blocks, mut refused) = (None, Vec::new(), 0);
    for event in events {
        match event {
            Event::Header(found) => header = Some(found),
            Event::Block(block) => {
                let raw = Cid::new_v1(RAW, *block.cid.hash());
                assert_eq!(hash::verify(&raw, &block.data), Ok(()));
                blocks.push((block.cid, block.data));
            }
            Event::Refused(_) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    // The keys of the header may stand in either order; the canonical one is written.
    if let (Ok(()), Some(header), 0) = (result, header, refused)
        && header.version == 1
        && bytes.starts_with(&write::header(&header.roots))
    {
        assert_eq!(written(&header.roots, &blocks), bytes);
    }
}

#[test]
fn fuzz_car() {
    let block = |data: &[u8], kind, codec| {
        (hash::cid_of(kind, codec, Version::V1, data), Bytes::copy_from_slice(data))
    };
    let mut blocks = vec![block(b"leaf", HashKind::Blake3, RAW), block(b"", HashKind::Sha256, RAW)];
    blocks.extend(nodes()[..3].iter().map(|node| block(node, HashKind::Sha256, DAG_PB)));
    let identity = Cid::try_from(&[1, 0x55, 0, 4, b'h', b'e', b'r', b'e'][..]).unwrap();
    blocks.push((identity, Bytes::from_static(b"here")));
    let unknown = Cid::try_from(&[&[1, 0x55, 0x1b, 32][..], &[7; 32]].concat()[..]).unwrap();
    let one = written(&[blocks[0].0], &blocks);
    let mut index = IndexBuilder::new();
    index.push(&blocks[0].0, 59);
    let two = [write::head_v2(one.len() as u64, true), one.clone(), index.finish()].concat();
    let refused = written(&[], &[(unknown, Bytes::from_static(b"x")), blocks[1].clone()]);
    let corpus =
        [one, two, refused, written(&[], &[]), b"\x11\xa2\x67version\x01\x65roots\x80".to_vec()];
    mutate::run("car", &corpus, 10_000, target);
}
