//! Bandwidth limits in virtual time: held, changed while running, lifted.
//!
//! A peer that answers within a millisecond stands at the other end, so that the limit alone says
//! how much moves in a second.

use super::rules::{Bench, PEER, SESSION};
use super::*;

const LEAF: u64 = 65_536;
const CHILDREN: u32 = 4_000;
const RATE: u64 = 1 << 20;

/// What one side moves while time passes until `seconds`; every ask and grant is answered at once.
fn moved(bench: &mut Bench, mut actions: Vec<Action>, seconds: u64) -> u64 {
    let (end, mut bytes) = (Duration::from_secs(seconds), 0);
    loop {
        let mut next = Vec::new();
        for action in actions {
            next.extend(answer(bench, action, &mut bytes));
        }
        actions = next;
        if actions.is_empty() {
            match bench.engine.poll_timeout().filter(|at| *at < end) {
                Some(at) => {
                    actions = bench.wait(at.saturating_sub(bench.now).as_millis() as u64 + 1);
                }
                None => break,
            }
        }
    }
    bench.now = end;
    bytes
}

fn answer(bench: &mut Bench, action: Action, bytes: &mut u64) -> Vec<Action> {
    let mut all = Vec::new();
    match action {
        Action::Ask { asks, .. } => {
            *bytes += LEAF * asks.len() as u64;
            for ask in asks {
                let receipt = Receipt::Stored { links: None };
                let (peer, cid, len) = (PEER, ask.cid, LEAF as u32);
                all.extend(bench.step(Event::Received { peer, cid, len, receipt }));
            }
        }
        Action::Serve { cids, .. } => {
            *bytes += LEAF * cids.len() as u64;
            for cid in cids {
                let (peer, len, outcome) = (PEER, LEAF as u32, Served::Done);
                all.extend(bench.step(Event::Sent { peer, cid, len, outcome }));
            }
        }
        Action::Probe { session, cids } => {
            let found = cids.into_iter().map(|(cid, _)| (cid, Probe::Missing)).collect();
            all.extend(bench.step(Event::Probed { session, found }));
        }
        _ => {}
    }
    all
}

fn numbered(n: u32) -> Cid {
    cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &n.to_le_bytes())
}

fn limits(bench: &mut Bench, up: Option<u64>, down: Option<u64>) -> Vec<Action> {
    bench.step(Event::Limits { up, down })
}

#[track_caller]
fn near(bytes: u64, expected: u64) {
    let ratio = bytes as f64 / expected as f64;
    assert!((0.95..1.15).contains(&ratio), "{bytes} of {expected}");
}

#[test]
fn a_fetch_keeps_to_the_down_limit_and_to_a_new_one() {
    let mut bench = Bench::new();
    limits(&mut bench, None, Some(RATE));
    bench.step(Event::Open { session: SESSION, root: cid(1) });
    bench.join(1, Holding::All);
    bench.want(1, true);
    let child = |n| Child { cid: numbered(n), size: LEAF };
    let links = Links { kind: LinksKind::File, children: (0..CHILDREN).map(child).collect() };
    let first = bench.probed(1, Probe::Branch(links));
    near(moved(&mut bench, first, 10), 10 * RATE);
    let more = limits(&mut bench, None, Some(4 * RATE));
    near(moved(&mut bench, more, 20), 40 * RATE);
    let less = limits(&mut bench, None, Some(RATE / 2));
    near(moved(&mut bench, less, 40), 10 * RATE);
    let off = limits(&mut bench, None, None);
    let rest = u64::from(CHILDREN) * LEAF;
    assert!(moved(&mut bench, off, 41) > rest / 2, "nothing holds it back any more");
    assert!(bench.engine.stats(SESSION).complete);
}

#[test]
fn serving_keeps_to_the_up_limit_and_to_a_new_one() {
    let mut bench = Bench::new();
    limits(&mut bench, Some(RATE), None);
    let root = cid(1);
    bench.says(Message::Join { root, holding: Holding::Nothing, reply: false });
    let holdings = Holdings { all: true, ..Holdings::default() };
    bench.step(Event::Shared { peer: PEER, root, holdings });
    let mut first = Vec::new();
    for n in 0..10 {
        let cids = (0..crate::limits::REQUEST_CIDS_MAX as u32).map(|i| numbered(n * 128 + i));
        first.extend(bench.says(Message::Request { root, cids: cids.collect(), deadline_ms: 0 }));
    }
    let first = moved(&mut bench, first, 10);
    near(first, 10 * RATE);
    let more = limits(&mut bench, Some(4 * RATE), None);
    let more = moved(&mut bench, more, 15);
    near(more, 20 * RATE);
    let off = limits(&mut bench, None, None);
    assert_eq!(first + more + moved(&mut bench, off, 16), 1_280 * LEAF, "the rest at once");
}
