//! Tests of positions: their limits, their order, and their two spellings (text and sequence
//! number).

use super::*;
use proptest::prelude::*;

#[track_caller]
fn position(epoch: u64, index: u64) -> Position {
    Position { epoch: Epoch::new(epoch).unwrap(), index: Index::new(index).unwrap() }
}

#[test]
fn limits_hold_at_the_edge() {
    assert_eq!(EPOCH_MAX, 8_388_607);
    assert_eq!(INDEX_MAX, 1_099_511_627_774);
    assert_eq!(Epoch::new(EPOCH_MAX + 1), Err(PositionError::Epoch(EPOCH_MAX + 1)));
    assert_eq!(Index::new(INDEX_MAX + 1), Err(PositionError::Index(INDEX_MAX + 1)));
    assert_eq!(position(0, 0).sequence(), 1);
    assert_eq!(position(EPOCH_MAX, INDEX_MAX).sequence(), (1 << 63) - 1);
}

#[test]
fn sequences_of_no_entry_are_refused() {
    for sequence in [0, 1 << 40, 5 << 40, 1 << 63, u64::MAX] {
        assert_eq!(Position::from_sequence(sequence), Err(PositionError::Sequence(sequence)));
    }
}

#[test]
fn text_has_one_spelling() {
    assert_eq!(position(2, 17).to_string(), "#2.17");
    assert_eq!("#2.17".parse(), Ok(position(2, 17)));
    for text in ["", "#", "#1", "1.2", "#01.2", "#1.+2", "#1. 2", "#1.2.3", "#-1.2", "#a.2", "#1."]
    {
        assert_eq!(text.parse::<Position>(), Err(PositionError::Text), "{text:?}");
    }
    assert_eq!("#8388608.0".parse::<Position>(), Err(PositionError::Epoch(8_388_608)));
}

#[test]
fn a_recovery_supersedes_any_index() {
    assert!(position(1, 0) > position(0, INDEX_MAX));
    assert!(position(1, 0).sequence() > position(0, INDEX_MAX).sequence());
}

/// Few values, close to the edges, so that equal parts and carries occur.
fn any_position() -> impl Strategy<Value = Position> {
    let epoch = prop_oneof![0..3u64, EPOCH_MAX - 1..=EPOCH_MAX];
    let index = prop_oneof![0..3u64, INDEX_MAX - 1..=INDEX_MAX];
    (epoch, index).prop_map(|(epoch, index)| position(epoch, index))
}

proptest! {
    #[test]
    fn sequence_keeps_order_and_comes_back(a in any_position(), b in any_position()) {
        prop_assert_eq!(a.cmp(&b), a.sequence().cmp(&b.sequence()));
        prop_assert_eq!(Position::from_sequence(a.sequence()), Ok(a));
    }

    #[test]
    fn text_comes_back(a in any_position()) {
        prop_assert_eq!(a.to_string().parse(), Ok(a));
    }
}
