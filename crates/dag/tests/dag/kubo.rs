//! The exact profiles against kubo's answers (`../shared/vectors/unixfs-facts`).
//!
//! Every file and every directory, in one block or sharded, must have kubo's CID. Layouts that no
//! profile here has (trickle, other chunkers, inlining) are in `layouts.rs`.

use serde_json::Value;
use shoal_dag::build::{self, Built, DirectoryBuilder, FileBuilder};
use shoal_dag::hash::{self, HashKind};
use shoal_dag::{Bytes, Cid, Metadata, Mtime, Profile, Version};

use crate::memory::Memory;
use crate::vectors::{KeyedStream, keyed, vectors_json};

const EXACT: [Profile; 2] = [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];
const ANSWERS: &str = "unixfs-facts/kubo-answers.json";

/// The CID of a file whose bytes are taken from the stream as they are needed.
fn streamed(profile: Profile, seed: &str, len: usize) -> Built {
    let (mut stream, mut out) = (KeyedStream::new(seed), Vec::new());
    let mut builder = FileBuilder::new(profile, Metadata::NONE);
    let max = shoal_dag::chunk::Chunker::new(&profile).max();
    let mut rest = len;
    while rest > 0 {
        let chunk = stream.take(rest.min(max));
        rest -= chunk.len();
        builder.push(build::leaf(profile, &chunk).link(), &mut out);
    }
    let built = builder.finish(&mut out);
    assert_eq!(built.size, len as u64);
    built
}

fn expect(row: &Value, profile: Profile) -> Cid {
    row[profile.name()].as_str().unwrap().parse().unwrap()
}

fn file(profile: Profile, meta: Metadata, content: &[u8]) -> (Cid, u64) {
    let built = Memory::default().add(profile, meta, content);
    (built.cid, built.dag_size)
}

#[test]
fn files_at_the_boundaries_have_kubos_cids() {
    let Some(answers) = vectors_json(ANSWERS) else {
        return;
    };
    for row in answers["files"].as_array().unwrap() {
        let len = row["len"].as_u64().unwrap() as usize;
        for profile in EXACT {
            let built = streamed(profile, "shoal-vectors", len);
            assert_eq!(built.cid, expect(row, profile), "{profile} {len}");
        }
    }
}

#[test]
fn files_of_the_published_profiles_have_their_cids() {
    let Some(facts) = vectors_json("unixfs-facts/kubo-cid-profiles.json") else {
        return;
    };
    for profile in EXACT {
        let facts = &facts[profile.name()];
        for row in facts["files"].as_array().unwrap() {
            let len = row["len"].as_u64().unwrap() as usize;
            let built = streamed(profile, row["seed"].as_str().unwrap(), len);
            assert_eq!(built.cid.to_string(), row["cid"].as_str().unwrap(), "{profile} {len}");
        }
        let hello = file(profile, Metadata::NONE, b"hello world").0.to_string();
        assert_eq!(hello, facts["hello world"].as_str().unwrap(), "{profile}");
    }
}

/// Names as the rows of `directories` describe them.
fn names(row: &Value) -> Vec<Vec<u8>> {
    let count = row["count"].as_u64().unwrap() as usize;
    let numbered = |print: fn(usize) -> String| (0..count).map(|i| print(i).into()).collect();
    match row["names"].as_str().unwrap() {
        text if text.starts_with("entry-%06d.txt") => numbered(|i| format!("entry-{i:06}.txt")),
        text if text.starts_with("%0200d") => numbered(|i| format!("{i:0200}")),
        text if text.starts_with("one letter") => (b'a'..=b'z').map(|c| vec![c]).collect(),
        text if text.starts_with("raw bytes") => {
            let names: [&[u8]; 6] = [b"\xff\xfe", b"\xc3\xa9", b"cafe\xcc\x81", b" ", b"a b", b"~"];
            names.map(<[u8]>::to_vec).to_vec()
        }
        other => panic!("names that this test does not know: {other}"),
    }
}

/// A directory of files that hold the byte `x`; its CID and how many blocks it has.
fn directory(profile: Profile, names: &[Vec<u8>]) -> (Cid, usize) {
    let (cid, dag_size) = file(profile, Metadata::NONE, b"x");
    let mut builder = DirectoryBuilder::new(profile, Metadata::NONE);
    for name in names {
        builder.insert(name, cid, dag_size).unwrap();
    }
    let mut memory = Memory::default();
    let (cid, dag_size) = memory.keep_all(builder);
    let blocks: usize = memory.0.values().map(Bytes::len).sum();
    assert_eq!(
        dag_size,
        (blocks as u64) + names.len() as u64 * file(profile, Metadata::NONE, b"x").1
    );
    (cid, memory.0.len())
}

#[test]
fn directories_have_kubos_cids() {
    let Some(answers) = vectors_json(ANSWERS) else {
        return;
    };
    let (mut small, mut sharded) = (0, 0);
    for row in answers["directories"].as_array().unwrap() {
        for profile in EXACT {
            // Backwards: the order of insertion must not matter.
            let names: Vec<_> = names(row).into_iter().rev().collect();
            let (cid, blocks) = directory(profile, &names);
            assert_eq!(cid, expect(row, profile), "{profile} {row}");
            *(if blocks == 1 { &mut small } else { &mut sharded }) += 1;
        }
    }
    assert_eq!((small, sharded), (26, 22));
}

