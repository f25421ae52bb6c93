//! What is frozen of the default profile: chunk boundaries, branch rule, CIDs.
//!
//! These values are in people's CIDs. A test here that fails means that a change made other CIDs
//! out of the same files: the change is wrong, never the value. The rules are written a second
//! time here, slowly and from their description, so that the values are known to mean what the
//! documentation says.

use std::fmt::Write;

use fastcdc::v2020;
use shoal_dag::build::{self, Built, DirectoryBuilder, FileBuilder, LeafRef};
use shoal_dag::chunk::Chunker;
use shoal_dag::hash::{self, HashKind, RAW};
use shoal_dag::profile;
use shoal_dag::{Block, Cid, Metadata, Mtime, Node, Profile, Version};

use crate::memory::Memory;
use crate::vectors::keyed;

/// CIDs and sizes of the trees of the first bytes of the stream of this seed.
const SEED: &str = "shoal-vectors";

fn cuts(bytes: &[u8]) -> Vec<usize> {
    let (mut chunker, mut rest, mut cuts) = (Chunker::new(&Profile::Shoal), bytes, Vec::new());
    while let Some(len) = chunker.cut(rest, true) {
        cuts.push(len);
        rest = &rest[len..];
    }
    cuts
}

/// The rule in words: the hash starts at 0 behind the minimum; each byte shifts it left by one and
/// adds its entry of the gear table; the chunk ends before the byte that makes the bits of the mask
/// zero. The mask is the strict one before the average and the loose one from there on.
fn cut_by_definition(bytes: &[u8]) -> usize {
    const STRICT: u64 = 0x0000_d907_0353_7000;
    const LOOSE: u64 = 0x0000_d90f_0353_0000;
    let (gear, _) = v2020::get_gear_with_seed(0);
    let mut hash = 0_u64;
    // Bytes are tested in pairs: an odd last byte is never the end.
    let end = bytes.len().min(256 << 10);
    for at in 16 << 10..end / 2 * 2 {
        hash = (hash << 1).wrapping_add(gear[usize::from(bytes[at])]);
        let mask = if at < 64 << 10 { STRICT } else { LOOSE };
        if hash & mask == 0 {
            return at;
        }
    }
    end
}

#[test]
fn gear_table_is_frozen() {
    let (gear, shifted) = v2020::get_gear_with_seed(0);
    let bytes: Vec<u8> = gear.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    assert_eq!(gear[0], 0x3b5d_3c7d_207e_37dc);
    assert_eq!(
        hash::cid_of(HashKind::Blake3, RAW, Version::V1, &bytes).to_string(),
        "bafkr4ie27arndyin6joqcv5ehtgqu45vnuob2cs5o6wljzxjpfjc2d7bje"
    );
    assert!(gear.iter().zip(shifted.iter()).all(|(entry, shifted)| entry << 1 == *shifted));
}

#[test]
fn chunk_boundaries_are_frozen_and_follow_the_definition() {
    let bytes = keyed(SEED, 8 << 20);
    let found = cuts(&bytes);
    let mut rest = &bytes[..];
    for &len in &found {
        assert_eq!(len, cut_by_definition(rest));
        rest = &rest[len..];
    }
    assert_eq!(found.iter().sum::<usize>(), bytes.len());
    assert_eq!(found[..16], FIRST_CUTS);
    assert_eq!(found.len(), 106);
    // Odd lengths and the bounds.
    for len in [1, 16_383, 16_384, 16_385, 65_535, 65_537, 100_001, 262_143] {
        assert_eq!(cuts(&bytes[..len])[0], cut_by_definition(&bytes[..len]), "{len}");
    }
    assert_eq!(cuts(&vec![0; 600_000]), [262_144, 262_144, 75_712]);
}

const FIRST_CUTS: [usize; 16] = [
    89_106, 95_387, 103_654, 68_402, 65_626, 111_041, 83_500, 92_404, 101_160, 43_731, 142_808,
    93_953, 188_813, 74_175, 51_778, 105_052,
];

#[test]
fn files_of_the_default_profile_are_frozen() {
    let bytes = keyed(SEED, 64 << 20);
    let mut got = String::new();
    for len in [0, 1, 16_384, 65_536, 100_000, 262_144, 262_145, 1 << 20, 8 << 20, 64 << 20] {
        let built = Memory::default().add(Profile::Shoal, Metadata::NONE, &bytes[..len]);
        let Built { cid, size, dag_size } = built;
        writeln!(got, "{size} {dag_size} {cid}").unwrap();
    }
    assert_eq!(got, FILES);
}

