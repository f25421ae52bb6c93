//! Crashes of a store, simulated: nothing that was acknowledged may be lost.
//!
//! A recorder stands in the disk layer of a store and logs every change. The log is cut at a point and
//! done again into an empty directory as a power loss (or a kill) leaves it; then the store is opened and
//! asked for everything that was acknowledged before. Nothing here sleeps and nothing is timed but the
//! opening.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::unnecessary_wraps,
    reason = "a panic with its line is what a failing test is for, the runs print their figures, and \
              the operations of a table have one type"
)]

mod broken;
mod content;
mod facts;
mod faults;
mod history;
mod image;
mod operations;
mod power;
mod random;
mod recorder;
