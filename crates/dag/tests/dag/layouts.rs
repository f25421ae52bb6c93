//! Layouts that no profile writes: those of kubo's options (trickle, other widths, raw leaves, other
//! hashes, inlining), and trees of no rule at all. Kubo's are built here a second time, slowly, and
//! have kubo's CIDs; chunkers that cut by content and are not ours (rabin, buzhash) are skipped by
//! name.
//!
//! A walk goes by links and sizes alone, so every layout is read; what is shown here is that
//! leaves of every kind at every depth come in the order of the file, for any range.

use proptest::prelude::*;
use shoal_dag::hash::{self, DAG_PB, HashKind, RAW};
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::unixfs::{Kind, UnixFs};
use shoal_dag::walk::Budget;
use shoal_dag::{Block, Bytes, Cid, Profile, Version};

use crate::memory::Memory;
use crate::vectors::{keyed, vectors_json};

/// A part of a file: its block, bytes of the file below, bytes of all blocks.
#[derive(Clone, Copy)]
struct Part {
    cid: Cid,
    size: u64,
    dag_size: u64,
}

struct Writer {
    memory: Memory,
    version: Version,
    hash: HashKind,
}

impl Writer {
    fn new(version: Version) -> Self {
        Self { memory: Memory::default(), version, hash: HashKind::Sha256 }
    }

    fn keep(&mut self, codec: u64, data: Vec<u8>) -> Cid {
        let cid = hash::cid_of(self.hash, codec, self.version, &data);
        self.memory.keep([Block { cid, data: Bytes::from(data) }]);
        cid
    }

    fn raw(&mut self, data: &[u8]) -> Part {
        let size = data.len() as u64;
        Part { cid: self.keep(RAW, data.to_vec()), size, dag_size: size }
    }

    /// A leaf in dag-pb of this kind.
    fn wrapped(&mut self, kind: Kind, data: &[u8]) -> Part {
        self.branch(kind, data, &[])
    }

    fn branch(&mut self, kind: Kind, inline: &[u8], parts: &[Part]) -> Part {
        let size = inline.len() as u64 + parts.iter().map(|part| part.size).sum::<u64>();
        let message = UnixFs {
            data: (!inline.is_empty()).then_some(inline),
            file_size: Some(size),
            block_sizes: parts.iter().map(|part| part.size).collect(),
            ..UnixFs::new(kind)
        }
        .encode();
        let links = parts.iter().map(|part| PbLink {
            hash: part.cid,
            name: Some(b""),
            tsize: Some(part.dag_size),
        });
        let data = PbNode { links: links.collect(), data: Some(&message) }.encode().unwrap();
        let below: u64 = parts.iter().map(|part| part.dag_size).sum();
        let dag_size = below + data.len() as u64;
        Part { cid: self.keep(DAG_PB, data), size, dag_size }
    }

    /// Kubo's trickle layout: a node has its leaves first, then four sub-trees of each depth below
    /// its own, as long as there are leaves. The root is as deep as it must be.
    fn trickle(&mut self, leaves: &mut std::vec::IntoIter<Part>, width: usize, depth: u32) -> Part {
        let mut parts: Vec<Part> = leaves.by_ref().take(width).collect();
        for below in 1..depth {
            for _ in 0..4 {
                if leaves.len() > 0 {
                    parts.push(self.trickle(leaves, width, below));
                }
            }
        }
        self.branch(Kind::File, b"", &parts)
    }
}

/// Reads ranges of a tree and compares them with its content.
fn check(memory: &Memory, root: Cid, content: &[u8]) {
    let all = memory.read(root, 0..u64::MAX, Budget::FILE).unwrap().0;
    assert_eq!(all, content);
    for start in (0..content.len()).step_by(content.len() / 40 + 1) {
        let end = content.len().min(start + content.len() / 13 + 1);
        let read = memory.read(root, start as u64..end as u64, Budget::FILE).unwrap().0;
        assert_eq!(read, content[start..end]);
    }
}

#[test]
fn trickle_trees_of_several_levels_are_read() {
    let content = keyed("trickle", 40_000);
    for (width, count) in [(2, 1), (2, 2), (2, 3), (2, 500), (3, 4_000), (174, 4_000)] {
        let mut writer = Writer::new(Version::V0);
        let chunks = content.chunks(10).take(count);
        let leaves: Vec<Part> = chunks.map(|chunk| writer.wrapped(Kind::Raw, chunk)).collect();
        let root = writer.trickle(&mut leaves.into_iter(), width, 20);
        check(&writer.memory, root.cid, &content[..count * 10]);
    }
}

/// What kubo does with some of its options.
struct Options {
    chunk: usize,
    width: usize,
    leaf: Option<Kind>,
    trickle: bool,
    inline: bool,
    version: Version,
    hash: HashKind,
}

