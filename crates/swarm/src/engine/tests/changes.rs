//! What changes while a swarm is there: what the node shares, who can give what, who is invited.
//!
//! Events and actions word for word, as in `rules`; each test names what once went wrong.

use super::rules::{Bench, PEER, SESSION, asked};
use super::*;
use crate::ViolationKind;
use crate::limits::{JOINED_MAX, SLOTS_MAX};

fn all() -> Holdings {
    Holdings { all: true, ..Holdings::default() }
}

fn complete(tops: &[u8]) -> Holdings {
    Holdings { complete: tops.iter().map(|n| cid(*n)).collect(), ..Holdings::default() }
}

fn send(message: Message) -> Action {
    Action::Send { peer: PEER, message }
}

impl Bench {
    fn shared(&mut self, root: u8, holdings: Holdings) -> Vec<Action> {
        self.step(Event::Shared { peer: PEER, root: cid(root), holdings })
    }

    /// The peer joins a root that is shared.
    fn share(&mut self, root: u8, holdings: Holdings) -> Vec<Action> {
        self.says(Message::Join { root: cid(root), holding: Holding::Nothing, reply: false });
        self.shared(root, holdings)
    }

    fn open(&mut self, root: u8) {
        self.step(Event::Open { session: SESSION, root: cid(root) });
    }
}

#[test]
fn what_is_not_shared_any_more_is_left_and_not_served() {
    let mut bench = Bench::new();
    let root = cid(1);
    let ask = Action::AskShared { peer: PEER, root };
    bench.share(1, all());
    // Little is written at a time: the second request waits.
    bench.step(Event::Limits { up: Some(1), down: None });
    bench.wait(0);
    let cids: Vec<Cid> = (0..40).map(|n| cid(2 * n)).collect();
    let served = bench.says(Message::Request { root, cids: cids.clone(), deadline_ms: 0 });
    let granted: usize = served
        .iter()
        .map(|action| match action {
            Action::Serve { cids, .. } => cids.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(bench.step(Event::SharingChanged), std::slice::from_ref(&ask));
    assert_eq!(bench.step(Event::SharingChanged), [], "one question at a time");
    // The answer may be from before the change.
    assert_eq!(bench.shared(1, all()), [ask]);
    let left = bench.shared(1, Holdings::default());
    assert!(granted < cids.len());
    let refuse = Message::Refuse { cids: cids[granted..].to_vec() };
    assert_eq!(left, [send(Message::Leave { root }), send(refuse)]);
    let late = bench.says(Message::Request { root, cids: vec![cid(2)], deadline_ms: 0 });
    assert_eq!(late[0], send(Message::Refuse { cids: vec![cid(2)] }));
}

#[test]
fn a_fetch_goes_on_when_its_root_is_not_shared_any_more() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.open(1);
    bench.says(Message::Join { root, holding: Holding::Nothing, reply: false });
    let join = |holding| send(Message::Join { root, holding, reply: true });
    assert_eq!(bench.shared(1, all()), [join(Holding::All)]);
    assert_eq!(bench.step(Event::SharingChanged), [Action::AskShared { peer: PEER, root }]);
    assert_eq!(bench.shared(1, Holdings::default()), [join(Holding::Nothing)]);
    let late = bench.says(Message::Request { root, cids: vec![cid(2)], deadline_ms: 0 });
    assert_eq!(late, [send(Message::Refuse { cids: vec![cid(2)] })]);
    bench.join(1, Holding::All);
    assert_eq!(asked(&bench.want_missing(2)), [cid(2)]);
}

#[test]
fn members_hear_of_more_and_of_less() {
    let mut bench = Bench::new();
    let root = cid(1);
    let join = |holding| send(Message::Join { root, holding, reply: true });
    let have = |n| send(Message::HaveAll { root, branch: cid(n) });
    assert_eq!(bench.share(1, complete(&[3])), [join(Holding::Part), have(3)]);
    bench.step(Event::SharingChanged);
    let more = bench.shared(1, complete(&[3, 5]));
    assert_eq!(more, [join(Holding::Part), have(3), have(5)]);
    bench.step(Event::SharingChanged);
    assert_eq!(bench.shared(1, complete(&[3, 5])), [], "nothing changed");
    bench.step(Event::SharingChanged);
    let less = bench.shared(1, complete(&[5]));
    assert_eq!(less, [join(Holding::Nothing), join(Holding::Part), have(5)]);
    bench.step(Event::SharingChanged);
    assert_eq!(bench.shared(1, all()), [join(Holding::All)]);
    bench.step(Event::SharingChanged);
    let less = bench.shared(1, complete(&[5]));
    assert_eq!(less, [join(Holding::Nothing), join(Holding::Part), have(5)]);
}

#[test]
fn a_root_that_was_not_shared_when_somebody_joined_its_fetch_is_asked_about_again() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.open(1);
    let ask = Action::AskShared { peer: PEER, root };
    assert!(bench.join(1, Holding::Nothing).contains(&ask));
    assert_eq!(bench.shared(1, Holdings::default()), []);
    assert_eq!(bench.step(Event::SharingChanged), [ask]);
    let join = Message::Join { root, holding: Holding::All, reply: true };
    assert_eq!(bench.shared(1, all()), [send(join)]);
}

