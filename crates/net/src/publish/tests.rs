//! The schedule of publishing, in a time that the test makes pass.
//!
//! No lookup runs: the test says how many peers each publish has reached. Stages, interval, jitter,
//! retries and the bound on lookups at once are checked against their constants.

use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Cid, Version};

use super::*;

const KEYS_MAX: usize = 32;

fn key(n: u64) -> (RecordKey, Cid) {
    let cid = cid_of(HashKind::Blake3, RAW, Version::V1, &n.to_le_bytes());
    (RecordKey::from(cid.hash().to_bytes()), cid)
}

/// Publishes everything that is due until nothing is, each reaching so many peers; how many.
fn run(publisher: &mut Publisher<Cid>, now: Instant, reached: usize) -> usize {
    let mut count = 0;
    while let Some(publish) = publisher.poll(now, true, 0.5) {
        publisher.finished(&publish.key, reached, now, 0.5);
        count += 1;
    }
    count
}

#[test]
fn a_key_is_published_once_and_then_after_the_interval() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let (key, cid) = key(1);
    assert!(publisher.publish(key, cid, start));
    assert_eq!(run(&mut publisher, start, 3), 1);
    // Nothing grows: the stages pass without a lookup.
    for stage in STAGES {
        assert_eq!(run(&mut publisher, start + stage, 3), 0);
    }
    let due = publisher.next_due().unwrap();
    assert_eq!(due, start + STAGES[STAGES.len() - 1] + INTERVAL);
    assert_eq!(run(&mut publisher, due, 3), 1);
}

#[test]
fn it_is_put_again_while_the_table_grows() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let (key, cid) = key(1);
    publisher.publish(key, cid, start);
    run(&mut publisher, start, 1);
    for stage in STAGES {
        publisher.table_grew(start + stage);
        assert_eq!(run(&mut publisher, start + stage, 1), 1, "{stage:?}");
        assert_eq!(run(&mut publisher, start + stage, 1), 0, "only once per stage");
    }
    publisher.table_grew(start + STAGES[STAGES.len() - 1]);
    assert_eq!(
        run(&mut publisher, start + STAGES[STAGES.len() - 1] * 10, 1),
        0,
        "and then only by interval"
    );
}

#[test]
fn without_peers_it_waits_for_the_first() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let (key, cid) = key(1);
    publisher.publish(key.clone(), cid, start);
    assert_eq!(publisher.poll(start, false, 0.5), None);
    assert_eq!(publisher.next_due(), None, "nothing to wake up for");
    let later = start + INTERVAL * 3;
    publisher.table_grew(later);
    assert_eq!(publisher.poll(later, true, 0.5), Some(Publish { key, content: cid }));
}

#[test]
fn a_publish_that_reached_nobody_is_tried_again() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let (key, cid) = key(1);
    publisher.publish(key, cid, start);
    assert_eq!(run(&mut publisher, start, 0), 1);
    assert_eq!(run(&mut publisher, start, 0), 0);
    publisher.table_grew(start + Duration::from_secs(1));
    assert_eq!(run(&mut publisher, start + Duration::from_secs(1), 0), 1, "a peer appeared");
    assert_eq!(run(&mut publisher, start + Duration::from_secs(1) + RETRY, 2), 1, "or time passed");
}

#[test]
fn lookups_at_once_are_bounded() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    for n in 0..20 {
        let (key, cid) = key(n);
        publisher.publish(key, cid, start);
    }
    let running: Vec<_> = std::iter::from_fn(|| publisher.poll(start, true, 0.0)).collect();
    assert_eq!(running.len(), RUNNING_MAX);
    assert_eq!(publisher.next_due(), None, "the end of one wakes the next");
    publisher.finished(&running[0].key, 1, start, 0.0);
    assert!(publisher.poll(start, true, 0.0).is_some());
}

#[test]
fn jitter_spreads_keys_that_were_given_together() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let end = start + STAGES[STAGES.len() - 1];
    let mut dues = Vec::new();
    for (n, jitter) in [(1, 0.0), (2, 0.5), (3, 1.0)] {
        let (key, cid) = key(n);
        publisher.publish(key.clone(), cid, end);
        assert!(publisher.poll(end, true, jitter).is_some());
        publisher.entries.get_mut(&key).unwrap().stage = STAGES.len();
        publisher.finished(&key, 1, end, jitter);
        dues.push(publisher.due.last().unwrap().0);
    }
    let middle = end + INTERVAL;
    assert_eq!((middle - dues[0], dues[1], dues[2]), (JITTER, middle, middle + JITTER));
}

#[test]
fn what_is_given_up_is_never_due() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let ((one, cid), (two, other)) = (key(1), key(2));
    publisher.publish(one.clone(), cid, start);
    publisher.forget(&one);
    assert_eq!(publisher.next_due(), None);
    publisher.publish(two.clone(), other, start);
    assert!(publisher.poll(start, true, 0.0).is_some());
    publisher.forget(&two);
    publisher.finished(&two, 1, start, 0.0);
    assert_eq!((publisher.next_due(), publisher.running), (None, 0));
}

#[test]
fn another_content_is_due_at_once_and_the_same_is_not() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let ((one, old), (_, new)) = (key(1), key(2));
    publisher.publish(one.clone(), old, start);
    assert_eq!(run(&mut publisher, start, 3), 1);
    publisher.publish(one.clone(), old, start);
    assert_eq!(run(&mut publisher, start, 3), 0);
    publisher.publish(one.clone(), new, start);
    let again = Publish { key: one.clone(), content: new };
    assert_eq!(publisher.poll(start, true, 0.5), Some(again));
    // While the lookup runs: once it has ended, and by its stages from then on.
    assert!(!publisher.is_outdated(&one));
    publisher.publish(one.clone(), old, start);
    assert!(publisher.is_outdated(&one));
    assert_eq!(publisher.poll(start, true, 0.5), None);
    let later = start + Duration::from_secs(2);
    publisher.finished(&one, 3, later, 0.5);
    let last = Publish { key: one.clone(), content: old };
    assert_eq!(publisher.poll(later, true, 0.5), Some(last));
    assert!(!publisher.is_outdated(&one));
    publisher.finished(&one, 3, later, 0.5);
    assert_eq!(publisher.next_due(), Some(later + STAGES[0]));
}

#[test]
fn another_content_without_peers_waits_as_the_first_did() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    let ((one, old), (_, new)) = (key(1), key(2));
    publisher.publish(one.clone(), old, start);
    assert_eq!(publisher.poll(start, false, 0.5), None);
    publisher.publish(one.clone(), new, start);
    assert_eq!(publisher.next_due(), None);
    publisher.table_grew(start);
    assert_eq!(publisher.poll(start, true, 0.5), Some(Publish { key: one, content: new }));
    assert_eq!(publisher.poll(start, true, 0.5), None, "and only once");
}

#[test]
fn keys_are_bounded() {
    let (start, mut publisher) = (Instant::now(), Publisher::new(KEYS_MAX));
    for n in 0..=KEYS_MAX as u64 {
        let (key, cid) = key(n);
        assert_eq!(publisher.publish(key, cid, start), n < KEYS_MAX as u64);
    }
}
