//! Fetches that nobody disturbs.
//!
//! One and two seeds, holders of parts, a half-full store, a tree of many small files, one beyond the
//! frontier, and one that repeats itself: what comes is exactly what is missing, near the fluid bound.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_swarm::limits::TOLD_PER_TICK;
use shoal_swarm::sim::{Catalog, SESSION, World};
use shoal_swarm::{Config, Event, Holdings, LinksKind};

use crate::{done, secs};

#[test]
fn one_seed_one_leecher() {
    let mut catalog = Catalog::default();
    let root = catalog.file(2_000, 256);
    let size = catalog.size(&root) as f64;
    let mut world = World::new(catalog, 1);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    world.run(secs(60));
    let took = done(&world, leecher, &root);
    let bound = size / 12.5e6;
    println!("1 + 1, 100 Mbit/s: {took:.2} s, {:.3} of the bound", took / bound);
    assert!(took / bound < 1.05);
    assert_eq!(world.nodes[leecher].figures.came_blocks, 2_009);
    assert!(world.nodes[leecher].violations.is_empty());
}

#[test]
fn two_seeds_give_disjoint_halves() {
    let mut catalog = Catalog::default();
    let root = catalog.file(2_000, 256);
    let size = catalog.size(&root) as f64;
    let mut world = World::new(catalog, 2);
    let seeds = [world.seed_node(&root, 100.0, 100.0), world.seed_node(&root, 100.0, 100.0)];
    let leecher = world.node(100.0, 1_000.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    world.run(secs(60));
    let ratio = done(&world, leecher, &root) / (size / 25e6);
    let shares = seeds.map(|seed| world.nodes[seed].figures.sent as f64 / size);
    println!("2 + 1: {ratio:.3} of the bound, shares {shares:.2?}");
    assert!(ratio < 1.05);
    assert!(shares.iter().all(|share| (0.4..0.6).contains(share)));
    assert_eq!(world.stats(leecher).duplicates, 0);
}

#[test]
fn holders_of_parts_give_the_whole() {
    let mut catalog = Catalog::default();
    let parts = [catalog.file(300, 64), catalog.file(200, 64)];
    let root = catalog.branch(LinksKind::Directory, &parts);
    let mut world = World::new(catalog, 3);
    for part in &parts {
        let node = world.node(100.0, 100.0, Config::default());
        let mut held = world.catalog.below(part);
        held.extend(world.catalog.number(&root));
        world.nodes[node].give(held);
        let holdings = Holdings { complete: vec![*part], ..Holdings::default() };
        world.nodes[node].shares.insert(root, holdings);
    }
    let leecher = world.node(100.0, 100.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    world.run(secs(60));
    let took = done(&world, leecher, &root);
    println!("R/a and R/b: {took:.2} s");
    assert!(took < 8.0);
    let stats = world.stats(leecher);
    assert_eq!((stats.peers_joined, stats.peers_with_all, stats.duplicates), (2, 0, 0));
    assert!(world.nodes[leecher].violations.is_empty());
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let mut catalog = Catalog::default();
    let root = catalog.file(1_000, 100);
    let mut world = World::new(catalog, 4);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    let all = world.catalog.below(&root);
    let half: BTreeSet<_> = all.iter().copied().step_by(2).collect();
    world.nodes[leecher].give(half.iter().copied());
    world.connect_all();
    world.fetch(leecher, &root);
    world.run(secs(60));
    done(&world, leecher, &root);
    assert_eq!(world.nodes[leecher].figures.came_blocks as usize, all.len() - half.len());
    assert_eq!(world.nodes[leecher].figures.duplicates, 0);
    let stats = world.stats(leecher);
    assert_eq!(stats.blocks_present, half.len() as u64);
    assert!(stats.complete);
}

#[test]
fn a_tree_larger_than_the_frontier_is_fetched_in_bounded_memory() {
    let mut catalog = Catalog::default();
    let files: Vec<_> = (0..100)
        .map(|_| {
            let leaves: Vec<_> = (0..1_000).map(|_| catalog.leaf(1_000)).collect();
            catalog.branch(LinksKind::File, &leaves)
        })
        .collect();
    let root = catalog.branch(LinksKind::Directory, &files);
    let mut world = World::new(catalog, 5);
    world.seed_node(&root, 1_000.0, 1_000.0);
    let leecher = world.node(1_000.0, 1_000.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    let mut most = 0;
    for step in 1..2_000 {
        world.run(Duration::from_millis(step * 50));
        let stats = world.stats(leecher);
        most = most.max(stats.missing + stats.outstanding);
        if world.nodes[leecher].got.contains_key(&root) {
            break;
        }
    }
    println!(
        "100,000 leaves: {:.2} s, at most {most} missing in view",
        done(&world, leecher, &root)
    );
    assert!(most as usize <= shoal_swarm::limits::FRONTIER_MAX);
}

#[test]
fn a_tree_that_repeats_itself_is_fetched_once() {
    let mut catalog = Catalog::default();
    let mut level = catalog.file(10, 10);
    for _ in 0..60 {
        let other = catalog.leaf(10);
        level = catalog.branch(LinksKind::Directory, &[level, other, level]);
    }
    let mut world = World::new(catalog, 6);
    let seed = world.node(100.0, 100.0, Config::default());
    let leecher = world.node(100.0, 100.0, Config::default());
    world.nodes[seed].give(world.catalog.below(&level));
    let holdings = Holdings { all: true, ..Holdings::default() };
    world.nodes[seed].shares.insert(level, holdings);
    world.connect_all();
    world.fetch(leecher, &level);
    world.run(secs(120));
    assert!(world.nodes[leecher].got.contains_key(&level), "{:?}", world.stats(leecher));
    assert_eq!(world.nodes[leecher].figures.came_blocks, u64::from(world.catalog.count()));
}

#[test]
fn a_tree_of_small_files_is_told_of_at_a_bounded_pace() {
    let mut catalog = Catalog::default();
    let files: Vec<_> = (0..3_000)
        .map(|_| {
            let leaf = catalog.leaf(500);
            catalog.branch(LinksKind::File, &[leaf])
        })
        .collect();
    let root = catalog.branch(LinksKind::Directory, &files);
    let mut world = World::new(catalog, 7);
    world.seed_node(&root, 50.0, 50.0);
    let leecher = world.node(1_000.0, 1_000.0, Config::default());
    let others = [0; 4].map(|_| world.node(100.0, 100.0, Config::default()));
    world.weather.latency = (Duration::from_micros(100), Duration::from_micros(100));
    // The others take part and hear what there is, and fetch nothing.
    for other in others {
        world.connect(leecher, other);
        world.tell(other, Event::Open { session: SESSION, root });
    }
    world.connect(0, leecher);
    world.fetch(leecher, &root);
    let mut most = 0;
    for step in 1..4_000 {
        world.run(Duration::from_millis(step));
        let joined = world.stats(leecher).peers_joined;
        assert!(step < 10 || joined == 5, "{joined}");
        most = most.max(world.nodes[leecher].told_most);
        if world.nodes[leecher].got.contains_key(&root) && step > 1_000 {
            break;
        }
    }
    let took = done(&world, leecher, &root);
    println!("3,000 small files: {took:.3} s, at most {most} messages to a member at once");
    assert!(usize::from(most) <= TOLD_PER_TICK, "{most}");
    assert!(most > 50, "there was much to tell: {most}");
    assert!(took < 2.0);
    let told = others.map(|other| world.stats(other).peers_with_all);
    assert_eq!(told, [1; 4], "everybody hears of the end");
}
