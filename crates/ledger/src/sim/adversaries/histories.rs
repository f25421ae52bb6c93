//! Those who show different histories, or less than there is.
//!
//! All of them sign or serve what is valid by itself; what they do shows only by comparison.

use super::{Dice, LATE, SEEDS, more, node, reader_of, shuffled};
use crate::chain::{Archive, Chain};
use crate::entry::{Anchor, AnchorKind, AnchorProof, Body};
use crate::fraud::conflict;
use crate::head::{Placed, prove};
use crate::reader::{Heard, Reader, Refusal, Status};
use crate::sample::*;
use crate::sim::Node;
use crate::{AuthorityError, FraudError, Hash, SecretKey};

/// All its beginnings, the shortest first.
fn beginnings(chain: &Chain, from: u64) -> Vec<Chain> {
    (from..=chain.len()).map(|len| chain.up_to(len - 1).unwrap()).collect()
}

#[test]
fn a_split_audience_holds_one_and_the_same_proof_once_it_talks() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let base = chain(2 + dice.roll(6) as u64, 0);
        let branches = [more(&base, 1 + dice.roll(5) as u64, 0), more(&base, 2, 500)];
        let mut nodes: Vec<Node> = (0..4).map(|_| node()).collect();
        for (at, node) in nodes.iter_mut().enumerate() {
            // Each half hears one side, out of order and twice.
            let heads = beginnings(&branches[at % 2], 1);
            for head in shuffled([heads.clone(), heads].concat(), &mut dice) {
                node.meet(&head, &[], LATE);
            }
            assert_eq!(node.reader.frauds(), &[], "one history is no fork");
            assert_eq!(node.position(), Some(branches[at % 2].tip().head().position()));
        }
        let pairs = (0..4).flat_map(|a| (0..4).map(move |b| (a, b))).collect();
        for (a, b) in shuffled(pairs, &mut dice) {
            let (branch, frauds) = (nodes[b].branch.clone(), nodes[b].reader.frauds().to_vec());
            let before = nodes[a].clone();
            nodes[a].meet(&branch.unwrap(), &frauds, LATE);
            nodes[a].judge(&before).unwrap();
        }
        let fraud = conflict(&branches[0], &branches[1]).unwrap();
        assert_eq!(fraud.position().index.as_u64(), base.len());
        assert_eq!(fraud.guilty(name()), [key(OWNER).public()]);
        for node in &nodes {
            assert_eq!(node.reader.frauds(), std::slice::from_ref(&fraud), "seed {seed}");
            assert_eq!(node.reader.status(LATE), Status::Forked);
            assert_eq!(node.reader.serves(), Some(base.len() - 1));
        }
        // Somebody who knows nothing but the name.
        assert_eq!(Reader::new(name(), None).witness(fraud), Ok(true));
    }
}

#[test]
fn what_is_withheld_or_old_moves_nobody_back() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let whole = chain(6 + dice.roll(12) as u64, 0);
        let known = 1 + dice.roll(whole.len() as usize - 1) as u64;
        let mut node = node();
        node.meet(&whole.up_to(known - 1).unwrap(), &[], LATE);
        let pinned = node.reader.have();
        // Sources that say nothing newer, in any order and as often as they like.
        for _ in 0..20 {
            let old = 1 + dice.roll(known as usize) as u64;
            let old = whole.up_to(old - 1).unwrap();
            node.meet(&old, &[], LATE);
            assert_eq!(node.reader.have(), pinned);
            let proof = prove(&old, None).unwrap();
            assert_eq!(node.reader.accept(&proof, LATE), Err(Refusal::Older));
        }
        assert_eq!(
            node.reader.status(LATE),
            Status::Stale,
            "what is not confirmed is said to be old"
        );
        node.meet(&whole, &[], LATE);
        assert_eq!(node.position(), Some(whole.tip().head().position()));
        assert_eq!(node.reader.frauds(), &[]);
    }
}

#[test]
fn an_eclipsed_reader_catches_up_or_proves_what_it_was_shown() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let base = chain(3, 0);
        let honest = more(&base, 2 + dice.roll(8) as u64, 0);
        let lies = dice.once_in(2);
        let shown = if lies { more(&base, 1 + dice.roll(12) as u64, 500) } else { base };
        let mut eclipsed = node();
        for head in shuffled(beginnings(&shown, 1), &mut dice) {
            eclipsed.meet(&head, &[], LATE);
        }
        let before = eclipsed.clone();
        eclipsed.meet(&honest, &[], LATE);
        eclipsed.judge(&before).unwrap();
        let status = eclipsed.reader.status(LATE);
        if lies {
            assert_eq!(
                (status, eclipsed.reader.serves()),
                (Status::Forked, Some(2)),
                "seed {seed}"
            );
        } else {
            assert_eq!(eclipsed.position(), Some(honest.tip().head().position()));
            assert_ne!(status, Status::Forked);
        }
    }
}