const FILES: &str = "\
0 0 bafkr4ifpcne3t5pzugtkaqcn5i3nzskjtpfslsnnyejlpte2spfoihzsmi
1 1 bafkr4ifwwbq644gigks7l37jzhjytphgzldsvfwke7yd6bcfrij77akkae
16384 16384 bafkr4iawr2kkvfdl2jhmrplezdh7dhu2mkrjxwwwkbfc2nhpsifehxtl7a
65536 65536 bafkr4igm7b2hwe3gss5yar4t4tpbcn4mxlbxv3cimmcbp7xatmxelfhnuy
100000 100106 bafyb4ieiklpmfkktmgua3o36sjsr57aiopaofxdgv4guus2ac6bijmb7zi
262144 262302 bafyb4idgg5cgkgpr7a2quyk3um2gtodqlzcd4lhch5eddpcrsadpvoem5q
262145 262303 bafyb4if76evs47bewlgosfffzndwuc3botjopwyjmsif6kscpmndzihtni
1048576 1049184 bafyb4iesnufslodmdosxrsgzzxtyktxzf4no2gpviijofl3rvx2tdvte44
8388608 8393918 bafyb4ibr6sxesjai7tvpkswrnytwvwlyup6r2cgpyht4ojmpwi3binsqla
67108864 67150874 bafyb4idju7lhc5n7wv7qnjihywqyzxnsdhhrw2wueharpf24ieo2wp645a
";

#[test]
fn metadata_of_the_default_profile_is_frozen() {
    let bytes = keyed(SEED, 1 << 20);
    let executable = Profile::Shoal.metadata_of_mode(0o700);
    let mtime = Some(Mtime { seconds: 1_700_000_000, nanos: 123_456_789 });
    let exact = Metadata { mode: Some(0o640), mtime };
    let mut got = String::new();
    for meta in [executable, exact] {
        for len in [0, 5, 1 << 20] {
            let mut memory = Memory::default();
            let Built { cid, size, dag_size } = memory.add(Profile::Shoal, meta, &bytes[..len]);
            writeln!(got, "{size} {dag_size} {cid}").unwrap();
            let root = Node::decode(&cid, memory.0[&cid].clone()).unwrap();
            assert_eq!((root.meta(), root.file_size()), (&meta, Some(len as u64)));
            // The leaves keep their identity.
            let plain = memory.add(Profile::Shoal, Metadata::NONE, &bytes[..len]);
            let leaves = Node::decode(&plain.cid, memory.0[&plain.cid].clone()).unwrap();
            match len {
                0 => assert_eq!(root.links().count(), 0),
                5 => assert!(root.links().eq([plain.cid])),
                _ => assert!(root.links().eq(leaves.links())),
            }
        }
    }
    let (link, _) = build::symlink(Profile::Shoal, b"a/b", Metadata { mode: None, mtime });
    writeln!(got, "{}", link.cid).unwrap();
    let mut directory = DirectoryBuilder::new(Profile::Shoal, exact);
    directory.insert(b"link", link.cid, 20).unwrap();
    directory.insert(b"\xff", link.cid, 20).unwrap();
    writeln!(got, "{}", directory.finish().unwrap().0.cid).unwrap();
    assert_eq!(got, WITH_METADATA);
}

const WITH_METADATA: &str = "\
0 9 bafyb4igsozwxn3gyly2r5sc5rzijpb74hayp6zekjuvegwglhslf2kbidm
5 60 bafyb4ifbuam5yun2outfx4s7lj34gpawdvgrgv6vdze7kjzjmle7qdfrua
1048576 1049187 bafyb4icxq7qipqfz6xuvcexj5zaz6os7i47jkpirzuowrmirh7me3y33wi
0 22 bafyb4ia5fjzktal4yfgeohpuvwvm47cw4ismyugvfswetnuix65fmhkfqy
5 73 bafyb4if2uiygp52rgbwpyhhyxciu6zqkitkuhotdfq62wk2tfmobjs64bu
1048576 1049200 bafyb4ibwg5irgc7twymlllkwkkymvzp5tz5fypww7vs5i6oy24ekrtzao4
bafyb4iadbarga5xz4jnqo3ynpyexwtqwkqszexj6s6svznea3agovcm3x4
bafyb4icgziqjlrzoveq4t5ci7auoa7gix3jeoqzrxq7ueban46ly2hb2iq
";

/// A leaf that is not there: its CID is the hash of its number, its size below 100.
fn synthetic(number: u64) -> LeafRef {
    let cid = hash::cid_of(HashKind::Blake3, RAW, Version::V1, &number.to_le_bytes());
    LeafRef::raw(cid, 1 + number % 100)
}

