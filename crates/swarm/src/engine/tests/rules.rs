//! Single rules, event by event.
//!
//! Each test says a few events to one engine and compares the actions word for word where that is
//! what others build on: joins, places, announcements, refusals, expiry, and former failures.

use super::*;
use crate::ViolationKind;

pub(super) const PEER: PeerNo = PeerNo(1);
pub(super) const SESSION: SessionId = SessionId(7);

pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) now: Duration,
}

impl Bench {
    pub(super) fn new() -> Self {
        let mut bench = Self { engine: Engine::new(Config::default(), 1), now: Duration::ZERO };
        bench.step(Event::PeerConnected { peer: PEER, prefix: prefix(1) });
        bench
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        self.engine.handle(event, self.now);
        self.engine.check_books();
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    pub(super) fn says(&mut self, message: Message) -> Vec<Action> {
        self.step(Event::Message { peer: PEER, message })
    }

    pub(super) fn wait(&mut self, ms: u64) -> Vec<Action> {
        self.now += Duration::from_millis(ms);
        self.engine.handle_timeout(self.now);
        self.engine.check_books();
        std::iter::from_fn(|| self.engine.poll_action()).collect()
    }

    pub(super) fn want(&mut self, n: u8, tree: bool) -> Vec<Action> {
        let (session, cid) = (SESSION, cid(n));
        self.step(Event::Want { session, cid, under: None, place: None, deadline: None, tree })
    }

    pub(super) fn probed(&mut self, n: u8, probe: Probe) -> Vec<Action> {
        self.step(Event::Probed { session: SESSION, found: vec![(cid(n), probe)] })
    }

    /// Wants a single block that is not in the store.
    pub(super) fn want_missing(&mut self, n: u8) -> Vec<Action> {
        let probes = self.want(n, false);
        assert!(matches!(probes[..], [Action::Probe { .. }]), "{probes:?}");
        self.probed(n, Probe::Missing)
    }

    pub(super) fn join(&mut self, root: u8, holding: Holding) -> Vec<Action> {
        self.says(Message::Join { root: cid(root), holding, reply: true })
    }
}

pub(super) fn asked(actions: &[Action]) -> Vec<Cid> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Ask { asks, .. } => Some(asks.iter().map(|ask| ask.cid)),
        _ => None,
    });
    asks.flatten().collect()
}

#[test]
fn opening_invites_everybody_connected_and_to_come() {
    let mut bench = Bench::new();
    let root = cid(1);
    let join = Message::Join { root, holding: Holding::Nothing, reply: false };
    let opened = bench.step(Event::Open { session: SESSION, root });
    assert_eq!(opened, [Action::Send { peer: PEER, message: join.clone() }]);
    let peer = PeerNo(2);
    let came = bench.step(Event::PeerConnected { peer, prefix: prefix(2) });
    assert_eq!(came, [Action::Send { peer, message: join }]);
    let closed = bench.step(Event::Close { session: SESSION });
    assert_eq!(closed.len(), 2);
}

#[test]
fn a_join_to_an_unknown_root_asks_the_node() {
    let mut bench = Bench::new();
    let root = cid(1);
    let join = Message::Join { root, holding: Holding::Nothing, reply: false };
    assert_eq!(bench.says(join.clone()), [Action::AskShared { peer: PEER, root }]);
    let no = Event::Shared { peer: PEER, root, holdings: Holdings::default() };
    let leave = Action::Send { peer: PEER, message: Message::Leave { root } };
    assert_eq!(bench.step(no), [leave]);
    bench.says(join);
    let all = Holdings { all: true, ..Holdings::default() };
    let answer = bench.step(Event::Shared { peer: PEER, root, holdings: all });
    let message = Message::Join { root, holding: Holding::All, reply: true };
    assert_eq!(answer, [Action::Send { peer: PEER, message }]);
    let request = Message::Request { root, cids: vec![cid(2)], deadline_ms: 0 };
    let serve = Action::Serve { peer: PEER, cids: vec![cid(2)], cached_ok: false };
    assert_eq!(bench.says(request), [serve]);
}

#[test]
fn a_request_without_a_join_is_refused_and_counted() {
    let mut bench = Bench::new();
    let request = Message::Request { root: cid(1), cids: vec![cid(2)], deadline_ms: 0 };
    let refuse = Message::Refuse { cids: vec![cid(2)] };
    let kind = ViolationKind::NotJoined;
    let expected =
        [Action::Send { peer: PEER, message: refuse }, Action::Violation { peer: PEER, kind }];
    assert_eq!(bench.says(request), expected);
}

#[test]
fn places_flow_down_from_the_root_of_a_file() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.step(Event::Open { session: SESSION, root });
    bench.join(1, Holding::All);
    bench.want(1, true);
    let child = |n: u8, size| Child { cid: cid(n), size };
    let top = Links { kind: LinksKind::File, children: vec![child(3, 100), child(5, 50)] };
    let below = Links { kind: LinksKind::File, children: vec![child(2, 20), child(4, 30)] };
    let probe = |cid, probe| Event::Probed { session: SESSION, found: vec![(cid, probe)] };
    bench.step(probe(root, Probe::Branch(top)));
    let probes = bench.step(probe(cid(5), Probe::Branch(below)));
    let place = |offset| Some(Place { file: root, size: 150, offset });
    let cids = vec![(cid(2), place(100)), (cid(4), place(120))];
    assert_eq!(probes, [Action::Probe { session: SESSION, cids }]);
}

