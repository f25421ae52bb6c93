//! Those who have a key, a clock or a disk that they should not have.
//!
//! A thief with the active key can extend and fork until a recovery; a retired key, a clock and a
//! flood can do nothing; an honest machine with an old disk is kept from forking itself.

use super::{Dice, LATE, SEEDS, more, node, reader_of, shuffled};
use crate::chain::{Archive, Chain};
use crate::fraud::{Evidence, Fraud, conflict};
use crate::head::{prove, prove_across, prove_after};
use crate::reader::{FRAUDS_MAX, FUTURE_MS_MAX, Heard, Reader, Refusal, Status};
use crate::sample::*;
use crate::sim::Node;
use crate::writer::{Answer, WriteError, Writer};
use crate::{Entry, Epoch, Index, PublicKey};

const DAY_MS: u64 = 86_400_000;

#[test]
fn a_recovery_wins_whatever_the_thief_does_and_whoever_is_heard_first() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let base = chain(3 + dice.roll(4) as u64, 0);
        let honest = more(&base, 1 + dice.roll(3) as u64, 0);
        let stolen = more(&base, 4 + dice.roll(9) as u64, 500);
        let last = base.len() - 1 - dice.roll(2) as u64;
        let mut recovered = recover(&honest, last, RECOVERY[0], &[7]);
        push(&mut recovered, 7, update(1));
        let on = more(&stolen, 3, 500);
        let heads = vec![honest, stolen, recovered.clone(), on];
        for order in 0..6 {
            let mut node = node();
            let twice = [heads.clone(), heads.clone()].concat();
            for head in shuffled(twice, &mut Dice(seed * 6 + order)) {
                let before = node.clone();
                node.meet(&head, &[], LATE);
                node.judge(&before).unwrap();
            }
            assert_eq!(node.position(), Some(recovered.tip().head().position()), "seed {seed}");
            assert_ne!(node.reader.status(LATE), Status::Forked);
            assert_eq!(node.reader.hear(heads[1].tip().head()), Heard::Ended);
        }
    }
}

#[test]
fn retired_keys_make_histories_that_no_pin_and_no_checkpoint_takes() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        // The owner's first key wrote, handed over to a second one, and was removed.
        let mut honest = begin(&[OWNER, 2]);
        push(&mut honest, OWNER, update(1));
        let early = honest.clone();
        push(&mut honest, OWNER, writers(0, &[], 0b01));
        (0..3 + dice.roll(5)).for_each(|root| drop(push(&mut honest, 2, update(root as u64))));
        let range = more(&early, honest.len() + 3, 500);
        let mut reader = reader_of(&honest);
        // On top of the head it signs nothing.
        let active = honest.tip().authority().active();
        let draft = honest.tip().draft(update(9), &active, 0).unwrap();
        let mut proof = prove(&with_one_more(&honest), reader.have().as_ref()).unwrap();
        proof.head = draft.sign(&[&key(OWNER)]).unwrap();
        assert!(matches!(reader.accept(&proof, LATE), Err(Refusal::Authority(_))));
        // From before its removal it makes another history: a fork to whoever has a pin,
        let mut node = node();
        node.meet(&honest, &[], LATE);
        node.meet(&range, &[], LATE);
        assert_eq!(node.reader.status(LATE), Status::Forked);
        assert_eq!(node.reader.frauds()[0].guilty(name()), [key(OWNER).public()]);
        // nothing to a newcomer with a checkpoint, and all that a newcomer without one can know.
        let seen = reader_of(&honest).pin().unwrap().checkpoint();
        let mut linked = Reader::new(name(), Some(seen));
        let index = honest.len() - 1;
        let taken = linked.accept(&prove_after(&range, index).unwrap(), LATE);
        assert_eq!(taken.map(drop), Err(Refusal::Checkpoint));
        assert!(Reader::new(name(), None).accept(&prove(&range, None).unwrap(), LATE).is_ok());
        // A recovery ends the epoch of all those keys.
        let recovered = recover(&honest, honest.len() - 1, RECOVERY[0], &[7]);
        reader.accept(&prove(&recovered, reader.have().as_ref()).unwrap(), LATE).unwrap();
        assert_eq!(reader.hear(range.tip().head()), Heard::Ended);
        let later = prove_across(&range, reader.have().as_ref(), &recovered);
        assert_eq!(later, None, "nor is there a proof for whoever knows the recovery");
    }
}

