//! Public vectors of the codecs: dag-pb, dag-cbor, CID, multihash, multibase, BLAKE3.
//!
//! Of dag-cbor this package reads the links only; they are held to those that another decoder
//! finds in the same fixtures.

use std::fs;
use std::path::{Path, PathBuf};

use ipld_core::ipld::Ipld;
use serde_json::Value;
use shoal_dag::hash::{self, DAG_PB, HashKind};
use shoal_dag::node::NodeError;
use shoal_dag::{Bytes, Cid, Node, Version, cbor, path, pb};

use crate::vectors::{vectors, vectors_json};

const FIXTURES: &str = "ipld-codec-fixtures/fixtures";

/// The fixture files with this extension: the CID in the file's name, and the bytes.
fn fixtures(extension: &str) -> Vec<(Cid, Vec<u8>)> {
    let Some(folder) = vectors(FIXTURES) else {
        return Vec::new();
    };
    let entries =
        |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries(folder).filter(|case| case.is_dir()).flat_map(entries);
    let wanted = files.filter(|file| file.extension().is_some_and(|found| found == extension));
    let parsed = wanted.map(|file| {
        let cid = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        (cid, fs::read(&file).unwrap())
    });
    parsed.collect()
}

#[test]
fn dag_pb_fixtures_round_trip() {
    let fixtures = fixtures("dag-pb");
    assert!(fixtures.is_empty() || fixtures.len() == 17, "{}", fixtures.len());
    for (cid, block) in fixtures {
        assert_eq!(hash::verify(&cid, &block), Ok(()));
        let node = pb::decode(&block).unwrap();
        let again = node.encode().unwrap();
        assert_eq!(again.len(), node.encoded_len());
        assert_eq!(hash::cid_of(HashKind::Sha256, DAG_PB, Version::V1, &again), cid);
    }
}

/// ipld/codec-fixtures at 0cc7c097845d, `negative-fixtures/dag-pb/decode/edges.json`.
#[test]
fn dag_pb_negative_fixtures_are_refused() {
    for hex in [
        "1200",
        "12000a050001020304",
        "12020a00",
        "12021200",
        "120b1209736f6d65206e616d65",
        "12021800",
        "120318f207",
        "12240a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df650a040802180612\
         240a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65",
    ] {
        assert!(pb::decode(&unhex(hex)).is_err(), "{hex}");
    }
}

#[test]
fn the_links_of_dag_cbor_fixtures_are_those_of_another_decoder() {
    let fixtures = fixtures("dag-cbor");
    assert!(fixtures.is_empty() || fixtures.len() >= 120, "{}", fixtures.len());
    for (cid, block) in fixtures {
        assert_eq!(hash::verify(&cid, &block), Ok(()));
        let value: Ipld = serde_ipld_dagcbor::from_slice(&block).unwrap();
        assert_eq!(serde_ipld_dagcbor::to_vec(&value).unwrap(), block, "{cid}");
        let mut links = Vec::new();
        value.references(&mut links);
        let mut found = cbor::links(&block).unwrap_or_else(|error| panic!("{cid}: {error}"));
        // That decoder has another type of CID, and orders maps by the bytes of the keys alone.
        let mut links: Vec<_> =
            links.iter().map(|link| hash::cid_from_bytes(&link.to_bytes()).unwrap()).collect();
        found.sort();
        links.sort();
        assert_eq!(found, links, "{cid}");
    }
    // ipld/codec-fixtures at 0cc7c097845d, `negative-fixtures/dag-cbor`: a key that stands twice.
    let twice = unhex("a263666f6f0063666f6f01");
    assert!(serde_ipld_dagcbor::from_slice::<Ipld>(&twice).is_err());
    assert_eq!(cbor::links(&twice), Err(cbor::CborError::Key));
}

