//! Peers that tell of peers, peers that are remembered, and limits that change while a peer runs.
//!
//! Where a hub stands between peers it is the real network layer under the test's control, or a real
//! `get`: neither answers DHT lookups, so whoever knows only the hub finds the others by its word or not
//! at all.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use serde_json::Value;
use shoal_dag::{Bytes, Cid};
use shoal_net::{
    BlockRead, Blocks, Config, Contact, KeepError, Keypair, Net, NetEvent, Network, NoRecords,
    PeerId,
};
use shoal_swarm::{Event, Holding, Message, PeerNo, Place, limits::PEERS_MAX};
use tokio::{runtime::Runtime, sync::mpsc::Receiver};

use crate::harness::{Lab, Peer, Started, Store, eventually, tree};

/// Holds nothing and keeps nothing.
struct Nothing;

impl Blocks for Nothing {
    fn read(&self, _: &Cid, _: bool) -> BlockRead {
        BlockRead::Absent
    }

    fn keep(&self, _: &Cid, _: Option<&Place>, _: Bytes) -> Result<(), KeepError> {
        Ok(())
    }
}

/// A member of a swarm that holds nothing and tells of others.
struct Hub {
    net: Net,
    runtime: Runtime,
}

impl Hub {
    /// One that tells this list so many times to everybody who joins the root's swarm.
    fn new(root: &str, peers: Vec<Vec<u8>>, times: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::new(Keypair::generate_ed25519(), Network::Isolated);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        // A client of the DHT: nobody can look anything up through it.
        config.server = false;
        let (net, events) = runtime
            .block_on(shoal_net::start(config, Arc::new(Nothing), Arc::new(NoRecords)))
            .unwrap();
        let (told, root) = (net.clone(), root.parse().unwrap());
        runtime.spawn(async move { tell(&told, events, root, &peers, times).await });
        eventually("the hub listens", || net.listeners().first().cloned());
        Self { net, runtime }
    }

    fn address(&self) -> String {
        format!("{}/p2p/{}", self.net.listeners()[0], self.net.peer_id())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.runtime.block_on(self.net.shutdown());
    }
}

async fn tell(
    net: &Net,
    mut events: Receiver<NetEvent>,
    root: Cid,
    peers: &[Vec<u8>],
    times: usize,
) {
    let join = |peer: PeerNo, reply| {
        net.send(peer, Message::Join { root, holding: Holding::Nothing, reply });
    };
    while let Some(event) = events.recv().await {
        match event {
            NetEvent::PeerUp { peer, .. } => join(peer, false),
            NetEvent::Swarm(Event::Message {
                peer,
                message: Message::Join { root: of, reply, .. },
            }) if of == root => {
                if !reply {
                    join(peer, true);
                }
                for _ in 0..times {
                    net.send(peer, Message::Peers { root, peers: peers.to_vec() });
                }
            }
            _ => {}
        }
    }
}

/// What is told of a running peer.
fn contact(peer: &Peer) -> Vec<u8> {
    let (address, id) = peer.address().split_once("/p2p/").unwrap();
    Contact { id: id.parse().unwrap(), addrs: vec![address.parse().unwrap()] }.encode()
}

/// What a running peer says of others.
fn listed(store: &Store, kind: &str) -> Vec<Value> {
    let run = store.run(&[&"peers", &"--json"]).ok();
    let lines = run.lines();
    let objects = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object["type"] == kind).collect()
}

#[test]
fn a_crowd_is_found_through_a_member_that_no_lookup_goes_through() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 20_000_000);
    let [a, b, d] = ["a", "b", "d"].map(|name| lab.store(name).option("--bwlimit", "4M:off"));
    let cid = a.add(&source);
    assert!([&b, &d].iter().all(|store| store.add(&source) == cid));
    let seeds = [a, b, d].map(|store| store.seed());
    let hub = Hub::new(&cid, seeds.iter().map(contact).collect(), 1);

    let (c, out) = (lab.store("c").told(&hub.address()), lab.path("out"));
    let run = c.run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let outcome = run.outcome();
    for seed in &seeds {
        assert!(outcome["sources"][seed.peer_id()].as_u64() > Some(0), "{outcome}");
    }
}

