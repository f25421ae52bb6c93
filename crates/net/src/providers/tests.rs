//! Bounds, expiry and changes of the provider store.
//!
//! Each named maximum is reached and held, who floods pays, and what is told as a change is what
//! a restart would be given back. kad around the store is tested with whole nodes.

use super::*;

const FUTURE: u64 = u64::MAX >> 8;

fn record(key: u64, provider: PeerId, expires_unix_s: u64) -> ProviderRecord {
    ProviderRecord { key: key.to_be_bytes().to_vec(), provider, addrs: Vec::new(), expires_unix_s }
}

fn store() -> ProviderStore {
    ProviderStore::new(PeerId::random(), Vec::new())
}

fn key(n: u64) -> RecordKey {
    RecordKey::from(n.to_be_bytes().to_vec())
}

#[test]
fn a_record_is_told_kept_and_found() {
    let mut store = store();
    let provider = PeerId::random();
    let addr: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().unwrap();
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "x".repeat(200)).parse().unwrap();
    store.accept(&kad::ProviderRecord::new(key(1), provider, vec![long, addr.clone()]));
    let found = store.providers(&key(1));
    assert_eq!((found.len(), found[0].provider), (1, provider));
    assert_eq!(store.addrs_of(&key(1), &provider), [addr]);
    let Some(RecordChange::Put(told)) = store.next_change() else { panic!("it is told") };
    assert!(told.expires_unix_s >= now_unix_s() + RECORD_TTL.as_secs() - 5);
    let again = ProviderStore::new(PeerId::random(), vec![told]);
    assert_eq!(again.providers(&key(1)).len(), 1);
}

#[test]
fn what_has_expired_is_neither_found_nor_kept() {
    let provider = PeerId::random();
    let mut store = ProviderStore::new(PeerId::random(), vec![record(1, provider, 1)]);
    assert!(store.records.is_empty());
    store.insert(record(1, provider, now_unix_s()));
    store.insert(record(2, provider, FUTURE));
    assert!(store.providers(&key(1)).is_empty());
    store.changes.clear();
    store.expire();
    let removed = RecordChange::Remove { key: key(1).to_vec(), provider };
    assert_eq!(store.next_change(), Some(removed));
    assert_eq!((store.count, store.next_change()), (1, None));
}

#[test]
fn a_key_keeps_the_providers_heard_of_last() {
    let mut store = store();
    let ids: Vec<_> = (0..=PROVIDERS_PER_KEY_MAX).map(|_| PeerId::random()).collect();
    for (i, id) in ids.iter().enumerate() {
        store.insert(record(1, *id, FUTURE + i as u64));
    }
    let found = store.providers(&key(1));
    assert_eq!(found.len(), PROVIDERS_PER_KEY_MAX);
    assert!(found.iter().all(|record| record.provider != ids[0]));
}

#[test]
fn one_provider_fills_only_its_share() {
    let mut store = store();
    let greedy = PeerId::random();
    for n in 0..RECORDS_PER_PROVIDER_MAX as u64 + 10 {
        store.insert(record(n, greedy, FUTURE));
    }
    assert_eq!(store.count, RECORDS_PER_PROVIDER_MAX);
}

#[test]
fn a_full_store_takes_room_from_who_has_most() {
    let mut store = store();
    let floods: Vec<_> =
        (0..RECORDS_MAX / RECORDS_PER_PROVIDER_MAX).map(|_| PeerId::random()).collect();
    for id in &floods {
        for n in 0..RECORDS_PER_PROVIDER_MAX as u64 {
            store.insert(record(n, *id, FUTURE));
        }
    }
    assert_eq!(store.count, RECORDS_MAX);
    let modest = PeerId::random();
    store.insert(record(u64::MAX, modest, FUTURE));
    assert_eq!(store.providers(&key(u64::MAX)).len(), 1);
    assert_eq!(store.count, RECORDS_MAX);
    let held: usize = store.per_provider.values().sum();
    assert_eq!(held, RECORDS_MAX);
}

#[test]
fn keys_that_are_too_long_and_our_own_name_are_refused() {
    let mut store = store();
    let long =
        ProviderRecord { key: vec![0; KEY_BYTES_MAX + 1], ..record(0, PeerId::random(), FUTURE) };
    store.insert(long);
    store.insert(record(1, store.local, FUTURE));
    assert_eq!(store.count, 0);
    store.put(kad::Record::new(key(1), vec![1])).unwrap();
    assert!(store.get(&key(1)).is_none(), "kad stores no value by itself");
}

#[test]
fn our_own_keys_are_answered_but_not_told() {
    let mut store = store();
    let own = kad::ProviderRecord::new(key(1), store.local, Vec::new());
    store.add_provider(own).unwrap();
    assert_eq!(store.providers(&key(1)).len(), 1);
    assert_eq!(store.next_change(), None);
    let local = store.local;
    store.remove_provider(&key(1), &local);
    assert!(store.providers(&key(1)).is_empty());
}

#[test]
fn changes_that_nobody_takes_are_bounded() {
    let mut store = store();
    let provider = PeerId::random();
    for _ in 0..=CHANGES_MAX {
        store.insert(record(1, provider, FUTURE));
    }
    assert_eq!(store.changes.len(), CHANGES_MAX);
}
