//! Pins, records and secrets.
//!
//! What is small and must last: listed in pages, bounded, found again after reopening.

use shoal_dag::hash::{DAG_PB, HashKind, cid_of};
use shoal_dag::{Cid, Version};
use shoal_store::{PinOptions, RECORD_VALUE_BYTES_MAX, WriteError};

use crate::fixture::{Place, block, bytes, files_in, public};

#[test]
fn pins_are_listed_in_pages_and_survive() {
    let place = Place::new();
    let store = place.open();
    let batch = store.batch(public());
    for seed in 0..25 {
        let options = PinOptions { local: seed % 2 == 0, ..PinOptions::default() };
        batch.pin(&block(seed).0, options).unwrap();
    }
    assert!(!store.is_pinned(&block(1).0));
    batch.commit().unwrap();
    drop(store);
    let store = place.open();
    let mut seen: Vec<Cid> = Vec::new();
    loop {
        let page = store.pins(seen.last(), 10).unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 10);
        seen.extend(page.iter().map(|row| row.0));
    }
    assert_eq!(seen.len(), 25);
    assert!(store.pinned(&block(4).0).unwrap().unwrap().local);
    assert!(!store.pinned(&block(5).0).unwrap().unwrap().local);
    assert!(store.unpin(&block(4).0).unwrap() && !store.unpin(&block(4).0).unwrap());
    assert!(!store.is_pinned(&block(4).0));
}

#[test]
fn a_pin_is_found_under_every_name_of_its_root() {
    let place = Place::new();
    let store = place.open();
    let old = cid_of(HashKind::Sha256, DAG_PB, Version::V0, b"x");
    let new = cid_of(HashKind::Sha256, DAG_PB, Version::V1, b"x");
    store.pin(&old, PinOptions::default()).unwrap();
    assert!(store.is_pinned(&new));
    assert_eq!(store.pins(None, 10).unwrap()[0].0, old);
    assert!(store.unpin(&new).unwrap());
}

#[test]
fn a_pin_makes_what_was_kept_durable() {
    let place = Place::new();
    let store = place.open();
    let (cid, data) = block(1);
    store.keep(&cid, None, &data, true).unwrap();
    store.pin(&cid, PinOptions::default()).unwrap();
    assert_eq!(store.usage().unwrap().blocks, 1, "it is in the index");
}

#[test]
fn records_are_kept_by_namespace() {
    let place = Place::new();
    let store = place.open();
    store.put_record("seed", b"a", b"1").unwrap();
    store.put_record("seeds", b"a", b"2").unwrap();
    let many: Vec<(&[u8], Option<&[u8]>)> =
        vec![(b"b", Some(b"3")), (b"c", Some(b"4")), (b"a", None)];
    store.put_records("seed", &many).unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.record("seed", b"a").unwrap(), None);
    assert_eq!(store.record("seeds", b"a").unwrap(), Some(b"2".to_vec()));
    let rows = store.records("seed", b"", 10).unwrap();
    assert_eq!(rows, [(b"b".to_vec(), b"3".to_vec()), (b"c".to_vec(), b"4".to_vec())]);
    assert_eq!(store.records("seed", b"c", 10).unwrap().len(), 1);
    assert_eq!(store.records("seed", b"", 1).unwrap().len(), 1);
    store.remove_record("seed", b"b").unwrap();
    assert_eq!(store.records("seed", b"", 10).unwrap().len(), 1);
    let large = bytes(1, RECORD_VALUE_BYTES_MAX + 1);
    let refused = store.put_record("seed", b"x", &large);
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })));
    assert!(store.put_record("a\0b", b"x", b"").is_err());
}

#[test]
fn a_secret_is_made_once() {
    let place = Place::new();
    let store = place.open();
    let first = store.read_or_create_secret("identity", || b"one".to_vec()).unwrap();
    let again = store.read_or_create_secret("identity", || b"two".to_vec()).unwrap();
    assert_eq!((first, again), (b"one".to_vec(), b"one".to_vec()));
    for name in ["../out", "a/b", "", ".."] {
        assert!(store.read_or_create_secret(name, Vec::new).is_err(), "{name}");
    }
    assert_eq!(files_in(&place.path().join("secrets")).len(), 1);
}
