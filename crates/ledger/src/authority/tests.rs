//! Tests of who may sign: handing over, taking over, removal, recovery, and what thieves try.
//!
//! Entries come from whole chains, so each refusal is that of an entry which is right in all else.
//! Not here: what a light reader makes of the same entries.

use super::*;
use crate::chain::{Archive, Chain};
use crate::sample::*;
use crate::tip::Invalid;

#[track_caller]
fn refused(chain: &Chain, entry: Entry, why: AuthorityError) {
    assert_eq!(chain.clone().push(entry), Err(Invalid::Authority(why)));
}

/// An entry as `writer` signs it who has no right to, at the signer's position given.
fn forged(chain: &Chain, writer: u8, position: u8, body: Body) -> Entry {
    let active = chain.tip().authority().active();
    let mut draft = chain.tip().draft(body, &active, 9_000_000).unwrap();
    draft.header.signer = position;
    draft.sign(&[&key(writer)]).unwrap()
}

#[test]
fn the_baton_is_handed_over_and_taken() {
    let mut chain = begin(&[1, 2]);
    refused(&chain, forged(&chain, 2, 1, update(1)), AuthorityError::NotActive);
    push(&mut chain, 1, update(1));
    push(&mut chain, 1, writers(1, &[], 0));
    push(&mut chain, 2, update(2));
    refused(&chain, forged(&chain, 1, 0, update(3)), AuthorityError::NotActive);
    push(&mut chain, 1, writers(0, &[], 0)); // taken back without the other's help
    push(&mut chain, 1, update(3));
    assert_eq!(chain.tip().authority().active(), key(1).public());
}

#[test]
fn a_removed_key_signs_nothing_more() {
    let mut chain = begin(&[1, 2]);
    push(&mut chain, 1, writers(0, &[3], 0b10));
    let keys: Vec<_> = [1, 3].map(|seed| key(seed).public()).to_vec();
    assert_eq!(chain.tip().authority().writers(), keys);
    refused(&chain, forged(&chain, 2, 1, writers(0, &[2], 0)), AuthorityError::Signature);
    refused(&chain, forged(&chain, 2, 2, writers(0, &[], 0)), AuthorityError::Signer);
    push(&mut chain, 1, writers(0, &[2], 0)); // and may be added again
    push(&mut chain, 2, writers(2, &[], 0));
    push(&mut chain, 2, update(1));
}

#[test]
fn changes_that_cannot_be_made() {
    let chain = begin(&[1, 2]);
    for change in [
        writers(0, &[], 0b11),
        writers(2, &[], 0),
        writers(1, &[], 0b10),
        writers(0, &[1], 0),
        writers(0, &[], 0b100),
    ] {
        refused(&chain, next(&chain, 1, change), AuthorityError::Set);
    }
    let many: Vec<u8> = (10..40).collect();
    let mut chain = chain;
    push(&mut chain, 1, writers(0, &many[..15], 0));
    push(&mut chain, 1, writers(0, &many[15..], 0));
    assert_eq!(chain.tip().authority().writers().len(), WRITERS_MAX);
    refused(&chain, next(&chain, 1, writers(0, &[50], 0)), AuthorityError::Set);
    push(&mut chain, 1, writers(0, &[50], 0b10));
}

#[test]
fn a_recovery_replaces_every_key_and_supersedes() {
    let chain = chain(6, 0);
    let mut branch = recover(&chain, 3, RECOVERY[0], &[7]);
    assert_eq!(branch.len(), 5);
    assert_eq!(branch.tip().head().position().to_string(), "#1.4");
    push(&mut branch, 7, update(9));
    refused(&branch, forged(&branch, 1, 0, update(9)), AuthorityError::Signature);
    assert!(branch.tip().head().position() > chain.tip().head().position());
    let again = recover(&branch, 5, RECOVERY[1], &[8]);
    assert_eq!(again.tip().head().position().to_string(), "#2.6");
}

#[test]
fn a_recovery_needs_the_keys_that_were_committed_to() {
    let chain = chain(3, 0);
    refused(&chain, recovery(&chain, 1, &[1]), AuthorityError::Recovery);
    refused(&chain, recovery(&chain, 99, &[99]), AuthorityError::Recovery);
    // Two epochs at once, or none.
    for epoch in [2, 7] {
        let body = recovery(&chain, RECOVERY[0], &[7]).body().clone();
        let mut draft = chain.tip().draft(body, &key(1).public(), 0).unwrap();
        draft.header.position.epoch = Epoch::new(epoch).unwrap();
        let entry = draft.sign(&[&key(RECOVERY[0])]).unwrap();
        refused(&chain, entry, AuthorityError::Epoch { expected: Epoch::new(0).unwrap() });
    }
    // Signed by another key than the one it reveals.
    let body = recovery(&chain, RECOVERY[0], &[7]).body().clone();
    let draft = chain.tip().draft(body, &key(1).public(), 0).unwrap();
    refused(&chain, draft.sign(&[&key(1)]).unwrap(), AuthorityError::Signature);
}

