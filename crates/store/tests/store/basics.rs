//! Opening, adding, reading, deduplicating.
//!
//! What a store does on a good day, and which directories it refuses to be opened in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use shoal_dag::hash::{DAG_PB, HashKind, RAW, SHA2_512, cid_of};
use shoal_dag::{Bytes, Cid, Version};
use shoal_store::{BatchOptions, Home, OpenError, Options, Store, WriteError};

use crate::fixture::{Place, Tree, block, bytes, files_in, public};

#[test]
fn a_batch_is_visible_after_its_commit_only_and_survives_reopening() {
    let place = Place::new();
    let (cid, data) = block(1);
    let tree = Tree::blob(10);
    {
        let store = place.open();
        let batch = store.batch(public());
        assert!(!batch.has(&cid).unwrap());
        batch.put(&cid, &data).unwrap();
        assert!(batch.has(&cid).unwrap());
        tree.add(&batch);
        assert!(!store.has(&cid));
        assert_eq!(store.get(&tree.leaves[0].0).unwrap(), None);
        batch.commit().unwrap();
        assert!(store.has(&cid));
    }
    let store = place.open();
    let batch = store.batch(public());
    assert!(batch.has(&cid).unwrap() && !batch.has(&block(2).0).unwrap());
    assert_eq!(store.get(&cid).unwrap(), Some(data));
    tree.assert_readable(&store);
    assert_eq!(store.has_many(&[cid, block(2).0, tree.leaves[7].0]), [true, false, true]);
    let whole = store.whole_file(&tree.root).unwrap().unwrap();
    assert_eq!(fs::read(&whole.path).unwrap(), tree.content());
    assert_eq!((whole.len, whole.reference), (tree.size, false));
    assert!(fs::read_dir(place.path().join("partial")).unwrap().next().is_none());
}

#[test]
fn a_dropped_batch_leaves_no_blob() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    Tree::blob(1).add(&batch);
    drop(batch.blob().unwrap());
    drop(batch);
    assert_eq!(files_in(&place.path().join("blobs")), Vec::<std::path::PathBuf>::new());
    assert_eq!(files_in(&place.path().join("partial")), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_the_store_owns_is_not_stored_again() {
    let place = Place::new();
    let store = place.open();
    let (cid, data) = block(1);
    let tree = Tree::blob(10);
    for _ in 0..3 {
        let batch = store.batch(public());
        batch.put(&cid, &data).unwrap();
        batch.put(&cid, &data).unwrap();
        tree.add(&batch);
        tree.add(&batch);
        batch.commit().unwrap();
    }
    let usage = store.usage().unwrap();
    assert_eq!(usage.pack_bytes, 16 + 48 + data.len() as u64);
    assert_eq!((usage.blobs, usage.blob_bytes, usage.blocks), (1, tree.size, 9));
    assert_eq!(files_in(&place.path().join("blobs")).len(), 1);
}

#[test]
fn usage_is_the_same_before_a_checkpoint_and_after_it() {
    let place = Place::new();
    let store = place.open();
    let (partial, whole, moved) = (Tree::blob(1), Tree::blob(20), Tree::blob(40));
    let out = place.dir.path().join("out");
    let step = |n: u32| match n {
        0 => partial.keep(&store, [0, 5]),
        1 => whole.fetch(&store),
        2 => store.keep(&block(1).0, None, &block(1).1, true).unwrap(),
        3 => moved.fetch(&store),
        4 => {
            let linked = store.move_out(&moved.root, &out, 0o600, false).unwrap().unwrap();
            linked.finish(&out).unwrap();
        }
        _ => assert!(store.forget_reference(&moved.root).unwrap()),
    };
    let mut seen = Vec::new();
    for n in 0..6 {
        step(n);
        let usage = store.usage().unwrap();
        store.checkpoint().unwrap();
        assert_eq!(store.usage().unwrap(), usage, "step {n}");
        seen.push((usage.blocks, usage.blobs, usage.blob_bytes / tree_bytes(1)));
    }
    // A reference's blocks are counted until they are collected.
    assert_eq!(seen, [(2, 1, 0), (10, 2, 1), (11, 2, 1), (19, 3, 2), (19, 3, 1), (19, 2, 1)]);
}

fn tree_bytes(seed: u64) -> u64 {
    Tree::blob(seed).size
}

#[test]
fn an_alias_is_whole_without_a_second_copy() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(10);
    let batch = store.batch(public());
    tree.add(&batch);
    let (with_mode, _) = block(5);
    assert!(batch.alias(&with_mode, &tree.root).unwrap());
    assert!(!batch.alias(&block(7).0, &block(8).0).unwrap());
    batch.commit().unwrap();
    let batch = store.batch(public());
    let (later, _) = block(6);
    assert!(batch.alias(&later, &with_mode).unwrap());
    batch.commit().unwrap();
    for root in [tree.root, with_mode, later] {
        assert_eq!(store.whole_file(&root).unwrap().unwrap().len, tree.size);
    }
    assert_eq!(store.usage().unwrap().blobs, 1);
}

#[test]
fn the_codec_of_a_cid_does_not_matter_but_its_hash_function_does() {
    let place = Place::new();
    let store = place.open();
    let data = bytes(1, 50);
    let raw = cid_of(HashKind::Sha256, RAW, Version::V1, &data);
    let batch = store.batch(public());
    batch.put(&raw, &data).unwrap();
    batch.commit().unwrap();
    assert!(store.has(&cid_of(HashKind::Sha256, DAG_PB, Version::V1, &data)));
    assert!(store.has(&cid_of(HashKind::Sha256, DAG_PB, Version::V0, &data)));
    let other = shoal_dag_multihash(0x1e, raw.hash().digest());
    assert!(!store.has(&other));
    assert_eq!(store.get(&other).unwrap(), None);
}

