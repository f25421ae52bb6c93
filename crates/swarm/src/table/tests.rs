//! Ranges, the pool and its levels.
//!
//! Ranges of slots are taken and given back at random and counted again; the pick of the rarest
//! slot is compared with what the levels were built from.

use proptest::prelude::*;
use shoal_dag::hash::{HashKind, RAW, cid_of};

use super::*;

fn slot(n: u64) -> Slot {
    let cid = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, &n.to_le_bytes());
    Table::fresh(cid, n)
}

proptest! {
    #[test]
    fn ranges_never_overlap(steps in proptest::collection::vec((1u32..20, any::<bool>()), 1..60)) {
        let mut table = Table::default();
        let mut held: Vec<(u32, u32)> = Vec::new();
        let mut next = 0;
        for (count, take) in steps {
            if take || held.is_empty() {
                let base = table.allocate(count).unwrap();
                for at in base..base + count {
                    prop_assert_eq!(table.slot(at).state, State::Free);
                    next += 1;
                    table.fill(at, slot(next));
                }
                held.push((base, count));
            } else {
                let (base, count) = held.swap_remove(count as usize % held.len());
                table.release(base, count);
            }
            table.check_levels();
            let used: u32 = held.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(table.used(), used);
        }
    }
}

#[test]
fn room_has_an_end() {
    let mut table = Table::default();
    let half = SLOTS_MAX as u32 / 2;
    assert_eq!(table.allocate(half), Some(0));
    assert_eq!(table.allocate(half), Some(half));
    assert_eq!(table.allocate(1), None);
    table.release(0, half);
    assert_eq!(table.allocate(half + 1), None);
    assert_eq!(table.allocate(half), Some(0));
}

#[test]
fn the_rarest_is_found_among_what_is_held() {
    let mut table = Table::default();
    let base = table.allocate(100).unwrap();
    for at in base..base + 100 {
        table.fill(at, slot(u64::from(at)));
        table.change(at, State::Missing);
        for _ in 0..=(at % 7) {
            table.count_holder(at, true);
        }
    }
    table.check_levels();
    let none = BitSet::default();
    assert_eq!(table.rarest(50, None, &none), Some(56));
    let mut held = BitSet::default();
    for at in [3, 5, 6] {
        assert!(held.set(at));
    }
    assert_eq!(table.rarest(50, Some(&held), &none), Some(3));
    let mut except = BitSet::default();
    except.set(3);
    assert_eq!(table.rarest(50, Some(&held), &except), Some(5));
    table.change(5, State::Asked(PeerNo(1), 1));
    assert_eq!(table.rarest(50, Some(&held), &except), Some(6));
}

#[test]
fn a_block_has_one_slot_and_aliases() {
    let mut table = Table::default();
    let base = table.allocate(2).unwrap();
    assert_eq!(table.fill(base, slot(9)), State::Idle);
    assert_eq!(table.fill(base + 1, slot(9)), State::Alias(base));
    assert_eq!(table.resolve(base + 1), base);
    assert_eq!(table.find(9, &slot(9).cid), Some(base));
}
