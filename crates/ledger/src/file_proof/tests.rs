//! Tests of proofs of files: what they show, every flipped bit, and parts that do not fit.
//!
//! Trees are made by the builders of `shoal-dag`, by both profiles, so both hash functions are used.

use std::collections::HashMap;
use std::convert::Infallible;

use super::*;
use crate::chain::Chain;
use crate::proof_file::ProofFile;
use crate::sample::*;
use crate::{ENTRY_BYTES_MAX, wire};
use shoal_dag::build::DirectoryBuilder;
use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
use shoal_dag::pb::{PbLink, PbNode};
use shoal_dag::unixfs::{Kind, UnixFs};
use shoal_dag::{Block, Metadata, Profile, Version};

const PROFILES: [Profile; 3] = [Profile::Shoal, Profile::UnixfsV1_2025, Profile::UnixfsV0_2015];

fn file(kind: HashKind) -> Cid {
    cid_of(kind, RAW, Version::V1, b"a file")
}

fn directory(profile: Profile, entries: &[(&[u8], Cid)]) -> Block {
    let mut builder = DirectoryBuilder::new(profile, Metadata::NONE);
    for (name, cid) in entries {
        builder.insert(name, *cid, 6).unwrap();
    }
    builder.finish().unwrap().0
}

/// `a/b/file` and some neighbours: the directories from the root on, and the file.
fn tree(profile: Profile) -> (Vec<Block>, Cid) {
    let target = file(profile.hash());
    let other = file(HashKind::Sha256);
    let b = directory(profile, &[(b"file", target), (b"other", other)]);
    let a = directory(profile, &[(b"b", b.cid), (b"x", other)]);
    (vec![directory(profile, &[(b"a", a.cid)]), a, b], target)
}

fn path() -> Vec<Vec<u8>> {
    [&b"a"[..], b"b", b"file"].map(<[u8]>::to_vec).to_vec()
}

fn publish(root: &Cid) -> Body {
    let message = Some("second".to_owned());
    Body::Update(Update { message, ..Update::of_root(root.to_bytes()) })
}

/// A ledger with the root at index 2 of `len`.
fn ledger_of(root: &Cid, len: u64) -> Chain {
    let mut chain = begin(&[OWNER, 2]);
    push(&mut chain, OWNER, writers(1, &[], 0));
    push(&mut chain, 2, publish(root));
    while chain.len() < len {
        let at = chain.len();
        push(&mut chain, 2, update(at));
    }
    chain
}

fn data(blocks: &[Block]) -> Vec<Bytes> {
    blocks.iter().map(|block| block.data.clone()).collect()
}

#[test]
fn a_file_of_a_version_is_shown_to_whoever_knows_the_name() {
    for (profile, len) in PROFILES.into_iter().flat_map(|profile| [(profile, 3), (profile, 9)]) {
        let (blocks, target) = tree(profile);
        let chain = ledger_of(&blocks[0].cid, len);
        let proof = FileProof::make(&chain, 2, path(), data(&blocks)).unwrap();
        let read = FileProof::decode(&proof.encode()).unwrap();
        assert_eq!(read, proof);
        let shown = read.verify().unwrap();
        let entry = &chain.entries()[2];
        assert_eq!((shown.name, shown.position), (name(), entry.position()));
        assert_eq!((shown.time_ms, shown.message.as_deref()), (3_000, Some("second")));
        assert_eq!((shown.root, shown.target, shown.path), (blocks[0].cid, target, path()));
        assert_eq!(shown.head.position, chain.tip().head().position());
        assert!(chain.tip().peaks().root().as_bytes().starts_with(&shown.head.root));
        // The version itself, and a directory in it.
        let whole = FileProof::make(&chain, 2, Vec::new(), Vec::new()).unwrap();
        assert_eq!(whole.verify().unwrap().target, blocks[0].cid);
        let inner = FileProof::make(&chain, 2, path()[..2].to_vec(), data(&blocks[..2])).unwrap();
        assert_eq!(inner.verify().unwrap().target, blocks[2].cid);
    }
}

#[test]
fn a_version_that_a_recovery_kept_is_shown_by_the_new_keys() {
    let (blocks, target) = tree(Profile::Shoal);
    let mut chain = recover(&ledger_of(&blocks[0].cid, 9), 5, RECOVERY[0], &[7]);
    push(&mut chain, 7, update(1));
    let proof = FileProof::make(&chain, 2, path(), data(&blocks)).unwrap();
    let shown = proof.verify().unwrap();
    assert_eq!((shown.target, shown.position.to_string()), (target, "#0.2".to_owned()));
    assert_eq!(shown.head.position.to_string(), "#1.7");
}