#[test]
fn cids_of_the_fixtures_parse_and_print() {
    let Some(folder) = vectors(FIXTURES) else {
        return;
    };
    let mut count = 0;
    for case in fs::read_dir(folder).unwrap() {
        let name = case.unwrap().file_name().into_string().unwrap();
        let Some(text) = name.strip_prefix("cid-").filter(|text| !text.ends_with("of")) else {
            continue;
        };
        let (_, bytes) = multibase(text);
        let cid = hash::cid_from_bytes(&bytes).unwrap();
        assert_eq!(cid.to_bytes(), bytes, "{text}");
        let base = multibase::Base::Base58Btc;
        let printed = [cid.to_string(), cid.to_string_of_base(base).unwrap()];
        assert!(printed.iter().any(|printed| printed == text), "{text}");
        // A path takes only those that blocks can be fetched by.
        assert_eq!(path::parse(text).is_ok(), hash::check(&cid).is_ok(), "{text}");
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

fn multibase(text: &str) -> (multibase::Base, Vec<u8>) {
    if text.starts_with("Qm") {
        let base = multibase::Base::Base58Btc;
        return (base, base.decode(text).unwrap());
    }
    multibase::decode(text).unwrap()
}

#[test]
fn multihash_vectors_verify() {
    let Some(file) = vectors("multihash/tests/values/test_cases.csv") else {
        return;
    };
    let mut checked = 0;
    for line in fs::read_to_string(file).unwrap().lines().skip(1) {
        let [algorithm, bits, input, hash] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let Ok(hash) = multihash::Multihash::from_bytes(&unhex(hash)) else {
            continue;
        };
        let cid = Cid::new_v1(hash::RAW, hash);
        let handled = matches!(algorithm, "sha2-256" | "sha2-512" | "blake3");
        let long = bits.parse::<usize>().unwrap() >= 160;
        if handled && long {
            assert_eq!(hash::verify(&cid, input.as_bytes()), Ok(()), "{line}");
            assert!(hash::verify(&cid, b"something else").is_err(), "{line}");
            checked += 1;
        } else {
            assert!(hash::verify(&cid, input.as_bytes()).is_err(), "{line}");
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn multibase_vectors_decode() {
    for file in ["basic", "two_leading_zeros", "leading_zero", "case_insensitivity"] {
        let Some(file) = vectors(&format!("multibase/tests/{file}.csv")) else {
            return;
        };
        let text = fs::read_to_string(&file).unwrap();
        let field = |part: &str| part.trim().trim_matches('"').to_owned();
        let mut lines = text.lines().filter_map(|line| line.split_once(','));
        let (_, plain) = lines.next().unwrap();
        let plain = field(plain).replace("\\x00", "\0");
        let mut checked = 0;
        for (name, encoded) in lines {
            // The bases that a CID is printed in, and those that people paste.
            let known = ["base58btc", "base32", "base36", "base64url", "base16", "base64"];
            if known.contains(&field(name).as_str()) {
                let (_, bytes) = multibase::decode(field(encoded)).unwrap();
                assert_eq!(bytes, plain.as_bytes(), "{name} of {}", file.display());
                checked += 1;
            }
        }
        assert!(checked >= 2, "{} has {checked}", file.display());
    }
}

#[test]
fn blake3_vectors_are_our_digests() {
    let Some(vectors) = vectors_json("blake3/test_vectors/test_vectors.json") else {
        return;
    };
    for case in vectors["cases"].as_array().unwrap() {
        let len = case["input_len"].as_u64().unwrap() as usize;
        let input: Vec<u8> = (0..=250).cycle().take(len).collect();
        let want = unhex(&case["hash"].as_str().unwrap()[..128]);
        assert_eq!(HashKind::Blake3.digest(&input), want[..32], "{len}");
        // Longer digests than ours are the same stream read further.
        let long = multihash::Multihash::wrap(hash::BLAKE3, &want).unwrap();
        assert_eq!(hash::verify(&Cid::new_v1(hash::RAW, long), &input), Ok(()), "{len}");
    }
}

/// Blocks of a CAR version 1: a header, then sections of length, CID and block.
pub(crate) fn car(file: &Path) -> Vec<(Cid, Bytes)> {
    fn varint(bytes: &mut &[u8]) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= usize::from(first & 0x7f) << shift;
            if *first < 0x80 {
                break;
            }
        }
        value
    }
    let bytes = fs::read(file).unwrap();
    let mut rest = &bytes[..];
    let header = varint(&mut rest);
    rest = &rest[header..];
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let len = varint(&mut rest);
        let (mut section, tail) = rest.split_at(len);
        let cid = Cid::read_bytes(&mut section).unwrap();
        blocks.push((cid, Bytes::copy_from_slice(section)));
        rest = tail;
    }
    blocks
}

pub(crate) fn cars(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cars(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "car") {
            found.push(path);
        }
    }
}

/// Files and directories as other implementations made them: each is a node here, or is named as
/// not supported.
#[test]
fn blocks_of_the_gateway_fixtures_decode() {
    let Some(folder) = vectors("gateway-conformance/fixtures") else { return };
    let (mut files, mut decoded) = (Vec::new(), 0);
    cars(&folder, &mut files);
    for file in files {
        for (cid, block) in car(&file) {
            if hash::check(&cid).is_err() {
                continue;
            }
            assert_eq!(hash::verify(&cid, &block), Ok(()), "{cid}");
            match Node::decode(&cid, block) {
                Ok(_) => decoded += 1,
                Err(NodeError::Unsupported(_)) => {}
                Err(error) => panic!("{} in {}: {error}", cid, file.display()),
            }
        }
    }
    assert!(decoded > 100, "{decoded}");
}

#[test]
fn dag_json_is_not_ours() {
    for (cid, _) in fixtures("dag-json") {
        assert_eq!(hash::check(&cid), Err(hash::CidError::Codec(0x0129)));
    }
    let facts = vectors_json("unixfs-facts/well-known.json").unwrap_or(Value::Null);
    if let Some(limit) = facts["identity_limit"]["max_digest_bytes"].as_u64() {
        assert_eq!(limit, hash::IDENTITY_BYTES_MAX as u64);
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
