//! Whose block is written next.
//!
//! Peers with full queues contend for a thousand blocks and the shares are compared with the rule:
//! credit, newcomers, a seed's accounts. Random choices come from a fixed seed.

use std::net::{IpAddr, Ipv4Addr};

use shoal_dag::hash::{HashKind, RAW, cid_of};

use super::*;
use crate::limits::{CREDIT_HALF_LIFE, GRANTED_PEER_MAX, QUEUE_MAX};

const LEAF: u32 = 65_536;

fn prefix(n: u32) -> Prefix {
    Prefix::of(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)))
}

fn entry(n: u64) -> Entry {
    let name = n.to_le_bytes();
    Entry {
        cid: cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &name),
        print: n,
        swarm: 0,
        bytes: LEAF,
        cached_ok: true,
        deadline: None,
        at: Duration::ZERO,
        allowance: 1 << 20,
    }
}

struct Bench {
    uplink: Uplink,
    random: Random,
    next: u64,
    names: BTreeMap<Cid, u64>,
}

impl Bench {
    fn new(peers: u32) -> Self {
        let mut uplink = Uplink::new(Duration::ZERO);
        for n in 0..peers {
            uplink.connected(PeerNo(n), prefix(n));
        }
        Self { uplink, random: Random::new(5), next: 0, names: BTreeMap::new() }
    }

    /// Grants and writes until `blocks` are sent, with everybody's queue kept full; blocks per peer.
    fn contend(&mut self, peers: u32, blocks: usize, downloading: bool) -> Vec<usize> {
        let mut counts = vec![0; peers as usize];
        let mut out = VecDeque::new();
        while counts.iter().sum::<usize>() < blocks {
            for n in 0..peers {
                while self.uplink.queued(PeerNo(n)) < 20 {
                    self.next += 1;
                    let entry = entry(self.next);
                    self.names.insert(entry.cid, entry.print);
                    assert!(self.uplink.request(PeerNo(n), entry));
                }
            }
            self.uplink.grant(downloading, Duration::ZERO, &mut self.random, &mut out);
            assert!(!out.is_empty(), "somebody waits and nothing is granted");
            while let Some(Action::Serve { peer, cids, .. }) = out.pop_front() {
                counts[peer.0 as usize] += cids.len();
                for cid in cids {
                    let print = self.names[&cid];
                    self.uplink.settled(peer, print, LEAF, Duration::ZERO);
                }
            }
            self.uplink.check_books();
        }
        counts
    }
}

#[test]
fn one_requester_gets_runs() {
    let mut bench = Bench::new(1);
    for n in 0..100 {
        bench.uplink.request(PeerNo(0), entry(n));
    }
    let mut out = VecDeque::new();
    bench.uplink.grant(false, Duration::ZERO, &mut bench.random, &mut out);
    assert_eq!(out.len(), 1);
    let Some(Action::Serve { cids, .. }) = out.pop_front() else { panic!() };
    assert!(cids.len() >= 4 && cids.len() as u64 * u64::from(LEAF) <= GRANTED_PEER_MAX);
    assert_eq!(cids[0], entry(0).cid);
}

#[test]
fn credit_is_a_lottery_by_what_was_given() {
    let mut bench = Bench::new(3);
    bench.uplink.credit(PeerNo(0), 3 * LEAF, Duration::ZERO);
    bench.uplink.credit(PeerNo(1), LEAF, Duration::ZERO);
    let counts = bench.contend(3, 8_000, true);
    println!("given 3:1:0 -> {counts:?}");
    let ratio = counts[0] as f64 / counts[1] as f64;
    assert!((2.6..3.4).contains(&ratio), "{ratio}");
    // The newcomer gets its allowance of 16 leaves, and as a rider nothing after it.
    assert!((16..30).contains(&counts[2]), "{}", counts[2]);
}

#[test]
fn credit_halves_in_three_seconds() {
    let mut bench = Bench::new(2);
    bench.uplink.credit(PeerNo(0), LEAF, Duration::ZERO);
    bench.uplink.credit(PeerNo(1), LEAF, CREDIT_HALF_LIFE);
    let counts = bench.contend(2, 6_000, true);
    let ratio = counts[1] as f64 / counts[0] as f64;
    assert!((1.7..2.3).contains(&ratio), "{ratio}");
    // A landmark that is long past moves.
    bench.uplink.credit(PeerNo(0), LEAF, 1_000 * CREDIT_HALF_LIFE);
    assert!(bench.uplink.requesters[&PeerNo(0)].credit.is_finite());
}

#[test]
fn a_seed_gives_equally_until_something_is_confirmed() {
    let mut bench = Bench::new(4);
    let counts = bench.contend(4, 4_000, false);
    assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
}

#[test]
fn a_seed_gives_to_those_who_forward() {
    let mut bench = Bench::new(2);
    bench.contend(2, 200, false);
    // Peer 1's prefix announces what peer 0 got, and nobody announces what peer 1 got.
    for print in 1..=bench.next {
        bench.uplink.announced(PeerNo(1), print, LEAF, 2);
    }
    let counts = bench.contend(2, 2_000, false);
    println!("forwarder {}, other {}", counts[0], counts[1]);
    assert!(counts[0] > 6 * counts[1]);
    // A third one comes: its allowance of 16 leaves is served beside the forwarder, then no more.
    bench.uplink.connected(PeerNo(2), prefix(2));
    let counts = bench.contend(3, 2_000, false);
    println!("forwarder {}, other {}, newcomer {}", counts[0], counts[1], counts[2]);
    assert!((16..32).contains(&counts[2]), "{}", counts[2]);
}

