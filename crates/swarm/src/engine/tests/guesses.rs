//! Blocks whose way up to the root is not known, and members that hold a part of it.
//!
//! Such a member may hold the block in a sub-tree that it told complete. It used to be passed over,
//! and a path below a part that somebody shares was not found.

use super::rules::{Bench, PEER, SESSION, asked};
use super::*;
use crate::limits::GUESS_AGAIN;

const OTHER: PeerNo = PeerNo(2);

impl Bench {
    fn with_part() -> Self {
        let mut bench = Self::new();
        bench.step(Event::Open { session: SESSION, root: cid(1) });
        bench.join(1, Holding::Part);
        bench.says(Message::HaveAll { root: cid(1), branch: cid(3) });
        bench
    }

    fn refuses(&mut self, n: u8) -> Vec<Action> {
        self.says(Message::Refuse { cids: vec![cid(n)] })
    }

    fn other_joins(&mut self, holding: Holding) -> Vec<Action> {
        self.step(Event::PeerConnected { peer: OTHER, prefix: prefix(2) });
        let message = Message::Join { root: cid(1), holding, reply: true };
        self.step(Event::Message { peer: OTHER, message })
    }
}

fn asked_of(actions: &[Action]) -> Vec<PeerNo> {
    let whom = |action: &Action| match action {
        Action::Ask { peer, .. } => Some(*peer),
        _ => None,
    };
    actions.iter().filter_map(whom).collect()
}

#[test]
fn a_holder_of_a_part_is_asked_for_a_block_of_unknown_ancestry_and_may_refuse() {
    let mut bench = Bench::with_part();
    assert_eq!(asked(&bench.want_missing(2)), [cid(2)]);
    assert_eq!(bench.refuses(2), [], "a guess that is wrong is nobody's fault");
    let none = Action::NoProvider { session: SESSION, cid: cid(2) };
    assert_eq!(bench.wait(2_000), [none]);
    assert_eq!(asked(&bench.wait(20_000)), [], "it has said no");
    let told = bench.says(Message::HaveAll { root: cid(1), branch: cid(5) });
    assert_eq!(asked(&told), [cid(2)], "it has more than when it said no");
    bench.refuses(2);
    bench.wait(50);
    let told = bench.says(Message::HaveAll { root: cid(1), branch: cid(7) });
    assert_eq!(asked(&told), [], "but not at every word");
    bench.now += GUESS_AGAIN;
    let told = bench.says(Message::HaveAll { root: cid(1), branch: cid(9) });
    assert_eq!(asked(&told), [cid(2)]);
}

#[test]
fn a_reader_too_asks_holders_of_a_part() {
    let mut bench = Bench::with_part();
    let (session, deadline) = (SESSION, Some(Duration::from_secs(1)));
    let (cid, under) = (cid(2), Some(cid(5)));
    bench.step(Event::Want { session, cid, under, place: None, deadline, tree: false });
    assert_eq!(asked(&bench.probed(2, Probe::Missing)), [cid]);
}

#[test]
fn who_is_known_to_hold_it_comes_before_who_may() {
    let mut bench = Bench::with_part();
    bench.other_joins(Holding::All);
    let deadline = Some(Duration::from_secs(1));
    let (session, under, place) = (SESSION, None, None);
    for (n, deadline) in [(2, deadline), (4, None)] {
        bench.step(Event::Want { session, cid: cid(n), under, place, deadline, tree: false });
    }
    assert_eq!(asked_of(&bench.probed(2, Probe::Missing)), [OTHER]);
    assert_eq!(asked_of(&bench.probed(4, Probe::Missing)), [PEER], "the other is busy");
}

#[test]
fn one_refusal_speaks_for_all_children_of_a_branch() {
    let mut bench = Bench::with_part();
    bench.want(5, true);
    let children = (0..40).map(|n| Child { cid: cid(100 + 2 * n), size: 65_536 }).collect();
    let links = Links { kind: LinksKind::File, children };
    bench.probed(5, Probe::Branch(links));
    let have = Message::Have { root: cid(1), branch: cid(5), first: 7, bits: vec![1] };
    bench.says(have);
    let found = (0..40).map(|n| (cid(100 + 2 * n), Probe::Missing)).collect();
    let first = asked(&bench.step(Event::Probed { session: SESSION, found }));
    assert_eq!(first, [cid(114)], "what it told comes first");
    let receipt = Receipt::Stored { links: None };
    let came = Event::Received { peer: PEER, cid: cid(114), len: 65_536, receipt };
    let guesses = asked(&bench.step(came));
    assert!(!guesses.is_empty());
    let refused = bench.says(Message::Refuse { cids: guesses });
    assert_eq!(refused, [], "no violation, and no other child is asked for");
}

#[test]
fn a_block_known_not_to_lie_in_a_members_part_is_not_asked_of_it() {
    let mut bench = Bench::with_part();
    bench.want(1, false);
    let children = [3u8, 6].map(|n| Child { cid: cid(n), size: 65_536 }).to_vec();
    bench.probed(1, Probe::Branch(Links { kind: LinksKind::Directory, children }));
    assert_eq!(asked(&bench.want_missing(6)), []);
    assert_eq!(asked(&bench.want_missing(3)), [cid(3)]);
}
