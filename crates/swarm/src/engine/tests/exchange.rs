//! Peers telling of peers, event by event.
//!
//! A contact is one byte, the peer's number: what it says is not the engine's business.

use super::rules::{Bench, PEER, SESSION};
use super::*;
use crate::ViolationKind;
use crate::limits::{CONTACT_BYTES_MAX, PEERS_EVERY, PEERS_MAX};

const MS: u64 = PEERS_EVERY.as_millis() as u64;

/// Connects a peer with a contact of one byte, and joins it.
fn meet(bench: &mut Bench, n: u8, holding: Holding) -> PeerNo {
    let peer = PeerNo(n.into());
    bench.step(Event::PeerConnected { peer, prefix: prefix(n) });
    bench.step(Event::Contact { peer, contact: vec![n] });
    let message = Message::Join { root: cid(1), holding, reply: true };
    bench.step(Event::Message { peer, message });
    peer
}

/// Who is told of whom, in these actions.
fn told(actions: &[Action]) -> Vec<(u32, Vec<u8>)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Send { peer, message: Message::Peers { root, peers } } => {
            assert_eq!(*root, cid(1));
            Some((peer.0, peers.concat()))
        }
        _ => None,
    });
    told.collect()
}

/// A node that fetches root 1, and one peer that has said nothing yet.
fn fetching() -> Bench {
    let mut bench = Bench::new();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench
}

#[test]
fn members_that_hold_something_are_told_to_those_that_ask() {
    let mut bench = fetching();
    meet(&mut bench, 2, Holding::Part);
    meet(&mut bench, 3, Holding::All);
    meet(&mut bench, 4, Holding::Nothing);
    let first = told(&bench.wait(50));
    assert_eq!(first, [(2, vec![3]), (4, vec![2, 3])], "a seed asks for nothing");
    assert!(told(&bench.wait(MS)).is_empty(), "once is enough");
    assert_eq!(bench.engine.poll_timeout(), None, "nothing to do, nothing to wait for");
}

#[test]
fn news_wait_for_their_time_and_are_told_once() {
    let mut bench = fetching();
    for n in [2, 3] {
        meet(&mut bench, n, Holding::Part);
    }
    assert_eq!(told(&bench.wait(50)), [(2, vec![3]), (3, vec![2])]);
    meet(&mut bench, 4, Holding::Part);
    assert_eq!(told(&bench.wait(50)), [(4, vec![2, 3])]);
    meet(&mut bench, 5, Holding::Part);
    assert_eq!(told(&bench.wait(50)), [(5, vec![2, 3, 4])]);
    assert_eq!(told(&bench.wait(MS - 100)), [(2, vec![4, 5]), (3, vec![4, 5])]);
    assert_eq!(told(&bench.wait(100)), [(4, vec![5])]);
}

#[test]
fn a_large_crowd_is_told_in_parts() {
    let mut bench = fetching();
    for n in 2..=(PEERS_MAX as u8 + 20) {
        meet(&mut bench, n, Holding::All);
    }
    meet(&mut bench, 200, Holding::Nothing);
    let lens = |told: Vec<(u32, Vec<u8>)>| told.into_iter().map(|(_, who)| who.len()).collect();
    let first: Vec<usize> = lens(told(&bench.wait(50)));
    let second: Vec<usize> = lens(told(&bench.wait(MS)));
    assert_eq!((first, second), (vec![PEERS_MAX], vec![19]));
}

#[test]
fn nobody_is_told_of_one_that_cannot_be_reached_or_is_gone() {
    let mut bench = fetching();
    meet(&mut bench, 2, Holding::Nothing);
    bench.join(1, Holding::All);
    assert!(told(&bench.wait(50)).is_empty(), "how to reach it is not known");
    bench.step(Event::Contact { peer: PEER, contact: vec![0; CONTACT_BYTES_MAX + 1] });
    assert!(told(&bench.wait(50)).is_empty(), "too long to be passed on");
    let gone = meet(&mut bench, 3, Holding::All);
    bench.step(Event::PeerDisconnected { peer: gone });
    bench.step(Event::Contact { peer: PEER, contact: vec![9] });
    assert_eq!(told(&bench.wait(50)), [(2, vec![9])]);
}

#[test]
fn one_that_was_asked_and_kept_silent_is_not_passed_on() {
    let mut bench = Bench::new();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.step(Event::Contact { peer: PEER, contact: vec![1] });
    bench.join(1, Holding::All);
    bench.want(1, false);
    bench.probed(1, Probe::Missing);
    bench.wait(4_100);
    meet(&mut bench, 2, Holding::Nothing);
    meet(&mut bench, 3, Holding::Part);
    assert_eq!(told(&bench.wait(50)), [(2, vec![3])]);
}

#[test]
fn what_members_tell_goes_to_the_node_while_something_is_fetched() {
    let mut bench = fetching();
    let peers = vec![vec![7], vec![8]];
    let tell = Message::Peers { root: cid(1), peers: peers.clone() };
    assert_eq!(bench.says(tell.clone()), [], "it does not take part");
    bench.join(1, Holding::Part);
    let expected = Action::Told { by: PEER, root: cid(1), peers };
    assert!(bench.says(tell.clone()).contains(&expected));
    bench.step(Event::Close { session: SESSION });
    assert!(!bench.says(tell).contains(&expected));
}

#[test]
fn a_flood_of_peers_is_bounded_counted_and_ends() {
    let mut bench = fetching();
    bench.join(1, Holding::Part);
    let tell = Message::Peers { root: cid(1), peers: vec![vec![1]; PEERS_MAX] };
    let actions: Vec<Action> = (0..100).flat_map(|_| bench.says(tell.clone())).collect();
    let count = |wanted: &dyn Fn(&Action) -> bool| actions.iter().filter(|a| wanted(a)).count();
    assert_eq!(count(&|action| matches!(action, Action::Told { .. })), 4);
    let flood = Action::Violation { peer: PEER, kind: ViolationKind::Flooding };
    assert_eq!(count(&|action| *action == flood), 96);
    assert_eq!(count(&|action| *action == Action::Disconnect { peer: PEER }), 1);
    let stats = bench.engine.peer_stats(PEER).expect("it is connected");
    assert_eq!((stats.points, stats.violations), (4 * 96, vec![(ViolationKind::Flooding, 96)]));
}

#[test]
fn lists_and_entries_beyond_their_bounds_are_garbage() {
    let garbage = Action::Violation { peer: PEER, kind: ViolationKind::Garbage };
    let long = vec![0; CONTACT_BYTES_MAX + 1];
    for peers in [vec![vec![1]; PEERS_MAX + 1], vec![long], vec![Vec::new()]] {
        let mut bench = fetching();
        bench.join(1, Holding::Part);
        let actions = bench.says(Message::Peers { root: cid(1), peers });
        assert_eq!(actions, std::slice::from_ref(&garbage));
    }
}

#[test]
fn what_the_surroundings_saw_counts_like_the_rest() {
    let mut bench = fetching();
    let wrong = Event::Misbehaved { peer: PEER, kind: ViolationKind::Garbage };
    let actions: Vec<Action> = (0..3).flat_map(|_| bench.step(wrong.clone())).collect();
    assert_eq!(actions.last(), Some(&Action::Disconnect { peer: PEER }));
}
