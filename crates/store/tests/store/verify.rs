//! Checking everything: what is right stays silent, every flipped bit is named, and what was named can
//! be forgotten and put back.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use shoal_dag::build::{FileBuilder, leaf};
use shoal_dag::{Bytes, Cid, Metadata, Profile};
use shoal_store::{Checked, Fault, PinOptions, Store, VerifyReport};

use crate::fixture::{Place, Tree, block, bytes, files_in, public};

fn verified(store: &Store) -> VerifyReport {
    store.verify(|_| true).unwrap()
}

/// A file, small blocks and a kept block.
fn filled(place: &Place) -> (Store, Tree, Vec<(Cid, Bytes)>) {
    let store = place.open();
    let tree = Tree::blob(1);
    let blocks: Vec<_> = (100..120).map(block).collect();
    let batch = store.batch(public());
    tree.add(&batch);
    for (cid, data) in &blocks[..10] {
        batch.put(cid, data).unwrap();
    }
    batch.pin(&tree.root, PinOptions::default()).unwrap();
    batch.commit().unwrap();
    for (cid, data) in &blocks[10..] {
        store.keep(cid, None, data, true).unwrap();
    }
    (store, tree, blocks)
}

#[test]
fn a_sound_store_has_no_faults_and_every_byte_is_counted() {
    let place = Place::new();
    let (store, tree, blocks) = filled(&place);
    let report = verified(&store);
    let bytes: usize = blocks.iter().map(|(_, data)| data.len()).sum();
    let expected =
        Checked { blocks: 8 + blocks.len() as u64, bytes: tree.size + bytes as u64, faults: 0 };
    assert_eq!((report.checked, report.faults, report.is_cut_short), (expected, Vec::new(), false));
}

fn flip_bit(path: &Path, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
}

/// Bits of a record that nothing is read from: flags and what pads the header.
fn is_idle(pack: &[u8], byte: u64) -> bool {
    // Records follow each other from byte 16 on; see the module of packs.
    let mut at = 16;
    while at + 48 <= pack.len() {
        let len = u32::from_le_bytes(pack[at + 4..at + 8].try_into().unwrap()) as usize;
        if (at + 41..at + 48).contains(&(byte as usize)) {
            return true;
        }
        at += 48 + len;
    }
    byte < 16
}

#[test]
fn every_flipped_bit_of_packs_and_blobs_is_named_and_can_be_mended() {
    let place = Place::new();
    let (store, tree, blocks) = filled(&place);
    store.checkpoint().unwrap();
    let pack = place.only_file("packs");
    let blob = place.only_file("blobs");
    let (pack_bytes, mut seen) = (fs::read(&pack).unwrap(), 0);
    for seed in 0..400 {
        let path = if seed % 2 == 0 { &pack } else { &blob };
        let bits = fs::metadata(path).unwrap().len() * 8;
        let draw = bytes(seed, 8);
        let bit = u64::from_le_bytes(draw[..].try_into().unwrap()) % bits;
        flip_bit(path, bit);
        let report = verified(&store);
        let is_idle = path == &pack && is_idle(&pack_bytes, bit / 8);
        let expected = u64::from(!is_idle);
        assert_eq!(report.checked.faults, expected, "seed {seed}: bit {bit} of {}", path.display());
        if let Some(Fault::Block(bad)) = report.faults.first() {
            assert_eq!(&bad.path, path);
            let end = bad.offset + u64::from(bad.len);
            let header = if path == &pack { 48 } else { 0 };
            assert!((bad.offset - header..end).contains(&(bit / 8)), "seed {seed}");
            seen += 1;
        }
        flip_bit(path, bit);
    }
    assert!(seen > 300, "{seen} of 400 hit something that lives");
    // One of each is mended: forgotten, then kept again.
    let (small, leaf) = (&blocks[3], &tree.leaves[5]);
    for cid in [&small.0, &leaf.0] {
        let at = store.extent(cid).unwrap();
        flip_bit(&store.locate(cid).unwrap(), at.offset * 8 + 77);
    }
    let report = verified(&store);
    assert_eq!(report.checked.faults, 2);
    store.forget_faults(&report.faults).unwrap();
    assert!(!store.has(&small.0) && !store.has(&leaf.0));
    assert!(store.whole_file(&tree.root).unwrap().is_none(), "a file with a bad leaf is not whole");
    for (cid, data) in [small, leaf] {
        store.keep(cid, None, data, true).unwrap();
    }
    assert_eq!(verified(&store).checked.faults, 0);
    tree.assert_readable(&store);
}

