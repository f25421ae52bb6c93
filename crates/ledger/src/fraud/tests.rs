//! Tests of fraud proofs: each kind made by a cheat and believed, and none made against the honest.
//!
//! Each proof goes through its bytes, is tried on another name, and with flipped bits. The honest
//! counterpart of each must be refused, for the reason that it breaks no rule.

use super::*;
use crate::chain::{Archive, Chain};
use crate::entry::{Draft, Header, Tombstone};
use crate::hash::EntryId;
use crate::sample::*;
use crate::tree::prove;
use crate::{Reader, jump};

/// The proof holds, survives its bytes, and holds for no other name and with no flipped bit.
#[track_caller]
fn holds(fraud: &Fraud) -> usize {
    assert_eq!(fraud.verify(name()), Ok(()), "{fraud:?}");
    let bytes = fraud.encode();
    assert_eq!(&Fraud::decode(&bytes).unwrap(), fraud);
    assert!(fraud.verify(key(2).public().into()).is_err());
    for bit in (0..bytes.len() * 8).step_by(67) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let believed = Fraud::decode(&changed).is_ok_and(|fraud| fraud.verify(name()).is_ok());
        assert!(!believed, "bit {bit} of {fraud:?}");
    }
    bytes.len()
}

fn leaf(chain: &Chain, index: u64, size: u64) -> Leaf {
    let block = chain.entry(index).unwrap().block().clone();
    Leaf { index, block, path: prove::inclusion(chain, index, size).unwrap() }
}

/// What a cheat with that key signs at the end of that chain.
fn cheat(chain: &Chain, writer: u8, change: impl FnOnce(&mut Draft)) -> Evidence {
    let active = chain.tip().authority().active();
    let mut draft = chain.tip().draft(update(77), &active, 0).unwrap();
    change(&mut draft);
    let entry = draft.sign(&[&key(writer)]).unwrap();
    let chain: Vec<_> =
        chain.entries().iter().filter(|entry| entry.kind().is_control()).cloned().collect();
    Evidence::of(entry, &chain)
}

#[test]
fn two_entries_for_one_place() {
    let (a, b) = (chain(9, 0), chain(9, 50));
    let at = |chain: &Chain| Evidence::from_archive(chain, 8).unwrap();
    let fraud = Fraud::equivocation(at(&a), at(&b)).unwrap();
    assert_eq!(Fraud::equivocation(at(&b), at(&a)).unwrap(), fraud, "whichever comes first");
    // The report counts 752 for two entries of 367; these have a root of 8 bytes instead of 36.
    let size = holds(&fraud);
    assert!(size <= 752, "{size}");
    assert_eq!(fraud.guilty(name()), [key(OWNER).public()]);
    assert!(!fraud.is_exact());
    let first = |chain: &Chain| Evidence::from_archive(chain, 1).unwrap();
    assert!(Fraud::equivocation(first(&a), first(&b)).unwrap().is_exact());
    assert_eq!(Fraud::equivocation(at(&a), at(&a)), None);
    assert_eq!(Fraud::equivocation(at(&a), first(&b)), None);
}

#[test]
fn a_fork_of_devices_names_them_and_needs_their_control_entries() {
    let base = begin(&[2, 3]);
    let (mut a, mut b) = (base.clone(), base);
    push(&mut a, 2, update(1));
    push(&mut b, 3, writers(1, &[], 0)); // takes the baton at the same place
    let at = |chain: &Chain| Evidence::from_archive(chain, 1).unwrap();
    let fraud = Fraud::equivocation(at(&a), at(&b)).unwrap();
    holds(&fraud);
    let mut both = [2, 3].map(|seed| key(seed).public());
    both.sort();
    assert_eq!(fraud.guilty(name()), both);
    let mut bare = at(&a);
    bare.chain.clear();
    let fraud = Fraud::equivocation(bare, at(&b)).unwrap();
    assert_eq!(fraud.verify(name()), Err(FraudError::Evidence(AuthorityError::Signature)));
}

