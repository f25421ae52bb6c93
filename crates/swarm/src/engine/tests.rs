//! Whatever happens, nothing panics and the books balance.
//!
//! Random events over a handful of CIDs, peers and sessions, so that everything collides; after
//! each of them every redundant figure is counted again from scratch.

mod bandwidth;
mod changes;
mod cids_only;
mod exchange;
mod guesses;
mod places;
mod rules;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proptest::prelude::*;
use shoal_dag::Cid;
use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};

use super::Engine;
use crate::{
    Action, Child, Config, Event, Holding, Holdings, Links, LinksKind, Message, PeerNo, Place,
    Prefix, Probe, Receipt, Served, SessionId,
};

/// CID number `n`: even ones are leaves, odd ones branches.
fn cid(n: u8) -> Cid {
    let codec = if n.is_multiple_of(2) { RAW } else { DAG_PB };
    cid_of(HashKind::Blake3, codec, shoal_dag::Version::V1, &[n])
}

fn prefix(n: u8) -> Prefix {
    Prefix::of(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)))
}

fn cids() -> impl Strategy<Value = Cid> {
    (0u8..12).prop_map(cid)
}

fn peers() -> impl Strategy<Value = PeerNo> {
    (0u32..4).prop_map(PeerNo)
}

fn sessions() -> impl Strategy<Value = SessionId> {
    (0u64..3).prop_map(SessionId)
}

fn links() -> impl Strategy<Value = Links> {
    let kind =
        prop_oneof![Just(LinksKind::File), Just(LinksKind::Directory), Just(LinksKind::Other)];
    let child = (cids(), prop_oneof![Just(0), Just(65_536), Just(u64::MAX)])
        .prop_map(|(cid, size)| Child { cid, size });
    (kind, proptest::collection::vec(child, 0..5))
        .prop_map(|(kind, children)| Links { kind, children })
}

fn messages() -> impl Strategy<Value = Message> {
    let holding = prop_oneof![Just(Holding::All), Just(Holding::Part), Just(Holding::Nothing)];
    let list = || proptest::collection::vec(cids(), 0..5);
    let first = prop_oneof![0u32..6, Just(u32::MAX)];
    let bits = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..3),
        1 => Just(vec![255; crate::limits::HAVE_BYTES_MAX + 1]),
    ];
    prop_oneof![
        4 => (cids(), holding, any::<bool>())
            .prop_map(|(root, holding, reply)| Message::Join { root, holding, reply }),
        1 => cids().prop_map(|root| Message::Leave { root }),
        4 => (cids(), cids(), first, bits)
            .prop_map(|(root, branch, first, bits)| Message::Have { root, branch, first, bits }),
        2 => (cids(), cids()).prop_map(|(root, branch)| Message::HaveAll { root, branch }),
        4 => (cids(), list(), 0u32..3)
            .prop_map(|(root, cids, deadline_ms)| Message::Request { root, cids, deadline_ms }),
        1 => list().prop_map(|cids| Message::Cancel { cids }),
        1 => list().prop_map(|cids| Message::Refuse { cids }),
        1 => (cids(), prop_oneof![4 => Just(3), 1 => Just(65)])
            .prop_map(|(root, count)| Message::Peers { root, peers: vec![vec![1]; count] }),
    ]
}

fn wants() -> impl Strategy<Value = Event> {
    let deadline = proptest::option::of((0u64..5_000).prop_map(Duration::from_millis));
    let place = proptest::option::of(cids().prop_map(|file| Place { file, size: 1, offset: 0 }));
    (sessions(), cids(), proptest::option::of(cids()), place, deadline, any::<bool>()).prop_map(
        |(session, cid, under, place, deadline, tree)| Event::Want {
            session,
            cid,
            under,
            place,
            deadline,
            tree,
        },
    )
}

fn block_wants() -> impl Strategy<Value = Vec<crate::Want>> {
    let public = proptest::option::of(Just(1_000));
    let want = (cids(), any::<bool>(), public).prop_map(|(cid, block, public)| crate::Want {
        cid,
        block,
        public,
    });
    proptest::collection::vec(want, 0..4)
}

fn receipts() -> impl Strategy<Value = Receipt> {
    prop_oneof![
        4 => proptest::option::of(links()).prop_map(|links| Receipt::Stored { links }),
        1 => Just(Receipt::Corrupt),
        1 => Just(Receipt::Unrequested),
        1 => Just(Receipt::NotKept),
    ]
}

fn probes() -> impl Strategy<Value = Probe> {
    prop_oneof![
        3 => Just(Probe::Missing),
        1 => Just(Probe::Leaf),
        3 => links().prop_map(Probe::Branch),
    ]
}

