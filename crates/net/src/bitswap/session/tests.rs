//! What a session makes of the streams of a peer that is written by hand.
//!
//! Only the reading half, over pipes: right, wrong and unasked blocks, presences, floods. Whole
//! sessions are in the package's `tests`, node against node and against strangers.

use std::time::Duration;

use bytes::BytesMut;
use shoal_dag::Version;
use shoal_dag::hash::{HashKind, RAW, cid_of};
use shoal_swarm::Ask;
use tokio::io::AsyncWriteExt as _;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::super::Dialect;
use super::super::message::{Entry, Outgoing, Wish};
use super::*;
use crate::blocks::memory::Memory;

struct Bench {
    context: Context,
    blocks: Arc<Memory>,
    events: mpsc::Receiver<NetEvent>,
}

impl Bench {
    fn new() -> Self {
        let (sender, events) = mpsc::channel(4_096);
        let blocks = Arc::new(Memory::default());
        let context =
            Context::new(PeerNo(1), Arc::clone(&blocks) as Arc<dyn Blocks>, sender, Arc::default());
        Self { context, blocks, events }
    }

    /// The peer sends this on a stream of its own.
    async fn hear(&self, bytes: &[u8]) -> Result<(), Stop> {
        let (ours, mut wire) = tokio::io::duplex(1 << 16);
        let write = async {
            // A stream that is ended early does not take it all.
            let _written = wire.write_all(bytes).await;
            drop(wire);
        };
        let (read, ()) = tokio::join!(
            async {
                timeout(Duration::from_secs(30), read_stream(ours.compat(), &self.context)).await
            },
            write
        );
        read.unwrap()
    }

    async fn hear_message(&self, write: impl FnOnce(&mut Outgoing)) -> Result<(), Stop> {
        let mut out = Outgoing::new();
        write(&mut out);
        self.hear(&out.finish().unwrap()).await
    }

    fn ask(&self, cid: Cid) {
        assert!(self.context.outstanding.lock().ask(&Ask { cid, place: None }));
    }

    fn told(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                NetEvent::Swarm(event) => told.push(event),
                other => panic!("{other:?}"),
            }
        }
        told
    }
}

fn block(n: u8) -> (Cid, Vec<u8>) {
    let data = vec![n; 1_000];
    (cid_of(HashKind::Sha256, RAW, Version::V1, &data), data)
}

const PEER: PeerNo = PeerNo(1);

fn received(cid: Cid, receipt: Receipt) -> Event {
    Event::Received { peer: PEER, cid, len: 1_000, receipt }
}

#[tokio::test]
async fn asked_blocks_are_kept_and_others_are_not() {
    let mut bench = Bench::new();
    let (asked, unasked) = (block(1), block(2));
    bench.ask(asked.0);
    let hear = bench.hear_message(|out| {
        out.block(&asked.0, &asked.1, Dialect::Full);
        out.block(&unasked.0, &unasked.1, Dialect::Full);
        out.block(&asked.0, &asked.1, Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let stored = Receipt::Stored { links: None };
    assert_eq!(
        bench.told(),
        [
            received(asked.0, stored),
            received(unasked.0, Receipt::Unrequested),
            received(asked.0, Receipt::Unrequested),
        ]
    );
    assert_eq!(bench.blocks.0.lock().len(), 1);
}

/// Wrong bytes have another CID, so they are blocks that nobody asked for.
#[tokio::test]
async fn a_flood_of_blocks_ends_the_session() {
    let mut bench = Bench::new();
    let asked = block(1);
    bench.ask(asked.0);
    let hear = bench.hear_message(|out| {
        for n in 0..=UNREQUESTED_MAX as u8 {
            out.block(&asked.0, &[n; 900], Dialect::Full);
        }
    });
    assert!(matches!(hear.await, Err(Stop::Violation(Violation::Flood))));
    assert!(
        bench.told().iter().all(|event| {
            matches!(event, Event::Received { receipt: Receipt::Unrequested, .. })
        })
    );
    assert!(bench.blocks.0.lock().is_empty());
}

#[tokio::test]
async fn what_a_peer_lacks_is_a_refusal_and_is_taken_back() {
    let mut bench = Bench::new();
    let (asked, other) = (block(1), block(2));
    bench.ask(asked.0);
    let hear = bench.hear_message(|out| {
        out.presence(&asked.0, false, Dialect::Full);
        out.presence(&other.0, false, Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let message = Said::Refuse { cids: vec![asked.0] };
    assert_eq!(bench.told(), [Event::Message { peer: PEER, message }]);
    assert_eq!(bench.context.take_telling().cancels, [asked.0]);
    let hear = bench.hear_message(|out| {
        out.block(&asked.0, &asked.1, Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let stored = Receipt::Stored { links: None };
    assert_eq!(bench.told(), [received(asked.0, stored)], "it was on its way");
}

#[tokio::test]
async fn a_root_that_is_there_is_a_join() {
    let mut bench = Bench::new();
    let (root, other, small) = (block(1).0, block(2).0, block(3));
    bench.context.seeks.lock().ask(root, &[root]);
    bench.context.seeks.lock().ask(other, &[other, small.0]);
    let hear = bench.hear_message(|out| {
        out.presence(&root, true, Dialect::Full);
        out.presence(&other, false, Dialect::Full);
        out.block(&small.0, &small.1, Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let join = |root| Event::Message {
        peer: PEER,
        message: Said::Join { root, holding: Holding::All, reply: true },
    };
    let stored = Receipt::Stored { links: None };
    // Blocks of a message come before what it says of others.
    assert_eq!(bench.told(), [received(small.0, stored), join(other), join(root)]);

    bench.context.seeks.lock().ask(root, &[root]);
    let hear = bench.hear_message(|out| out.presence(&root, false, Dialect::Full));
    assert!(hear.await.is_ok());
    let message = Said::Leave { root };
    assert_eq!(bench.told(), [Event::Message { peer: PEER, message }]);
}

#[tokio::test]
async fn wants_go_to_the_engine() {
    let mut bench = Bench::new();
    let (here, missing) = (block(1), block(2));
    bench.blocks.0.lock().insert(here.0, here.1.into());
    let entry = |cid, wish| Entry { cid, priority: 1, wish, send_dont_have: true };
    let hear = bench.hear_message(|out| {
        out.entry(&entry(here.0, Wish::Block), Dialect::Full);
        out.entry(&entry(missing.0, Wish::Have), Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let want = |cid, block, public| shoal_swarm::Want { cid, block, public };
    let wants = vec![want(here.0, true, Some(1_000)), want(missing.0, false, None)];
    assert_eq!(bench.told(), [Event::Wants { peer: PEER, wants }]);
    let hear = bench.hear_message(|out| {
        out.entry(&entry(here.0, Wish::Cancel), Dialect::Full);
    });
    assert!(hear.await.is_ok());
    let message = Said::Cancel { cids: vec![here.0] };
    assert_eq!(bench.told(), [Event::Message { peer: PEER, message }]);
}

#[tokio::test]
async fn broken_messages_end_the_session() {
    let half = [5, 0x0a, 200, 0, 0, 0];
    let group = [1, 0x0b];
    for bytes in [&half[..], &group] {
        let bench = Bench::new();
        let ended = bench.hear(bytes).await;
        assert!(matches!(ended, Err(Stop::Violation(Violation::Malformed))), "{ended:?}");
    }
    let mut long = BytesMut::new();
    super::super::proto::put_varint(&mut long, 5 << 20);
    let ended = Bench::new().hear(&long).await;
    assert!(matches!(ended, Err(Stop::Violation(Violation::Oversized))), "{ended:?}");
}
