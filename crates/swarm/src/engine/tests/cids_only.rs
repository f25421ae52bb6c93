//! Peers that speak of single blocks only: sought, asked, refused, served with what is left.
//!
//! Event by event against one engine; that the books balance with them is in the parent.

use super::rules::{Bench, SESSION, asked};
use super::*;
use crate::limits::{REFUSALS_MAX, SEEK_MAX};
use crate::{ViolationKind, Want};

const OTHER: PeerNo = PeerNo(2);

/// An engine with a native peer and one of single blocks.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.step(Event::CidPeerConnected { peer: OTHER, prefix: prefix(2) });
    bench
}

fn other_says(bench: &mut Bench, message: Message) -> Vec<Action> {
    bench.step(Event::Message { peer: OTHER, message })
}

fn other_joins(bench: &mut Bench, root: u8) -> Vec<Action> {
    other_says(bench, Message::Join { root: cid(root), holding: Holding::All, reply: true })
}

fn wants(bench: &mut Bench, wants: &[(u8, bool, Option<u32>)]) -> Vec<Action> {
    let want = |&(n, block, public)| Want { cid: cid(n), block, public };
    bench.step(Event::Wants { peer: OTHER, wants: wants.iter().map(want).collect() })
}

fn refusal(n: u8) -> Action {
    Action::Send { peer: OTHER, message: Message::Refuse { cids: vec![cid(n)] } }
}

#[test]
fn it_is_sought_by_the_root_and_by_what_is_missed() {
    let mut bench = bench();
    let opened = bench.step(Event::Open { session: SESSION, root: cid(1) });
    let seek = |cids| Action::Seek { peer: OTHER, root: cid(1), cids };
    assert!(opened.contains(&seek(vec![cid(1)])), "{opened:?}");
    other_says(&mut bench, Message::Leave { root: cid(1) });
    bench.want_missing(4);
    bench.now += crate::limits::INVITE_EVERY;
    let again = bench.step(Event::Invite { session: SESSION, peer: OTHER });
    assert_eq!(again, [seek(vec![cid(1), cid(4)])], "it may have a part without the root");
    (0..40).for_each(|n| drop(bench.want_missing(6 + 2 * n)));
    bench.now += crate::limits::INVITE_EVERY;
    let many = bench.step(Event::Invite { session: SESSION, peer: OTHER });
    assert!(matches!(&many[..], [Action::Seek { cids, .. }] if cids.len() == SEEK_MAX));
}

#[test]
fn it_is_asked_like_one_that_holds_all_and_told_nothing() {
    let mut bench = bench();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.want_missing(4);
    let actions = other_joins(&mut bench, 1);
    assert_eq!(asked(&actions), [cid(4)]);
    let receipt = Receipt::Stored { links: None };
    let got = bench.step(Event::Received { peer: OTHER, cid: cid(4), len: 9, receipt });
    assert!(got.contains(&Action::Got { session: SESSION, cid: cid(4) }));
    assert_eq!(bench.engine.peer_stats(OTHER).unwrap().bytes_received, 9, "it is credited");
    bench.join(1, Holding::Nothing);
    let told = bench.wait(60);
    let is_for = |action: &Action| matches!(action, Action::Send { peer, .. } if *peer == OTHER);
    assert!(!told.iter().any(is_for), "{told:?}");
}

#[test]
fn what_it_lacks_is_no_fault_and_is_asked_again_later() {
    let mut bench = bench();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.want_missing(4);
    assert_eq!(asked(&other_joins(&mut bench, 1)), [cid(4)]);
    let refused = other_says(&mut bench, Message::Refuse { cids: vec![cid(4)] });
    assert!(asked(&refused).is_empty(), "{refused:?}");
    assert!(bench.engine.peer_stats(OTHER).unwrap().violations.is_empty());
    let told = bench.wait(crate::limits::JOIN_ANSWER_MAX.as_millis() as u64);
    assert!(told.contains(&Action::NoProvider { session: SESSION, cid: cid(4) }), "{told:?}");
    let again = bench.step(Event::Invite { session: SESSION, peer: OTHER });
    assert_eq!(asked(&again), [cid(4)], "it may have it by now");
}

#[test]
fn who_refuses_much_is_left_alone_for_a_while() {
    let mut bench = bench();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    other_joins(&mut bench, 1);
    let mut refusals = 0;
    for n in 0..100 {
        let asks = asked(&bench.want_missing(6 + 2 * n));
        if asks.is_empty() {
            break;
        }
        refusals += asks.len() as u32;
        other_says(&mut bench, Message::Refuse { cids: asks });
    }
    assert_eq!(refusals, REFUSALS_MAX);
}

#[test]
fn it_gets_what_was_given_to_the_network_and_nothing_else() {
    let mut bench = bench();
    let actions = wants(&mut bench, &[(2, true, Some(10)), (4, true, None), (6, false, Some(99))]);
    assert_eq!(
        actions,
        [
            Action::Affirm { peer: OTHER, cids: vec![cid(6)] },
            refusal(4),
            Action::Serve { peer: OTHER, cids: vec![cid(2)], cached_ok: false },
        ]
    );
}

#[test]
fn what_is_fetched_is_served_until_the_session_ends() {
    let mut bench = bench();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.want(4, false);
    bench.probed(4, Probe::Leaf);
    let served = wants(&mut bench, &[(4, true, None), (6, true, None)]);
    let serve = Action::Serve { peer: OTHER, cids: vec![cid(4)], cached_ok: true };
    assert_eq!(served, [refusal(6), serve]);
    bench.step(Event::Close { session: SESSION });
    let served = wants(&mut bench, &[(4, true, None)]);
    assert_eq!(served, [refusal(4)]);
}

#[test]
fn a_cancel_takes_a_want_back() {
    let mut bench = bench();
    bench.step(Event::Limits { up: Some(1), down: None });
    wants(&mut bench, &[(2, true, Some(100_000)), (4, true, Some(100_000))]);
    let before = bench.engine.peer_stats(OTHER).unwrap().queued;
    other_says(&mut bench, Message::Cancel { cids: vec![cid(2), cid(4)] });
    assert!(before > 0);
    assert_eq!(bench.engine.peer_stats(OTHER).unwrap().queued, 0);
}

#[test]
fn wants_without_end_are_a_violation() {
    let mut bench = bench();
    let want = Want { cid: cid(2), block: true, public: None };
    let flood = vec![want; crate::limits::WORK_MAX as usize + 1];
    let actions = bench.step(Event::Wants { peer: OTHER, wants: flood });
    let kind = ViolationKind::Flooding;
    assert!(actions.contains(&Action::Violation { peer: OTHER, kind }));
    let by_native = Event::Wants { peer: super::rules::PEER, wants: vec![want] };
    assert!(bench.step(by_native).is_empty(), "a native peer joins and requests");
}
