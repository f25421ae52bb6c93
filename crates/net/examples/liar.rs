//! A peer that lies over the native protocol, for `scripts/lab`: run with somebody else's root.
//!
//! `liar LIE LISTEN ROOT PEER...` with LIE one of `wrong` (bytes that are not the block's), `endless`
//! (blocks without end, asked for or not), `trickle` (a block at one byte a second), `silent`
//! (says that it has everything and never serves), `garbage` (no frames at all).
//!
//! It is stock libp2p with streams of its own, so that it can send what no node of ours would. It dials
//! the peers that it is told, again after each time that they close the connection, says that it holds
//! all of ROOT, prints `ready PEERID`, and lies until it is ended. It keeps nothing.

#![expect(clippy::print_stdout, reason = "it is a program for a script")]

#[path = "../tests/net/bare.rs"]
mod bare;

use std::error::Error;
use std::time::Duration;

use bare::{BareStream, BareStreams};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{Stream, StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, noise, tcp, yamux};
use shoal_dag::Cid;
use tokio::sync::mpsc;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/shoal/swarm/1");
const HELLO: u8 = 0;
const DATA: u8 = 1;
const JOIN: u8 = 2;
const REQUEST: u8 = 6;
/// `Join`: all of it is here.
const ALL: u8 = 2;
/// `Join`: an answer to one.
const REPLY: u8 = 0x80;
/// What is sent as any leaf.
const LEAF_BYTES: usize = 60_000;
/// Longest frame that is read: control frames are shorter.
const FRAME_BYTES_MAX: u32 = 3 << 20;
/// Streams that wait for their task.
const STREAMS_MAX: usize = 64;
/// How long it takes until a peer that closed the connection is dialled again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Wrong,
    Endless,
    Trickle,
    Silent,
    Garbage,
}

impl Lie {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "wrong" => Self::Wrong,
            "endless" => Self::Endless,
            "trickle" => Self::Trickle,
            "silent" => Self::Silent,
            "garbage" => Self::Garbage,
            _ => return None,
        })
    }
}

/// A frame: length of kind and body, kind, body.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len() as u32 + 1;
    [&len.to_le_bytes()[..], &[kind], body].concat()
}

/// A length below 128 and bytes: what an agent or a CID is written as.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

/// The CIDs of a `Request`: after the root, the deadline and their count.
fn requested(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (root, rest) = body.split_first()?;
    let rest = rest.get(usize::from(*root)..)?;
    let rest = rest.get(rest.iter().position(|byte| byte & 0x80 == 0)? + 1..)?;
    let mut rest = rest.get(rest.iter().position(|byte| byte & 0x80 == 0)? + 1..)?;
    let mut cids = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        cids.push(after.get(..usize::from(*len))?.to_vec());
        rest = after.get(usize::from(*len)..)?;
    }
    Some(cids)
}

/// One stream, until the peer has had enough.
async fn lie(lie: Lie, root: Cid, mut stream: Stream) -> std::io::Result<()> {
    let root = short(&root.to_bytes());
    let hello = [&[1][..], &short(b"liar")].concat();
    stream.write_all(&frame(HELLO, &hello)).await?;
    stream.write_all(&frame(JOIN, &[&[ALL][..], &root].concat())).await?;
    stream.flush().await?;
    if lie == Lie::Garbage {
        let noise: Vec<u8> =
            (0..1_u32 << 20).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        stream.write_all(&noise).await?;
        return stream.flush().await;
    }
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await?;
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if len == 0 || len > FRAME_BYTES_MAX {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; len as usize - 1];
        stream.read_exact(&mut body).await?;
        match head[4] {
            JOIN if body.first().is_some_and(|flags| flags & REPLY == 0) => {
                let answer = [&[ALL | REPLY][..], &root].concat();
                stream.write_all(&frame(JOIN, &answer)).await?;
            }
            REQUEST => answer(lie, &requested(&body).unwrap_or_default(), &mut stream).await?,
            _ => {}
        }
        stream.flush().await?;
    }
}

/// What a request gets.
async fn answer(lie: Lie, cids: &[Vec<u8>], stream: &mut Stream) -> std::io::Result<()> {
    let data = |cid: &[u8]| frame(DATA, &[short(cid), vec![0x55; LEAF_BYTES]].concat());
    match lie {
        Lie::Wrong => {
            for cid in cids {
                stream.write_all(&data(cid)).await?;
            }
        }
        Lie::Endless => loop {
            for cid in cids {
                stream.write_all(&data(cid)).await?;
            }
            if cids.is_empty() {
                return Ok(());
            }
        },
        Lie::Trickle => {
            for byte in cids.iter().flat_map(|cid| data(cid)) {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Lie::Silent | Lie::Garbage => {}
    }
    Ok(())
}

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, listen, root, peers @ ..] = &words[..] else {
        return Err("liar LIE LISTEN ROOT PEER...".into());
    };
    let kind = Lie::named(name).ok_or("no such lie")?;
    let peers: Vec<Multiaddr> = peers.iter().map(|peer| peer.parse()).collect::<Result<_, _>>()?;
    let root: Cid = root.parse()?;
    let (sender, mut streams) = mpsc::channel(STREAMS_MAX);
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| BareStreams::new(PROTOCOL, false, sender))?
        .build();
    swarm.listen_on(listen.parse()?)?;
    let mut again = tokio::time::interval(AGAIN);
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::NewListenAddr { .. } = event {
                    println!("ready {}", swarm.local_peer_id());
                }
            }
            Some(BareStream { stream, is_ours }) = streams.recv() => {
                tokio::spawn(async move {
                    // It ends when the peer has found out.
                    if let Err(error) = lie(kind, root, stream).await {
                        tracing::debug!(%error, is_ours, "a stream ended");
                    }
                });
            }
            _ = again.tick() => {
                for peer in &peers {
                    // Refused while it is connected or being dialled.
                    drop(swarm.dial(peer.clone()));
                }
            }
        }
    }
}
