//! Crowds of engines in virtual time.
//!
//! Each test builds a [`World`] of real engines over stores that are sets of CIDs, joined by
//! links with rates and latency, and looks at when fetches end and what was sent. Everything
//! follows from the seed in the test; figures are printed.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what surrounds the engines is part of the test"
)]

mod faults;
mod fetches;
mod limits;

use std::time::Duration;

use shoal_dag::Cid;
use shoal_swarm::sim::World;

/// Seconds.
fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// When a node had everything below a root, in seconds.
#[track_caller]
fn done(world: &World, node: usize, root: &Cid) -> f64 {
    world.done(node, root).unwrap_or_else(|| {
        let missing = world.missing(node, root).len();
        panic!("node {node} lacks {missing} blocks: {:?}", world.stats(node))
    })
}
