//! Tests of parsing CIDs and paths: every accepted form, and for every refusal the message that
//! a person reads.
//!
//! The CID used throughout is kubo's empty directory (`unixfs-facts/well-known.json`).

use super::*;

/// `unixfs-facts/well-known.json`: the empty directory.
const V1: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";
const V0: &str = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn";

#[track_caller]
fn segments(text: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
    let path = parse(text).unwrap();
    assert_eq!(path.root.into_v1().unwrap().to_string(), V1);
    path.segments
}

#[test]
fn every_form_of_a_path_parses() {
    for root in [V0, V1] {
        assert_eq!(segments(root), [[0; 0]; 0]);
        assert_eq!(segments(format!("{root}/")), [[0; 0]; 0]);
        assert_eq!(segments(format!("/ipfs/{root}")), [[0; 0]; 0]);
        assert_eq!(segments(format!("ipfs://{root}")), [[0; 0]; 0]);
        assert_eq!(segments(format!("{root}/a/b c")), [b"a".to_vec(), b"b c".to_vec()]);
        assert_eq!(segments(format!("/ipfs/{root}//a/")), [b"a"]);
        // Only a URI has percent escapes.
        assert_eq!(segments(format!("ipfs://{root}/%ff%2e%25")), [b"\xff.%"]);
        assert_eq!(segments(format!("{root}/%41")), [b"%41"]);
    }
    assert_eq!(segments([V1.as_bytes(), b"/\xff\xfe"].concat()), [b"\xff\xfe"]);
    // Any multibase: base36, base58 and base 16 of the same CID.
    let cid = cid_from_text(V1.as_bytes()).unwrap();
    for base in [multibase::Base::Base36Lower, multibase::Base::Base58Btc] {
        let text = cid.to_string_of_base(base).unwrap();
        assert_eq!(cid_from_text(text.as_bytes()), Ok(cid));
    }
}

#[test]
fn what_is_not_a_cid_is_told_so() {
    let cut = &V1[..V1.len() - 1];
    let long = format!("{V1}aa");
    let multibase_v0 = format!("z{V0}");
    let huge = "b".repeat(5000);
    for text in ["", "/", "a", "photos", "Qm", "\u{e9}", "/ipfs/", "ipfs://", cut, &long, &huge] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, PathError::NotCid(_)), "{text}: {error}");
        let shown = error.to_string();
        assert!(shown.starts_with("not a CID: ") && shown.len() <= 1100, "{shown}");
    }
    assert!(matches!(parse(multibase_v0), Err(PathError::NotCid(_))));
    assert_eq!(parse("a\x1b[31m").unwrap_err().to_string(), "not a CID: a\\x1b[31m");
}

#[test]
fn a_cid_that_cannot_be_fetched_is_told_so() {
    // A name's key, and a CID with sha1.
    let key = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r";
    let sha1 = multihash::Multihash::wrap(0x11, &[7; 20]).unwrap();
    let sha1 = Cid::new_v1(hash::RAW, sha1).to_string();
    let errors = [key, &sha1].map(|text| parse(text).unwrap_err());
    assert!(matches!(&errors[0], PathError::Unusable { reason: CidError::Codec(0x72), .. }));
    assert!(matches!(&errors[1], PathError::Unusable { reason: CidError::Hash(0x11), .. }));
}

#[test]
fn segments_that_lead_elsewhere_are_refused() {
    for bad in ["..", ".", "a/../b", "a\0"] {
        let error = parse(format!("{V1}/{bad}")).unwrap_err();
        assert!(matches!(error, PathError::Segment { .. }), "{error}");
    }
    for bad in ["%2e%2e", "%2F", "a%00"] {
        let error = parse(format!("ipfs://{V1}/{bad}")).unwrap_err();
        assert!(matches!(error, PathError::Segment { .. }), "{error}");
    }
    for bad in ["%", "%1", "%zz", "%+1"] {
        let error = parse(format!("ipfs://{V1}/{bad}")).unwrap_err();
        assert!(matches!(error, PathError::Percent(_)), "{error}");
    }
}
