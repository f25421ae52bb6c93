//! Peers that die, lie, stay silent or are not there.
//!
//! Each costs its own requests and a little time, bounded here; no block is lost, and no bad block
//! is asked of the same peer twice.

use std::time::Duration;

use shoal_dag::Cid;
use shoal_swarm::sim::{Catalog, Manner, World};
use shoal_swarm::{Config, ViolationKind};

use crate::{done, secs};

/// Two seeds, the first one of the given manner, and a leecher.
fn two_and_one(seed: u64, manner: Manner) -> (World, Cid, usize) {
    let mut catalog = Catalog::default();
    let root = catalog.file(1_000, 256);
    let mut world = World::new(catalog, seed);
    let first = world.seed_node(&root, 100.0, 100.0);
    world.set_manner(first, manner);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 1_000.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    (world, root, leecher)
}

#[test]
fn a_seed_that_dies_half_way() {
    let (mut world, root, leecher) = two_and_one(11, Manner::Honest);
    world.kill_at(0, Duration::from_millis(1_300));
    world.run(secs(60));
    let took = done(&world, leecher, &root);
    println!("one of two seeds killed at 1.3 s: {took:.2} s");
    assert!(took < 4.6);
    assert_eq!(world.nodes[leecher].figures.came_blocks, 1_005);
}

#[test]
fn a_liar_is_found_out_and_sent_away() {
    let (mut world, root, leecher) = two_and_one(12, Manner::Liar);
    world.run(secs(60));
    let took = done(&world, leecher, &root);
    println!("one liar of two: {took:.2} s");
    assert!(took < 5.5 * 1.3);
    let lies = &world.nodes[leecher].violations;
    assert_eq!(lies.len(), 3);
    assert!(lies.iter().all(|lie| *lie == (0, ViolationKind::Corrupt)));
    let corrupt = &world.nodes[leecher].wrong;
    let distinct: std::collections::BTreeSet<_> = corrupt.iter().collect();
    assert_eq!(corrupt.len(), distinct.len(), "a bad block was asked of the liar again");
}

#[test]
fn a_staller_costs_its_own_requests_only() {
    let (mut world, root, leecher) = two_and_one(13, Manner::Silent);
    world.run(secs(60));
    let took = done(&world, leecher, &root);
    println!("one staller of two: {took:.2} s, 5.26 s is the honest one's time");
    assert!(took < 6.0);
}

#[test]
fn nobody_there_is_told_once_and_the_want_goes_on() {
    let mut catalog = Catalog::default();
    let root = catalog.file(100, 64);
    let mut world = World::new(catalog, 14);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    world.fetch(leecher, &root);
    world.run(secs(20));
    assert_eq!(world.nodes[leecher].lonely.len(), 1);
    world.connect(0, leecher);
    world.run(secs(40));
    assert!(done(&world, leecher, &root) < 22.0);
    assert_eq!(world.nodes[leecher].lonely.len(), 1);
    let found = &world.nodes[leecher].found;
    assert_eq!(found.len(), 1);
    assert!(found[0].0 == root && (20_000..20_200).contains(&found[0].1.as_millis()), "{found:?}");
}

#[test]
fn nobody_there_is_told_again_after_somebody_was() {
    let mut catalog = Catalog::default();
    let root = catalog.file(1_000, 64);
    let mut world = World::new(catalog, 17);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    world.fetch(leecher, &root);
    world.run(secs(5));
    world.connect(0, leecher);
    world.kill_at(0, secs(7));
    world.run(secs(20));
    let told: Vec<u64> = world.nodes[leecher].lonely.iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(told, [0, 7]);
}

#[test]
fn the_last_provider_leaves() {
    let mut catalog = Catalog::default();
    let root = catalog.file(1_000, 64);
    let mut world = World::new(catalog, 15);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    world.kill_at(0, secs(2));
    world.run(secs(30));
    let lonely = &world.nodes[leecher].lonely;
    assert_eq!(lonely.len(), 1);
    assert!(lonely[0].0 == root && lonely[0].1 < Duration::from_millis(2_200), "{lonely:?}");
}

#[test]
fn second_hand_is_as_good() {
    let mut catalog = Catalog::default();
    let root = catalog.file(500, 64);
    let mut world = World::new(catalog, 16);
    world.seed_node(&root, 100.0, 100.0);
    let [middle, end] = [0, 1].map(|_| world.node(100.0, 100.0, Config::default()));
    world.connect(0, middle);
    world.connect(middle, end);
    world.fetch(middle, &root);
    world.fetch(end, &root);
    world.run(secs(60));
    let (first, second) = (done(&world, middle, &root), done(&world, end, &root));
    println!("chain of three: {first:.2} s and {second:.2} s");
    assert!(second - first < 0.5, "leaves are forwarded as they come");
}