#[test]
fn two_recoveries_of_one_epoch() {
    let chain = chain(8, 0);
    let (a, b) = (recover(&chain, 3, RECOVERY[0], &[7]), recover(&chain, 5, RECOVERY[1], &[8]));
    let at = |chain: &Chain| Evidence::from_archive(chain, chain.len() - 1).unwrap();
    let fraud = Fraud::equivocation(at(&a), at(&b)).unwrap();
    holds(&fraud);
    assert_eq!(fraud.position().to_string(), "#1.4");
}

#[test]
fn the_word_of_the_names_own_key_counts_in_epoch_0_only() {
    let chain = recover(&chain(4, 0), 2, RECOVERY[0], &[7]);
    let forged = |root| {
        let mut draft = chain.tip().draft(update(root), &key(7).public(), 0).unwrap();
        draft.header.signer = 0;
        Evidence { entry: draft.sign(&[&key(OWNER)]).unwrap(), chain: Vec::new() }
    };
    let fraud = Fraud::equivocation(forged(1), forged(2)).unwrap();
    assert_eq!(fraud.verify(name()), Err(FraudError::Evidence(AuthorityError::NoGenesis)));
}

#[test]
fn a_made_up_genesis_accuses_no_later_epoch() {
    // Whoever stole the name's key makes a genesis with recovery keys of their own, and "recovers".
    let honest = recover(&chain(4, 0), 2, RECOVERY[0], &[7]);
    let mut draft = genesis_draft(OWNER, &[OWNER], 9);
    if let Body::Genesis(genesis) = &mut draft.body {
        genesis.keys.recovery = vec![key(66).public().commitment()];
    }
    let theirs = Chain::begin(draft.sign(&[&key(OWNER)]).unwrap()).unwrap();
    let theirs = recover(&theirs, 0, 66, &[66]);
    let at = |chain: &Chain| Evidence::from_archive(chain, chain.len() - 1).unwrap();
    let fraud = Fraud::equivocation(at(&honest), at(&theirs)).unwrap();
    assert_eq!(fraud.verify(name()), Ok(()), "without a pin nobody can tell them apart");
    let mut reader = Reader::new(name(), None);
    reader.accept(&crate::head::prove(&honest, None).unwrap(), u64::MAX).unwrap();
    assert_eq!(reader.witness(fraud), Err(FraudError::Beginning));
    // Nor does it help to accuse the honest head of standing on an unauthorised recovery.
    let mut honest = honest;
    push(&mut honest, 7, update(1));
    push(&mut honest, 7, update(2));
    let entry = Evidence::from_archive(&honest, 5).unwrap();
    let by =
        Usurpation::OnTop { leaf: leaf(&honest, 3, 5), chain: vec![theirs.entries()[0].clone()] };
    let fraud = Fraud::Unauthorised { entry, by };
    assert_eq!(fraud.verify(name()), Err(FraudError::Unconnected));
}

#[test]
fn a_root_that_does_not_follow() {
    let chain = chain(12, 0);
    let entry = cheat(&chain, OWNER, |draft| draft.header.history = Hash::from_bytes([9; 32]));
    let proof = |entry: Evidence| Fraud::BadHistory {
        entry,
        previous: chain.entry(11).unwrap().block().clone(),
        peaks: prove::peaks(&chain, 11).unwrap().hashes().to_vec(),
    };
    holds(&proof(entry));
    let honest = cheat(&chain, OWNER, |_| ());
    assert_eq!(proof(honest).verify(name()), Err(FraudError::Harmless));
}

/// The entry at the end of a history in which the leaf at `index` is something else.
fn over_leaf(chain: &Chain, index: u64, block: &[u8]) -> (Evidence, Leaf) {
    let mut levels = prove::Levels::default();
    for entry in chain.entries() {
        let leaf =
            if entry.index() == index { crate::tree::leaf_hash(block) } else { entry.leaf() };
        levels.push(leaf);
    }
    let root = prove::root(&levels, chain.len()).unwrap();
    let entry = cheat(chain, OWNER, |draft| draft.header.history = root);
    let path = prove::inclusion(&levels, index, chain.len()).unwrap();
    (entry, Leaf { index, block: Bytes::copy_from_slice(block), path })
}

