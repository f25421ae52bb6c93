//! Tests of what the next entry must be: each rule broken alone, by a draft that is else right.
//!
//! `sim/replay.rs` holds the same rules against a naive reading of them, with random histories.

use super::*;
use crate::Hash;
use crate::chain::{Archive, Chain};
use crate::entry::Tombstone;
use crate::hash::EntryId;
use crate::sample::*;

#[track_caller]
fn broken(chain: &Chain, change: impl FnOnce(&mut Header), why: Invalid) {
    let mut draft = chain.tip().draft(update(7), &key(OWNER).public(), 0).unwrap();
    change(&mut draft.header);
    let before = chain.tip().clone();
    let mut tip = before.clone();
    assert_eq!(tip.extend(draft.sign(&[&key(OWNER)]).unwrap()), Err(why));
    assert_eq!(tip, before, "a refused entry changes nothing");
}

#[test]
fn each_rule_holds_alone() {
    let chain = chain(9, 0);
    let other = EntryId::of(b"another");
    let links = |change: fn(&mut Links, EntryId)| {
        move |header: &mut Header| change(header.links.as_mut().unwrap(), other)
    };
    broken(&chain, links(|links, other| links.previous = other), Invalid::Link("pv"));
    broken(&chain, links(|links, other| links.jump = other), Invalid::Link("jp"));
    let control = Invalid::Authority(AuthorityError::Control);
    broken(&chain, links(|links, other| links.control = other), control);
    broken(&chain, |header| header.history = Hash::from_bytes([1; 32]), Invalid::History);
    broken(&chain, |header| header.time_ms = 1_000, Invalid::Time);
    let at = |index| move |header: &mut Header| header.position.index = Index::new(index).unwrap();
    for index in [8, 10, 1 << 30] {
        broken(&chain, at(index), Invalid::Index { expected: 9 });
    }
}

#[test]
fn the_root_is_that_of_the_whole_beginning() {
    let chain = chain(40, 0);
    for entry in chain.entries() {
        let root = crate::tree::prove::root(&chain, entry.index());
        assert_eq!(Some(entry.header().history), root);
    }
    assert_eq!(chain.control_before(0), None);
    assert_eq!(chain.control_before(40), Some(0));
}

#[test]
fn times_are_claims_that_never_go_back() {
    let chain = chain(4, 0);
    let newest = chain.tip().head().header().time_ms;
    let draft = |time| chain.tip().draft(update(7), &key(OWNER).public(), time).unwrap();
    assert_eq!(draft(0).header.time_ms, newest, "a clock that went back");
    assert_eq!(draft(newest + 5).header.time_ms, newest + 5);
    assert_eq!(draft(u64::MAX).header.time_ms, TIME_MS_MAX, "a clock far ahead stays printable");
}

#[test]
fn by_time_is_what_a_linear_scan_finds() {
    let chain = chain(12, 0);
    for time in (0..16_000).step_by(250) {
        let linear = chain.entries().iter().rev().find(|entry| entry.header().time_ms <= time);
        assert_eq!(chain.at_time(time), linear, "{time}");
    }
}

#[test]
fn nothing_follows_a_tombstone() {
    let mut chain = chain(3, 0);
    let open = chain.clone();
    push(&mut chain, OWNER, Body::Tombstone(Tombstone { forward: None, message: None }));
    let draft = chain.tip().draft(update(1), &key(OWNER).public(), 0);
    assert_eq!(draft, Err(DraftError::Ended));
    // An update, and a recovery, on top of it.
    let mut draft = open.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    draft.header.position.index = Index::new(4).unwrap();
    let after = draft.sign(&[&key(OWNER)]).unwrap();
    assert_eq!(chain.push(after), Err(Invalid::Ended));
    // A recovery below it revives the ledger: a thief's tombstone is not the end.
    let branch = recover(&chain, 2, RECOVERY[0], &[7]);
    assert!(branch.tip().head().position() > chain.tip().head().position());
}

#[test]
fn a_writer_cannot_draft_what_it_may_not_sign() {
    let chain = begin(&[1, 2]);
    let draft = |body, seed| chain.tip().draft(body, &key(seed).public(), 0).map(drop);
    assert_eq!(draft(update(1), 2), Err(DraftError::NotActive));
    assert_eq!(draft(update(1), 3), Err(DraftError::NotAWriter));
    assert_eq!(draft(writers(1, &[], 0), 2), Ok(()));
    assert_eq!(draft(genesis_draft(1, &[1], 0).body, 1), Err(DraftError::Genesis));
}
