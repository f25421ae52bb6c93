//! Tests of questions and answers: one form each, bounds, and answers that their askers can verify.
//!
//! Answers are made from whole chains, go through their bytes, and are then taken by the reader that
//! asked. What a node does with them is tested where nodes are.

use super::*;
use crate::chain::Chain;
use crate::fraud::conflict;
use crate::reader::{Heard, Reader, Status};
use crate::sample::*;
use crate::{Position, tree};
use proptest::prelude::*;

const NOW: u64 = u64::MAX;

fn reader_of(chain: &Chain) -> Reader {
    let mut reader = Reader::new(name(), None);
    reader.accept(&head::prove(chain, None).unwrap(), NOW).unwrap();
    reader
}

fn have(chain: &Chain) -> Have {
    Have { position: chain.tip().head().position(), root: chain.tip().peaks().root() }
}

/// The answer, after its way over the wire.
#[track_caller]
fn ask(chain: &Chain, question: Question) -> Answer {
    sent(answer(chain, &[], None, &asked(question)))
}

#[track_caller]
fn asked(question: Question) -> Question {
    let bytes = question.encode();
    assert!(bytes.len() <= QUESTION_BYTES_MAX);
    let read = Question::decode(&bytes).unwrap();
    assert_eq!((read, read.name()), (question, question.name()));
    read
}

#[track_caller]
fn sent(answer: Answer) -> Answer {
    let bytes = answer.encode();
    assert!(bytes.len() <= ANSWER_BYTES_MAX);
    assert_eq!(Answer::decode(&bytes).as_ref(), Ok(&answer));
    answer
}

#[test]
fn a_newer_head_is_taken_by_whoever_asked() {
    let whole = chain(40, 0);
    let record = Bytes::from_static(b"a record");
    for from in [None, Some(1), Some(2), Some(17), Some(39)] {
        let mut reader = from.map_or_else(
            || Reader::new(name(), None),
            |from| reader_of(&Chain::replay(whole.entries()[..from].iter().cloned()).unwrap()),
        );
        let question = asked(Question::Head { name: name(), have: reader.have() });
        let answer = sent(answer(&whole, &[], Some(&record), &question));
        let Answer::Head { proof, record: Some(_), .. } = answer else { panic!("{answer:?}") };
        assert_eq!(proof.common.size, from.unwrap_or(0) as u64);
        assert_eq!(reader.accept(&proof, NOW).unwrap().position.index.as_u64(), 39);
    }
}

#[test]
fn who_has_as_much_or_more_hears_the_head_and_who_has_another_history_that_it_is_one() {
    let (ours, theirs) = (chain(9, 0), chain(12, 50));
    let head = |chain: &Chain, have| ask(chain, Question::Head { name: name(), have: Some(have) });
    let heard = |answer: Answer, reader: &Reader| match answer {
        Answer::Head { proof, .. } => Some(reader.hear(&proof.head)),
        _ => None,
    };
    let reader = reader_of(&ours);
    let same = head(&ours, have(&ours));
    assert!(same.encode().len() < 700, "whoever asks again and again is answered shortly");
    assert_eq!(heard(same, &reader), Some(Heard::Known));
    let first = chain(1, 0);
    assert_eq!(heard(head(&first, have(&first)), &reader_of(&first)), Some(Heard::Known));
    let older = heard(head(&chain(5, 0), have(&ours)), &reader);
    assert_eq!(older, Some(Heard::Older { index: 4 }));
    // Longer than what the answerer has: it cannot know whether it is of the same history.
    let older = heard(head(&chain(5, 50), have(&ours)), &reader);
    assert_eq!(older, Some(Heard::Older { index: 4 }));
    for (branch, have) in
        [(&theirs, have(&ours)), (&ours, have(&chain(9, 50))), (&theirs, have(&chain(12, 0)))]
    {
        let Answer::Diverged { head, .. } = head(branch, have) else { panic!("{branch:?}") };
        assert_eq!(head.head, *branch.tip().head());
        Reader::new(name(), None).accept(&head, NOW).unwrap();
    }
}

/// A branch of which its keeper lost the nodes above the leaves.
struct Leaves(Chain);