#[test]
fn a_leaf_that_is_no_entry() {
    let chain = chain(6, 0);
    let (entry, leaf) = over_leaf(&chain, 3, b"nothing");
    holds(&Fraud::BadLeaf { entry, leaf });
    let (entry, leaf) = over_leaf(&chain, 3, chain.entry(2).unwrap().block());
    holds(&Fraud::BadLeaf { entry, leaf });
    let (entry, leaf) = over_leaf(&chain, 3, chain.entry(3).unwrap().block());
    assert_eq!(Fraud::BadLeaf { entry, leaf }.verify(name()), Err(FraudError::Harmless));
}

type Change = fn(&mut Header, EntryId);

#[test]
fn links_to_the_wrong_entries() {
    let chain = chain(6, 0);
    let target = jump::target(6).unwrap();
    let wrong = chain.entry(1).unwrap();
    let set: [(LinkName, u64, Change); 2] = [
        (LinkName::Previous, 5, |header, id| header.links.as_mut().unwrap().previous = id),
        (LinkName::Jump, target, |header, id| header.links.as_mut().unwrap().jump = id),
    ];
    for (link, index, set) in set {
        let proof = |entry: &Evidence, fault| Fraud::BadLink { entry: entry.clone(), link, fault };
        let entry = cheat(&chain, OWNER, |draft| set(&mut draft.header, wrong.id()));
        holds(&proof(&entry, LinkFault::Names(wrong.block().clone())));
        holds(&proof(&entry, LinkFault::Misses(leaf(&chain, index, 6))));
        let honest = cheat(&chain, OWNER, |_| ());
        let right = chain.entry(index).unwrap().block().clone();
        let names = proof(&honest, LinkFault::Names(right)).verify(name());
        let misses = proof(&honest, LinkFault::Misses(leaf(&chain, index, 6))).verify(name());
        assert_eq!((names, misses), (Err(FraudError::Harmless), Err(FraudError::Harmless)));
    }
}

#[test]
fn a_control_link_that_hides_a_removal() {
    let mut chain = begin(&[2, 3]);
    push(&mut chain, 2, update(1));
    push(&mut chain, 2, writers(0, &[], 0b10)); // removes 3
    push(&mut chain, 2, update(2));
    let genesis = chain.entry(0).unwrap();
    let mut entry = cheat(&chain, 3, |draft| {
        draft.body = writers(1, &[], 0);
        draft.header.signer = 1;
        draft.header.links.as_mut().unwrap().control = genesis.id();
    });
    entry.chain = vec![genesis.clone()];
    let newer = leaf(&chain, 2, 4);
    let fault = LinkFault::Outdated { named: genesis.block().clone(), newer: newer.clone() };
    holds(&Fraud::BadLink { entry: entry.clone(), link: LinkName::Control, fault });
    let by = Usurpation::AfterRemoval(vec![newer]);
    let fraud = Fraud::Unauthorised { entry, by };
    holds(&fraud);
    assert_eq!(fraud.guilty(name()), [key(3).public()]);
}

#[test]
fn a_control_link_to_what_changes_no_keys() {
    let chain = chain(5, 0);
    let entry = cheat(&chain, OWNER, |draft| {
        draft.header.links.as_mut().unwrap().control = chain.entry(2).unwrap().id();
    });
    let fault = LinkFault::Names(chain.entry(2).unwrap().block().clone());
    holds(&Fraud::BadLink { entry, link: LinkName::Control, fault });
}

#[test]
fn a_time_that_goes_back() {
    let chain = chain(7, 0);
    let entry = cheat(&chain, OWNER, |draft| draft.header.time_ms = 2_500);
    holds(&Fraud::TimeRegress { entry: entry.clone(), earlier: leaf(&chain, 5, 7) });
    let fraud = Fraud::TimeRegress { entry, earlier: leaf(&chain, 1, 7) };
    assert_eq!(fraud.verify(name()), Err(FraudError::Harmless));
}

