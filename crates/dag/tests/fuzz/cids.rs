//! Varints and CIDs: against plain definitions, the `cid` crate, and back to the same bytes.
//!
//! A CID has one form in bytes, and only what may be fetched by has a text that is read.

use shoal_dag::hash::{self, HashKind};
use shoal_dag::{Cid, Version, path, varint};

use crate::mutate;

#[test]
fn fuzz_varint() {
    let numbers = [0, 1, 127, 128, 300, 1 << 32, (1 << 63) - 1];
    let mut corpus: Vec<Vec<u8>> = vec![vec![0x80, 0], vec![0xff; 12]];
    corpus.extend(numbers.map(|number| {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, number);
        bytes
    }));
    mutate::run("varint", &corpus, 20_000, |bytes| {
        let read = varint::read(bytes);
        assert_eq!(read.ok(), defined(bytes), "as the specification says");
        if let Ok(Some((number, len))) = read {
            let mut again = Vec::new();
            varint::put(&mut again, number);
            assert_eq!(again, bytes[..len]);
        }
    });
}

/// The definition, written out: `None` is an error, `Some(None)` an end that is missing.
fn defined(bytes: &[u8]) -> Option<Option<(u64, usize)>> {
    let Some(last) = bytes.iter().take(9).position(|byte| byte & 0x80 == 0) else {
        return (bytes.len() < 9).then_some(None);
    };
    let low_first = bytes[..=last].iter().enumerate();
    let value: u128 = low_first.map(|(i, byte)| u128::from(byte & 0x7f) << (7 * i)).sum();
    let is_shortest = last == 0 || bytes[last] != 0;
    is_shortest.then(|| Some((u64::try_from(value).unwrap(), last + 1)))
}

#[test]
fn fuzz_cid() {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for kind in [HashKind::Blake3, HashKind::Sha256] {
        for codec in [hash::RAW, hash::DAG_PB, hash::DAG_CBOR] {
            corpus.push(hash::cid_of(kind, codec, Version::V0, b"x").to_bytes());
        }
    }
    corpus.push(vec![1, 0x55, 0, 4, b'h', b'e', b'r', b'e']);
    corpus.push([&[1, 0x55, 0x13, 64][..], &[7; 64]].concat());
    corpus.push([&[1, 0xa9, 0x02, 0x1b, 32][..], &[7; 32]].concat());
    mutate::run("cid", &corpus, 20_000, |bytes| {
        let read = hash::cid_from_bytes(bytes);
        // That crate drops bits of numbers that are too long; then it does not give the bytes back.
        let theirs = Cid::try_from(bytes).ok().filter(|cid| cid.to_bytes() == bytes);
        assert_eq!(read.ok(), theirs);
        let Ok(cid) = read else { return };
        assert_eq!(cid.to_bytes(), bytes);
        match hash::check(&cid) {
            Ok(()) => assert_eq!(path::cid_from_text(cid.to_string().as_bytes()), Ok(cid)),
            Err(_) => assert!(path::cid_from_text(cid.to_string().as_bytes()).is_err()),
        }
        // No bytes pass for those of a CID unless hashing says so.
        if hash::verify(&cid, bytes).is_ok() {
            assert_eq!(hash::identity(&cid), Some(bytes));
        }
    });
}