#[test]
fn a_threshold_takes_that_many_keys() {
    let mut keys = keys_of(&[1]);
    keys.threshold = 2;
    let mut draft = genesis_draft(OWNER, &[1], 0);
    draft.body = Body::Genesis(crate::entry::Genesis {
        nickname: None,
        nonce: [0; 16],
        policy: None,
        keys: keys.clone(),
    });
    let mut chain = Chain::begin(draft.sign(&[&key(OWNER)]).unwrap()).unwrap();
    push(&mut chain, 1, update(1));
    refused(&chain, recovery(&chain, RECOVERY[0], &[7]), AuthorityError::Recovery);
    let mut pair = RECOVERY.map(key);
    pair.sort_by_key(crate::SecretKey::public);
    let revealed = pair.iter().map(crate::SecretKey::public).collect();
    let body = Body::Recover(Recover { revealed, policy: None, keys });
    let draft = chain.tip().draft(body, &key(1).public(), 0).unwrap();
    let swapped = draft.sign(&[&pair[1], &pair[0]]).unwrap();
    refused(&chain, swapped, AuthorityError::Signature);
    chain.push(draft.sign(&[&pair[0], &pair[1]]).unwrap()).unwrap();
}

#[test]
fn nothing_moves_between_ledgers() {
    let chain = chain(3, 0);
    let mut draft = chain.tip().draft(update(1), &key(1).public(), 0).unwrap();
    draft.header.ledger = key(2).public().into();
    refused(&chain, draft.sign(&[&key(1)]).unwrap(), AuthorityError::Ledger);
    let stranger = genesis_draft(2, &[2], 0).sign(&[&key(1)]).unwrap();
    assert_eq!(Authority::begin(&stranger), Err(AuthorityError::Signature));
    let second = genesis_draft(1, &[1], 5).sign(&[&key(1)]).unwrap();
    assert_eq!(chain.tip().authority().admit(&second), Err(AuthorityError::SecondGenesis));
}

#[test]
fn a_chain_of_control_entries_gives_the_same_state() {
    let mut chain = begin(&[1, 2]);
    push(&mut chain, 1, update(1));
    push(&mut chain, 1, writers(0, &[3], 1));
    push(&mut chain, 2, update(2));
    let mut branch = recover(&chain, 3, RECOVERY[0], &[4]);
    push(&mut branch, 4, writers(1, &[5], 0));
    push(&mut branch, 5, update(3));
    let control = |kinds: &[usize]| -> Vec<Entry> {
        kinds.iter().map(|index| branch.entries()[*index].clone()).collect()
    };
    let expected = branch.tip().authority();
    assert_eq!(&Authority::replay(name(), &control(&[0, 2, 4, 5])).unwrap(), expected);
    assert_eq!(&Authority::replay(name(), &control(&[0, 4, 5])).unwrap(), expected);
    let replay = |kinds: &[usize]| Authority::replay(name(), &control(kinds)).map(drop);
    assert_eq!(replay(&[]), Err(AuthorityError::NoGenesis));
    assert_eq!(replay(&[4, 5]), Err(AuthorityError::NoGenesis));
    assert_eq!(replay(&[0, 1]), Err(AuthorityError::NoControl));
    assert!(matches!(replay(&[0, 5]), Err(AuthorityError::Epoch { .. })));
    let other = key(2).public().into();
    assert_eq!(Authority::replay(other, &control(&[0])), Err(AuthorityError::Ledger));
}

#[test]
fn a_recovery_replaces_the_witness_policy_too() {
    // Whoever replays the entries of an ended epoch, and whoever leaves them out, must agree.
    let mut chain = begin(&[1]);
    let policy = Some(Hash::from_bytes([5; 32]));
    let change = crate::entry::Writers { active: 0, added: Vec::new(), policy, removed: 0 };
    push(&mut chain, 1, Body::Writers(change));
    assert_eq!(chain.tip().authority().policy(), policy);
    let branch = recover(&chain, 1, RECOVERY[0], &[4]);
    assert_eq!(branch.tip().authority().policy(), None);
    let short = [0, 2].map(|index| branch.entries()[index].clone());
    assert_eq!(&Authority::replay(name(), &short).unwrap(), branch.tip().authority());
}