/// A raw CID with any multihash code.
fn shoal_dag_multihash(code: u8, digest: &[u8]) -> Cid {
    let mut bytes = vec![1, RAW as u8, code, digest.len() as u8];
    bytes.extend_from_slice(digest);
    Cid::try_from(bytes).unwrap()
}

#[test]
fn inline_and_unsupported_cids() {
    let place = Place::new();
    let store = place.open();
    let inline = shoal_dag_multihash(0, b"hello");
    assert!(store.has(&inline));
    assert_eq!(store.get(&inline).unwrap(), Some(Bytes::from_static(b"hello")));
    store.keep(&inline, None, &Bytes::from_static(b"hello"), true).unwrap();
    let long = shoal_dag_multihash(SHA2_512 as u8, &[7; 64]);
    assert!(!store.has(&long));
    let refused = store.keep(&long, None, &bytes(1, 5), true);
    assert!(matches!(refused, Err(WriteError::Unsupported { cid }) if cid == long));
    let data = bytes(1, shoal_dag::BLOCK_BYTES_MAX + 1);
    let refused = store.keep(&crate::fixture::leaf_cid(&data), None, &data, true);
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })));
    assert_eq!(store.usage().unwrap().blocks, 0);
}

#[test]
fn local_blocks_are_not_for_peers() {
    let place = Place::new();
    let store = place.open();
    let (cid, data) = block(1);
    let batch = store.batch(BatchOptions { public: false });
    batch.put(&cid, &data).unwrap();
    batch.commit().unwrap();
    assert!(store.has(&cid) && !store.is_public(&cid));
    assert_eq!(store.get_public(&cid).unwrap(), None);
    let batch = store.batch(public());
    batch.put(&cid, &data).unwrap();
    batch.commit().unwrap();
    assert_eq!(store.get_public(&cid).unwrap(), Some(data));
    store.set_public(&[cid], false).unwrap();
    assert!(!store.is_public(&cid));
}

#[test]
fn extents_say_where_the_bytes_are() {
    let place = Place::new();
    let store = place.open();
    let tree = Tree::blob(10);
    let (cid, data) = block(1);
    let batch = store.batch(public());
    tree.add(&batch);
    batch.put(&cid, &data).unwrap();
    batch.commit().unwrap();
    let extent = store.extent(&tree.leaves[3].0).unwrap();
    assert_eq!((extent.offset, extent.len), (3 * 65_536, 65_536));
    assert!(matches!(extent.home, Home::Blob(_)));
    let extent = store.extent(&cid).unwrap();
    assert_eq!(extent.home, Home::Pack(0));
    let pack = fs::read(store.locate(&cid).unwrap()).unwrap();
    assert_eq!(&pack[extent.offset as usize..][..extent.len as usize], &data[..]);
}

#[test]
fn a_second_open_names_the_holder() {
    let place = Place::new();
    let command = "shoal seed\nwith a newline".to_owned();
    let store = Store::open(&place.path(), Options { command, ..Options::default() }).unwrap();
    let said = "shoal seedwith a newline";
    match Store::open(&place.path(), Options::default()) {
        Err(OpenError::InUse { pid, command }) => {
            assert_eq!((pid, command.as_str()), (std::process::id(), said));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Store::holder(&place.path()).unwrap().command, said);
    drop(store);
    assert_eq!(Store::holder(&place.path()), None);
    drop(place.open());
}

#[test]
fn a_format_that_is_not_ours_is_refused() {
    let place = Place::new();
    drop(place.open());
    let format = place.path().join("format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "shoal-store 2\n");
    fs::write(&format, "shoal-store 7\n").unwrap();
    let refused = Store::open(&place.path(), Options::default());
    assert!(matches!(refused, Err(OpenError::NewerFormat { found: 7, known: 2 })), "{refused:?}");
    for garbage in [&b""[..], b"shoal-store", b"shoal-store x\n", b"\xff\xfe", b"shoal-store 0\n"] {
        fs::write(&format, garbage).unwrap();
        let refused = Store::open(&place.path(), Options::default());
        assert!(matches!(&refused, Err(OpenError::NotAStore { .. })), "{refused:?}");
    }
    fs::remove_file(&format).unwrap();
    let batch_less = Store::open(&place.path(), Options::default());
    drop(batch_less.expect("an empty store without a format is one that was not finished"));
}

#[test]
fn a_directory_of_somebody_else_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    fs::write(place.path().join("thesis.txt"), "words").unwrap();
    let refused = Store::open(&place.path(), Options::default());
    assert!(matches!(refused, Err(OpenError::NotAStore { .. })), "{refused:?}");
    assert_eq!(files_in(&place.path()).len(), 1);
}

#[test]
fn nobody_else_can_read_the_store() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    Tree::blob(1).add(&batch);
    batch.put(&block(1).0, &block(1).1).unwrap();
    batch.commit().unwrap();
    Tree::blob(30).keep(&store, 0..2);
    store.read_or_create_secret("identity", || b"key".to_vec()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path()), 0o700);
    for file in files_in(&place.path()) {
        assert_eq!(mode(&file), 0o600, "{file:?}");
        assert_eq!(mode(file.parent().unwrap()), 0o700, "{file:?}");
    }
}
