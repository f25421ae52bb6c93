//! Bitswap against a peer that says what nobody should, byte by byte.
//!
//! Garbage, messages too long, blocks that nobody asked for, a million wants: each ends the session
//! or is answered within its bounds, and the node goes on serving others.

use std::collections::VecDeque;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{Stream, StreamProtocol};
use shoal_dag::Cid;
use shoal_net::{Keypair, NetEvent, PeerProtocol, Violation};
use shoal_swarm::{Event, PeerNo, Receipt, Want};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bare::{BareStream, BareStreams};
use super::node::{Node, PATIENCE, block};
use super::stranger::Stranger;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/bitswap/1.2.0");

/// Streams that a test has not taken; no test makes as many.
const STREAMS_MAX: usize = 64;

/// A node, and a stranger connected to it whose stream is up.
struct Bench {
    node: Node,
    _stranger: Stranger,
    /// The stranger's own stream.
    wire: Stream,
    streams: mpsc::Receiver<BareStream>,
    peer: PeerNo,
}

impl Bench {
    async fn new() -> Self {
        let (sender, mut streams) = mpsc::channel(STREAMS_MAX);
        let key = Keypair::generate_ed25519();
        let stranger =
            Stranger::with_identity(key, |_| BareStreams::new(PROTOCOL, true, sender)).await;
        let mut node = Node::new(&[]).await;
        node.net.dial(stranger.id, vec![stranger.addr.clone()]).await;
        let opened = timeout(PATIENCE, streams.recv()).await.expect("a stream").expect("it runs");
        let BareStream { is_ours: true, stream: mut wire } = opened else { panic!("not ours") };
        // An empty message begins a session as any other does.
        wire.write_all(&[0]).await.unwrap();
        wire.flush().await.unwrap();
        let id = stranger.id;
        let peer = node.expect(|event| match event {
            NetEvent::PeerUp { peer, id: who, protocol, .. } if who == id => {
                assert_eq!(protocol, PeerProtocol::Bitswap);
                Some(peer)
            }
            _ => None,
        });
        let peer = peer.await;
        Self { node, _stranger: stranger, wire, streams, peer }
    }

    async fn write(&mut self, bytes: &[u8]) {
        // A node that has heard enough ends the stream under the writer.
        let written = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        let _ended = timeout(PATIENCE, written).await.expect("the node reads or ends it");
    }

    /// Waits for the session to end by this violation.
    async fn expect_violation(mut self, expected: Violation) {
        let mut told = None;
        let peer = self.peer;
        self.node
            .expect(|event| match event {
                NetEvent::Violation { kind, .. } => {
                    told = Some(kind);
                    None
                }
                NetEvent::PeerDown { peer: gone } if gone == peer => Some(()),
                _ => None,
            })
            .await;
        assert_eq!(told, Some(expected));
        serves_others(&mut self.node).await;
    }
}

/// A node that had to do with a stranger still takes a peer in.
async fn serves_others(node: &mut Node) {
    let other = Node::with(&[&*node], |config| config.native = false).await;
    node.expect_up(other.id()).await;
}

fn varint(value: usize) -> Vec<u8> {
    unsigned_varint::encode::usize(value, &mut unsigned_varint::encode::usize_buffer()).to_vec()
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&varint(body.len())[..], body].concat()
}

fn block_message(data: &[u8]) -> Vec<u8> {
    let prefix = [1, 0x55, 0x1e, 32];
    framed(&field(3, &[field(1, &prefix), field(2, data)].concat()))
}

fn wants_message(cids: impl Iterator<Item = Cid>) -> Vec<u8> {
    let entry = |cid: Cid| [&field(1, &cid.to_bytes())[..], &[0x10, 1, 0x28, 1]].concat();
    let list: Vec<u8> = cids.flat_map(|cid| field(1, &entry(cid))).collect();
    framed(&field(1, &list))
}

#[tokio::test]
async fn garbage_ends_the_session() {
    let mut bench = Bench::new().await;
    bench.write(&framed(&[0x0b, 0xff, 0xff])).await;
    bench.expect_violation(Violation::Malformed).await;
}

#[tokio::test]
async fn a_message_too_long_ends_the_session_before_it_is_read() {
    let mut bench = Bench::new().await;
    bench.write(&varint((4 << 20) + 1)).await;
    bench.expect_violation(Violation::Oversized).await;
}

#[tokio::test]
async fn a_block_too_long_ends_the_session() {
    let mut bench = Bench::new().await;
    bench.write(&block_message(&vec![0; (2 << 20) + 1])).await;
    bench.expect_violation(Violation::Oversized).await;
}

#[tokio::test]
async fn blocks_that_nobody_asked_for_are_told_and_then_end_it() {
    let mut bench = Bench::new().await;
    let (cid, data) = block(1, 1_000);
    bench.write(&block_message(&data)).await;
    let receipt = bench.node.expect(|event| match event {
        NetEvent::Swarm(Event::Received { cid, receipt, .. }) => Some((cid, receipt)),
        _ => None,
    });
    assert_eq!(receipt.await, (cid, Receipt::Unrequested));
    assert!(!bench.node.has(&cid));
    for n in 0..100 {
        bench.write(&block_message(&block(n, 1_000).1)).await;
    }
    bench.expect_violation(Violation::Flood).await;
}

/// A million wants: a thousand are taken, some are told that they are not here, the others nothing; in
/// the end the session ends, and nothing has grown.
#[tokio::test]
async fn a_million_wants_are_bounded() {
    let mut bench = Bench::new().await;
    let cid = |n: u64| block(n, 16).0;
    for part in 0..100u64 {
        let cids = (part * 10_000..(part + 1) * 10_000).map(cid);
        bench.write(&wants_message(cids)).await;
    }
    let peer = bench.peer;
    // By then it has ended by itself, unless this machine is too slow to be flooded.
    bench.node.net.disconnect(peer);
    let mut wanted = Vec::new();
    bench
        .node
        .expect(|event| match event {
            NetEvent::Swarm(Event::Wants { wants, .. }) => {
                wanted.extend(wants);
                None
            }
            NetEvent::PeerDown { peer: gone } if gone == peer => Some(()),
            _ => None,
        })
        .await;
    assert_eq!(wanted.len(), 1_024, "what kubo keeps of one peer, and no more");
    assert!(wanted.iter().all(|want: &Want| want.block && want.public.is_none()));
    serves_others(&mut bench.node).await;
}

/// What is wanted beyond the bound is said not to be here.
#[tokio::test]
async fn wants_beyond_the_bound_are_answered() {
    let mut bench = Bench::new().await;
    let cid = |n: u64| block(n, 16).0;
    bench.write(&wants_message((0..2_000).map(cid))).await;
    let opened = timeout(PATIENCE, bench.streams.recv()).await.expect("an answer");
    let BareStream { is_ours: false, stream: mut answers } = opened.expect("it runs") else {
        panic!("answers come on a stream of the node's");
    };
    let mut seen = VecDeque::new();
    // One presence is a field of 2 + 36 + 2 bytes behind its key and length, the message's length three.
    let all = async {
        let mut buffer = vec![0; 1 << 16];
        while seen.len() < 3 + (2_000 - 1_024) * 42 {
            let n = answers.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0);
            seen.extend(&buffer[..n]);
        }
    };
    timeout(PATIENCE, all).await.expect("all are answered");
    let seen: Vec<u8> = seen.into();
    let last = field(1, &cid(1_999).to_bytes());
    let told = seen
        .windows(last.len() + 2)
        .any(|part| part.starts_with(&last) && part[last.len()..] == [0x10, 1]);
    assert!(told, "the last one is not here");
}
