//! Tests of making and checking CIDs: the allow-list, digests of every accepted length, and
//! binary CIDs that are cut or too long.
//!
//! Public vectors of the hash functions are in `tests/dag/codecs.rs`.

use super::*;

fn cid(codec: u64, code: u64, len: usize) -> Cid {
    let digest = vec![0; len];
    Cid::new_v1(codec, Multihash::wrap(code, &digest).unwrap())
}

#[test]
fn only_listed_codecs_hashes_and_lengths_pass() {
    for codec in [RAW, DAG_PB, DAG_CBOR] {
        assert_eq!(check(&cid(codec, BLAKE3, 32)), Ok(()));
    }
    // dag-json, libp2p-key, git.
    for codec in [0x0129, 0x72, 0x78] {
        assert_eq!(check(&cid(codec, BLAKE3, 32)), Err(CidError::Codec(codec)));
    }
    // sha1, sha3-256, murmur3, blake2b-256, keccak-256.
    for code in [0x11, 0x16, 0x22, 0xb220, 0x1b] {
        assert_eq!(check(&cid(RAW, code, 32)), Err(CidError::Hash(code)));
    }
    let lengths = [(BLAKE3, 20, 64), (SHA2_256, 20, 32), (SHA2_512, 20, 64), (IDENTITY, 0, 64)];
    for (code, min, max) in lengths {
        for len in 0..=64 {
            let good = (min..=max).contains(&len);
            assert_eq!(check(&cid(RAW, code, len)).is_ok(), good, "{code:x} {len}");
        }
    }
}

#[test]
fn verify_accepts_the_bytes_and_no_others() {
    for kind in [HashKind::Blake3, HashKind::Sha256] {
        let good = cid_of(kind, RAW, Version::V1, b"bytes");
        assert_eq!(verify(&good, b"bytes"), Ok(()));
        for wrong in [&b"byteS"[..], b"", b"bytes "] {
            assert_eq!(verify(&good, wrong), Err(Mismatch::Digest(Box::new(good))));
        }
    }
    let same = Cid::new_v1(RAW, Multihash::wrap(IDENTITY, b"bytes").unwrap());
    assert_eq!(verify(&same, b"bytes"), Ok(()));
    assert!(verify(&same, b"byte").is_err());
    assert_eq!(identity(&same), Some(&b"bytes"[..]));
    let sha1 = cid(RAW, 0x11, 20);
    assert_eq!(verify(&sha1, b""), Err(Mismatch::Cid(CidError::Hash(0x11))));
}

#[test]
fn truncated_digests_verify_from_their_beginning() {
    for (code, full) in [
        (BLAKE3, blake3::hash(b"x").as_bytes().to_vec()),
        (SHA2_256, sha2::Sha256::digest(b"x").to_vec()),
        (SHA2_512, sha2::Sha512::digest(b"x").to_vec()),
    ] {
        for len in [20, full.len()] {
            let cid = Cid::new_v1(RAW, Multihash::wrap(code, &full[..len]).unwrap());
            assert_eq!(verify(&cid, b"x"), Ok(()), "{code:x} {len}");
            assert!(verify(&cid, b"y").is_err(), "{code:x} {len}");
        }
    }
}

#[test]
fn binary_cids_are_all_of_their_bytes() {
    let v0 = cid_of(HashKind::Sha256, DAG_PB, Version::V0, b"x");
    let v1 = cid_of(HashKind::Blake3, RAW, Version::V1, b"x");
    // Codes of two bytes take the slow way: dag-json and blake2b-256.
    let long = cid(0x0129, 0xb220, 32);
    for cid in [v0, v1, long] {
        let bytes = cid.to_bytes();
        assert_eq!(cid_from_bytes(&bytes), Ok(cid));
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(cid_from_bytes(&longer), Err(CidError::Malformed));
        for len in 0..bytes.len() {
            assert_eq!(cid_from_bytes(&bytes[..len]), Err(CidError::Malformed));
        }
    }
}

#[test]
fn identity_cids_are_read_up_to_128_bytes_and_no_further() {
    for len in [0, 64, 65, 127, 128] {
        let same = cid(RAW, IDENTITY, len);
        assert_eq!((cid_from_bytes(&same.to_bytes()), check(&same)), (Ok(same), Ok(())));
        assert_eq!(same.to_string().parse::<Cid>().unwrap(), same);
        assert_eq!(identity(&same).map(<[u8]>::len), Some(len));
    }
    // Version 1, raw, identity, then 129 as a varint of two bytes.
    let long = [&[1, 0x55, 0, 0x81, 0x01][..], &[7; 129]].concat();
    assert_eq!(cid_from_bytes(&long), Err(CidError::Malformed));
    let text = multibase::encode(multibase::Base::Base32Lower, &long);
    assert!(text.parse::<Cid>().is_err());
    assert!(crate::path::parse(text.as_bytes()).is_err());
    let link = [&[0x0a, 0x86, 0x01][..], &long].concat();
    let block = [&[0x12, 0x89, 0x01][..], &link].concat();
    assert_eq!(crate::pb::decode(&block), Err(crate::pb::PbError::Hash));
    // No digest of another function is that long.
    assert!(check(&cid(RAW, BLAKE3, 65)).is_err() && check(&cid(RAW, SHA2_512, 65)).is_err());
}
