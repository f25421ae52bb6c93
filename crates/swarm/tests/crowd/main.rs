//! Crowds of engines in virtual time.
//!
//! Each test builds a [`world::World`] of real engines over stores that are sets of CIDs, joined by
//! links with rates and latency, and looks at when fetches end and what was sent. Everything
//! follows from the seed in the test; figures are printed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what surrounds the engines is part of the test"
)]

mod catalog;
mod faults;
mod fetches;
mod flash_crowd;
mod limits;
mod world;
