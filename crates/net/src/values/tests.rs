//! Bounds, expiry, replacement and changes of the value store.
//!
//! The judge is a toy: a value is `[counter, ends in 8 bytes LE, padding]`, a higher counter is
//! newer, and one that begins with 255 is invalid. Time is an argument.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_000_000;
const FUTURE: u64 = NOW + 1_000_000_000;
const TTL: u64 = RECORD_TTL.as_secs();

#[derive(Debug)]
struct Counter;

impl Records for Counter {
    fn judge(&self, _: &[u8], value: &[u8], kept: Option<&[u8]>) -> Judgement {
        let Some(ends) = value.get(1..9) else { return Judgement::Invalid };
        let ends_unix_s = u64::from_le_bytes(ends.try_into().unwrap());
        match kept {
            _ if value[0] == 255 => Judgement::Invalid,
            Some(kept) if kept[0] >= value[0] => Judgement::Older,
            _ => Judgement::Newer { ends_unix_s },
        }
    }
}

fn value(counter: u8, ends: u64, len: usize) -> Vec<u8> {
    let mut value = vec![counter];
    value.extend(ends.to_le_bytes());
    value.resize(len.max(9), 0);
    value
}

fn key(n: u64) -> RecordKey {
    RecordKey::new(&n.to_be_bytes())
}

/// Puts a record by this peer.
fn put(store: &mut ValueStore, n: u64, value: Vec<u8>, putter: PeerId, now: u64) {
    store.accept(&Counter, &key(n), value, putter, now);
}

fn changes(store: &mut ValueStore) -> Vec<ValueChange> {
    std::iter::from_fn(|| store.next_change()).collect()
}

/// The sums agree with what is kept.
fn check(store: &ValueStore) {
    let cost_of = |(key, kept): (&RecordKey, &Kept)| cost(key, &kept.value);
    assert_eq!(store.bytes, store.kept.iter().map(cost_of).sum::<usize>());
    assert_eq!(store.bytes, store.shares.values().map(|share| share.bytes).sum::<usize>());
    let ordered: usize = store.shares.values().map(|share| share.order.len()).sum();
    assert_eq!(store.kept.len(), ordered);
    for (key, kept) in &store.kept {
        assert_eq!(store.shares[&kept.putter].order.get(&kept.order), Some(key));
        let own = store.own.get(key);
        assert!(own.is_none_or(|own| own.value == kept.value), "one value under a key");
    }
    assert!(store.bytes <= VALUES_BYTES_MAX && store.kept.len() <= VALUES_MAX);
}

#[test]
fn newer_replaces_older_and_never_the_other_way() {
    let (mut store, peer) = (ValueStore::default(), PeerId::random());
    let (old, new) = (value(1, FUTURE, 20), value(2, FUTURE, 30));
    put(&mut store, 1, old.clone(), peer, NOW);
    put(&mut store, 1, new.clone(), PeerId::random(), NOW);
    put(&mut store, 1, old.clone(), peer, NOW);
    put(&mut store, 1, value(255, FUTURE, 9), peer, NOW);
    put(&mut store, 1, vec![9], peer, NOW);
    assert_eq!(store.get(&key(1), NOW).unwrap(), &new);
    check(&store);
    let told = ValueChange::Put { key: key(1).to_vec(), value: new };
    assert_eq!(changes(&mut store), [told.clone(), told], "the last word, however often");
}

#[test]
fn a_record_ends_by_itself_or_48_hours_after_it_was_put_last() {
    let (mut store, peer) = (ValueStore::default(), PeerId::random());
    put(&mut store, 1, value(1, NOW + 100, 9), peer, NOW);
    put(&mut store, 2, value(1, FUTURE, 9), peer, NOW);
    put(&mut store, 3, value(1, NOW, 9), peer, NOW);
    assert!(store.get(&key(3), NOW).is_none(), "it had ended before it came");
    let found = |store: &ValueStore, n, now| store.get(&key(n), now).is_some();
    assert!(found(&store, 1, NOW + 99) && !found(&store, 1, NOW + 100));
    assert!(found(&store, 2, NOW + TTL - 1) && !found(&store, 2, NOW + TTL));
    put(&mut store, 2, value(1, FUTURE, 9), PeerId::random(), NOW + TTL - 1);
    put(&mut store, 1, value(1, NOW + 100, 9), peer, NOW + 99);
    assert!(found(&store, 2, NOW + TTL), "it was put again");
    assert!(!found(&store, 1, NOW + 100), "its own end stays");
    changes(&mut store);
    store.expire(NOW + TTL);
    assert_eq!(changes(&mut store), [ValueChange::Remove { key: key(1).to_vec() }]);
    assert_eq!(store.kept.len(), 1);
    check(&store);
}