impl Options {
    /// What it does in this profile with these flags; `None` with a chunker that is not ours.
    fn of(profile: Profile, flags: &[&str]) -> Option<Self> {
        let v1 = profile == Profile::UnixfsV1_2025;
        let mut options = Self {
            chunk: if v1 { 1 << 20 } else { 256 << 10 },
            width: if v1 { 1024 } else { 174 },
            leaf: (!v1).then_some(Kind::File),
            trickle: false,
            inline: false,
            version: if v1 { Version::V1 } else { Version::V0 },
            hash: HashKind::Sha256,
        };
        for flag in flags {
            match *flag {
                "--hash" => {}
                "blake3" => options.hash = HashKind::Blake3,
                "--cid-version=1" => options.version = Version::V1,
                "--raw-leaves" => options.leaf = None,
                "--max-file-links=2" => options.width = 2,
                "--chunker=size-65536" => options.chunk = 65_536,
                "--inline" => options.inline = true,
                "--trickle" => {
                    (options.trickle, options.leaf) = (true, options.leaf.map(|_| Kind::Raw));
                }
                _ => return None,
            }
        }
        Some(options)
    }

    fn write(&self, content: &[u8]) -> (Memory, Cid) {
        let mut writer = Writer { hash: self.hash, ..Writer::new(self.version) };
        let mut parts: Vec<Part> = Vec::new();
        for chunk in content.chunks(self.chunk) {
            parts.push(match self.leaf {
                Some(kind) => writer.wrapped(kind, chunk),
                None => writer.raw(chunk),
            });
        }
        if self.inline {
            let [Part { cid, .. }] = parts[..] else { panic!("one leaf") };
            let data = writer.memory.0[&cid].clone();
            let same = multihash::Multihash::wrap(hash::IDENTITY, &data).unwrap();
            return (Memory::default(), Cid::new_v1(cid.codec(), same));
        }
        if self.trickle && parts.len() > 1 {
            let root = writer.trickle(&mut parts.into_iter(), self.width, 20);
            return (writer.memory, root.cid);
        }
        while parts.len() > 1 {
            let groups = parts.chunks(self.width);
            parts = groups.map(|group| writer.branch(Kind::File, b"", group)).collect();
        }
        (writer.memory, parts[0].cid)
    }
}

#[test]
fn layouts_of_kubos_options_have_its_cids_and_are_read() {
    let Some(answers) = vectors_json("unixfs-facts/kubo-answers.json") else { return };
    let (mut checked, mut skipped) = (0, 0);
    for row in answers["options"].as_array().unwrap() {
        if row["tree"].is_string() {
            continue;
        }
        let flags = row["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap());
        let flags: Vec<&str> = flags.collect();
        let content = match row["file_len"].as_u64() {
            Some(len) => keyed("shoal-vectors", len as usize),
            None => b"tiny".to_vec(),
        };
        for profile in [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015] {
            let Some(options) = Options::of(profile, &flags) else {
                eprintln!("skipped: {profile} with {}: not our chunker", flags.join(" "));
                skipped += 1;
                continue;
            };
            let (memory, root) = options.write(&content);
            let expected = row[profile.name()].as_str().unwrap();
            assert_eq!(root.to_string(), expected, "{profile} {flags:?}");
            check(&memory, root, &content);
            checked += 1;
        }
    }
    assert_eq!((checked, skipped), (14, 4));
}

/// A tree of no rule: leaves of all kinds, branches with bytes of their own, at any depth.
fn wild(
    writer: &mut Writer,
    content: &[u8],
    shape: &mut impl Iterator<Item = u8>,
    depth: u32,
) -> Part {
    let byte = shape.next().unwrap_or(0);
    let (kind, cuts) = (byte % 4, usize::from(byte / 4 % 4) + 1);
    if depth == 0 || content.len() < 4 || kind == 0 {
        return match kind {
            0 => writer.raw(content),
            1 => writer.wrapped(Kind::Raw, content),
            _ => writer.wrapped(Kind::File, content),
        };
    }
    let inline = if kind == 1 { content.len() / 5 } else { 0 };
    let (inline, mut rest) = content.split_at(inline);
    let mut parts = Vec::new();
    for left in (1..=cuts).rev() {
        let (head, tail) = rest.split_at(rest.len() / left);
        parts.push(wild(writer, head, shape, depth - 1));
        rest = tail;
    }
    writer.branch(Kind::File, inline, &parts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trees_of_any_shape_are_read(
        shape in prop::collection::vec(any::<u8>(), 1..300),
        len in 1_usize..3_000,
    ) {
        let content = keyed("wild", len);
        let mut writer = Writer::new(Version::V1);
        let root = wild(&mut writer, &content, &mut shape.into_iter().cycle(), 9);
        check(&writer.memory, root.cid, &content);
    }
}
