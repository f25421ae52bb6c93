//! Records of others survive a restart as they were.
//!
//! Over a real store and without a network: what is judged is the network layer's business.

use shoal_store::Options;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
    (dir, store)
}

#[test]
fn provider_records_come_back_as_they_were() {
    let (_dir, store) = store();
    let provider = shoal_net::Keypair::generate_ed25519().public().to_peer_id();
    let address = "/ip4/127.0.0.1/tcp/4001".parse().expect("an address");
    let record =
        ProviderRecord { key: vec![1; 34], provider, addrs: vec![address], expires_unix_s: 9 };
    let put = Changed::Provider(RecordChange::Put(record.clone()));
    write(&store, &[put]).expect("a record");
    assert_eq!(providers(&store), std::slice::from_ref(&record));
    let removed = Changed::Provider(RecordChange::Remove { key: record.key, provider });
    write(&store, &[removed]).expect("a record");
    assert!(providers(&store).is_empty());
}

#[test]
fn value_records_are_replaced_and_removed_by_key() {
    let (_dir, store) = store();
    let put = |value: &[u8]| {
        Changed::Value(ValueChange::Put { key: b"/ipns/x".to_vec(), value: value.to_vec() })
    };
    write(&store, &[put(b"old"), put(b"new")]).expect("a record");
    assert_eq!(values(&store), [(b"/ipns/x".to_vec(), b"new".to_vec())]);
    let removed = ValueChange::Remove { key: b"/ipns/x".to_vec() };
    write(&store, &[Changed::Value(removed)]).expect("a record");
    assert!(values(&store).is_empty());
}
