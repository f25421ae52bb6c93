//! A stream's task against a peer that is written by hand, over a pipe.
//!
//! Right and wrong blocks, floods, broken and half frames, a silent peer, a slow node: each ends
//! in the receipt or the violation that it should, and nothing wrong is kept. libp2p is not here;
//! nodes against nodes are in the package's `tests`.

use bytes::{BufMut, BytesMut};
use shoal_dag::Version;
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_swarm::Ask;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_util::compat::TokioAsyncReadCompatExt;
use tokio_util::sync::CancellationToken;

use super::super::registry::{Registry, StreamCommand};
use super::super::wire::{put_data_head, put_frame, put_hello};
use super::*;
use crate::blocks::memory::Memory;

/// For peers that are waited for in vain.
const SHORT: Patience = Patience {
    hello: Duration::from_millis(200),
    stall: Duration::from_millis(50),
    idle: Duration::from_millis(10),
};

/// A stream whose other end is the test.
struct Bench {
    wire: DuplexStream,
    events: mpsc::Receiver<NetEvent>,
    blocks: Arc<Memory>,
    registry: Arc<Registry>,
    peer: PeerNo,
    task: tokio::task::JoinHandle<Option<Violation>>,
}

impl Bench {
    fn new(patience: Patience) -> Self {
        let (ours, wire) = tokio::io::duplex(1 << 16);
        let (sender, events) = mpsc::channel(64);
        let blocks = Arc::new(Memory::default());
        let registry = Arc::new(Registry::default());
        let id = PeerId::random();
        let mut admission =
            registry.admit(id, id, &Arc::default(), &CancellationToken::new()).unwrap();
        let peer = admission.peer;
        let context = Context {
            peer,
            blocks: Arc::clone(&blocks) as _,
            events: sender,
            activity: Arc::default(),
            outstanding: Mutex::default(),
            patience,
        };
        let remote =
            Remote { id, addr: Multiaddr::empty(), prefix: Prefix::of([127, 0, 0, 1].into()) };
        let task =
            tokio::spawn(async move { run(ours.compat(), remote, context, &mut admission).await });
        Self { wire, events, blocks, registry, peer, task }
    }

    /// A stream after `Hello` and `PeerUp`.
    async fn up() -> Self {
        Self::up_with(Patience::default()).await
    }

    async fn up_with(patience: Patience) -> Self {
        let mut bench = Self::new(patience);
        let mut hello = BytesMut::new();
        put_hello(&mut hello, "test/1");
        bench.write(&hello).await;
        let event = bench.events.recv().await.unwrap();
        assert!(
            matches!(&event, NetEvent::PeerUp { agent, .. } if agent.as_deref() == Some("test/1"))
        );
        let mut header = [0; 5];
        bench.wire.read_exact(&mut header).await.unwrap();
        let mut body = vec![0; u32::from_le_bytes(header[..4].try_into().unwrap()) as usize - 1];
        bench.wire.read_exact(&mut body).await.unwrap();
        assert_eq!(wire::hello(&body).unwrap(), super::super::AGENT);
        bench
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).await.unwrap();
    }

    async fn ask(&mut self, cids: &[Cid]) {
        let asks = cids.iter().map(|cid| Ask { cid: *cid, place: None }).collect();
        let command = StreamCommand::Ask { root: cids[0], asks, deadline_ms: 0 };
        assert!(self.registry.command(self.peer, command));
        // The request on the wire says that it is registered.
        let mut header = [0; 5];
        self.wire.read_exact(&mut header).await.unwrap();
        assert_eq!(header[4], Kind::Request as u8);
        let mut body = vec![0; u32::from_le_bytes(header[..4].try_into().unwrap()) as usize - 1];
        self.wire.read_exact(&mut body).await.unwrap();
    }

    async fn receipt(&mut self) -> Receipt {
        match self.events.recv().await {
            Some(NetEvent::Swarm(Event::Received { receipt, .. })) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the stream to end by this violation, told before `PeerDown`.
    async fn expect_violation(mut self, expected: Violation) {
        let mut told = None;
        loop {
            match self.events.recv().await {
                Some(NetEvent::Violation { kind, .. }) => told = Some(kind),
                Some(NetEvent::PeerDown { .. }) => break,
                Some(_) => {}
                None => panic!("the stream ended without a word"),
            }
        }
        assert_eq!(told, Some(expected));
        assert_eq!(self.task.await.unwrap(), Some(expected));
        assert!(self.blocks.0.lock().is_empty(), "nothing wrong is kept");
    }
}

fn block(n: u8, len: usize) -> (Cid, Vec<u8>) {
    let data = vec![n; len];
    (cid_of(HashKind::Blake3, RAW, Version::V1, &data), data)
}

fn data_frame(cid: &Cid, data: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_data_head(&mut out, cid, data.len());
    out.put_slice(data);
    out
}

#[tokio::test]
async fn asked_blocks_are_kept_and_wrong_ones_are_not() {
    let mut bench = Bench::up().await;
    let (good, bad, tiny) = (block(1, 1000), block(2, 1000), block(3, 1));
    bench.ask(&[good.0, bad.0, tiny.0]).await;
    bench.write(&data_frame(&good.0, &good.1)).await;
    assert_eq!(bench.receipt().await, Receipt::Stored { links: None });
    bench.write(&data_frame(&bad.0, &good.1)).await;
    assert_eq!(bench.receipt().await, Receipt::Corrupt);
    bench.write(&data_frame(&tiny.0, &tiny.1)).await;
    assert_eq!(bench.receipt().await, Receipt::NotKept);
    bench.write(&data_frame(&good.0, &good.1)).await;
    assert_eq!(bench.receipt().await, Receipt::Unrequested, "an ask is good for one block");
    let kept = bench.blocks.0.lock();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[&good.0], good.1);
}

