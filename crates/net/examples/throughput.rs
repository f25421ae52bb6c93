//! How fast blocks go from one node to another on loopback: GiB/s and CPU seconds.
//!
//! `cargo run --release -p shoal-net --example throughput [GiB] [block KiB] [in flight KiB]`
//!
//! Two nodes in one process, blocks in memory, a driver that keeps so many bytes asked for. Every
//! byte is encrypted and verified; what arrives is dropped. The time is from the first ask to the
//! last receipt, the CPU time is the process's, both ends together.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "it is a program for a person")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_dag::{Cid, Version};
use shoal_net::{
    BlockRead, Blocks, Config, KeepError, Keypair, Multiaddr, NetEvent, Network, start,
};
use shoal_swarm::{Ask, Event, Message, Place, Receipt};
use tokio::sync::mpsc::Receiver;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Distinct blocks; each is sent many times.
const DISTINCT_BYTES: usize = 64 << 20;

/// A set of blocks to read from, and a place where what is kept is dropped.
struct Memory(HashMap<Cid, Bytes>);

impl Blocks for Memory {
    fn read(&self, cid: &Cid, _: bool) -> BlockRead {
        self.0.get(cid).cloned().map_or(BlockRead::Absent, BlockRead::Found)
    }

    fn public_len(&self, cid: &Cid) -> Option<u32> {
        self.0.get(cid).map(|data| data.len() as u32)
    }

    fn keep(&self, _: &Cid, _: Option<&Place>, _: Bytes) -> Result<(), KeepError> {
        Ok(())
    }
}

fn blocks(len: usize) -> HashMap<Cid, Bytes> {
    let make = |i: usize| {
        let word = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let data = Bytes::from(word.repeat(len / 8));
        (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
    };
    (0..DISTINCT_BYTES / len).map(make).collect()
}

fn config(bootstrap: Vec<Multiaddr>) -> Config {
    let mut config = Config::new(Keypair::generate_ed25519(), Network::Isolated);
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config.bootstrap = bootstrap;
    config
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

async fn next<T>(events: &mut Receiver<NetEvent>, wanted: impl Fn(NetEvent) -> Option<T>) -> T {
    loop {
        if let Some(value) = wanted(events.recv().await.unwrap()) {
            return value;
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let argument =
        |n, default: usize| std::env::args().nth(n).map_or(default, |text| text.parse().unwrap());
    let total = argument(1, 1) << 30;
    let len = argument(2, 64) << 10;
    let in_flight = argument(3, 1024) << 10;

    let served = blocks(len);
    let cids: Vec<_> = served.keys().copied().collect();
    let (seed, mut seed_events) =
        start(config(vec![]), Arc::new(Memory(served)), Arc::new(shoal_net::NoRecords))
            .await
            .unwrap();
    let listening = |event| match event {
        NetEvent::Listening(addr) => Some(addr),
        _ => None,
    };
    let addr = next(&mut seed_events, listening).await;
    tokio::spawn(async move {
        while let Some(event) = seed_events.recv().await {
            if let NetEvent::Swarm(Event::Message {
                peer,
                message: Message::Request { cids, .. },
            }) = event
            {
                seed.serve(peer, cids, true);
            }
        }
    });

    let nothing = Arc::new(Memory(HashMap::new()));
    let (net, mut events) =
        start(config(vec![addr]), nothing, Arc::new(shoal_net::NoRecords)).await.unwrap();
    let peer = next(&mut events, |event| match event {
        NetEvent::PeerUp { peer, .. } => Some(peer),
        _ => None,
    })
    .await;

    // Asked for in runs of a quarter of what is in flight, as an engine would.
    let run = (in_flight / 4 / len).max(1);
    let wanted = total / len;
    let (mut asked, mut got) = (0, 0);
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    while got < wanted {
        while asked < wanted && (asked - got + run) * len <= in_flight.max(run * len) {
            let asks = (asked..asked + run)
                .map(|i| Ask { cid: cids[i % cids.len()], place: None })
                .collect();
            assert!(net.ask(peer, cids[0], asks, 0));
            asked += run;
        }
        if let NetEvent::Swarm(Event::Received { receipt, .. }) = events.recv().await.unwrap() {
            assert_eq!(receipt, Receipt::Stored { links: None });
            got += 1;
        }
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let gib = (got * len) as f64 / f64::from(1 << 30);
    println!(
        "{gib:.2} GiB in {seconds:.3} s: {:.2} GiB/s, {:.2} CPU s per GiB",
        gib / seconds,
        cpu / gib
    );
}