fn holdings() -> impl Strategy<Value = Holdings> {
    let some = (any::<bool>(), cids(), cids()).prop_map(|(all, complete, branch)| Holdings {
        all,
        complete: vec![complete],
        have: vec![(branch, 0, vec![3])],
    });
    prop_oneof![Just(Holdings::default()), some]
}

fn events() -> impl Strategy<Value = Event> {
    let limit = || proptest::option::of(1u64..100_000);
    let done = prop_oneof![Just(Served::Done), Just(Served::Absent)];
    prop_oneof![
        3 => (peers(), 0u8..3)
            .prop_map(|(peer, n)| Event::PeerConnected { peer, prefix: prefix(n) }),
        1 => (peers(), 0u8..3)
            .prop_map(|(peer, n)| Event::CidPeerConnected { peer, prefix: prefix(n) }),
        2 => (peers(), block_wants()).prop_map(|(peer, wants)| Event::Wants { peer, wants }),
        1 => peers().prop_map(|peer| Event::PeerDisconnected { peer }),
        2 => peers().prop_map(|peer| Event::Contact { peer, contact: vec![1] }),
        12 => (peers(), messages()).prop_map(|(peer, message)| Event::Message { peer, message }),
        8 => (peers(), cids(), receipts()).prop_map(|(peer, cid, receipt)| Event::Received {
            peer, cid, len: 65_536, receipt,
        }),
        4 => (peers(), cids(), done).prop_map(|(peer, cid, outcome)| Event::Sent {
            peer, cid, len: 1_000, outcome,
        }),
        3 => (sessions(), cids()).prop_map(|(session, root)| Event::Open { session, root }),
        1 => sessions().prop_map(|session| Event::Close { session }),
        6 => wants(),
        1 => (sessions(), cids()).prop_map(|(session, cid)| Event::Unwant { session, cid }),
        6 => (sessions(), proptest::collection::vec((cids(), probes()), 0..4))
            .prop_map(|(session, found)| Event::Probed { session, found }),
        3 => (peers(), cids(), holdings())
            .prop_map(|(peer, root, holdings)| Event::Shared { peer, root, holdings }),
        1 => (sessions(), peers()).prop_map(|(session, peer)| Event::Invite { session, peer }),
        1 => Just(Event::SharingChanged),
        1 => (limit(), limit()).prop_map(|(up, down)| Event::Limits { up, down }),
    ]
}

/// A step: an event some time after the last one, or the answers that the last actions ask for.
#[derive(Debug, Clone)]
enum Step {
    Event(Box<Event>, u64),
    Answer(Vec<Probe>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = (events(), prop_oneof![8 => Just(0u64), 4 => 0u64..200, 1 => 0u64..10_000])
        .prop_map(|(event, ms)| Step::Event(Box::new(event), ms));
    let answer = proptest::collection::vec(probes(), 3).prop_map(Step::Answer);
    proptest::collection::vec(prop_oneof![4 => event, 1 => answer], 1..80)
}

/// Answers to the actions of an engine that a well-behaved node and network would give.
fn answers(actions: &[Action], probes: &[Probe]) -> Vec<Event> {
    let mut events = Vec::new();
    for action in actions {
        match action {
            Action::Probe { session, cids } => {
                let found = cids.iter().zip(probes.iter().cycle());
                let found = found.map(|((cid, _), probe)| (*cid, probe.clone())).collect();
                events.push(Event::Probed { session: *session, found });
            }
            Action::Ask { peer, asks, .. } => {
                events.extend(asks.iter().zip(probes).map(|(ask, probe)| {
                    let links = match probe {
                        Probe::Branch(links) => Some(links.clone()),
                        _ => None,
                    };
                    let receipt = Receipt::Stored { links };
                    Event::Received { peer: *peer, cid: ask.cid, len: 65_536, receipt }
                }));
            }
            Action::Serve { peer, cids, .. } => events.extend(cids.iter().map(|cid| Event::Sent {
                peer: *peer,
                cid: *cid,
                len: 65_536,
                outcome: Served::Done,
            })),
            _ => {}
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_books_balance_whatever_happens(steps in steps(), seed in any::<u64>()) {
        let mut engine = Engine::new(Config::default(), seed);
        let (mut now, mut actions) = (Duration::ZERO, Vec::new());
        for step in steps {
            let events = match step {
                Step::Event(event, ms) => {
                    now += Duration::from_millis(ms);
                    vec![*event]
                }
                Step::Answer(probes) => answers(&std::mem::take(&mut actions), &probes),
            };
            for event in events {
                engine.handle(event, now);
                engine.check_books();
                actions.extend(std::iter::from_fn(|| engine.poll_action()));
            }
            if engine.poll_timeout().is_some_and(|at| at <= now) {
                engine.handle_timeout(now);
                engine.check_books();
            }
        }
    }
}