impl Nodes for Leaves {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.node(level, index).filter(|_| level == 0)
    }
}

impl Archive for Leaves {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        self.0.entry(index)
    }

    fn control_before(&self, index: u64) -> Option<u64> {
        self.0.control_before(index)
    }
}

#[test]
fn who_lacks_a_part_accuses_nobody() {
    let lacking = Leaves(chain(9, 0));
    for len in [1, 2, 5, 9] {
        let have = have(&chain(len, 0));
        let question = Question::Head { name: name(), have: Some(have) };
        assert_eq!(answer(&lacking, &[], None, &question), Answer::Unknown, "{len}");
    }
}

#[test]
fn a_recovery_is_shown_to_whoever_has_the_branch_that_it_cut_off() {
    let old = chain(9, 0);
    let mut branch = recover(&old, 4, RECOVERY[0], &[7]);
    push(&mut branch, 7, update(1));
    let question = asked(Question::Head { name: name(), have: Some(have(&old)) });
    // Without the old branch there is nothing to show.
    assert!(matches!(answer(&branch, &[], None, &question), Answer::Diverged { .. }));
    let shown = sent(answer_across(&branch, &old, &[], None, &question));
    let Answer::Head { proof, .. } = shown else { panic!("{shown:?}") };
    assert_eq!(reader_of(&old).accept(&proof, NOW).unwrap().cut_off_from, Some(5));
    // Or the asker finds the common beginning itself, and completes the proof with its own nodes.
    let mut search = head::Bisect::new(0, branch.len().min(old.len()) + 1);
    while let Some(size) = search.ask() {
        let root = ask(&branch, Question::Root { name: name(), size });
        search.answer(size, root == Answer::Root(tree::prove::root(&old, size).unwrap()));
    }
    let common = have(&old.up_to(search.first_difference() - 1).unwrap());
    let answer = ask(&branch, Question::Head { name: name(), have: Some(common) });
    let Answer::Head { proof, .. } = answer else { panic!("{answer:?}") };
    let proof = proof.across(&have(&old), &old).unwrap();
    assert_eq!(reader_of(&old).accept(&proof, NOW).unwrap().cut_off_from, Some(5));
    // The other way round: who went on hears of an epoch that is over.
    let behind = ask(&old, Question::Head { name: name(), have: Some(have(&branch)) });
    let Answer::Head { proof, .. } = behind else { panic!("{behind:?}") };
    assert_eq!(reader_of(&branch).hear(&proof.head), Heard::Ended);
}

#[test]
fn a_newcomer_with_a_checkpoint_gets_what_its_reader_asks_for() {
    let whole = chain(20, 0);
    for index in [0, 7, 18, 19] {
        let seen = reader_of(&chain(index + 1, 0)).pin().unwrap().checkpoint();
        let answer = ask(&whole, Question::HeadAfter { name: name(), index });
        let Answer::Head { proof, .. } = answer else { panic!("{answer:?}") };
        Reader::new(name(), Some(seen)).accept(&proof, NOW).unwrap();
    }
}

#[test]
fn entries_roots_and_times_are_those_of_the_history() {
    let chain = chain(21, 0);
    let root = |size| tree::prove::root(&chain, size).unwrap();
    for (index, size) in [(0, 1), (0, 21), (20, 21), (7, 13)] {
        let answer = ask(&chain, Question::Get { name: name(), index, size });
        let Answer::Entry(placed) = answer else { panic!("{answer:?}") };
        assert_eq!(placed.entry, chain.entries()[index as usize]);
        assert!(placed.stands_in(size, &root(size)));
        assert_eq!(ask(&chain, Question::Root { name: name(), size }), Answer::Root(root(size)));
    }
    for (index, size) in [(21, 21), (0, 22), (0, u64::MAX), (u64::MAX, 0), (5, 5)] {
        assert_eq!(ask(&chain, Question::Get { name: name(), index, size }), Answer::Unknown);
    }
    assert_eq!(ask(&chain, Question::Root { name: name(), size: 22 }), Answer::Unknown);
    assert_eq!(ask(&chain, Question::Root { name: name(), size: u64::MAX }), Answer::Unknown);
    for len in [1, 9, 21] {
        let have = have(&chain.up_to(len - 1).unwrap());
        for time_ms in [0, 999, 1_000, 5_500, 9_000, 90_000, u64::MAX] {
            let answer = ask(&chain, Question::ByTime { name: name(), have, time_ms });
            let Answer::ByTime(found) = answer else { panic!("{answer:?}") };
            let linear = chain.entries()[..len as usize].iter();
            let linear = linear.rev().find(|entry| entry.header().time_ms <= time_ms);
            assert_eq!(found.verify(&have, time_ms), Ok(linear));
        }
    }
    let other = Question::ByTime { name: name(), have: have(&self::chain(9, 50)), time_ms: 5_000 };
    assert_eq!(ask(&chain, other), Answer::Unknown);
}

