//! Tests of the reader: what it accepts and refuses, forks, recoveries, checkpoints, and time.
//!
//! Proofs come from whole chains and are then changed part by part. Long runs with many readers are
//! in `sim.rs`; proofs of fraud themselves in `fraud/tests.rs`.

use super::*;
use crate::AuthorityError;
use crate::chain::{Archive, Chain};
use crate::entry::{Body, Tombstone};
use crate::head::{prove, prove_across, prove_after};
use crate::sample::*;
use EntryKind::{Genesis, Recover, Writers};

const NOW: u64 = 100_000_000;

fn reader_of(chain: &Chain) -> Reader {
    let mut reader = Reader::new(name(), None);
    reader.accept(&prove(chain, None).unwrap(), NOW).unwrap();
    reader
}

#[track_caller]
fn refused(reader: &Reader, proof: &HeadProof, why: Refusal) {
    let mut after = reader.clone();
    assert_eq!(after.accept(proof, NOW), Err(why));
    assert_eq!(after.pin(), reader.pin(), "a refused head changes nothing");
}

fn pair(a: &Chain, b: &Chain, index: u64) -> Fraud {
    let at = |chain| Evidence::from_archive(chain, index).unwrap();
    Fraud::equivocation(at(a), at(b)).unwrap()
}

#[test]
fn any_later_head_of_the_same_history_is_accepted_without_the_entries_between() {
    let whole = chain(40, 0);
    for from in [1, 2, 7, 8, 31, 39] {
        let begin = Chain::replay(whole.entries()[..from].iter().cloned()).unwrap();
        let mut reader = reader_of(&begin);
        let proof = prove(&whole, reader.have().as_ref()).unwrap();
        assert_eq!(proof.control, []);
        let accepted = reader.accept(&proof, NOW).unwrap();
        assert_eq!((accepted.position.index.as_u64(), accepted.cut_off_from), (39, None));
        assert_eq!(reader.pin().unwrap().peaks(), whole.tip().peaks());
        assert_eq!(reader.pin().unwrap().authority(), whole.tip().authority());
        refused(&reader, &proof, Refusal::Older);
    }
}

#[test]
fn older_heads_move_nothing() {
    let chain = chain(9, 0);
    let reader = reader_of(&chain);
    for len in 1..9 {
        let older = Chain::replay(chain.entries()[..len].iter().cloned()).unwrap();
        refused(&reader, &prove(&older, None).unwrap(), Refusal::Older);
        let index = len as u64 - 1;
        assert_eq!(reader.hear(older.tip().head()), Heard::Older { index });
    }
    assert_eq!(reader.hear(chain.tip().head()), Heard::Known);
}

#[test]
fn another_history_is_not_an_extension() {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let reader = reader_of(&ours);
    assert_eq!(prove(&theirs, reader.have().as_ref()), None, "an honest source has no such proof");
    let mut proof = prove(&theirs, None).unwrap();
    refused(&reader, &proof, Refusal::NotExtending);
    let own = reader.have().unwrap();
    proof.common.size = own.size();
    proof.common.root = own.root;
    proof.common.to_head = crate::tree::prove::consistency(&theirs, own.size(), 8).unwrap();
    refused(&reader, &proof, Refusal::NotExtending);
    // What both share is shown rightly, and is not enough: within an epoch nothing is cut off.
    let consistency = |chain, size| crate::tree::prove::consistency(chain, 1, size).unwrap();
    proof.common = crate::head::Common {
        size: 1,
        root: crate::tree::prove::root(&ours, 1).unwrap(),
        to_have: consistency(&ours, own.size()),
        to_head: consistency(&theirs, 8),
    };
    refused(&reader, &proof, Refusal::NotExtending);
    assert!(matches!(reader.hear(theirs.tip().head()), Heard::Newer(Some(_))));
    assert_eq!(reader.hear(chain(6, 50).tip().head()), Heard::Conflict);
}

