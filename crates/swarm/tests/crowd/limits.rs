//! Bandwidth limits and readers.
//!
//! A limit holds within five in a hundred, alone and under contention; a reader's block overtakes
//! the fetch around it, and a reader fetches nothing that it did not want.

use std::time::Duration;

use shoal_swarm::Config;
use shoal_swarm::sim::{Catalog, Manner, SESSION, World};

use crate::{done, secs};

#[track_caller]
fn limited(up: Option<u64>, down: Option<u64>, leechers: usize) {
    let mut catalog = Catalog::default();
    let root = catalog.file(400, 64);
    let size = catalog.size(&root) as f64;
    let mut world = World::new(catalog, 21);
    let seed = world.seed_node(&root, 1_000.0, 1_000.0);
    world.tell(seed, shoal_swarm::Event::Limits { up, down: None });
    let nodes: Vec<usize> = (0..leechers)
        .map(|_| world.node(10.0, 1_000.0, Config { down, ..Config::default() }))
        .collect();
    for node in &nodes {
        // Nobody passes on what it got: all of it comes from the seed.
        world.set_manner(*node, Manner::Rider);
    }
    world.connect_all();
    for node in &nodes {
        world.fetch(*node, &root);
    }
    world.run(secs(600));
    let last = nodes.iter().map(|node| done(&world, *node, &root)).fold(0.0, f64::max);
    let total = up.map_or(size, |_| world.nodes[seed].figures.sent as f64);
    let rate = total / last;
    let limit = up.or(down).unwrap() as f64;
    println!("limit {limit}: {rate:.0} B/s, {:.3}", rate / limit);
    assert!((0.95..1.05).contains(&(rate / limit)), "{rate}");
}

#[test]
fn the_up_limit_is_held() {
    limited(Some(2_000_000), None, 1);
    limited(Some(2_000_000), None, 4);
}

#[test]
fn the_down_limit_is_held() {
    limited(None, Some(2_000_000), 1);
}

#[test]
fn a_reader_is_served_before_the_rest() {
    let mut catalog = Catalog::default();
    let root = catalog.file(2_000, 256);
    let branch = catalog.below(&root)[8];
    let leaf = catalog.links(branch).unwrap().children[100].cid;
    let branch = catalog.cid(branch);
    let mut world = World::new(catalog, 22);
    world.seed_node(&root, 100.0, 100.0);
    let leecher = world.node(100.0, 100.0, Config::default());
    world.connect_all();
    world.fetch(leecher, &root);
    world.run(secs(3));
    let deadline = Some(secs(4));
    world.want(leecher, &leaf, Some(&branch), deadline, false);
    world.run(secs(60));
    let waited = world.nodes[leecher].got[&leaf].checked_sub(secs(3)).unwrap();
    println!("a reader waited {waited:?} in the middle of a fetch");
    assert!(waited < Duration::from_millis(150));
    done(&world, leecher, &root);
}

#[test]
fn a_reader_fetches_only_what_it_wants() {
    let mut catalog = Catalog::default();
    let root = catalog.file(4_000, 256);
    let branch = catalog.below(&root)[9];
    let leaf = catalog.links(branch).unwrap().children[3].cid;
    let branch = catalog.cid(branch);
    let mut world = World::new(catalog, 23);
    world.seed_node(&root, 100.0, 100.0);
    let reader = world.node(100.0, 100.0, Config::default());
    world.connect_all();
    world.tell(reader, shoal_swarm::Event::Open { session: SESSION, root });
    let mut under = None;
    for cid in [root, branch, leaf] {
        let deadline = Some(world.now() + secs(1));
        world.want(reader, &cid, under.as_ref(), deadline, false);
        let from = world.now();
        world.run(from + secs(1));
        assert!(
            world.nodes[reader].got[&cid].checked_sub(from).unwrap() < Duration::from_millis(200)
        );
        under = Some(cid);
    }
    assert_eq!(world.nodes[reader].figures.came_blocks, 3);
}
