//! One seed and many who begin together: the fluid bound is the measure.
//!
//! Prints the last finisher over the bound, the copies that the seed sent and the share of
//! duplicates, for fixed seeds; the assertions are the acceptance limits, the figures lie below.

use shoal_swarm::Config;
use shoal_swarm::sim::{Catalog, World};

use crate::{done, secs};

/// Runs 1 + `leechers`; ratio to the bound, copies sent by the seed, share of duplicates.
fn crowd(leechers: usize, up: f64, down: f64, leaves: usize, seed: u64) -> (f64, f64, f64) {
    let mut catalog = Catalog::default();
    let root = catalog.file(leaves, 256);
    let size = catalog.size(&root) as f64;
    let mut world = World::new(catalog, seed);
    let first = world.seed_node(&root, up, down);
    let crowd: Vec<usize> =
        (0..leechers).map(|_| world.node(up, down, Config::default())).collect();
    world.connect_all();
    for node in &crowd {
        world.fetch(*node, &root);
    }
    world.run(secs(600));
    let last = crowd.iter().map(|node| done(&world, *node, &root)).fold(0.0, f64::max);
    let (up, down) = (up * 125_000.0, down * 125_000.0);
    let n = leechers as f64;
    let bound = (size / up).max(size / down).max(n * size / (up * (n + 1.0)));
    let came: u64 = crowd.iter().map(|node| world.nodes[*node].figures.came_blocks).sum();
    let needed = leechers * (leaves + leaves.div_ceil(256) + 1);
    let duplicates = came as f64 / needed as f64 - 1.0;
    (last / bound, world.nodes[first].figures.sent as f64 / size, duplicates)
}

#[test]
fn one_and_eight_finish_near_the_bound() {
    let mut worst = (0.0f64, 0.0f64, 0.0f64);
    for seed in 1..=3 {
        let (ratio, copies, duplicates) = crowd(8, 50.0, 100.0, 1_024, seed);
        println!("1 + 8, seed {seed}: x{ratio:.3}, copies {copies:.3}, dup {duplicates:.4}");
        worst = (worst.0.max(ratio), worst.1.max(copies), worst.2.max(duplicates));
    }
    assert!(worst.0 <= 1.15 && worst.1 <= 1.15 && worst.2 <= 0.025, "{worst:?}");
}

#[test]
fn one_and_sixteen_on_slow_uplinks() {
    let (ratio, copies, duplicates) = crowd(16, 20.0, 100.0, 512, 1);
    println!("1 + 16: x{ratio:.3}, copies {copies:.3}, dup {duplicates:.4}");
    assert!(ratio <= 1.15 && copies <= 1.15 && duplicates <= 0.025);
}