#[test]
fn each_part_of_a_proof_matters() {
    let mut whole = begin(&[1, 2]);
    push(&mut whole, 1, update(1));
    let reader = reader_of(&whole);
    push(&mut whole, 1, writers(1, &[3], 0));
    (0..5).for_each(|root| drop(push(&mut whole, 2, update(root))));
    let proof = prove(&whole, reader.have().as_ref()).unwrap();
    let changed = |change: fn(&mut HeadProof)| {
        let mut proof = proof.clone();
        change(&mut proof);
        proof
    };
    refused(&reader, &changed(|proof| proof.peaks.truncate(1)), Refusal::Peaks);
    refused(&reader, &changed(|proof| proof.peaks.swap(0, 1)), Refusal::Peaks);
    refused(&reader, &changed(|proof| proof.common.to_head.truncate(1)), Refusal::NotExtending);
    refused(&reader, &changed(|proof| proof.common.size -= 1), Refusal::NotExtending);
    refused(&reader, &changed(|proof| proof.control[0].path.truncate(1)), Refusal::Control);
    let unknown = Refusal::Authority(AuthorityError::Control);
    refused(&reader, &changed(|proof| proof.control.clear()), unknown);
    let mut reader = reader;
    reader.accept(&proof, NOW).unwrap();
    assert_eq!(reader.pin().unwrap().authority(), whole.tip().authority());
}

#[test]
fn a_name_does_not_answer_for_another() {
    let proof = prove(&chain(3, 0), None).unwrap();
    let mut other = Reader::new(key(9).public().into(), None);
    assert_eq!(other.accept(&proof, NOW), Err(Refusal::Foreign));
    assert_eq!(other.hear(&proof.head), Heard::Foreign);
}

#[test]
fn a_fork_freezes_what_is_before_it_and_only_a_recovery_goes_on() {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let mut reader = reader_of(&ours);
    assert_eq!(reader.witness(pair(&ours, &theirs, 5)), Ok(true));
    assert_eq!(reader.witness(pair(&ours, &theirs, 5)), Ok(false));
    assert_eq!((reader.status(NOW), reader.serves()), (Status::Forked, Some(4)));
    // A comparison further down finds the first difference.
    assert_eq!(reader.witness(pair(&ours, &theirs, 1)), Ok(true));
    assert_eq!((reader.status(NOW), reader.serves()), (Status::Forked, Some(0)));
    let mut longer = ours.clone();
    grow(&mut longer, 8, 0);
    refused(&reader, &prove(&longer, reader.have().as_ref()).unwrap(), Refusal::Frozen);
    // The recovery takes the other branch: what the reader pinned is cut off at the fork.
    let mut recovered = recover(&theirs, 7, RECOVERY[0], &[7]);
    push(&mut recovered, 7, update(9));
    let proof = prove_across(&recovered, reader.have().as_ref(), &ours).unwrap();
    let accepted = reader.accept(&proof, NOW).unwrap();
    assert_eq!(accepted.cut_off_from, Some(1));
    reader.confirm(recovered.tip().head(), NOW);
    assert_eq!((reader.status(NOW), reader.serves()), (Status::Ok, Some(9)));
    assert_eq!(reader.hear(ours.tip().head()), Heard::Ended);
}

#[test]
fn the_user_may_choose_and_a_later_fork_freezes_again() {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let mut reader = reader_of(&ours);
    let proof = prove(&theirs, None).unwrap();
    assert_eq!(reader.choose(&proof), Err(Refusal::Nothing));
    reader.witness(pair(&ours, &theirs, 5)).unwrap();
    reader.choose(&proof).unwrap();
    assert_ne!(reader.status(NOW), Status::Forked);
    // The same fork shows itself again, at its root and further up: nothing new.
    let mut longer = ours.clone();
    grow(&mut longer, 12, 0);
    let mut on = theirs.clone();
    grow(&mut on, 11, 50);
    assert_eq!(reader.witness(pair(&ours, &theirs, 1)), Ok(false));
    assert_eq!(reader.witness(pair(&longer, &on, 10)), Ok(false));
    reader.accept(&prove(&on, reader.have().as_ref()).unwrap(), NOW).unwrap();
    // A fork of the chosen branch is.
    let mut third = theirs.clone();
    grow(&mut third, 10, 500);
    assert_eq!(reader.witness(pair(&on, &third, 9)), Ok(true));
    assert_eq!((reader.status(NOW), reader.serves()), (Status::Forked, Some(8)));
}