#[test]
fn accomplices_cannot_confirm_all() {
    let mut accounts = Accounts::new(Duration::ZERO);
    let holder = (prefix(0), 0);
    for stamp in 0..1_000 {
        accounts.give(holder, LEAF, stamp);
        // Two of twelve announce all that it gets.
        for friend in [1, 2] {
            accounts.confirm(holder, prefix(friend), LEAF / 2, 12);
        }
    }
    let standing = accounts.of(holder);
    let share = standing.confirmed as f64 / standing.given as f64;
    assert!((0.25..0.3).contains(&share), "twice 1.5 / 11: {share}");
    accounts.confirm(holder, prefix(3), LEAF, 12);
    assert_eq!(accounts.of(holder).confirmed, standing.confirmed + u64::from(LEAF));
}

#[test]
fn who_takes_no_part_gets_what_others_leave() {
    for downloading in [false, true] {
        let mut bench = Bench::new(3);
        bench.uplink.spare_only(PeerNo(2));
        if downloading {
            bench.uplink.credit(PeerNo(0), LEAF, Duration::ZERO);
            bench.uplink.credit(PeerNo(1), LEAF, Duration::ZERO);
        }
        let counts = bench.contend(3, 1_000, downloading);
        // Peer 2 has the newcomer's allowance of the test's entries; a node gives it none.
        assert!(counts[2] <= 17, "{counts:?}");
        bench.uplink.disconnected(PeerNo(0));
        bench.uplink.disconnected(PeerNo(1));
        assert!(bench.uplink.request(PeerNo(2), entry(1 << 40)));
        let mut out = VecDeque::new();
        bench.uplink.grant(downloading, Duration::ZERO, &mut bench.random, &mut out);
        assert!(!out.is_empty(), "capacity is never wasted");
    }
}

/// Else a rider could take others' confirmations back, or use them up, over a second protocol.
#[test]
fn who_takes_no_part_is_no_part_of_the_accounts() {
    let mut bench = Bench::new(3);
    bench.uplink.spare_only(PeerNo(2));
    let mut out = VecDeque::new();
    let take = |bench: &mut Bench, out: &mut VecDeque<Action>, peer, print| {
        assert!(bench.uplink.request(PeerNo(peer), entry(print)));
        bench.uplink.grant(false, Duration::ZERO, &mut bench.random, out);
        bench.uplink.settled(PeerNo(peer), print, LEAF, Duration::ZERO);
    };
    take(&mut bench, &mut out, 2, 1);
    take(&mut bench, &mut out, 0, 1);
    bench.uplink.announced(PeerNo(1), 1, LEAF, 12);
    let confirmed = bench.uplink.accounts.of((prefix(0), 0)).confirmed;
    assert!(confirmed > 0, "it was the only copy that counts");
    take(&mut bench, &mut out, 2, 1);
    assert_eq!(bench.uplink.accounts.of((prefix(0), 0)).confirmed, confirmed);
}

#[test]
fn a_confirmation_is_taken_back_once() {
    let mut sent = Sent::default();
    let holder = (prefix(0), 0);
    sent.count(1, holder);
    assert_eq!(sent.confirmable(1, prefix(0)), None, "the same prefix confirms nothing");
    assert_eq!(sent.confirmable(1, prefix(1)), Some(holder));
    sent.confirm(1, LEAF);
    assert_eq!(sent.confirmable(1, prefix(2)), None);
    assert_eq!(sent.asked_again(1), Some((holder, LEAF)));
    assert_eq!(sent.asked_again(1), None);
    assert_eq!(sent.confirmable(1, prefix(1)), None);
    sent.count(2, holder);
    sent.count(2, (prefix(1), 0));
    assert_eq!(sent.confirmable(2, prefix(2)), None, "only sole copies count");
}

#[test]
fn deadlines_first_then_least_sent() {
    let mut sent = Sent::default();
    sent.count(1, (prefix(0), 0));
    let mut queue: VecDeque<Entry> = (1..=4).map(entry).collect();
    queue[3].deadline = Some(Duration::from_secs(9));
    let order = |alone| {
        let mut queue = queue.clone();
        std::iter::from_fn(|| queue::next(&mut queue, &sent, alone))
            .map(|entry| entry.print)
            .collect::<Vec<_>>()
    };
    assert_eq!(order(false), [4, 2, 3, 1]);
    assert_eq!(order(true), [4, 1, 2, 3]);
}

#[test]
fn queues_are_bounded_and_hold_nothing_twice() {
    let mut bench = Bench::new(1);
    assert!((0..QUEUE_MAX as u64).all(|n| bench.uplink.request(PeerNo(0), entry(n))));
    assert!(bench.uplink.request(PeerNo(0), entry(3)));
    assert!(!bench.uplink.request(PeerNo(0), entry(QUEUE_MAX as u64)));
    assert_eq!(bench.uplink.queued(PeerNo(0)) as usize, QUEUE_MAX);
    bench.uplink.disconnected(PeerNo(0));
    bench.uplink.check_books();
}
