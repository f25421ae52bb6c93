//! Peers that lie: the fetch completes from the honest one, nothing wrong is kept, faults are counted.
//!
//! A liar is the real network layer with its own idea of what a block holds. It announces itself as a
//! provider and says that it holds everything.

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shoal_dag::{BLOCK_BYTES_MAX, Bytes, Cid};
use shoal_net::{BlockRead, Blocks, Config, KeepError, Keypair, Multiaddr, Net, NetEvent, Network};
use shoal_swarm::{Event, Holding, Message, PeerNo, Place};
use tokio::{runtime::Runtime, sync::mpsc::Receiver};

use crate::harness::{Lab, Peer, eventually, tree};

/// What a liar does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Answers with bytes of the same length order that are not the block's.
    WrongBytes,
    /// Answers with far more bytes than any leaf has.
    TooManyBytes,
    /// Answers nothing.
    Silence,
    /// Refuses what it said it had.
    Refusal,
}

/// Bytes that are sent as any block.
struct Lies(Bytes);

impl Blocks for Lies {
    fn read(&self, _: &Cid, _: bool) -> BlockRead {
        BlockRead::Found(self.0.clone())
    }

    fn keep(&self, _: &Cid, _: Option<&Place>, _: Bytes) -> Result<(), KeepError> {
        Ok(())
    }
}

/// A running liar.
struct Liar {
    net: Net,
    requests: Arc<AtomicU64>,
    runtime: Runtime,
}

impl Liar {
    /// Starts one that is told of `introducer` and announces `root`.
    fn new(lie: Lie, introducer: &str, root: Cid) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::new(Keypair::generate_ed25519(), Network::Isolated);
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        config.bootstrap = vec![introducer.parse::<Multiaddr>().unwrap()];
        let len = if lie == Lie::TooManyBytes { BLOCK_BYTES_MAX } else { 60_000 };
        let lies = Arc::new(Lies(vec![0x55; len].into()));
        let requests = Arc::new(AtomicU64::new(0));
        let (net, events) = runtime
            .block_on(shoal_net::start(config, lies, Arc::new(shoal_net::NoRecords)))
            .unwrap();
        let (told, counted) = (net.clone(), Arc::clone(&requests));
        runtime.spawn(async move {
            net_events(lie, &told, events, root, &counted).await;
        });
        Self { net, requests, runtime }
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.runtime.block_on(self.net.shutdown());
    }
}

/// Announces the root and answers everybody.
async fn net_events(
    lie: Lie,
    net: &Net,
    mut events: Receiver<NetEvent>,
    root: Cid,
    requests: &AtomicU64,
) {
    net.provide(root).await;
    while let Some(event) = events.recv().await {
        match event {
            NetEvent::Swarm(Event::Message { peer, message }) => {
                answer(lie, net, peer, message, requests);
            }
            NetEvent::PeerUp { peer, .. } => join(net, peer, root, false),
            _ => {}
        }
    }
}

fn join(net: &Net, peer: PeerNo, root: Cid, reply: bool) {
    net.send(peer, Message::Join { root, holding: Holding::All, reply });
}

fn answer(lie: Lie, net: &Net, peer: PeerNo, message: Message, requests: &AtomicU64) {
    match message {
        Message::Join { root, reply: false, .. } => join(net, peer, root, true),
        Message::Request { cids, .. } => {
            requests.fetch_add(cids.len() as u64, Ordering::SeqCst);
            match lie {
                Lie::WrongBytes | Lie::TooManyBytes => drop(net.serve(peer, cids, true)),
                Lie::Refusal => drop(net.send(peer, Message::Refuse { cids })),
                Lie::Silence => {}
            }
        }
        _ => {}
    }
}

