//! Tests of the dag-pb codec, byte by byte: both orders, absent against empty, and one case for
//! everything that is refused.
//!
//! The public fixtures are in `tests/dag/codecs.rs`.

use super::*;

/// `01 55 00 02 'h' 'i'`: an identity CID.
const CID: &[u8] = &[1, 0x55, 0, 2, b'h', b'i'];

fn field(key: u8, value: &[u8]) -> Vec<u8> {
    [&[key, value.len() as u8], value].concat()
}

fn link(fields: &[&[u8]]) -> Vec<u8> {
    field(0x12, &fields.concat())
}

#[test]
fn both_orders_are_read_and_one_is_written() {
    let link = link(&[&field(0x0a, CID), &field(0x12, b"name"), &[0x18, 5]]);
    let data = field(0x0a, b"data");
    let canonical = [&link[..], &link, &data].concat();
    let older = [&data[..], &link, &link].concat();
    let node = decode(&canonical).unwrap();
    assert_eq!((node.links.len(), node.data), (2, Some(&b"data"[..])));
    assert_eq!((node.links[0].name, node.links[0].tsize), (Some(&b"name"[..]), Some(5)));
    assert_eq!(decode(&older), Ok(node.clone()));
    assert_eq!(node.encode().unwrap(), canonical);
    // The slices are of the block itself.
    assert!(canonical.as_ptr_range().contains(&node.data.unwrap().as_ptr()));
}

#[test]
fn absent_and_empty_fields_are_told_apart() {
    let hash = field(0x0a, CID);
    for fields in [
        vec![&hash[..]],
        vec![&hash, &[0x12, 0]],
        vec![&hash, &[0x18, 0]],
        vec![&hash, &[0x12, 0], &[0x18, 0]],
    ] {
        for data in [&[][..], &[0x0a, 0]] {
            let block = [&link(&fields), data].concat();
            assert_eq!(decode(&block).unwrap().encode().unwrap(), block);
        }
    }
}

#[test]
fn everything_else_is_refused() {
    let (hash, data) = (field(0x0a, CID), field(0x0a, b"data"));
    let good = link(&[&hash]);
    let refused = |what: &str, block: &[u8]| assert!(decode(block).is_err(), "{what}");
    refused("links on both sides of the data", &[&good[..], &data, &good].concat());
    refused("two data", &[&data[..], &data].concat());
    refused("two data around links", &[&data[..], &good, &data].concat());
    refused("an unknown field", &[&good[..], &[0x1a, 0]].concat());
    refused("data as a number", &[0x08, 1]);
    refused("a link as a number", &[0x10, 1]);
    refused("a group", &[0x0b, 0x0c]);
    refused("field number 0", &[0x02, 0]);
    refused("trailing garbage", &[&good[..], &[0x80]].concat());
    refused("a hash that is no CID", &link(&[&field(0x0a, b"hi")]));
    refused("a hash with a tail", &link(&[&field(0x0a, &[CID, b"x"].concat())]));
    refused("two hashes", &link(&[&hash, &hash]));
    refused("a name before the hash", &link(&[&[0x12, 0], &hash]));
    refused("a size before the name", &link(&[&hash, &[0x18, 0], &[0x12, 0]]));
    refused("two names", &link(&[&hash, &[0x12, 0], &[0x12, 0]]));
    refused("two sizes", &link(&[&hash, &[0x18, 0], &[0x18, 0]]));
    refused("an unknown field of a link", &link(&[&hash, &[0x20, 0]]));
    refused("a size as bytes", &link(&[&hash, &[0x1a, 0]]));
    refused("a varint that is not minimal", &link(&[&hash, &[0x18, 0x80, 0]]));
    let tail = [0xff; 9];
    refused("a varint of 65 bits", &link(&[&hash, &[0x18], &tail, &[2]]));
    assert!(decode(&link(&[&hash, &[0x18], &tail, &[1]])).is_ok());
}

#[test]
fn every_prefix_is_refused_and_declared_lengths_cost_nothing() {
    let block = [link(&[&field(0x0a, CID), &[0x12, 1, b'a']]), field(0x0a, b"data")].concat();
    let ends = [0, 13];
    for len in 0..block.len() {
        assert_eq!(decode(&block[..len]).is_ok(), ends.contains(&len), "{len}");
    }
    // 2^60 bytes are declared.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
    for key in [0x0a, 0x12] {
        assert_eq!(decode(&[&[key], &huge[..]].concat()), Err(WireError::Truncated.into()));
    }
}

#[test]
fn writing_refuses_links_that_are_not_sorted() {
    let hash = hash::cid_from_bytes(CID).unwrap();
    let node = |names: &[Option<&'static [u8]>]| PbNode {
        links: names.iter().map(|&name| PbLink { hash, name, tsize: None }).collect(),
        data: None,
    };
    assert!(
        node(&[None, Some(b""), Some(b"a"), Some(b"a"), Some(b"aa"), Some(b"b")]).encode().is_ok()
    );
    assert_eq!(node(&[Some(b"aa"), Some(b"a")]).encode(), Err(PbError::Unsorted));
    assert_eq!(node(&[Some(b"a"), None]).encode(), Err(PbError::Unsorted));
}

#[test]
fn data_and_links_apart_are_those_of_the_node() {
    let link = link(&[&field(0x0a, CID), &[0x12, 1, b'a']]);
    let data = field(0x0a, b"data");
    for block in [[&link[..], &link, &data].concat(), [&data[..], &link, &link].concat()] {
        let node = decode(&block).unwrap();
        assert_eq!(super::data(&block), Ok(node.data));
        assert_eq!(links(&block).collect::<Result<Vec<_>, _>>(), Ok(node.links));
        // What is wrong behind the data is found by reading the links.
        let longer = [&block[..], &data].concat();
        assert_eq!(super::data(&longer), Ok(Some(&b"data"[..])));
        assert!(links(&longer).any(|link| link.is_err()));
    }
}