#[test]
fn a_join_is_not_turned_away_by_an_answer_from_before_a_change() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.says(Message::Join { root, holding: Holding::Nothing, reply: false });
    assert_eq!(bench.step(Event::SharingChanged), []);
    let again = bench.shared(1, Holdings::default());
    assert_eq!(again, [Action::AskShared { peer: PEER, root }]);
    let join = Message::Join { root, holding: Holding::All, reply: true };
    assert_eq!(bench.shared(1, all()), [send(join)]);
}

#[test]
fn who_takes_back_what_it_held_is_not_asked_for_it() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.join(1, Holding::All);
    bench.join(1, Holding::Nothing);
    assert_eq!(asked(&bench.want_missing(1)), []);
    bench.join(1, Holding::All);
    assert_eq!(bench.engine.stats(SESSION).outstanding, 1);
    let refused = bench.says(Message::Refuse { cids: vec![cid(1)] });
    let kind = ViolationKind::RefusedAnnounced;
    assert_eq!(refused, [Action::Violation { peer: PEER, kind }]);
}

#[test]
fn who_took_no_part_is_invited_again_but_not_more_than_once_a_second() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.open(1);
    bench.says(Message::Leave { root });
    let join = send(Message::Join { root, holding: Holding::Nothing, reply: false });
    let invite = Event::Invite { session: SESSION, peer: PEER };
    assert_eq!(bench.step(invite.clone()), [], "it has just been invited");
    assert_eq!(bench.wait(900), []);
    assert_eq!(bench.wait(100), std::slice::from_ref(&join), "what came too early is not lost");
    bench.says(Message::Leave { root });
    assert_eq!(bench.wait(1_000), []);
    assert_eq!(bench.step(invite.clone()), [join]);
    bench.join(1, Holding::All);
    bench.wait(2_000);
    assert_eq!(bench.step(invite), [], "it takes part");
    let stranger = Event::Invite { session: SESSION, peer: PeerNo(9) };
    assert_eq!(bench.step(stranger), []);
}

#[test]
fn each_want_is_told_by_itself_that_it_has_a_provider_again() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.open(1);
    bench.join(1, Holding::Part);
    let children = [2u8, 4].map(|n| Child { cid: cid(n), size: 65_536 }).to_vec();
    let links = Links { kind: LinksKind::File, children };
    bench.want(1, false);
    bench.probed(1, Probe::Branch(links));
    bench.wait(50);
    bench.want_missing(2);
    bench.want_missing(4);
    let none = |n| Action::NoProvider { session: SESSION, cid: cid(n) };
    assert_eq!(bench.wait(2_000), [none(2), none(4)]);
    assert_eq!(bench.wait(2_000), []);
    bench.says(Message::Have { root, branch: root, first: 1, bits: vec![1] });
    let again = Action::Provider { session: SESSION, cid: cid(4) };
    assert_eq!(bench.wait(50), [again]);
    assert_eq!(bench.engine.stats(SESSION).outstanding, 1);
    let refused = bench.says(Message::Refuse { cids: vec![cid(4)] });
    assert_eq!(refused.len(), 1);
    assert_eq!(bench.wait(50), [none(4)]);
}

#[test]
fn a_single_block_that_is_here_is_not_asked_for() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.open(1);
    bench.join(1, Holding::All);
    let children = [2u8, 4].map(|n| Child { cid: cid(n), size: 65_536 }).to_vec();
    let links = Links { kind: LinksKind::File, children };
    let got = |n| Action::Got { session: SESSION, cid: cid(n) };
    bench.want(1, false);
    assert_eq!(bench.probed(1, Probe::Branch(links)), [got(1)]);
    bench.want(4, false);
    assert_eq!(bench.probed(4, Probe::Leaf), [got(4)]);
    assert_eq!(bench.want(4, false), [got(4)]);
    let told = bench.wait(50);
    let have = Message::Have { root, branch: root, first: 1, bits: vec![1] };
    assert!(told.contains(&send(have)), "{told:?}");
    let request = Message::Request { root, cids: vec![cid(4)], deadline_ms: 0 };
    let serve = Action::Serve { peer: PEER, cids: vec![cid(4)], cached_ok: true };
    assert_eq!(bench.says(request), [serve]);
}

