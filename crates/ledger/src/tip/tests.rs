//! Tests of what the next entry must be: each rule broken alone, by a draft that is else right.
//!
//! `sim/replay.rs` holds the same rules against a naive reading of them, with random histories.

use super::*;
use crate::Hash;
use crate::chain::{Archive, Chain};
use crate::entry::{Body, Tombstone, Writers};
use crate::hash::EntryId;
use crate::sample::*;
use crate::tree::prove::Nodes;

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

/// The first entries of a branch, and which of them were read.
struct Beginning<'a> {
    chain: &'a Chain,
    len: u64,
    read: std::cell::Cell<usize>,
}

impl Nodes for Beginning<'_> {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.chain.node(level, index).filter(|_| (index + 1) << level <= self.len)
    }
}

impl Archive for Beginning<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        self.read.set(self.read.get() + 1);
        self.chain.entry(index).filter(|_| index < self.len)
    }

    fn control_before(&self, index: u64) -> Option<u64> {
        self.chain.control_before(index)
    }
}

/// A branch of 600 entries with changes of keys and two recoveries, and its tip at each length.
fn with_tips() -> (Chain, Vec<Tip>) {
    let mut chain = begin(&[OWNER]);
    let mut tips = vec![chain.tip().clone()];
    let mut writer = OWNER;
    while chain.len() < 600 {
        let body = match chain.len() {
            at if at % 97 == 50 => {
                let policy = Some(Hash::from_bytes([at as u8; 32]));
                Body::Writers(Writers { active: 0, added: Vec::new(), policy, removed: 0 })
            }
            at => update(at),
        };
        push(&mut chain, writer, body);
        tips.push(chain.tip().clone());
        let epoch = chain.tip().authority().epoch().as_u64();
        if (epoch, chain.len()) == (0, 200) || (epoch, chain.len()) == (1, 420) {
            let base = chain.len() - 30;
            chain = recover(&chain, base, RECOVERY[epoch as usize], &[OWNER, 7 + epoch as u8]);
            tips.truncate(base as usize + 1);
            tips.push(chain.tip().clone());
            writer = OWNER;
        }
    }
    (chain, tips)
}

#[test]
fn a_tip_comes_back_from_what_is_stored() {
    let (chain, tips) = with_tips();
    assert_eq!(tips.len(), 600);
    for (len, tip) in (1..).zip(&tips) {
        let branch = Beginning { chain: &chain, len, read: 0.into() };
        assert_eq!(Tip::from_archive(&branch).as_ref(), Some(tip), "{len}");
        assert!(branch.read.get() <= 2 * 10 + 2 + 10, "{} entries of {len}", branch.read.get());
        let parts: Vec<_> =
            jump::spine(len - 1).into_iter().map(|at| (at, id(&chain, at))).collect();
        assert_eq!(tip.spine().entries(), parts);
    }
    let empty = Beginning { chain: &chain, len: 0, read: 0.into() };
    assert_eq!(Tip::from_archive(&empty), None);
}

fn id(chain: &Chain, index: u64) -> EntryId {
    chain.entries()[index as usize].id()
}

#[test]
fn parts_that_do_not_belong_together_make_no_tip() {
    let (ours, theirs) = (chain(23, 0), chain(23, 50));
    let before = |chain: &Chain| prove::peaks(chain, 22).unwrap();
    let genesis = || vec![ours.entry(0).unwrap()];
    let restore = |peaks: Peaks, spine: &Spine, chain: &[Entry]| {
        Tip::restore(ours.tip().head().clone(), peaks, spine.clone(), chain)
    };
    let spine = ours.tip().spine();
    assert_eq!(restore(before(&ours), spine, &genesis()).as_ref(), Ok(ours.tip()));
    assert_eq!(restore(before(&theirs), spine, &genesis()), Err(Invalid::History));
    let whole = ours.tip().peaks().clone();
    assert_eq!(restore(whole, spine, &genesis()), Err(Invalid::Index { expected: 23 }));
    let other = theirs.tip().spine();
    assert_eq!(restore(before(&ours), other, &genesis()), Err(Invalid::Link("jp")));
    assert_eq!(restore(before(&ours), &Spine::default(), &genesis()), Err(Invalid::Link("jp")));
    let none = Invalid::Authority(AuthorityError::NoGenesis);
    assert_eq!(restore(before(&ours), spine, &[]), Err(none));
    let foreign = vec![begin(&[2]).entry(0).unwrap()];
    assert!(restore(before(&ours), spine, &foreign).is_err());
}