#[test]
fn every_bit_of_the_file_matters() {
    for (profile, len) in [(Profile::Shoal, 6), (Profile::UnixfsV1_2025, 3)] {
        let (blocks, _) = tree(profile);
        let chain = ledger_of(&blocks[0].cid, len);
        let proof = FileProof::make(&chain, 2, path(), data(&blocks)).unwrap();
        let bytes = ProofFile::File(Box::new(proof)).encode();
        let holds = |bytes: &[u8]| match ProofFile::decode(bytes) {
            Ok(ProofFile::File(proof)) => proof.verify().is_ok(),
            Ok(ProofFile::Fraud { name, fraud }) => fraud.verify(name).is_ok(),
            Err(_) => false,
        };
        assert!(holds(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(&changed), "bit {bit} of {}", bytes.len() * 8);
        }
        assert!((0..bytes.len()).all(|len| ProofFile::decode(&bytes[..len]).is_err()));
        assert!(ProofFile::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn parts_that_do_not_belong_together_show_nothing() {
    let (blocks, _) = tree(Profile::Shoal);
    let chain = ledger_of(&blocks[0].cid, 9);
    let make = |index, path: &[&[u8]], blocks: &[Block]| {
        let segments = path.iter().map(|segment| segment.to_vec()).collect();
        FileProof::make(&chain, index, segments, data(blocks)).unwrap_err()
    };
    let whole: &[&[u8]] = &[b"a", b"b", b"file"];
    assert_eq!(make(2, &[b"a", b"b", b"no"], &blocks), FileProofError::NoEntry { at: 2 });
    assert_eq!(make(2, &[b"b", b"b", b"file"], &blocks), FileProofError::NoEntry { at: 0 });
    assert_eq!(make(2, &[b"a", b"..", b"file"], &blocks), NameError::Dots.into());
    assert_eq!(make(2, whole, &blocks[..2]), FileProofError::Path);
    assert_eq!(make(2, &whole[..2], &blocks), FileProofError::Path);
    let swapped = [blocks[1].clone(), blocks[0].clone(), blocks[2].clone()];
    assert!(matches!(make(2, whole, &swapped), FileProofError::Block { at: 0, .. }));
    assert_eq!(make(0, whole, &blocks), FileProofError::NoUpdate);
    assert_eq!(make(3, whole, &blocks), FileProofError::Root, "8 bytes that are no CID");
    assert_eq!(make(9, whole, &blocks), FileProofError::Lacking);
    let deep = vec![&b"a"[..]; SEGMENTS_MAX + 1];
    assert_eq!(make(2, &deep, &vec![blocks[0].clone(); deep.len()]), FileProofError::Path);
    // A file in the middle of the path.
    let leaf = Block { cid: file(HashKind::Blake3), data: Bytes::from_static(b"a file") };
    let root = directory(Profile::Shoal, &[(b"a", leaf.cid)]);
    let made = FileProof::make(
        &ledger_of(&root.cid, 3),
        2,
        vec![b"a".to_vec(), b"b".to_vec()],
        data(&[root, leaf]),
    );
    assert_eq!(made.unwrap_err(), FileProofError::NoEntry { at: 1 });
}

#[test]
fn another_name_and_another_history_are_refused() {
    let (blocks, _) = tree(Profile::Shoal);
    let chain = ledger_of(&blocks[0].cid, 9);
    let proof = FileProof::make(&chain, 2, path(), data(&blocks)).unwrap();
    let changed = |change: &dyn Fn(&mut FileProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        proof.verify().unwrap_err()
    };
    let other = key(9).public().into();
    assert_eq!(changed(&|proof| proof.name = other), Refusal::Foreign.into());
    let entry = |chain: &Chain| chain.entries()[2].clone();
    let elsewhere = ledger_of(&blocks[1].cid, 9);
    let placed = |chain: &Chain| Placed { entry: entry(chain), ..proof.version.clone().unwrap() };
    let why = changed(&|proof| proof.version = Some(placed(&elsewhere)));
    assert_eq!(why, FileProofError::NotInHistory);
    // The head as its own version publishes something else.
    assert_eq!(changed(&|proof| proof.version = None), FileProofError::Root);
    let theirs = prove(&elsewhere, None).unwrap();
    assert_eq!(changed(&|proof| proof.head = theirs.clone()), FileProofError::NotInHistory);
    // A head that nobody may sign.
    let draft = chain.tip().draft(publish(&blocks[0].cid), &key(2).public(), 0).unwrap();
    let mut forged = proof.clone();
    forged.version = None;
    forged.head.head = draft.sign(&[&key(50)]).unwrap();
    forged.head.peaks = chain.tip().peaks().hashes().to_vec();
    assert!(matches!(forged.verify(), Err(FileProofError::Head(_))));
}

#[test]
fn a_file_in_a_sharded_directory_is_shown_by_the_shards_on_the_way() {
    for profile in PROFILES {
        let target = file(profile.hash());
        let mut builder = DirectoryBuilder::new(profile, Metadata::NONE);
        for i in 0..20_000 {
            builder.insert(format!("entry-{i:06}").as_bytes(), target, 6).unwrap();
        }
        let mut blocks = HashMap::new();
        let put = |block: Block| -> Result<(), Infallible> {
            blocks.insert(block.cid, block.data);
            Ok(())
        };
        let Ok((large, _)) = builder.finish_into(put);
        let top = directory(profile, &[(b"large", large)]);
        blocks.insert(top.cid, top.data);
        let chain = ledger_of(&top.cid, 9);
        let path: Vec<Vec<u8>> = [&b"large"[..], b"entry-012345"].map(<[u8]>::to_vec).to_vec();
        let mut lookup = Lookup::new(large, &path[1]);
        while let LookupStep::Need(cid) = lookup.poll().unwrap() {
            lookup.handle_block(&cid, blocks[&cid].clone()).unwrap();
        }
        let way = std::iter::once(top.cid).chain(lookup.trail().iter().map(|(cid, _)| *cid));
        let way: Vec<Bytes> = way.map(|cid| blocks[&cid].clone()).collect();
        assert!(way.len() > 2);
        let proof = FileProof::make(&chain, 2, path.clone(), way.clone()).unwrap();
        let read = FileProof::decode(&proof.encode()).unwrap();
        assert_eq!(read.verify().unwrap().target, target);
        let make = |path: &[&[u8]], way: &[Bytes]| {
            let path = path.iter().map(|name| name.to_vec()).collect();
            FileProof::make(&chain, 2, path, way.to_vec()).unwrap_err()
        };
        let good: [&[u8]; 2] = [b"large", b"entry-012345"];
        assert_eq!(make(&good, &way[..way.len() - 1]), FileProofError::Path);
        assert_eq!(make(&good, &[&way[..], &way[..1]].concat()), FileProofError::Path);
        let other: [&[u8]; 2] = [b"large", b"entry-012346"];
        assert!(matches!(make(&other, &way), FileProofError::Block { at: 2, .. }));
    }
}

#[test]
fn a_shard_that_contradicts_itself_proves_nothing() {
    let message = UnixFs { fanout: Some(256), ..UnixFs::new(Kind::HamtShard) }.encode();
    let link = PbLink { hash: file(HashKind::Blake3), name: Some(b"00file"), tsize: Some(6) };
    let shard = PbNode { links: vec![link], data: Some(&message) }.encode().unwrap();
    let cid = cid_of(HashKind::Blake3, DAG_PB, Version::V1, &shard);
    let chain = ledger_of(&cid, 4);
    let made = FileProof::make(&chain, 2, vec![b"file".to_vec()], vec![shard.into()]);
    assert!(matches!(made.unwrap_err(), FileProofError::Directory { at: 0, .. }));
}

#[test]
fn bounds_are_checked_before_anything_is_read() {
    assert!(FileProof::decode(&vec![0; FILE_PROOF_BYTES_MAX + 1]).is_err());
    let (blocks, _) = tree(Profile::Shoal);
    let mut proof =
        FileProof::make(&ledger_of(&blocks[0].cid, 4), 2, path(), data(&blocks)).unwrap();
    let refused = |proof: &FileProof| {
        assert_eq!(FileProof::decode(&proof.encode()), Err(wire::DecodeError::Format));
    };
    proof.segments[0] = vec![b'a'; 256];
    refused(&proof);
    proof.segments = vec![b"a".to_vec(); SEGMENTS_MAX + 1];
    refused(&proof);
    proof.segments = path();
    proof.directories[0] = vec![0; shoal_dag::BLOCK_BYTES_MAX + 1].into();
    refused(&proof);
    // The path claims to be longer than the rest of the file.
    proof.directories.clear();
    proof.segments.clear();
    let mut bytes = proof.encode();
    assert!(bytes.ends_with(&[0x80, 0x80]) && bytes.len() < 5 * ENTRY_BYTES_MAX);
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0x9a, 0xff, 0xff, 0xff, 0xff]);
    assert!(FileProof::decode(&bytes).is_err());
}