#[test]
fn single_wants_are_probed_together() {
    let mut bench = Bench::new();
    bench.open(1);
    let wants = [2u8, 4, 6].map(|n| Event::Want {
        session: SESSION,
        cid: cid(n),
        under: None,
        place: None,
        deadline: None,
        tree: false,
    });
    for want in wants {
        bench.engine.handle(want, bench.now);
    }
    let cids = [2u8, 4, 6].map(|n| (cid(n), None)).to_vec();
    let unwant = Event::Unwant { session: SESSION, cid: cid(9) };
    assert_eq!(bench.step(unwant), [Action::Probe { session: SESSION, cids }]);
    bench.step(Event::Unwant { session: SESSION, cid: cid(2) });
    bench.probed(2, Probe::Missing);
    assert_eq!(bench.engine.stats(SESSION).missing, 0, "nobody wants it any more");
}

#[test]
fn a_want_of_no_session_has_no_provider() {
    let mut bench = Bench::new();
    let none = Action::NoProvider { session: SESSION, cid: cid(2) };
    assert_eq!(bench.want(2, false), [none]);
}

#[test]
fn a_second_fetch_does_not_inherit_the_figures_of_the_first() {
    let mut bench = Bench::new();
    let (root, second) = (cid(1), SessionId(8));
    bench.open(1);
    bench.join(1, Holding::All);
    bench.want_missing(2);
    let receipt = Receipt::Stored { links: None };
    let came = |n| Event::Received { peer: PEER, cid: cid(n), len: 100, receipt: receipt.clone() };
    bench.step(came(2));
    bench.step(Event::Open { session: second, root });
    let stats = bench.engine.stats(second);
    assert_eq!((stats.bytes_received, stats.blocks_received, stats.per_peer), (0, 0, vec![]));
    bench.want_missing(4);
    bench.step(came(4));
    bench.step(Event::PeerDisconnected { peer: PEER });
    let stats = bench.engine.stats(second);
    assert_eq!((stats.bytes_received, stats.per_peer), (100, vec![(PEER, 100)]));
    let stats = bench.engine.stats(SESSION);
    assert_eq!((stats.bytes_received, stats.per_peer), (200, vec![(PEER, 200)]));
}

#[test]
fn a_reader_that_goes_on_for_long_does_not_run_out_of_slots() {
    let mut bench = Bench::new();
    let (root, session) = (cid(1), SESSION);
    bench.open(1);
    for n in 0..u32::try_from(SLOTS_MAX).unwrap() + 10 {
        let name = [&n.to_le_bytes()[..], b"leaf"].concat();
        let cid = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &name);
        let want =
            Event::Want { session, cid, under: None, place: None, deadline: None, tree: false };
        let probe = Action::Probe { session, cids: vec![(cid, None)] };
        let probed = Event::Probed { session, found: vec![(cid, Probe::Leaf)] };
        let got = Action::Got { session, cid };
        for (event, action) in [(want, probe), (probed, got)] {
            bench.engine.handle(event, bench.now);
            assert_eq!(bench.engine.poll_action(), Some(action), "{n}");
            assert_eq!(bench.engine.poll_action(), None);
        }
    }
    bench.step(Event::Unwant { session, cid: root });
}

#[test]
fn answers_from_before_a_change_do_not_end_a_swarm_that_others_made() {
    let mut bench = Bench::new();
    let (root, peer) = (cid(1), PeerNo(2));
    let message = Message::Join { root, holding: Holding::Nothing, reply: false };
    bench.step(Event::PeerConnected { peer, prefix: prefix(2) });
    bench.says(message.clone());
    bench.step(Event::Message { peer, message });
    bench.step(Event::SharingChanged);
    bench.shared(1, all());
    // Both questions were asked before the change; the second answer is older still.
    let holdings = Holdings::default();
    let old = bench.step(Event::Shared { peer, root, holdings });
    let join = Message::Join { root, holding: Holding::All, reply: true };
    assert_eq!(old, [Action::Send { peer, message: join }]);
}

#[test]
fn who_is_in_too_many_swarms_leaves_no_empty_one_behind() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.join(1, Holding::Nothing);
    for n in 0..u32::try_from(JOINED_MAX).unwrap() {
        let root = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &n.to_le_bytes());
        bench.says(Message::Join { root, holding: Holding::Nothing, reply: false });
        bench.step(Event::Shared { peer: PEER, root, holdings: all() });
        bench.now += Duration::from_secs(1);
    }
    assert_eq!(bench.engine.peer_stats(PEER).unwrap().violations.len(), 1);
}
