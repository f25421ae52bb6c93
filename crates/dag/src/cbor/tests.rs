//! Tests of the scan: what is read, and what strictness refuses. Agreement with another decoder is
//! in `tests/dag/codecs.rs` and in the fuzz targets.

use super::*;
use crate::hash::{DAG_CBOR, HashKind, cid_of};

fn a_cid() -> Cid {
    cid_of(HashKind::Sha256, DAG_CBOR, crate::Version::V1, b"x")
}

fn link() -> Vec<u8> {
    let mut out = Vec::new();
    put_link(&mut out, &a_cid());
    out
}

#[track_caller]
fn refused(parts: &[&[u8]], error: CborError) {
    assert_eq!(links(&parts.concat()), Err(error));
}

#[test]
fn links_are_found_at_every_depth() {
    let link = link();
    assert_eq!(links(&link), Ok(vec![a_cid()]));
    let block = [&b"\x83\x01"[..], &link, b"\xa2\x61a", &link, b"\x61b\x81", &link].concat();
    assert_eq!(links(&block), Ok(vec![a_cid(); 3]));
    for plain in [&b"\xa0"[..], b"\x80", b"\xf6", b"\x20", b"\x18\x18", b"\x61\x61", b"\x40"] {
        assert_eq!(links(plain), Ok(Vec::new()), "{plain:?}");
    }
}

#[test]
fn a_bomb_of_a_hundred_bytes_is_an_error() {
    // Lists that declare 2^63 items, within each other.
    let bomb = b"\x9b\x80\0\0\0\0\0\0\0".repeat(11);
    refused(&[&bomb], CborError::Truncated);
    refused(&[b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"], CborError::Truncated);
    refused(&[b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"], CborError::Truncated);
    refused(&[&b"\x81".repeat(100)], CborError::Depth);
    let deepest = [b"\x81".repeat(DEPTH_MAX), b"\xf6".to_vec()].concat();
    assert_eq!(links(&deepest), Ok(Vec::new()));
}

#[test]
fn a_block_of_too_many_links_is_refused() {
    let identity = b"\xd8\x2a\x45\0\x01\x55\0\0";
    let list =
        |count: u32| [&[0x9a][..], &count.to_be_bytes(), &identity.repeat(count as usize)].concat();
    assert_eq!(links(&list(LINKS_MAX as u32)).map(|links| links.len()), Ok(LINKS_MAX));
    refused(&[&list(LINKS_MAX as u32 + 1)], CborError::Links);
}

#[test]
fn what_is_not_strict_is_refused() {
    refused(&[b""], CborError::Truncated);
    refused(&[b"\xa0\xa0"], CborError::Trailing);
    for long in [&b"\x18\x17"[..], b"\x19\0\xff", b"\x1a\0\0\xff\xff", b"\x9f\xff", b"\x5f\xff"] {
        refused(&[long], CborError::NotShortest);
    }
    for kind in [&b"\xf7"[..], b"\xf9\0\0", b"\xfa\0\0\0\0", b"\xc1\x01", b"\xe0", b"\xff"] {
        refused(&[kind], CborError::Kind);
    }
    refused(&[b"\xfb\x7f\xf8\0\0\0\0\0\0"], CborError::Kind);
    refused(&[b"\xa1\x01\x01"], CborError::Key);
    refused(&[b"\xa2\x61b\x01\x61a\x01"], CborError::Key);
    refused(&[b"\xa2\x61a\x01\x61a\x01"], CborError::Key);
    refused(&[b"\xa2\x62aa\x01\x61b\x01"], CborError::Key);
    refused(&[b"\x61\xff"], CborError::Utf8);
    refused(&[b"\xd8\x2a\x41\x00"], CborError::Link);
    refused(&[b"\xd8\x2a\x61a"], CborError::Link);
    refused(&[b"\xd8\x2a\x42\x01\x01"], CborError::Link);
}