fn with_one_more(chain: &Chain) -> Chain {
    let mut longer = chain.clone();
    push(&mut longer, 2, update(9));
    longer
}

/// An update that claims that time.
fn at_time(chain: &Chain, time_ms: u64) -> Chain {
    let mut longer = chain.clone();
    let draft = chain.tip().draft(update(77), &key(OWNER).public(), time_ms).unwrap();
    longer.push(draft.sign(&[&key(OWNER)]).unwrap()).unwrap();
    longer
}

#[test]
fn clocks_a_day_off_delay_and_never_reorder() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let mut nodes: Vec<Node> = (0..3).map(|_| node()).collect();
        let mut heads = vec![begin(&[OWNER])];
        let mut now = 10 * DAY_MS;
        for _ in 0..12 {
            now += DAY_MS / 4;
            let clock = now - DAY_MS + dice.roll(3) as u64 * DAY_MS;
            let next = at_time(heads.last().unwrap(), clock);
            heads.push(next);
            for node in &mut nodes {
                let before = node.clone();
                let clock = now - DAY_MS + dice.roll(3) as u64 * DAY_MS;
                let head = heads[dice.roll(heads.len())].clone();
                node.meet(&head, &[], clock);
                node.judge(&before).unwrap();
                let pinned = node.reader.pin().map(|pin| pin.head().header().time_ms);
                let accepted = node.position() > before.position();
                assert!(!accepted || pinned <= Some(clock + FUTURE_MS_MAX), "seed {seed}");
            }
        }
        let newest = heads.last().unwrap();
        for node in &mut nodes {
            node.meet(newest, &[], now + 2 * DAY_MS);
            assert_eq!(node.position(), Some(newest.tip().head().position()));
            assert_eq!(node.reader.frauds(), &[]);
        }
    }
}

#[test]
fn a_time_to_come_locks_no_name() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let honest = chain(3 + dice.roll(5) as u64, 0);
        // The thief's entry claims the year 9999: nothing earlier can follow it.
        let locked = at_time(&honest, u64::MAX);
        let mut node = node();
        node.meet(&honest, &[], DAY_MS);
        node.meet(&locked, &[], DAY_MS);
        assert_eq!(node.position(), Some(honest.tip().head().position()), "held, not taken");
        assert_ne!(node.reader.status(DAY_MS), Status::Forked);
        // The owner goes on below it: two entries for one place, until a recovery says which counts.
        node.meet(&more(&honest, 1, 0), &[], DAY_MS);
        assert_eq!(node.reader.status(DAY_MS), Status::Forked);
        let recovered = recover(&locked, honest.len() - 1, RECOVERY[0], &[7]);
        node.meet(&recovered, &[], DAY_MS);
        assert_eq!(node.position(), Some(recovered.tip().head().position()));
        assert_ne!(node.reader.status(DAY_MS), Status::Forked);
    }
}

#[test]
fn a_restored_machine_catches_up_and_a_forced_one_is_named() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let whole = chain(5 + dice.roll(8) as u64, 0);
        let copy = whole.up_to(1 + dice.roll(whole.len() as usize - 2) as u64).unwrap();
        let mut writer = Writer::open(copy.tip().clone(), 2);
        let sign = |writer: &mut Writer| writer.sign(update(900), &[&key(OWNER)], 0);
        assert_eq!(writer.heard(None, None), Answer::Nothing);
        assert_eq!(writer.heard(Some(whole.tip().head()), None), Answer::Ahead);
        assert!(matches!(sign(&mut writer), Err(WriteError::Behind { .. })));
        let mut forced = writer.clone();
        for entry in &whole.entries()[copy.len() as usize..] {
            writer.adopt(entry.clone()).unwrap();
        }
        let unstored = sign(&mut writer).unwrap();
        let entry = writer.stored(unstored).unwrap();
        assert_eq!(entry.index(), whole.len(), "seed {seed}");
        // By force it forks itself, and a follower says who did it, and where.
        forced.force();
        let unstored = sign(&mut forced).unwrap();
        let mut forked = copy.clone();
        forked.push(forced.stored(unstored).unwrap()).unwrap();
        let mut follower = node();
        follower.meet(&whole, &[], LATE);
        follower.meet(&forked, &[], LATE);
        let [fraud] = follower.reader.frauds() else { panic!("seed {seed}") };
        assert_eq!(fraud.guilty(name()), [key(OWNER).public()]);
        assert_eq!(fraud.position().index.as_u64(), copy.len());
        assert_eq!(
            follower.position(),
            Some(whole.tip().head().position()),
            "it keeps its version"
        );
    }
}

