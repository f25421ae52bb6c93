//! Tests of the checker: records written by hand, each of which breaks one rule.
//!
//! Whether it finds what real members do wrong is shown where they run.

use super::*;
use crate::Index;

/// Entry `id` at (epoch, index).
fn head(id: u8, epoch: u64, index: u64) -> Head {
    let position =
        Position { epoch: Epoch::new(epoch).unwrap(), index: Index::new(index).unwrap() };
    Head { position, entry: EntryId::from_bytes([id; 32]), root: Hash::from_bytes([id; 32]) }
}

fn signed(head: Head, on: u8) -> Event {
    let on = (on > 0).then_some(EntryId::from_bytes([on; 32]));
    Event::Signed { head, on, opens: false }
}

fn sent(id: u8, honest: bool) -> Event {
    Event::Sent { entry: EntryId::from_bytes([id; 32]), honest }
}

fn call(node: usize, op: Op, head: Head, forked: bool) -> [Event; 2] {
    let state = State { head: Some(head), forked };
    [Event::Invoke { node, op }, Event::Ok { node, op, state }]
}

/// 1 - 2 - 3 - 4, and 5 - 6 beside 3 and 4, all sent; honest but for the branch.
fn world() -> Vec<Event> {
    let line = [(1, 0, 0), (2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 2, 2), (6, 5, 3)];
    let mut record = Vec::new();
    for (id, on, index) in line {
        record.extend([signed(head(id, 0, index), on), sent(id, id < 5)]);
    }
    record
}

#[track_caller]
fn breaks(rule: &str, more: &[Event]) {
    let found = check(&[&world()[..], more].concat());
    assert!(!found.is_empty() && found.iter().all(|what| what.starts_with(rule)), "{found:?}");
}

#[track_caller]
fn holds(more: &[Event]) {
    assert_eq!(check(&[&world()[..], more].concat()), Vec::<String>::new());
}

const THREE: fn() -> Head = || head(3, 0, 2);
const FOUR: fn() -> Head = || head(4, 0, 3);
const SIX: fn() -> Head = || head(6, 0, 3);

#[test]
fn a_good_record_is_good() {
    let mut record = Vec::new();
    record.extend(call(0, Op::Read, THREE(), false));
    record.extend(call(0, Op::Meet(Some(FOUR())), FOUR(), false));
    record.push(Event::Crash { node: 0 });
    record.extend(call(0, Op::Read, FOUR(), false));
    record.extend(call(0, Op::Meet(Some(SIX())), FOUR(), true));
    record.extend(call(1, Op::Meet(Some(FOUR())), FOUR(), true));
    record.push(Event::Healed);
    holds(&record);
}

#[test]
fn each_rule_is_found_broken() {
    let read = |head, forked| call(0, Op::Read, head, forked);
    breaks("monotone", &[read(FOUR(), false), read(THREE(), false)].concat());
    let crash = [Event::Crash { node: 0 }];
    breaks("monotone", &[&read(FOUR(), false)[..], &crash, &read(THREE(), false)].concat());
    breaks("prefix", &[read(head(5, 0, 2), false), read(FOUR(), false)].concat());
    breaks("known", &read(head(9, 0, 3), false));
    breaks("known", &read(Head { root: Hash::from_bytes([0; 32]), ..FOUR() }, false));
    let meet = |met, forked| call(0, Op::Meet(Some(met)), FOUR(), forked);
    breaks("proven", &[read(FOUR(), false), meet(SIX(), false)].concat());
    breaks("proven", &[meet(SIX(), true), read(FOUR(), false)].concat());
    breaks("called", &read(FOUR(), false)[1..]);
    breaks("called", &[&read(FOUR(), false)[..1], &crash, &read(FOUR(), false)[1..]].concat());
    let apart = [read(FOUR(), false), call(1, Op::Read, THREE(), false)].concat();
    breaks("converged", &[&apart[..], &[Event::Healed]].concat());
    holds(&apart);
    breaks("honest", &[signed(head(7, 0, 3), 3), sent(7, true)]);
    let opens = |id, on: u8| Event::Signed {
        head: head(id, 1, u64::from(id) - 4),
        on: Some(EntryId::from_bytes([on; 32])),
        opens: true,
    };
    breaks("honest", &[opens(7, 3), sent(7, true), opens(8, 4), sent(8, true)]);
}

#[test]
fn nobody_is_accused_where_nobody_forked() {
    let quiet = &world()[..8];
    let record = [quiet, &call(0, Op::Read, FOUR(), true)].concat();
    assert_eq!(check(&record).len(), 1);
    assert!(check(&record)[0].starts_with("harmless"));
    // An entry that was signed, lost, and never sent is no fork.
    let lost = [quiet, &[signed(head(7, 0, 3), 3)], &call(0, Op::Read, FOUR(), false)].concat();
    assert_eq!(check(&lost), Vec::<String>::new());
}

#[test]
fn a_restored_disk_begins_anew_and_the_same_bytes_may_be_signed_again() {
    let mut record = call(0, Op::Read, FOUR(), false).to_vec();
    record.push(Event::Restored { node: 0 });
    record.extend(call(0, Op::Read, THREE(), false));
    record.extend([signed(FOUR(), 3), sent(4, true)]);
    holds(&record);
}