#[test]
fn ranges_have_no_gaps_and_end_with_the_history() {
    let chain = chain(300, 0);
    let range = |from, count| ask(&chain, Question::Range { name: name(), from, count });
    let entries = |from: usize, to: usize| Answer::Entries(chain.entries()[from..to].to_vec());
    assert_eq!(range(0, 5), entries(0, 5));
    assert_eq!(range(290, RANGE_MAX), entries(290, 300));
    assert_eq!(range(10, RANGE_MAX), entries(10, 266));
    for (from, count) in [(300, 1), (0, 0), (u64::MAX, 9)] {
        assert_eq!(range(from, count), Answer::Unknown);
    }
    let many = Question::Range { name: name(), from: 0, count: RANGE_MAX + 1 };
    assert!(Question::decode(&many.encode()).is_err());
    assert_eq!(answer(&chain, &[], None, &many), entries(0, 256));
}

#[test]
fn proofs_of_fraud_go_along_and_hold() {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let fraud = conflict(&ours, &theirs).unwrap();
    let frauds = [fraud.clone()];
    let forks = sent(answer(&ours, &frauds, None, &Question::Forks { name: name() }));
    assert_eq!(forks, Answer::Forks(vec![fraud.clone()]));
    let question = Question::Head { name: name(), have: Some(have(&theirs)) };
    let head = sent(answer(&ours, &frauds, None, &question));
    let Answer::Head { frauds, .. } = head else { panic!("{head:?}") };
    let mut reader = reader_of(&theirs);
    assert_eq!(reader.witness(frauds[0].clone()), Ok(true));
    assert_eq!(reader.status(NOW), Status::Forked);
}

/// A fork on top of hundreds of changes of keys, and a proof of it that brings them all, twice.
fn heavy() -> (Chain, Fraud) {
    let mut base = begin(&[OWNER]);
    for _ in 0..250 {
        push(&mut base, OWNER, writers(0, &[2, 3, 4, 5, 6, 7, 8, 9], 0));
        push(&mut base, OWNER, writers(0, &[], 0b1_1111_1110));
    }
    let (mut a, mut b) = (base.clone(), base);
    push(&mut a, OWNER, update(1));
    push(&mut b, OWNER, update(2));
    let keep = |chain: &Chain| crate::Evidence {
        entry: chain.tip().head().clone(),
        chain: chain.entries()[..501].to_vec(),
    };
    let fraud = Fraud::equivocation(keep(&a), keep(&b)).unwrap();
    (a, fraud)
}

#[test]
fn what_does_not_fit_is_left_out() {
    let (chain, fraud) = heavy();
    let large = fraud.encode().len();
    assert!((ANSWER_BYTES_MAX / 2..ANSWER_BYTES_MAX).contains(&large), "{large}");
    let frauds = [fraud.clone(), fraud.clone()];
    let forks = sent(answer(&chain, &frauds, None, &Question::Forks { name: name() }));
    assert_eq!(forks, Answer::Forks(vec![fraud]));
    let question = Question::Head { name: name(), have: None };
    let head = sent(answer(&chain, &frauds, None, &question));
    assert!(matches!(&head, Answer::Head { frauds, .. } if frauds.is_empty()), "{head:?}");
    let long = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
    let head = sent(answer(&self::chain(3, 0), &[], Some(&long), &question));
    assert!(matches!(&head, Answer::Head { record: None, .. }), "{head:?}");
}