#[test]
fn a_crowd_of_fetches_finds_itself_through_one_of_them() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 24_000_000);
    let seed = lab.store("seed").option("--bwlimit", "2M:off");
    let cid = seed.add(&source);
    let seed = seed.seed();
    // A `get` is a client of the DHT: what knows only it cannot look anything up.
    let listen = format!("/ip4/127.0.0.1/tcp/{}", free_port());
    let fetch = |name: &str, store: Store| -> Started {
        let out = lab.path(format!("out {name}"));
        store.start(&[&"get", &cid, &"-o", &out, &"--json"])
    };
    let hub = lab.store("hub").told(seed.address()).option("--listen", &listen);
    let mut fetches = vec![fetch("hub", hub)];
    fetches.extend(["a", "b"].map(|name| fetch(name, lab.store(name).told(seed.address()))));
    eventually("they have something", || {
        (seed.store().status()["sent"].as_u64()? >= 3_000_000).then_some(())
    });
    let last = fetch("c", lab.store("c").told(&listen)).finish().ok();
    assert_eq!(tree::digest(&source), tree::digest(&lab.path("out c")));
    let outcome = last.outcome();
    assert!(outcome["sources"][seed.peer_id()].as_u64() > Some(0), "{outcome}");
    assert!(outcome["peers_connected"].as_u64() >= Some(3), "{outcome}");
    for fetch in fetches {
        drop(fetch.finish().ok());
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn one_that_floods_with_peers_is_dropped_and_listed() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 6_000_000);
    let honest = lab.store("a").option("--bwlimit", "2M:off");
    let cid = honest.add(&source);
    let honest = honest.seed();
    // Nobody is there: what is dialled is refused at once.
    let nobody = |port: u16| {
        let addrs = vec![format!("/ip4/127.0.0.1/tcp/{}", 1025 + port % 50).parse().unwrap()];
        Contact { id: PeerId::random(), addrs }.encode()
    };
    let hub = Hub::new(&cid, (0..PEERS_MAX as u16).map(nobody).collect(), 100);

    let peer = lab.store("c").told(&hub.address()).option("--bootstrap", honest.address()).seed();
    let out = lab.path("out");
    drop(peer.store().run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let id = hub.net.peer_id().to_string();
    let dropped = eventually("it is listed", || {
        listed(peer.store(), "dropped").into_iter().find(|line| line["peer"] == id.as_str())
    });
    assert!(dropped["points"].as_u64() >= Some(120), "{dropped}");
    assert!(dropped["violations"]["Flooding"].as_u64() >= Some(30), "{dropped}");
    assert_eq!(dropped["reason"], "too much of what it did was wrong", "{dropped}");
    assert!(dropped["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{dropped}");
    let text = peer.store().run(&[&"peers"]).ok().lines();
    assert!(text.iter().any(|line| line.starts_with(&format!("dropped {id} "))), "{text:?}");
    let honest =
        listed(peer.store(), "peer").into_iter().find(|line| line["peer"] == honest.peer_id());
    assert!(honest.is_some_and(|line| line["points"] == 0));
}

#[test]
fn who_gave_is_remembered_and_turned_to_first() {
    let lab = Lab::new();
    let (first, second) = (lab.path("first"), lab.path("second"));
    tree::file(&first, 1, 3_000_000);
    tree::file(&second, 2, 1_000_000);
    let a = lab.store("a");
    let cids = [&first, &second].map(|path| a.add(path));
    let a = a.seed();
    let told = lab.store("c").told(a.address());
    drop(told.run(&[&"cat", &"--range", &"0-1000", &cids[0]]).ok());

    // From now on it is told of nobody.
    let c = lab.store("c");
    let out = lab.path("out");
    let run = c.run(&[&"get", &cids[0], &"-o", &out, &"--json"]).ok();
    assert_eq!(tree::digest(&first), tree::digest(&out));
    assert!(run.outcome()["sources"][a.peer_id()].as_u64() >= Some(2_000_000), "{run}");
    let other = lab.path("other");
    drop(c.run(&[&"get", &cids[1], &"-o", &other]).ok());
    assert_eq!(tree::digest(&second), tree::digest(&other));
    // Who is not there any more keeps nobody waiting.
    let third = lab.path("third");
    tree::file(&third, 3, 1_000_000);
    let missing = lab.store("x").run(&[&"add", &"--only-hash", &third]).cid();
    a.kill();
    let run = c.run(&[&"get", &missing, &"-o", &lab.path("nothing")]).exits(4);
    drop(run.says("nobody to ask"));
}

#[test]
fn limits_are_changed_while_a_peer_runs() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 24_000_000);
    // At this rate it would take four minutes.
    let a = lab.store("a").option("--bwlimit", "100K:off");
    let cid = a.add(&source);
    assert_eq!(a.run(&[&"bwlimit"]).exits(10).lines(), [""; 0]);
    let peer = a.seed();
    let out = lab.path("out");
    let limits = |limit: Option<&str>| {
        let run = match limit {
            Some(limit) => peer.store().run(&[&"bwlimit", &limit]),
            None => peer.store().run(&[&"bwlimit"]),
        };
        run.ok().lines()
    };
    assert_eq!(limits(None), ["100K:off"]);
    let fetch = lab.store("c").told(peer.address()).start(&[&"get", &cid, &"-o", &out]);
    let sent = || peer.store().status()["sent"].as_u64();
    eventually("it has begun", || sent().filter(|sent| *sent > 300_000));
    assert!(sent() < Some(12_000_000), "{:?} at 100 KiB a second", sent());
    let table = "00:00,200K:1M 12:00,200K:1M";
    assert_eq!(limits(Some(table)), ["200K:1M", table]);
    assert!(sent() < Some(12_000_000), "{:?} at 200 KiB a second", sent());
    assert_eq!(limits(Some("off")), ["off"]);
    drop(fetch.finish().ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
    let run = peer.store().run(&[&"bwlimit", &"--json", &"3M:off"]).ok();
    let outcome = run.outcome();
    assert_eq!(outcome["up"].as_u64(), Some(3 << 20));
    assert!(outcome["down"].is_null() && outcome["timetable"].is_null(), "{outcome}");
    drop(peer.store().run(&[&"bwlimit", &"25:00,1M"]).exits(2));
}