#[test]
fn an_entry_after_the_end() {
    let mut chain = chain(3, 0);
    let draft = chain.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    push(&mut chain, OWNER, Body::Tombstone(Tombstone { forward: None, message: None }));
    let mut draft = draft;
    draft.header.position.index = crate::Index::new(4).unwrap();
    draft.header.history = chain.tip().peaks().root();
    let entry = Evidence::of(draft.sign(&[&key(OWNER)]).unwrap(), &[]);
    let by = |index| Usurpation::AfterEnd(leaf(&chain, index, 4));
    holds(&Fraud::Unauthorised { entry: entry.clone(), by: by(3) });
    let fraud = Fraud::Unauthorised { entry, by: by(2) };
    assert_eq!(fraud.verify(name()), Err(FraudError::Harmless));
}

#[test]
fn an_entry_on_top_of_one_that_nobody_might_sign() {
    let chain = chain(4, 0);
    let draft = chain.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    let usurper = draft.sign(&[&key(50)]).unwrap();
    let mut levels = prove::Levels::default();
    chain.entries().iter().chain([&usurper]).for_each(|entry| levels.push(entry.leaf()));
    let entry = cheat(&chain, OWNER, |draft| {
        draft.header.position.index = crate::Index::new(5).unwrap();
        draft.header.history = prove::root(&levels, 5).unwrap();
    });
    let path = prove::inclusion(&levels, 4, 5).unwrap();
    let below = |block: &Bytes, path| {
        let leaf = Leaf { index: 4, block: block.clone(), path };
        let by = Usurpation::OnTop { leaf, chain: vec![chain.entry(0).unwrap()] };
        Fraud::Unauthorised { entry: entry.clone(), by }
    };
    holds(&below(usurper.block(), path.clone()));
    let honest = next(&chain, OWNER, update(1));
    let fraud = below(honest.block(), path);
    assert_eq!(fraud.verify(name()), Err(FraudError::Unconnected));
}

type Cheat<'a> = Box<dyn Fn(&mut Draft) + 'a>;

#[test]
fn what_a_full_replay_refuses_is_proven() {
    let mut chain = begin(&[OWNER, 2]);
    grow(&mut chain, 4, 0);
    push(&mut chain, OWNER, writers(0, &[], 0b10));
    grow(&mut chain, 9, 0);
    let other = EntryId::of(b"another");
    let old = chain.entry(0).unwrap().id();
    let cheats: [(&str, Cheat<'_>); 5] = [
        ("BadLink", Box::new(|draft| draft.header.links.as_mut().unwrap().previous = other)),
        ("BadLink", Box::new(|draft| draft.header.links.as_mut().unwrap().jump = other)),
        ("BadLink", Box::new(|draft| draft.header.links.as_mut().unwrap().control = old)),
        ("BadHistory", Box::new(|draft| draft.header.history = Hash::from_bytes([1; 32]))),
        ("TimeRegress", Box::new(|draft| draft.header.time_ms = 0)),
    ];
    for (kind, change) in &cheats {
        let entry = cheat(&chain, OWNER, |draft| change(draft)).entry;
        let fraud = accuse(&chain, &entry).unwrap();
        assert!(format!("{fraud:?}").starts_with(kind), "{fraud:?}");
        holds(&fraud);
    }
    assert_eq!(accuse(&chain, &next(&chain, OWNER, update(1))), None, "an honest entry");
    let garbage = cheat(&chain, 50, |draft| draft.header.time_ms = 0).entry;
    assert_eq!(accuse(&chain, &garbage), None, "an entry that nobody can be held to");
}

#[test]
fn a_conflict_is_shown_in_the_epoch_that_counts() {
    // Both branches fork in epoch 0, and then each "recovers": what counts is the recovery keys' deed.
    let (a, b) = (chain(6, 0), chain(6, 50));
    let (a, b) = (recover(&a, 5, RECOVERY[0], &[7]), recover(&b, 4, RECOVERY[1], &[8]));
    let fraud = conflict(&a, &b).unwrap();
    assert_eq!(conflict(&b, &a).unwrap(), fraud);
    assert_eq!(fraud.position().to_string(), "#1.5");
    holds(&fraud);
    assert_eq!(conflict(&a, &chain(6, 50)), None, "superseded");
    assert_eq!(conflict(&chain(3, 0), &chain(9, 0)), None, "one continues the other");
    assert_eq!(conflict(&chain(5, 0), &chain(9, 50)).unwrap().position().to_string(), "#0.1");
}