#[test]
fn bounds_are_checked_before_anything_is_read() {
    assert!(Question::decode(&vec![0; QUESTION_BYTES_MAX + 1]).is_err());
    assert!(Answer::decode(&vec![0; ANSWER_BYTES_MAX + 1]).is_err());
    // Lists that claim more than there is, or more than there may be.
    let claims: [&[u8]; 4] = [
        &[0x82, 5, 0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0x82, 5, 0x9a, 0x7f, 0xff, 0xff, 0xff],
        &[0x82, 7, 0x85, 0x40, 0x40, 0x40, 0x40, 0x40],
        &[0x82, 6, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    for bytes in claims {
        assert!(Answer::decode(bytes).is_err(), "{bytes:x?}");
    }
    let entries = [&[0x82, 5, 0x99, 1, 1][..], &[0x40; 257]].concat();
    assert!(Answer::decode(&entries).is_err());
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused_or_is_something_else() {
    let (ours, theirs) = (chain(6, 0), chain(9, 50));
    let frauds = [conflict(&ours, &theirs).unwrap()];
    let record = Bytes::from_static(b"record");
    let have = Have { position: have(&ours).position, root: have(&ours).root };
    let name = name();
    let questions = [
        Question::Head { name, have: Some(have) },
        Question::Head { name, have: None },
        Question::HeadAfter { name, index: 3 },
        Question::Get { name, index: 2, size: 6 },
        Question::ByTime { name, have, time_ms: 3_500 },
        Question::Range { name, from: 1, count: 3 },
        Question::Root { name, size: 5 },
        Question::Forks { name },
    ];
    for question in questions {
        let bytes = question.encode();
        changed(&bytes, |bytes| Question::decode(bytes).is_ok_and(|read| read == question));
        for branch in [&ours, &theirs] {
            let answer = answer(branch, &frauds, Some(&record), &question);
            let bytes = answer.encode();
            changed(&bytes, |bytes| Answer::decode(bytes).is_ok_and(|read| read == answer));
        }
    }
}

/// No cut, tail or flipped bit is read as the same.
#[track_caller]
fn changed(bytes: &[u8], is_same: impl Fn(&[u8]) -> bool) {
    assert!(is_same(bytes));
    assert!((0..bytes.len()).all(|len| !is_same(&bytes[..len])));
    assert!(!is_same(&[bytes, &[0]].concat()));
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!is_same(&other), "bit {bit}");
    }
}

fn any_have() -> impl Strategy<Value = Have> {
    (0..1_u64 << 40, 0..4_u64, any::<[u8; 32]>()).prop_filter_map("a position", |(at, ep, root)| {
        let position = Position::from_sequence((ep << 40) + at).ok()?;
        Some(Have { position, root: Hash::from_bytes(root) })
    })
}

fn any_question() -> impl Strategy<Value = Question> {
    let numbers = (any::<[u8; 32]>(), any::<u64>(), any::<u64>());
    (0..7_u8, numbers, any_have(), any::<bool>()).prop_map(|(kind, (key, a, b), have, some)| {
        let name = LedgerId::from_key_bytes(key);
        match kind {
            0 => Question::Head { name, have: some.then_some(have) },
            1 => Question::Get { name, index: a, size: b },
            2 => Question::ByTime { name, have, time_ms: a },
            3 => Question::Range { name, from: a, count: b % (RANGE_MAX + 1) },
            4 => Question::Root { name, size: a },
            5 => Question::Forks { name },
            _ => Question::HeadAfter { name, index: a },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn questions_come_back_and_any_is_answered(question in any_question(), len in 1..6_u64) {
        prop_assert_eq!(Question::decode(&question.encode()), Ok(question));
        let chain = chain(len, 0);
        let answer = answer(&chain, &[], None, &question);
        prop_assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }

    #[test]
    fn what_is_read_has_one_form(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(question) = Question::decode(&bytes) {
            prop_assert_eq!(question.encode(), &bytes[..]);
        }
        if let Ok(answer) = Answer::decode(&bytes) {
            prop_assert_eq!(answer.encode(), bytes);
        }
    }
}