#[test]
fn a_recovery_below_the_head_says_what_it_cut_off() {
    let old = chain(9, 0);
    let mut reader = reader_of(&old);
    let branch = recover(&old, 4, RECOVERY[0], &[7]);
    reader.note_recovery(branch.tip().head()).unwrap();
    assert_eq!(reader.status(NOW), Status::Superseded);
    let proof = prove_across(&branch, reader.have().as_ref(), &old).unwrap();
    let accepted = reader.accept(&proof, NOW).unwrap();
    assert_eq!(
        (accepted.position.to_string(), accepted.cut_off_from),
        ("#1.5".to_owned(), Some(5))
    );
    // And one on top of the head cuts off nothing.
    let mut reader = reader_of(&old);
    let mut branch = recover(&old, 8, RECOVERY[0], &[7]);
    push(&mut branch, 7, update(1));
    let proof = prove(&branch, reader.have().as_ref()).unwrap();
    assert_eq!(reader.accept(&proof, NOW).unwrap().cut_off_from, None);
    // A thief with a writer's key recovers nothing.
    let stolen = recover(&old, 8, RECOVERY[0], &[7]);
    let mut forged = prove(&stolen, reader_of(&old).have().as_ref()).unwrap();
    let body = forged.head.body().clone();
    let draft = old.tip().draft(body, &key(OWNER).public(), 0).unwrap();
    forged.head = draft.sign(&[&key(OWNER)]).unwrap();
    refused(&reader_of(&old), &forged, Refusal::Authority(AuthorityError::Signature));
}

#[test]
fn two_epochs_at_once() {
    let old = chain(5, 0);
    let mut reader = reader_of(&old);
    let first = recover(&old, 3, RECOVERY[0], &[7]);
    let mut second = recover(&first, 4, RECOVERY[1], &[8]);
    push(&mut second, 8, writers(0, &[9], 0));
    push(&mut second, 8, update(1));
    let proof = prove_across(&second, reader.have().as_ref(), &old).unwrap();
    assert_eq!(proof.control.len(), 3);
    assert_eq!(reader.accept(&proof, NOW).unwrap().cut_off_from, Some(4));
    assert_eq!(reader.pin().unwrap().authority(), second.tip().authority());
    let kinds: Vec<_> = reader.pin().unwrap().chain().iter().map(Entry::kind).collect();
    assert_eq!(kinds, [Genesis, Recover, Recover, Writers]);
    let fresh = reader_of(&second);
    assert_eq!(fresh.pin(), reader.pin());
}

#[test]
fn a_tombstone_is_the_end() {
    let mut ended = chain(3, 0);
    push(&mut ended, OWNER, Body::Tombstone(Tombstone { forward: None, message: None }));
    let mut reader = reader_of(&ended);
    reader.confirm(ended.tip().head(), NOW + 1);
    assert_eq!(reader.status(NOW), Status::Tombstoned);
    let mut longer = prove(&chain(6, 0), None).unwrap();
    longer.common.size = 4;
    refused(&reader, &longer, Refusal::Ended);
    // Nor does a recovery stand on top of it; one below it does, since a thief may have signed it.
    let on_top = recovery_after_the_end(&ended);
    refused(&reader, &on_top, Refusal::Ended);
    let below = recover(&ended, 2, RECOVERY[0], &[7]);
    reader.accept(&prove_across(&below, reader.have().as_ref(), &ended).unwrap(), NOW).unwrap();
}

