//! Tests of the writer: what leaves a machine that crashes, is copied, or is not alone.
//!
//! The disk is a chain in memory, and the network what was sent; a crash is a writer that is opened
//! again from the disk.

use super::*;
use crate::chain::{Archive, Chain};
use crate::sample::*;
use std::collections::BTreeMap;

fn sign(writer: &mut Writer, root: u64) -> Result<Unstored, WriteError> {
    writer.sign(update(root), &[&key(OWNER)], 0)
}

#[test]
fn nothing_is_signed_before_enough_sources_answered() {
    let chain = chain(4, 0);
    let mut writer = Writer::open(chain.tip().clone(), 2);
    assert_eq!(sign(&mut writer, 1), Err(WriteError::CatchUp { missing: 2 }));
    assert_eq!(writer.heard(None, None), Answer::Nothing);
    let older = chain.entry(2).unwrap();
    assert_eq!(writer.heard(Some(&older), Some(&older)), Answer::Nothing);
    let unstored = sign(&mut writer, 1).unwrap();
    assert_eq!(sign(&mut writer, 2), Err(WriteError::NotStored));
    let entry = writer.stored(unstored).unwrap();
    assert_eq!(entry.index(), 4);
    assert!(sign(&mut writer, 2).is_ok());
}

#[test]
fn a_restored_backup_adopts_what_it_signed_before() {
    let whole = chain(6, 0);
    let mut writer = Writer::open(chain(3, 0).tip().clone(), 1);
    assert_eq!(writer.heard(Some(whole.tip().head()), None), Answer::Ahead);
    let newest = whole.tip().head().position();
    assert_eq!(sign(&mut writer, 9), Err(WriteError::Behind { newest }));
    assert_eq!(writer.heard(None, None), Answer::Nothing, "another source does not help");
    for entry in &whole.entries()[3..] {
        assert_eq!(sign(&mut writer, 9), Err(WriteError::Behind { newest }));
        writer.adopt(entry.clone()).unwrap();
    }
    let unstored = sign(&mut writer, 9).unwrap();
    assert_eq!(writer.stored(unstored).unwrap().index(), 6);
}

#[test]
fn a_fork_of_its_own_ends_its_writing() {
    let (ours, theirs) = (chain(4, 0), chain(3, 50));
    let mut writer = Writer::open(ours.tip().clone(), 1);
    let own = ours.entry(2);
    assert_eq!(writer.heard(Some(theirs.tip().head()), own.as_ref()), Answer::Fork);
    writer.force();
    let at = theirs.tip().head().position();
    assert_eq!(sign(&mut writer, 9), Err(WriteError::Forked { at }));
}

#[test]
fn a_key_that_may_not_sign_gets_nothing() {
    let mut writer = Writer::open(begin(&[1, 2]).tip().clone(), 0);
    let by = |writer: &mut Writer, seed| writer.sign(update(1), &[&key(seed)], 0);
    assert_eq!(by(&mut writer, 2), Err(WriteError::Draft(DraftError::NotActive)));
    assert_eq!(by(&mut writer, 3), Err(WriteError::Draft(DraftError::NotAWriter)));
    assert_eq!(writer.sign(update(1), &[], 0), Err(WriteError::NoKey));
    assert!(by(&mut writer, 1).is_ok());
}

/// Every way to crash in three publications, each followed by a restart that publishes something
/// else: never two blocks for one place among those that were sent.
#[test]
fn at_most_one_block_per_place_ever_leaves_whatever_the_crash() {
    for crashes in 0..64_u32 {
        let mut disk = chain(2, 0);
        let mut sent: BTreeMap<Position, Entry> = BTreeMap::new();
        for step in 0..6_u64 {
            let mut writer = Writer::open(disk.tip().clone(), 1);
            // The only source is what was sent.
            let head = sent.values().next_back().cloned();
            let own = head.as_ref().and_then(|head| disk.entry(head.index()));
            assert_eq!(writer.heard(head.as_ref(), own.as_ref()), Answer::Nothing);
            let unstored = sign(&mut writer, 100 * step).unwrap();
            // A crash after signing, or after storing, or none.
            let crash = crashes >> step & 1 == 1;
            if crash && step % 2 == 0 {
                continue;
            }
            disk.push(unstored.to_store().clone()).unwrap();
            if crash {
                continue;
            }
            let entry = writer.stored(unstored).unwrap();
            assert_eq!(sent.insert(entry.position(), entry), None, "crashes {crashes:b}");
        }
        assert_eq!(Chain::replay(disk.entries().iter().cloned()).unwrap().len(), disk.len());
    }
}