#[test]
fn an_older_record_may_come_where_the_newer_has_expired() {
    let (mut store, peer) = (ValueStore::default(), PeerId::random());
    put(&mut store, 1, value(2, NOW + 10, 9), peer, NOW);
    put(&mut store, 1, value(1, FUTURE, 9), peer, NOW + 10);
    assert_eq!(store.get(&key(1), NOW + 10).unwrap()[0], 1);
    check(&store);
}

#[test]
fn what_is_too_large_is_not_even_judged() {
    struct Never;
    impl Records for Never {
        fn judge(&self, _: &[u8], _: &[u8], _: Option<&[u8]>) -> Judgement {
            panic!("it is judged");
        }
    }
    let mut store = ValueStore::default();
    let long = RecordKey::new(&[0; VALUE_KEY_BYTES_MAX + 1]);
    store.accept(&Never, &long, vec![1], PeerId::random(), NOW);
    store.accept(&Never, &key(1), vec![0; RECORD_BYTES_MAX + 1], PeerId::random(), NOW);
    let longest = RecordKey::new(&[0; VALUE_KEY_BYTES_MAX]);
    let value = value(1, FUTURE, RECORD_BYTES_MAX);
    store.accept(&Counter, &longest, value.clone(), PeerId::random(), NOW);
    assert_eq!(store.get(&longest, NOW).unwrap(), &value);
}

#[test]
fn a_full_store_takes_room_from_who_put_most_and_the_oldest_first() {
    let (mut store, modest, greedy) = (ValueStore::default(), PeerId::random(), PeerId::random());
    put(&mut store, 0, value(1, FUTURE, 9), modest, NOW);
    let each = cost(&key(1), &value(1, FUTURE, RECORD_BYTES_MAX));
    let fit = (VALUES_BYTES_MAX / each) as u64;
    for n in 1..=fit {
        put(&mut store, n, value(1, FUTURE, RECORD_BYTES_MAX), greedy, NOW);
        check(&store);
    }
    // What is put again is not the oldest any more.
    put(&mut store, 1, value(1, FUTURE, RECORD_BYTES_MAX), greedy, NOW);
    changes(&mut store);
    for n in fit + 1..fit + 3 {
        put(&mut store, n, value(1, FUTURE, RECORD_BYTES_MAX), greedy, NOW);
        assert!(store.get(&key(n), NOW).is_some(), "news finds room");
    }
    check(&store);
    assert!(store.get(&key(0), NOW).is_some(), "the modest one keeps its record");
    assert!(store.get(&key(1), NOW).is_some());
    let removed = changes(&mut store).into_iter().filter_map(|change| match change {
        ValueChange::Remove { key } => Some(key),
        ValueChange::Put { .. } => None,
    });
    assert!(removed.eq((2..).take(fit as usize + 3 - store.kept.len()).map(|n| key(n).to_vec())));
}

#[test]
fn records_are_counted_too() {
    let (mut store, peer) = (ValueStore::default(), PeerId::random());
    for n in 0..VALUES_MAX as u64 + 3 {
        put(&mut store, n, value(1, FUTURE, 9), peer, NOW);
    }
    assert_eq!(store.kept.len(), VALUES_MAX);
    assert!(store.get(&key(2), NOW).is_none() && store.get(&key(3), NOW).is_some());
    assert_eq!(changes(&mut store).len(), CHANGES_MAX);
    check(&store);
}

#[test]
fn what_was_persisted_comes_back_if_it_still_stands() {
    let mut store = ValueStore::default();
    store.restore(&Counter, &key(1), value(1, FUTURE, 9), NOW);
    store.restore(&Counter, &key(2), value(1, NOW, 9), NOW);
    store.restore(&Counter, &key(3), value(255, FUTURE, 9), NOW);
    assert!(store.get(&key(1), NOW).is_some());
    let gone = [2, 3].map(|n| ValueChange::Remove { key: key(n).to_vec() });
    assert_eq!(changes(&mut store), gone, "the node may forget them");
    // Something newer came before its turn.
    put(&mut store, 4, value(2, FUTURE, 9), PeerId::random(), NOW);
    store.restore(&Counter, &key(4), value(1, FUTURE, 9), NOW);
    assert_eq!(store.get(&key(4), NOW).unwrap()[0], 2);
    check(&store);
}