/// A recovery that a cheat signs on top of a tombstone, with every path right.
fn recovery_after_the_end(ended: &Chain) -> HeadProof {
    let mut draft = ended.up_to(2).unwrap().tip().draft(
        recovery(&ended.up_to(2).unwrap(), RECOVERY[0], &[7]).body().clone(),
        &key(OWNER).public(),
        0,
    );
    let draft = draft.as_mut().unwrap();
    draft.header.position.index = crate::Index::new(4).unwrap();
    draft.header.history = ended.tip().peaks().root();
    draft.header.time_ms = NOW;
    let have = reader_of(ended).have().unwrap();
    HeadProof {
        head: draft.sign(&[&key(RECOVERY[0])]).unwrap(),
        peaks: ended.tip().peaks().hashes().to_vec(),
        common: crate::head::Common {
            size: have.size(),
            root: have.root,
            to_have: Vec::new(),
            to_head: Vec::new(),
        },
        control: Vec::new(),
    }
}

#[test]
fn heads_from_the_future_wait() {
    let mut chain = chain(3, 0);
    let time_ms = 10 * FUTURE_MS_MAX;
    let draft = chain.tip().draft(update(1), &key(OWNER).public(), time_ms).unwrap();
    chain.push(draft.sign(&[&key(OWNER)]).unwrap()).unwrap();
    let proof = prove(&chain, None).unwrap();
    let mut reader = Reader::new(name(), None);
    let early = time_ms - FUTURE_MS_MAX;
    assert_eq!(reader.accept(&proof, early - 1), Err(Refusal::Future { time_ms }));
    assert_eq!(reader.status(early), Status::Unknown);
    reader.accept(&proof, early).unwrap();
}

#[test]
fn heads_go_stale_unless_confirmed() {
    let chain = chain(3, 0);
    let mut reader = reader_of(&chain);
    assert_eq!(reader.status(NOW), Status::Stale);
    reader.confirm(chain.tip().head(), NOW + 60);
    reader.confirm(chain.tip().head(), NOW + 30);
    reader.confirm(&chain.entry(1).unwrap(), NOW + 90);
    assert_eq!((reader.status(NOW + 60), reader.status(NOW + 61)), (Status::Ok, Status::Stale));
}

#[test]
fn a_checkpoint_protects_a_newcomer() {
    let whole = chain(20, 0);
    let seen = reader_of(&chain(8, 0)).pin().unwrap().checkpoint();
    let newcomer = || Reader::new(name(), Some(seen));
    newcomer().accept(&prove_after(&whole, 7).unwrap(), NOW).unwrap();
    newcomer().accept(&prove(&chain(8, 0), None).unwrap(), NOW).unwrap();
    refused(&newcomer(), &prove(&chain(5, 0), None).unwrap(), Refusal::Checkpoint);
    refused(&newcomer(), &prove(&whole, None).unwrap(), Refusal::Checkpoint);
    refused(&newcomer(), &prove_after(&chain(20, 50), 7).unwrap(), Refusal::Checkpoint);
    refused(&newcomer(), &prove(&chain(8, 50), None).unwrap(), Refusal::Checkpoint);
    let recovered = recover(&whole, 5, RECOVERY[0], &[7]);
    newcomer().accept(&prove(&recovered, None).unwrap(), NOW).unwrap();
}

#[test]
fn a_newcomer_who_knows_of_a_fork_takes_no_side() {
    let (ours, theirs) = (chain(6, 0), chain(6, 50));
    let mut reader = Reader::new(name(), None);
    reader.witness(pair(&ours, &theirs, 5)).unwrap();
    assert_eq!(reader.status(NOW), Status::Forked);
    refused(&reader, &prove(&ours, None).unwrap(), Refusal::Frozen);
    let recovered = recover(&ours, 3, RECOVERY[0], &[7]);
    reader.accept(&prove(&recovered, None).unwrap(), NOW).unwrap();
    assert_eq!(reader.status(NOW), Status::Stale);
}
