//! Validity against a naive reading of the rules, and selection as a join.
//!
//! Entries are drawn from a tiny alphabet of fields, most of them right and some of them those of
//! another place. [`naive`] recomputes everything from the whole history, slowly and without any of
//! the code that it judges but the hashes; it and a full replay must say the same of each.

use crate::chain::{Archive, Chain};
use crate::entry::{Body, Draft, Recover, Tombstone};
use crate::fraud::Evidence;
use crate::key::PublicKey;
use crate::reader::{select, select_frauds};
use crate::sample::*;
use crate::tree::{EMPTY_ROOT, node_hash};
use crate::{Entry, Epoch, Fraud, Hash, Index};
use proptest::prelude::*;

/// RFC 6962, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&root(&leaves[..split]), &root(&leaves[split..]))
        }
    }
}

/// Myers' rule, by its definition.
fn jump(index: usize) -> usize {
    let mut jumps = vec![0];
    for at in 1..=index {
        let (before, once) = (at - 1, jumps[at - 1]);
        let twice: usize = jumps[once];
        let equal = before != once && before - once == once - twice;
        jumps.push(if equal { twice } else { before });
    }
    jumps[index]
}

/// The writers, the active one, and the epoch after those entries.
fn keys(entries: &[Entry]) -> Option<(Vec<PublicKey>, usize, u64)> {
    let (mut writers, mut active, mut epoch) = (Vec::new(), 0, 0);
    for entry in entries {
        match entry.body() {
            Body::Genesis(body) => (writers, active) = (body.keys.writers.clone(), 0),
            Body::Recover(body) => {
                (writers, active) = (body.keys.writers.clone(), 0);
                epoch += 1;
            }
            Body::Writers(body) => {
                if u64::from(body.removed) >> writers.len() != 0 {
                    return None;
                }
                let kept = writers.iter().enumerate();
                let kept = kept.filter(|(at, _)| body.removed >> at & 1 == 0);
                writers = kept.map(|(_, key)| *key).collect();
                if body.added.iter().any(|key| writers.contains(key)) {
                    return None;
                }
                writers.extend(&body.added);
                active = usize::from(body.active);
                if active >= writers.len() {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some((writers, active, epoch))
}

/// Whether the entry is the next one after those.
fn naive(entries: &[Entry], entry: &Entry) -> bool {
    let header = entry.header();
    let (Some(last), Some(links)) = (entries.last(), header.links) else { return false };
    let Some((writers, active, epoch)) = keys(entries) else { return false };
    let control = entries.iter().rev().find(|entry| {
        matches!(entry.body(), Body::Genesis(_) | Body::Recover(_) | Body::Writers(_))
    });
    let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
    let all = [entries, std::slice::from_ref(entry)].concat();
    let (signed, opens) = match entry.body() {
        Body::Genesis(_) => return false,
        Body::Recover(body) => {
            let committed = RECOVERY.map(|seed| key(seed).public());
            let right = body.revealed.len() == 1 && committed.contains(&body.revealed[0]);
            (right && entry.is_signed_by(&body.revealed), 1)
        }
        body => {
            let signer = usize::from(header.signer);
            let may = matches!(body, Body::Writers(_)) || signer == active;
            let key = writers.get(signer).copied();
            (may && key.is_some_and(|key| entry.is_signed_by(&[key])), 0)
        }
    };
    signed
        && !matches!(last.body(), Body::Tombstone(_))
        && entry.ledger() == name()
        && entry.index() == entries.len() as u64
        && header.position.epoch.as_u64() == epoch + opens
        && links.previous == last.id()
        && links.jump == entries[jump(entries.len())].id()
        && Some(links.control) == control.map(Entry::id)
        && header.history == root(&leaves)
        && header.time_ms >= last.header().time_ms
        && keys(&all).is_some()
}

/// What is drawn: a body, who signs, and what is made wrong.
#[derive(Debug, Clone)]
struct Draw {
    body: usize,
    signer: usize,
    key: usize,
    wrong: usize,
    place: usize,
}

fn any_draw() -> impl Strategy<Value = Draw> {
    // Three of four entries have nothing wrong on purpose.
    (0..12_usize, 0..4_usize, 0..5_usize, 0..32_usize, 0..16_usize)
        .prop_map(|(body, signer, key, wrong, place)| Draw { body, signer, key, wrong, place })
}

fn body(draw: &Draw) -> Body {
    let recovery = [RECOVERY[0], RECOVERY[1], 66][draw.place % 3];
    match draw.body {
        0..=5 => update(draw.place as u64 % 2),
        6 => writers(1, &[], 0),
        7 => writers(0, &[3], 0),
        8 => writers(0, &[], 1 << (draw.place % 3)),
        9 => Body::Recover(Recover {
            revealed: vec![key(recovery).public()],
            policy: None,
            keys: keys_of(&[1, 2]),
        }),
        10 if draw.place == 0 => Body::Tombstone(Tombstone { forward: None, message: None }),
        _ => update(7),
    }
}

/// The entry of that draw after those: as a writer would make it, but for what is wrong.
fn make(chain: &Chain, draw: &Draw) -> Option<Entry> {
    let authority = chain.tip().authority();
    let mut draft: Draft = chain.tip().draft(body(draw), &authority.active(), 0).ok()?;
    let recovery = matches!(draft.body, Body::Recover(_));
    let writers = authority.writers();
    // Mostly the right signer, by the right key.
    if draw.signer > 0 && !recovery {
        draft.header.signer = draw.signer as u8 - 1;
    }
    let by = writers.get(usize::from(draft.header.signer));
    let seeds = [1, 2, 3, RECOVERY[0], RECOVERY[1], 66];
    let right = match &draft.body {
        Body::Recover(body) => Some(&body.revealed[0]),
        _ => by,
    };
    let seed = seeds.into_iter().find(|seed| Some(&key(*seed).public()) == right).unwrap_or(1);
    let seed = if draw.key == 4 { seeds[draw.place % 3] } else { seed };
    let other = &chain.entries()[draw.place % chain.entries().len()];
    let links = draft.header.links.as_mut()?;
    match draw.wrong {
        0 => links.previous = other.id(),
        1 => links.jump = other.id(),
        2 => links.control = other.id(),
        3 => draft.header.history = other.header().history,
        4 => draft.header.time_ms = other.header().time_ms,
        5 => draft.header.position.index = Index::new(draw.place as u64 + 1).ok()?,
        6 => draft.header.position.epoch = Epoch::new(draw.place as u64 % 3).ok()?,
        7 => draft.header.ledger = key(2).public().into(),
        _ => {}
    }
    draft.sign(&[&key(seed)]).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_replay_takes_exactly_what_the_rules_allow(draws in prop::collection::vec(any_draw(), 1..16)) {
        let mut chain = begin(&[1, 2]);
        for draw in draws {
            let Some(entry) = make(&chain, &draw) else { continue };
            let allowed = naive(chain.entries(), &entry);
            let before = chain.len();
            let taken = chain.push(entry.clone());
            prop_assert_eq!(taken.is_ok(), allowed, "{:?} {:?} {:?}", draw, entry, taken);
            prop_assert_eq!(chain.len(), before + u64::from(allowed));
        }
    }

    #[test]
    fn selection_of_heads_is_a_join(picks in prop::array::uniform3((0..2_u64, 1..5_usize, any::<bool>()))) {
        let [a, b, c] = picks.map(|(root, len, recovered)| {
            let chain = chain(5, root * 50);
            if recovered {
                recover(&chain, len as u64 - 1, RECOVERY[root as usize], &[7]).tip().head().clone()
            } else {
                chain.entries()[len].clone()
            }
        });
        prop_assert_eq!(select(&a, &a), &a);
        prop_assert_eq!(select(&a, &b), select(&b, &a));
        prop_assert_eq!(select(select(&a, &b), &c), select(&a, select(&b, &c)));
    }

    #[test]
    fn selection_of_frauds_is_a_join(places in prop::array::uniform3(prop::collection::vec((1..5_u64, 0..7_u64), 0..4))) {
        // Two entries of owners of as many epochs, each pair of one place.
        let fraud = |(index, epoch): (u64, u64)| {
            let mut base = chain(index, 0);
            for _ in 0..epoch {
                base = recover(&base, base.len() - 1, RECOVERY[0], &[OWNER]);
            }
            let (mut a, mut b) = (base.clone(), base);
            push(&mut a, OWNER, update(1));
            push(&mut b, OWNER, update(2));
            let at = |chain: &Chain| Evidence::from_archive(chain, chain.len() - 1).unwrap();
            Fraud::equivocation(at(&a), at(&b)).unwrap()
        };
        let [a, b, c] = places.map(|places| places.into_iter().map(fraud).collect::<Vec<_>>());
        let join = |a: &[Fraud], b: &[Fraud]| select_frauds(a.iter().chain(b));
        let alone = join(&a, &[]);
        prop_assert_eq!(&join(&alone, &a), &alone);
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
    }
}
