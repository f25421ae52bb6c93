//! Every adversary of the report, each alone and from seeds.
//!
//! | adversary | test |
//! |---|---|
//! | equivocating writer with split audience | `histories`: `a_split_audience_..` |
//! | withholding, rollback | `histories`: `what_is_withheld_..`; records: `records`: `old_records_..` |
//! | eclipse of one reader, then heal | `histories`: `an_eclipsed_reader_..` |
//! | late publisher of a hidden branch | `histories`: `a_hidden_branch_..` |
//! | replayer across ledgers, epochs, names | `histories`: `nothing_counts_..`, `records` |
//! | double-signing witness | `histories`: `what_witnesses_say_..` (shape only: none is judged yet) |
//! | thief against a recovery | `thieves`: `a_recovery_wins_..` |
//! | long range with retired keys | `thieves`: `retired_keys_..` |
//! | clocks a day off, a lock by a time to come | `thieves`: `clocks_..`, `a_time_to_come_..` |
//! | backup restore, two machines with one key | `thieves`: `a_restored_machine_..`, `two_machines_..` |
//! | entry flood | `thieves`: `a_flood_..` |
//! | stripper | `records`: `a_stripped_record_..` |
//! | sequence 2^63 - 1 | `records`: `the_last_sequence_..` |
//! | network of expired records only | `records`: `expired_records_..` |
//! | oversized, deep or non-canonical bytes | `bytes` |

mod bytes;
mod histories;
mod records;
mod thieves;

use super::dice::Dice;
use super::{ALL, Node};
use crate::chain::Chain;
use crate::reader::Reader;
use crate::sample::name;

/// Seeds of each adversary.
const SEEDS: u64 = 12;

/// All times have come.
const LATE: u64 = u64::MAX;

fn node() -> Node {
    Node::new(ALL)
}

/// Appends the owner's updates, as many as that.
fn more(chain: &Chain, entries: u64, root: u64) -> Chain {
    use crate::chain::Archive;
    let mut longer = chain.clone();
    crate::sample::grow(&mut longer, chain.len() + entries, root);
    longer
}

fn reader_of(chain: &Chain) -> Reader {
    let mut reader = Reader::new(name(), None);
    let proof = crate::head::prove(chain, None).expect("a whole chain");
    reader.accept(&proof, LATE).expect("an honest head");
    reader
}

/// In an order that the seed rolls, each as often as it is there.
fn shuffled<T>(mut items: Vec<T>, dice: &mut Dice) -> Vec<T> {
    for at in (1..items.len()).rev() {
        items.swap(at, dice.roll(at + 1));
    }
    items
}