#[test]
fn what_was_mended_meanwhile_is_not_forgotten() {
    let place = Place::new();
    let (store, _, blocks) = filled(&place);
    store.checkpoint().unwrap();
    let (cid, data) = &blocks[0];
    let at = store.extent(cid).unwrap();
    flip_bit(&store.locate(cid).unwrap(), at.offset * 8);
    let report = verified(&store);
    store.forget_block(cid).unwrap();
    store.keep(cid, None, data, true).unwrap();
    store.forget_faults(&report.faults).unwrap();
    assert_eq!(store.get(cid).unwrap().as_ref(), Some(data));
}

#[test]
fn an_edited_file_of_the_user_is_named_once() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(50);
    let path = place.dir.path().join("mine");
    fs::write(&path, tree.content()).unwrap();
    let batch = store.batch(public());
    tree.refer(&batch, &path);
    batch.commit().unwrap();
    assert_eq!(verified(&store).checked.faults, 0);
    fs::write(&path, b"something else").unwrap();
    let report = verified(&store);
    let [Fault::Reference { path: named, gone: false, .. }] = &report.faults[..] else {
        panic!("{:?}", report.faults);
    };
    assert_eq!(named, &path);
    fs::remove_file(&path).unwrap();
    let report = verified(&store);
    assert!(matches!(&report.faults[..], [Fault::Reference { gone: true, .. }]));
    store.forget_faults(&report.faults).unwrap();
    assert!(!store.has(&tree.leaves[0].0));
    assert_eq!(verified(&store).checked.faults, 0);
}

#[test]
fn a_file_that_nothing_leads_to_is_named_and_goes() {
    let place = Place::new();
    let (store, ..) = filled(&place);
    let dir = place.path().join("blobs/00");
    fs::create_dir_all(&dir).unwrap();
    let lost = dir.join("00000000000000ab");
    fs::write(&lost, vec![1; 10_000]).unwrap();
    let report = verified(&store);
    assert!(matches!(&report.faults[..], [Fault::Orphan { path, bytes: 12_288 }] if *path == lost));
    store.forget_faults(&report.faults).unwrap();
    assert!(!lost.exists());
    assert_eq!(files_in(&place.path().join("blobs")).len(), 1, "the other one stays");
}

/// The second copy of a leaf that stands twice in a file has no entry: it is read when the file is
/// handed out whole.
#[test]
fn the_second_copy_of_a_leaf_is_checked_too() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    let (one, mut out) = (bytes(9, 256 << 10), Vec::new());
    let mut builder = FileBuilder::new(Profile::Shoal, Metadata::NONE);
    let made = leaf(builder.leaf_form(), &one);
    let mut blob = batch.blob().unwrap();
    for at in 0..3 {
        blob.write(&one).unwrap();
        blob.leaf(&made.cid, at * (256 << 10), 256 << 10).unwrap();
        builder.push(made.link(), &mut out);
    }
    let root = builder.finish(&mut out).cid;
    blob.finish(&root).unwrap();
    for block in &out {
        batch.put(&block.cid, &block.data).unwrap();
    }
    batch.commit().unwrap();
    assert_eq!(verified(&store).checked.faults, 0);
    let path = place.only_file("blobs");
    for copy in 0..3 {
        let bit = (copy * (256 << 10) + 1000) * 8;
        flip_bit(&path, bit);
        let report = verified(&store);
        let [Fault::Block(bad)] = &report.faults[..] else { panic!("{:?}", report.faults) };
        assert_eq!((&bad.cid, bad.offset), (&made.cid, copy * (256 << 10)));
        flip_bit(&path, bit);
    }
}

#[test]
fn it_ends_when_it_is_told_to() {
    let place = Place::new();
    let (store, ..) = filled(&place);
    assert!(store.verify(|_| false).unwrap().is_cut_short);
}