#[test]
fn a_hidden_branch_that_comes_late_erases_nothing() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let base = chain(1 + dice.roll(5) as u64, 0);
        let hidden = more(&base, 10 + dice.roll(10) as u64, 500);
        let public = more(&base, 1 + dice.roll(8) as u64, 0);
        let mut node = node();
        node.meet(&public, &[], LATE);
        let pinned = node.reader.have().unwrap();
        for head in shuffled(beginnings(&hidden, base.len() + 1), &mut dice) {
            node.meet(&head, &[], LATE);
        }
        assert_eq!(node.reader.have(), Some(pinned), "longer is not better");
        assert_eq!(node.reader.status(LATE), Status::Forked);
        let served = node.reader.serves().unwrap();
        assert_eq!(served, base.len() - 1);
        let placed = Placed::prove(&public, served, pinned.size()).unwrap();
        assert!(placed.stands_in(pinned.size(), &pinned.root), "what is served stays provable");
    }
}

#[test]
fn nothing_counts_in_another_ledger_epoch_or_place() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let ours = chain(4 + dice.roll(6) as u64, 0);
        // A twin: the same writer and the same roots under another name.
        let mut twin =
            Chain::begin(genesis_draft(2, &[OWNER], seed as u8).sign(&[&key(2)]).unwrap()).unwrap();
        grow(&mut twin, ours.len() + 1, 0);
        let mut reader = reader_of(&ours);
        assert_eq!(reader.hear(twin.tip().head()), Heard::Foreign);
        assert_eq!(reader.accept(&prove(&twin, None).unwrap(), LATE), Err(Refusal::Foreign));
        let mut mixed = prove(&more(&ours, 2, 0), reader.have().as_ref()).unwrap();
        mixed.head = twin.tip().head().clone();
        assert_eq!(reader.accept(&mixed, LATE), Err(Refusal::Foreign));
        let foreign = conflict(&twin, &{
            let mut other = twin.up_to(1).unwrap();
            grow(&mut other, 4, 900);
            other
        });
        assert_eq!(reader.witness(foreign.unwrap()), Err(FraudError::Unconnected));
        // An entry of the epoch before, on top of a recovery.
        let last = recover(&ours, ours.len() - 2, RECOVERY[0], &[7]);
        let mut recovered = reader_of(&last);
        let old = more(&ours, 1 + dice.roll(4) as u64, 0);
        assert_eq!(recovered.hear(old.tip().head()), Heard::Ended);
        assert_eq!(recovered.accept(&prove(&old, None).unwrap(), LATE), Err(Refusal::Older));
        let mut replayed = last.clone();
        let why = replayed.push(ours.entry(last.len()).unwrap_or(old.tip().head().clone()));
        assert!(why.is_err(), "{why:?}");
        // The old key signs as if its epoch were the new one.
        let mut draft = last.tip().draft(update(1), &key(7).public(), 0).unwrap();
        draft.header.signer = 0;
        let forged = draft.sign(&[&key(OWNER)]).unwrap();
        let signature = crate::tip::Invalid::Authority(AuthorityError::Signature);
        assert_eq!(replayed.push(forged), Err(signature));
    }
}

#[test]
fn a_signature_means_nothing_in_another_format() {
    // What the key signs elsewhere (a record, bare bytes) is no entry, and the other way round.
    let chain = chain(3, 0);
    let draft = chain.tip().draft(update(1), &key(OWNER).public(), 0).unwrap();
    let map = draft.encode_map();
    let entry = draft.sign(&[&key(OWNER)]).unwrap();
    let sign = |key: &SecretKey, prefix: &[u8]| key.sign(&[prefix, &map]);
    for prefix in [&b""[..], b"ipns-signature:", b"shoal-ledger-entry/2:"] {
        let mut block = entry.block().to_vec();
        let at = block.len() - crate::SIGNATURE_BYTES;
        block[at..].copy_from_slice(&sign(&key(OWNER), prefix));
        let other = crate::Entry::decode(block).unwrap();
        assert!(!other.is_signed_by(&[key(OWNER).public()]), "{prefix:?}");
        assert!(chain.clone().push(other).is_err());
    }
}

#[test]
fn what_witnesses_say_changes_nothing_yet() {
    // Witnesses and their policies are for a later issue: until then an anchor is kept, and neither
    // believed nor held against anybody. Two that contradict each other are two entries.
    let mut chain = chain(5, 0);
    let reader = &mut reader_of(&chain);
    for proof in [&b"root a at size 3"[..], b"root b at size 3"] {
        let proof = AnchorProof::Inline(proof.to_vec().into());
        push(&mut chain, OWNER, Body::Anchor(Anchor { size: 3, proof, kind: AnchorKind::Witness }));
    }
    reader.accept(&prove(&chain, reader.have().as_ref()).unwrap(), LATE).unwrap();
    assert_eq!(reader.frauds(), &[]);
    assert_eq!(reader.pin().unwrap().authority().policy(), None::<Hash>);
}
