//! What is told of a block that was known before the way to it.
//!
//! The answers of the store come in any order, so a sub-tree may be walked before the branch above it
//! is mapped; its place there is then an alias. Members were not told of such a place, and a part
//! of a root that was seeded on after a fetch was found by nobody.

use super::rules::{Bench, PEER, SESSION};
use super::*;

/// A directory with these entries.
fn directory(entries: &[u8]) -> Probe {
    let children = entries.iter().map(|n| Child { cid: cid(*n), size: 65_536 }).collect();
    Probe::Branch(Links { kind: LinksKind::Directory, children })
}

fn have_all(n: u8) -> Action {
    Action::Send { peer: PEER, message: Message::HaveAll { root: cid(1), branch: cid(n) } }
}

fn have(branch: u8, first: u32, bits: u8) -> Action {
    let message = Message::Have { root: cid(1), branch: cid(branch), first, bits: vec![bits] };
    Action::Send { peer: PEER, message }
}

impl Bench {
    /// Seeds 1/3/5 on: the directories on the way and everything below 5, which is the leaf 2.
    fn seeding_on() -> Self {
        let mut bench = Self::new();
        bench.step(Event::Open { session: SESSION, root: cid(1) });
        bench.want(1, false);
        bench.want(3, false);
        let (session, cid, under) = (SESSION, cid(5), Some(cid(3)));
        let (place, deadline, tree) = (None, None, true);
        bench.step(Event::Want { session, cid, under, place, deadline, tree });
        bench
    }

    fn answered(&mut self, order: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        for n in order {
            actions.extend(match n {
                1 => self.probed(1, directory(&[4, 3])),
                3 => self.probed(3, directory(&[6, 8, 5])),
                5 => self.probed(5, directory(&[2])),
                n => self.probed(*n, Probe::Leaf),
            });
        }
        actions
    }
}

/// Every order in which the store may answer: 2 is asked about once 5 is known.
const ORDERS: [&[u8]; 6] =
    [&[1, 3, 5, 2], &[3, 1, 5, 2], &[3, 5, 1, 2], &[5, 3, 2, 1], &[5, 2, 1, 3], &[5, 2, 3, 1]];

#[test]
fn who_joins_is_told_the_place_of_a_part_in_whatever_order_it_was_found() {
    for order in ORDERS {
        let mut bench = Bench::seeding_on();
        bench.answered(order);
        let told = bench.join(1, Holding::Nothing);
        for expected in [have(1, 1, 1), have(3, 2, 1), have_all(5)] {
            let times = told.iter().filter(|action| **action == expected).count();
            assert_eq!(times, 1, "{expected:?} in {told:?} after {order:?}");
        }
    }
}

#[test]
fn a_member_hears_of_the_place_of_a_part_in_whatever_order_it_is_found() {
    for order in ORDERS {
        let mut bench = Bench::seeding_on();
        bench.join(1, Holding::Nothing);
        let mut told = Vec::new();
        for n in order {
            told.extend(bench.answered(&[*n]));
            told.extend(bench.wait(50));
        }
        for expected in [have(1, 1, 1), have(3, 2, 1), have_all(5)] {
            assert!(told.contains(&expected), "{expected:?} in {told:?} after {order:?}");
        }
    }
}
