//! The store through its public surface: what it keeps, what it survives, what it refuses.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic with its line is what a failing test is for, and a skipped one says why"
)]

mod answers;
mod basics;
mod collect;
mod collect_fixture;
mod collect_model;
mod collect_races;
mod concurrent;
mod damage;
mod extents;
mod fetch;
mod fixture;
mod flips;
mod full_disk;
mod layer;
mod model;
mod move_out;
mod pins;
mod races;
mod rebase;
mod rebuild;
mod recovery;
mod reference;
mod reflink;
mod verify;
mod versions;