#[test]
fn our_own_stands_here_until_it_is_forgotten_or_beaten() {
    let (mut store, peer) = (ValueStore::default(), PeerId::random());
    let own = |counter| Bytes::from(value(counter, FUTURE, 9));
    let set = |store: &mut ValueStore, counter| {
        assert!(store.set_own(&Counter, &key(1), &own(counter), FUTURE, NOW));
    };
    set(&mut store, 3);
    assert_eq!(store.get(&key(1), NOW).unwrap()[0], 3);
    assert!(store.get(&key(1), FUTURE).is_none(), "an expired one is never given");
    assert!(changes(&mut store).is_empty(), "it is not one of others");
    put(&mut store, 1, value(2, FUTURE, 9), peer, NOW);
    assert_eq!(store.get(&key(1), NOW).unwrap()[0], 3);
    put(&mut store, 1, value(4, FUTURE, 9), peer, NOW);
    assert_eq!(store.get(&key(1), NOW).unwrap()[0], 4, "another machine has the key");
    set(&mut store, 3);
    assert_eq!(store.get(&key(1), NOW).unwrap()[0], 4, "never back");
    changes(&mut store);
    set(&mut store, 5);
    assert_eq!(changes(&mut store), [ValueChange::Remove { key: key(1).to_vec() }]);
    store.forget_own(&key(1));
    assert!(store.get(&key(1), NOW).is_none());
    // What we put again for another stays when we stop.
    put(&mut store, 1, value(6, FUTURE, 9), peer, NOW);
    set(&mut store, 6);
    store.forget_own(&key(1));
    assert_eq!(store.get(&key(1), NOW).unwrap()[0], 6);
    check(&store);
}

#[test]
fn our_own_are_bounded() {
    let mut store = ValueStore::default();
    let value = Bytes::from(value(1, FUTURE, 9));
    for n in 0..=OWN_VALUES_MAX as u64 {
        let kept = store.set_own(&Counter, &key(n), &value, FUTURE, NOW);
        assert_eq!(kept, n < OWN_VALUES_MAX as u64);
    }
    store.expire(FUTURE);
    assert!(store.own.is_empty());
}

#[derive(Debug, Clone)]
enum Op {
    Put { n: u64, counter: u8, ends: u64, putter: usize },
    Own { n: u64, counter: u8, ends: u64 },
    Forget(u64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    // Few, so that the same bytes come again and again.
    let ends = prop::sample::select(vec![NOW + 50_000, NOW + 300_000, FUTURE]);
    let parts = (0_u64..3, 0_u8..4, ends);
    prop_oneof![
        4 => (parts.clone(), 0_usize..3)
            .prop_map(|((n, counter, ends), putter)| Op::Put { n, counter, ends, putter }),
        2 => parts.prop_map(|(n, counter, ends)| Op::Own { n, counter, ends }),
        1 => (0_u64..3).prop_map(Op::Forget),
        1 => (0_u64..100_000).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Whatever comes, a key never goes back while a value stands, nothing expired is given, and
    /// what the node was told is what a restart would be given back.
    #[test]
    fn a_key_never_goes_back(ops in prop::collection::vec(op(), 0..60)) {
        let mut store = ValueStore::default();
        let peers = [PeerId::random(), PeerId::random(), PeerId::random()];
        let mut persisted: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut now = NOW;
        for op in ops {
            let before: Vec<_> =
                (0..3).map(|n| store.get(&key(n), now).map(|value| value[0])).collect();
            let mut forgotten = None;
            match op {
                Op::Put { n, counter, ends, putter } => {
                    put(&mut store, n, value(counter, ends, 9), peers[putter], now);
                }
                // The driver asks for no other.
                Op::Own { n, counter, ends } if ends > now => {
                    let value = Bytes::from(value(counter, ends, 9));
                    store.set_own(&Counter, &key(n), &value, ends, now);
                }
                Op::Own { .. } => {}
                Op::Forget(n) => {
                    store.forget_own(&key(n));
                    forgotten = Some(n);
                }
                Op::Pass(by) => {
                    now += by;
                    store.expire(now);
                }
            }
            check(&store);
            for n in 0..3 {
                let there = store.get(&key(n), now);
                if let Some(there) = there {
                    let ends = u64::from_le_bytes(there[1..9].try_into().unwrap());
                    prop_assert!(ends > now, "expired");
                    let was = before[n as usize].filter(|_| forgotten != Some(n));
                    prop_assert!(was.is_none_or(|was| was <= there[0]), "went back");
                }
            }
            for change in std::iter::from_fn(|| store.next_change()) {
                match change {
                    ValueChange::Put { key, value } => persisted.insert(key, value),
                    ValueChange::Remove { key } => persisted.remove(&key),
                };
            }
        }
        let kept = store.kept.iter().map(|(key, kept)| (key.to_vec(), kept.value.to_vec()));
        prop_assert_eq!(persisted, kept.collect::<HashMap<_, _>>());
    }
}