#[test]
fn the_rarest_block_is_asked_for_first() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.step(Event::Open { session: SESSION, root });
    bench.want(1, true);
    let children = [2u8, 4, 6, 8].map(|n| Child { cid: cid(n), size: 65_536 }).to_vec();
    let links = Links { kind: LinksKind::Directory, children };
    let found = vec![(root, Probe::Branch(links))];
    bench.step(Event::Probed { session: SESSION, found });
    for peer in [2, 3].map(PeerNo) {
        bench.step(Event::PeerConnected { peer, prefix: prefix(2) });
        let join = Message::Join { root, holding: Holding::Part, reply: true };
        bench.step(Event::Message { peer, message: join });
        let message = Message::Have { root, branch: root, first: 0, bits: vec![0b1011] };
        bench.step(Event::Message { peer, message });
    }
    bench.join(1, Holding::All);
    let found = [2u8, 4, 6, 8].map(|n| (cid(n), Probe::Missing)).to_vec();
    let actions = bench.step(Event::Probed { session: SESSION, found });
    let first = actions.iter().find_map(|action| match action {
        Action::Ask { peer: PEER, asks, .. } => Some(asks[0].cid),
        _ => None,
    });
    assert_eq!(first, Some(cid(6)));
    assert_eq!(asked(&actions).len(), 3);
}

#[test]
fn what_came_is_announced_within_a_tick() {
    let mut bench = Bench::new();
    let root = cid(1);
    bench.step(Event::Open { session: SESSION, root });
    bench.join(1, Holding::All);
    bench.want(1, true);
    let children = [2u8, 4].map(|n| Child { cid: cid(n), size: 65_536 }).to_vec();
    let links = Links { kind: LinksKind::File, children };
    let found = vec![(root, Probe::Missing)];
    assert_eq!(asked(&bench.step(Event::Probed { session: SESSION, found })), [root]);
    let receipt = Receipt::Stored { links: Some(links) };
    bench.step(Event::Received { peer: PEER, cid: root, len: 100, receipt });
    let found = vec![(cid(2), Probe::Missing), (cid(4), Probe::Missing)];
    bench.step(Event::Probed { session: SESSION, found });
    let receipt = Receipt::Stored { links: None };
    bench.step(Event::Received { peer: PEER, cid: cid(4), len: 65_536, receipt });
    let told = bench.wait(50);
    let message = Message::Have { root, branch: root, first: 1, bits: vec![1] };
    assert!(told.contains(&Action::Send { peer: PEER, message }), "{told:?}");
    let receipt = Receipt::Stored { links: None };
    let done = bench.step(Event::Received { peer: PEER, cid: cid(2), len: 65_536, receipt });
    assert!(done.contains(&Action::TreeDone { session: SESSION, cid: root }));
    let told = bench.wait(50);
    let message = Message::HaveAll { root, branch: root };
    assert!(told.contains(&Action::Send { peer: PEER, message }), "{told:?}");
    let request = Message::Request { root, cids: vec![cid(2)], deadline_ms: 0 };
    let serve = Action::Serve { peer: PEER, cids: vec![cid(2)], cached_ok: true };
    assert_eq!(bench.says(request), [serve]);
    assert!(bench.engine.stats(SESSION).complete);
    assert_eq!(bench.wait(50), []);
    assert_eq!(bench.engine.poll_timeout(), None, "nothing to do, nothing to wait for");
}

#[test]
fn silence_takes_everything_back_and_the_peer_rests() {
    let mut bench = Bench::new();
    let root = cid(2);
    bench.step(Event::Open { session: SESSION, root });
    bench.join(2, Holding::All);
    assert_eq!(asked(&bench.want_missing(2)), [root]);
    let actions = bench.wait(4_100);
    let cancel = Message::Cancel { cids: vec![root] };
    assert!(actions.contains(&Action::Send { peer: PEER, message: cancel }));
    assert!(asked(&bench.wait(3_900)).is_empty());
    assert_eq!(asked(&bench.wait(200)), [root]);
}

#[test]
fn endless_joins_are_flooding() {
    let mut bench = Bench::new();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    let flood = Action::Violation { peer: PEER, kind: ViolationKind::Flooding };
    let mut floods = 0;
    for _ in 0..1_000 {
        floods += bench.join(1, Holding::Part).iter().filter(|action| **action == flood).count();
    }
    assert!((500..1_000).contains(&floods), "{floods}");
}

#[test]
fn regression_a_reader_does_not_ask_one_that_goes() {
    let mut bench = Bench::new();
    bench.step(Event::Open { session: SESSION, root: cid(2) });
    bench.join(2, Holding::All);
    let (session, cid, deadline) = (SESSION, cid(4), Some(Duration::ZERO));
    let want = Event::Want { session, cid, under: None, place: None, deadline, tree: false };
    bench.step(want);
    assert_eq!(asked(&bench.probed(4, Probe::Missing)), [cid]);
    assert_eq!(asked(&bench.step(Event::PeerDisconnected { peer: PEER })), []);
}

#[test]
fn regression_a_tower_of_diamonds_is_entered_once() {
    let mut bench = Bench::new();
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.join(1, Holding::Part);
    bench.want(1, true);
    // 2^40 ways from the top to the bottom.
    for n in (1..81).step_by(2) {
        let child = Child { cid: cid(n + 2), size: 1 };
        let links = Links { kind: LinksKind::Directory, children: vec![child, child] };
        let found = vec![(cid(n), Probe::Branch(links))];
        bench.step(Event::Probed { session: SESSION, found });
    }
    bench.step(Event::Probed { session: SESSION, found: vec![(cid(81), Probe::Missing)] });
    let told = bench.says(Message::HaveAll { root: cid(1), branch: cid(3) });
    assert_eq!(asked(&told), [cid(81)]);
}