#[test]
fn two_machines_with_one_key_stop_when_they_meet() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let base = chain(2 + dice.roll(4) as u64, 0);
        let mut machines = [0, 1].map(|machine| {
            let mut writer = Writer::open(base.tip().clone(), 0);
            let mut branch = base.clone();
            for entry in 0..=dice.roll(4) as u64 {
                let body = update(1_000 * (machine + 1) + entry);
                let unstored = writer.sign(body, &[&key(OWNER)], 0).unwrap();
                branch.push(writer.stored(unstored).unwrap()).unwrap();
            }
            (writer, branch)
        });
        let heads = [0, 1].map(|machine: usize| machines[machine].1.tip().head().clone());
        for (at, (writer, branch)) in machines.iter_mut().enumerate() {
            let other = &heads[1 - at];
            let own = branch.entry(other.index());
            let heard = writer.heard(Some(other), own.as_ref());
            assert_ne!(heard, Answer::Nothing, "seed {seed}");
            let refused = writer.sign(update(1), &[&key(OWNER)], 0).unwrap_err();
            assert!(matches!(refused, WriteError::Forked { .. } | WriteError::Behind { .. }));
        }
        assert!(conflict(&machines[0].1, &machines[1].1).is_some());
    }
}

/// A head that somebody without a key makes up, somewhere above that chain.
fn made_up(chain: &Chain, dice: &mut Dice) -> Entry {
    let mut draft = chain.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    let index = chain.len() + dice.roll(1 << 20) as u64;
    draft.header.position.index = Index::new(index).unwrap();
    draft.header.position.epoch = Epoch::new(dice.roll(3) as u64).unwrap();
    draft.header.history = crate::Hash::from_bytes([dice.roll(256) as u8; 32]);
    draft.sign(&[&key(50)]).unwrap()
}

#[test]
fn a_flood_fills_nothing_and_moves_nobody() {
    let base = chain(6, 0);
    let mut reader = reader_of(&base);
    let before = reader.encode();
    let mut dice = Dice(7);
    for _ in 0..500 {
        let mut proof = prove(&more(&base, 1, 0), reader.have().as_ref()).unwrap();
        proof.head = made_up(&base, &mut dice);
        assert!(reader.accept(&proof, LATE).is_err());
        let evidence = |entry: Entry| Evidence { entry, chain: vec![base.entry(0).unwrap()] };
        let other = made_up(&base, &mut dice);
        if let Some(fraud) = Fraud::equivocation(evidence(proof.head), evidence(other)) {
            assert!(reader.witness(fraud).is_err(), "nobody signed that");
        }
    }
    assert_eq!(reader.encode(), before);
    // Of real entries the newest is enough, however many there are,
    let whole = more(&base, 300, 0);
    reader.accept(&prove(&whole, reader.have().as_ref()).unwrap(), LATE).unwrap();
    assert!(reader.encode().len() < before.len() + 400, "it does not grow with the history");
    // and of real proofs one for each of the newest epochs.
    let mut branch = whole.up_to(8).unwrap();
    let mut keeper = Reader::new(name(), None);
    for _ in 0..FRAUDS_MAX + 3 {
        for root in 0..3 {
            let (a, b) = (more(&branch, 1, root), more(&branch, 1, 100 + root));
            keeper.witness(conflict(&a, &b).unwrap()).unwrap();
        }
        let recovered = recover(&branch, branch.len() - 1, RECOVERY[0], &[OWNER]);
        branch = recovered;
    }
    assert_eq!(keeper.frauds().len(), FRAUDS_MAX);
    let guilty: Vec<PublicKey> = keeper.frauds()[0].guilty(name());
    assert_eq!(guilty, [key(OWNER).public()]);
}