/// A leaf whose digest ends a branch, or does not.
fn ending(number: u64, ends: bool) -> LeafRef {
    let mut digest = HashKind::Blake3.digest(&number.to_le_bytes());
    digest[30] = if ends { 0xfc } else { 0x01 };
    digest[31] = 0;
    let hash = multihash::Multihash::wrap(hash::BLAKE3, &digest).unwrap();
    LeafRef::raw(Cid::new_v1(RAW, hash), 1)
}

fn branches(leaves: impl Iterator<Item = LeafRef>) -> (Built, Vec<Block>) {
    let (mut builder, mut out) = (FileBuilder::new(Profile::Shoal, Metadata::NONE), Vec::new());
    leaves.for_each(|leaf| builder.push(leaf, &mut out));
    (builder.finish(&mut out), out)
}

/// Children of each branch whose children are leaves, in order.
fn widths(blocks: &[Block]) -> Vec<usize> {
    let links = |block: &Block| Node::decode(&block.cid, block.data.clone()).unwrap();
    let nodes = blocks.iter().map(links);
    let lowest = nodes.filter(|node| node.links().all(|cid| cid.codec() == RAW));
    lowest.map(|node| node.links().count()).collect()
}

#[test]
fn trees_of_several_levels_are_frozen() {
    let mut got = String::new();
    for count in [255, 256, 257, 5_000, 100_000, 2_000_000] {
        let (Built { cid, size, dag_size }, blocks) = branches((0..count).map(synthetic));
        writeln!(got, "{count} {} {size} {dag_size} {cid}", blocks.len()).unwrap();
        if count == 5_000 {
            writeln!(got, "{:?}", widths(&blocks)).unwrap();
        }
    }
    assert_eq!(got, LEVELS);
}

const LEVELS: &str = "\
255 1 11640 23378 bafyb4iejck72xf4tijvwghr4kxasncyzjsen3f7342ubmgr2ag2lqnd5zu
256 1 11696 23480 bafyb4iduwn3w43ydmhe6heya6pmx5myjakprtzfnttdr3fed742h4ywruy
257 1 11753 23583 bafyb4iaezgq7wl2webgqbcvbkumczhflbzwndnrbbzldrf55c54sjkl5hm
5000 4 252500 482683 bafyb4ia5btddo7ibavmjyv6fdar7q3vl37gm3i3p2ncuzfbyrkn6ot7qju
[333, 2421, 2246]
100000 76 5050000 9654415 bafyb4id263cx6yvrhgtdhx4j2fprypljbcj77eovcds2pmldwg2vkubm3e
2000000 1570 101000000 193092376 bafyb4idzrhietuyydhjwp2u2gq7obwovrfosv75qoqg6y3lp7d3vp75ap4
";

#[test]
fn branches_end_by_content_within_256_and_4096_children() {
    // Nobody ends a branch: every 4,096th does.
    let (_, blocks) = branches((0..10_000).map(|i| ending(i, false)));
    assert_eq!(widths(&blocks), [4096, 4096, 1808]);
    // Everybody would: never before the 256th.
    let (_, blocks) = branches((0..1_000).map(|i| ending(i, true)));
    assert_eq!(widths(&blocks), [256, 256, 256, 232]);
    // The 255th may not, the 300th does.
    let (_, blocks) = branches((1..=600).map(|i| ending(i, i == 255 || i == 300)));
    assert_eq!(widths(&blocks), [300, 300]);
    // A full branch at the very end is the root, and no branch of one link stands above it.
    let (built, blocks) = branches((0..4096).map(|i| ending(i, false)));
    assert_eq!((blocks.len(), blocks[0].cid), (1, built.cid));
    // A last branch may have one child.
    let (_, blocks) = branches((0..4097).map(|i| ending(i, false)));
    assert_eq!(widths(&blocks), [4096, 1]);
}

#[test]
fn an_inserted_leaf_rewrites_one_branch_of_each_level() {
    let leaves = || (0..50_000).map(synthetic);
    let (_, before) = branches(leaves());
    let inserted = leaves().take(20_000).chain([synthetic(1 << 40)]).chain(leaves().skip(20_000));
    let (_, after) = branches(inserted);
    let new = after.iter().filter(|block| !before.contains(block)).count();
    assert!(before.len() > 30, "{}", before.len());
    assert!(new <= 4, "{new} of {} branches are new", after.len());
    assert!(profile::ends_branch(&ending(0, true).cid));
}