#[tokio::test]
async fn a_flood_of_unrequested_blocks_ends_the_stream() {
    let mut bench = Bench::up().await;
    let (cid, data) = block(1, 10);
    for _ in 0..=UNREQUESTED_MAX {
        bench.write(&data_frame(&cid, &data)).await;
    }
    bench.expect_violation(Violation::Flood).await;
}

#[tokio::test]
async fn broken_frames_end_the_stream() {
    let unknown_kind = vec![2, 0, 0, 0, 77, 0];
    let no_cid = vec![2, 0, 0, 0, Kind::Data as u8, 0];
    let mut second_hello = BytesMut::new();
    put_hello(&mut second_hello, "again");
    let mut garbage = BytesMut::new();
    put_frame(&mut garbage, Kind::Request, |out| out.put_slice(&[0xff; 100]));
    for bytes in [unknown_kind, no_cid, second_hello.to_vec(), garbage.to_vec()] {
        let mut bench = Bench::up().await;
        bench.write(&bytes).await;
        bench.expect_violation(Violation::Malformed).await;
    }
}

#[tokio::test]
async fn too_many_bytes_end_the_stream() {
    let mut bench = Bench::up().await;
    let len = (shoal_dag::BLOCK_BYTES_MAX + 1000) as u32;
    bench.write(&len.to_le_bytes()).await;
    bench.write(&[Kind::Data as u8]).await;
    bench.expect_violation(Violation::Oversized).await;
}

#[tokio::test]
async fn a_peer_that_stops_in_a_frame_ends_the_stream() {
    let mut bench = Bench::up_with(SHORT).await;
    let (cid, data) = block(1, 1000);
    bench.ask(&[cid]).await;
    let frame = data_frame(&cid, &data);
    bench.write(&frame[..500]).await;
    bench.expect_violation(Violation::Stalled).await;
}

#[tokio::test]
async fn a_peer_that_never_says_hello_is_not_a_peer() {
    let mut bench = Bench::new(SHORT);
    assert_eq!(bench.task.await.unwrap(), Some(Violation::Stalled));
    assert!(bench.events.recv().await.is_none(), "there was no PeerUp, so there is no PeerDown");
}

#[tokio::test]
async fn a_slow_node_makes_the_peer_wait() {
    let mut bench = Bench::up().await;
    let root = block(1, 1).0;
    let mut leave = BytesMut::new();
    message::put(&mut leave, &Message::Leave { root });
    // Nobody takes events: what fits in the queue, the pipe and the buffer is all that is taken.
    let pushed = timeout(Duration::from_secs(2), async {
        let mut pushed = 0usize;
        while bench.wire.write_all(&leave).await.is_ok() {
            pushed += leave.len();
        }
        pushed
    });
    assert!(pushed.await.is_err(), "writing must block");
    // The writer goes on all the same.
    assert!(bench.registry.command(bench.peer, StreamCommand::Send(Message::Leave { root })));
    let mut frame = vec![0; leave.len()];
    bench.wire.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame, leave);
}