/// An honest, slow peer and a liar have the same content, as it seems: the fetch is right all the same.
#[track_caller]
fn completes_beside(lie: Lie) -> Lab {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 6_000_000);
    let introducer = lab.store("introducer").seed();
    let honest = lab.store("a").told(introducer.address()).option("--bwlimit", "2M:off");
    let cid = honest.add(&source);
    let honest = honest.seed();
    honest.store().announced(1);
    let liar = Liar::new(lie, introducer.address(), cid.parse().unwrap());

    let peer = lab.store("c").told(introducer.address()).seed();
    let out = lab.path("out");
    // The liar's record may be on its way still: the fetch waits for it by being started after it.
    found_by(&peer, &liar);
    let run = peer.store().run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    assert_eq!(tree::digest(&source), tree::digest(&out));
    assert!(liar.requests() > 0, "nobody believed the liar: {run}");
    let sources = &run.outcome()["sources"];
    let from_liar = sources[liar.net.peer_id().to_string()].as_u64().unwrap_or(0);
    assert!(sources[honest.peer_id()].as_u64().unwrap() >= 6_000_000, "{run}");
    if lie == Lie::WrongBytes {
        let violations = &peer.store().status()["violations"];
        assert!(!violations.as_object().unwrap().is_empty(), "no violation counted, {from_liar}");
        assert_is_blamed(&peer, &liar);
    }
    drop(peer.store().run(&[&"add", &"--only-hash", &out]).ok());
    lab
}

/// `peers` says who lied and how, whether it is connected still or was dropped.
#[track_caller]
fn assert_is_blamed(peer: &Peer, liar: &Liar) {
    let id = liar.net.peer_id().to_string();
    let run = peer.store().run(&[&"peers", &"--json"]).ok();
    let blames = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["peer"] == id.as_str() && line["violations"]["Corrupt"].as_u64() > Some(0)
    };
    assert!(run.lines().iter().any(blames), "nothing is said of {id}: {run}");
}

/// Waits until the getter's node is connected with the liar, directly or by way of the introducer.
fn found_by(peer: &Peer, liar: &Liar) {
    let id = liar.net.peer_id().to_string();
    eventually("the liar is known", || {
        let run = peer.store().run(&[&"peers", &"--json"]).ok();
        let known = run.lines().iter().any(|line| line.contains(&id));
        (known || !liar.net.connected().is_empty()).then_some(())
    });
}

#[test]
fn a_fetch_completes_beside_a_peer_that_sends_wrong_bytes() {
    drop(completes_beside(Lie::WrongBytes));
}

#[test]
fn a_fetch_completes_beside_a_peer_that_sends_too_many_bytes() {
    drop(completes_beside(Lie::TooManyBytes));
}

#[test]
fn a_fetch_completes_beside_a_peer_that_sends_nothing() {
    drop(completes_beside(Lie::Silence));
}

#[test]
fn a_fetch_completes_beside_a_peer_that_refuses_everything() {
    drop(completes_beside(Lie::Refusal));
}

#[test]
fn a_liar_alone_is_not_believed() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 1_000_000);
    let cid = lab.store("other").run(&[&"add", &"--only-hash", &source]).cid();
    let introducer = lab.store("introducer").seed();
    for lie in [Lie::WrongBytes, Lie::Silence] {
        let liar = Liar::new(lie, introducer.address(), cid.parse().unwrap());
        let c = lab.store(&format!("{lie:?}")).told(introducer.address());
        let out = lab.path(format!("out {lie:?}"));
        eventually("the liar is connected", || (!liar.net.connected().is_empty()).then_some(()));
        let get = c.start(&[&"get", &cid, &"-o", &out, &"--timeout", &"6s"]);
        let run = get.finish_within(Duration::from_secs(40));
        assert!(matches!(run.code(), Some(4 | 6)), "{lie:?}: {run}");
        assert!(!out.exists());
        assert!(c.disk_bytes() < 2_000_000, "lies were kept: {} bytes", c.disk_bytes());
    }
}

#[test]
fn garbage_on_the_port_harms_nobody() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 1_000_000);
    let seed = lab.store("a").seed();
    let cid = seed.store().add(&source);
    let port = seed.address().split('/').nth(4).unwrap();
    let mut noise = tree::Noise::new(1);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut garbage = vec![0; 10_000];
        std::io::Read::read_exact(&mut noise, &mut garbage).unwrap();
        // The peer may close the connection at any byte, and should.
        stream.write_all(&garbage).ok();
    }
    let (c, out) = (lab.store("c").told(seed.address()), lab.path("out"));
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
}