/// The directories of kubo's own test of the profiles (`test/cli/cid_profiles_test.go`, v0.43.0):
/// at the threshold, and one byte above it. Names are taken from one stream, `len` bytes each, the
/// last `last` bytes.
#[test]
fn directories_at_the_threshold_and_one_byte_above_have_kubos_cids() {
    let rows = [
        (0, 4096, 30, 30, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN"),
        (0, 4033, 31, 31, "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP"),
        (1, 4766, 11, 21, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4"),
        (1, 4766, 11, 22, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu"),
    ];
    for (at, (version, count, len, last, expected)) in rows.into_iter().enumerate() {
        let profile = if version == 0 { Profile::UnixfsV0_2015 } else { Profile::UnixfsV1_2025 };
        let mut stream = KeyedStream::new(&format!("hamt-{profile}"));
        let names: Vec<Vec<u8>> = (1..=count)
            .map(|i| stream.take(if i == count { last } else { len }))
            .map(|bytes| bytes.iter().map(|byte| ALPHABET[usize::from(*byte) % 39]).collect())
            .collect();
        let (cid, blocks) = directory(profile, &names);
        assert_eq!(cid.to_string(), expected, "{profile} {count}");
        assert_eq!(blocks == 1, at % 2 == 0, "{profile} {blocks}");
    }
}

const ALPHABET: &[u8; 39] = b"abcdefghijklmnopqrstuvwxyz01234567890-_";

#[test]
fn well_known_cids_are_made() {
    let Some(facts) = vectors_json("unixfs-facts/well-known.json") else {
        return;
    };
    for (profile, version) in [(Profile::UnixfsV0_2015, "v0"), (Profile::UnixfsV1_2025, "v1")] {
        let (empty, _) = DirectoryBuilder::new(profile, Metadata::NONE).finish().unwrap();
        assert_eq!(empty.cid.to_string(), facts["empty_dir"][version]);
    }
    let empty = file(Profile::UnixfsV0_2015, Metadata::NONE, b"").0;
    assert_eq!(empty.to_string(), facts["empty_dagpb_file"]["v0"]);
    assert_eq!(empty.into_v1().unwrap().to_string(), facts["empty_dagpb_file"]["v1"]);
    let empty = file(Profile::UnixfsV1_2025, Metadata::NONE, b"").0;
    assert_eq!(empty.to_string(), facts["empty_raw"]["v1"]);
    for profile in EXACT {
        let hello = file(profile, Metadata::NONE, b"hello world").0.to_string();
        assert_eq!(hello, facts["hello_world_no_newline"][profile.name()]);
    }
    let identity: Cid = facts["empty_raw"]["identity"].as_str().unwrap().parse().unwrap();
    assert_eq!(hash::verify(&identity, b""), Ok(()));
}

/// What is kept of the objects of the tree in `options`.
#[derive(Clone, Copy)]
struct Kept {
    mode: bool,
    mtime: bool,
}

impl Kept {
    fn meta(self, mode: u32, nanos: u32) -> Metadata {
        let mtime = Mtime { seconds: 1_700_000_000, nanos };
        Metadata { mode: self.mode.then_some(mode), mtime: self.mtime.then_some(mtime) }
    }
}

/// The tree that the first rows of `options` describe.
fn tree(profile: Profile, kept: Kept) -> Cid {
    const NANOS: u32 = 123_456_789;
    let big = keyed("shoal-vectors", 300_000);
    let file = |content: &[u8]| file(profile, kept.meta(0o640, NANOS), content);
    let link = |target: &[u8]| {
        let (block, dag_size) = build::symlink(profile, target, kept.meta(0o777, NANOS));
        (block.cid, dag_size)
    };
    let directory = |meta: Metadata, entries: &[(&str, (Cid, u64))]| {
        let mut builder = DirectoryBuilder::new(profile, meta);
        for &(name, (cid, dag_size)) in entries {
            builder.insert(name.as_bytes(), cid, dag_size).unwrap();
        }
        let (block, dag_size) = builder.finish().unwrap();
        (block.cid, dag_size)
    };
    let below = kept.meta(0o750, NANOS);
    let deep = directory(below, &[("c", file(b""))]);
    let sub = [("b.bin", file(&big)), ("dangling", link(b"../nowhere")), ("deep", deep)];
    let root = [
        ("a.txt", file(b"hello\n")),
        ("link", link(b"a.txt")),
        ("empty", directory(below, &[])),
        ("sub", directory(below, &sub)),
    ];
    directory(kept.meta(0o755, 0), &root).0
}

#[test]
fn a_tree_with_symlinks_and_metadata_has_kubos_cids() {
    let Some(answers) = vectors_json(ANSWERS) else {
        return;
    };
    let mut checked = 0;
    for row in answers["options"].as_array().unwrap() {
        let flags: Vec<&str> =
            row["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
        for profile in EXACT {
            let cid = match (row["tree"].is_string(), flags.as_slice()) {
                (true, _) => {
                    let mode = flags.contains(&"--preserve-mode");
                    tree(profile, Kept { mode, mtime: flags.contains(&"--preserve-mtime") })
                }
                // What the profile does anyway.
                (false, ["--raw-leaves"]) if profile == Profile::UnixfsV1_2025 => {
                    streamed(profile, "shoal-vectors", 3_145_733).cid
                }
                (false, ["--cid-version=1"]) if profile == Profile::UnixfsV1_2025 => {
                    streamed(profile, "shoal-vectors", 3_145_733).cid
                }
                // In `layouts.rs`.
                _ => continue,
            };
            assert_eq!(cid, expect(row, profile), "{profile} {}", flags.join(" "));
            checked += 1;
        }
    }
    assert_eq!(checked, 10);
}

#[test]
fn a_raw_leaf_never_gets_version_0() {
    let cid = hash::cid_of(HashKind::Sha256, hash::RAW, Version::V0, b"x");
    assert_eq!(cid.version(), Version::V1);
}
