//! Frames come out whole however the bytes come in, and memory follows what has come.
//!
//! The peer is a list of pieces or one end of a pipe. What the frames mean is tested elsewhere.
//! Waiting in vain is tested with a patience of milliseconds.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::super::wire::put_frame;
use super::*;

/// Gives its bytes in pieces of these lengths, over and over.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    lens: Vec<usize>,
    turn: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let len = self.lens[self.turn % self.lens.len()];
        self.turn += 1;
        let n = len.min(buf.len()).min(self.bytes.len() - self.at);
        buf[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(n))
    }
}

/// For peers that are waited for in vain.
const SHORT: Patience = Patience {
    hello: Duration::from_millis(20),
    stall: Duration::from_millis(20),
    idle: Duration::from_millis(10),
};

fn frames(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for body in bodies {
        put_frame(&mut out, Kind::Data, |out| out.put_slice(body));
    }
    out.to_vec()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn frames_come_out_as_they_went_in(
        lens in vec(prop_oneof![0usize..20, 0usize..100_000], 0..6),
        pieces in vec(prop_oneof![1usize..10, 1usize..70_000], 1..4),
        cut in 0usize..4,
    ) {
        let bodies: Vec<_> = lens.iter().enumerate().map(|(i, len)| vec![i as u8; *len]).collect();
        let mut bytes = frames(&bodies);
        let cut = cut.min(bytes.len());
        bytes.truncate(bytes.len() - cut);
        let whole = if cut > 0 { bodies.len() - 1 } else { bodies.len() };
        let mut reader = FrameReader::new(Pieces { bytes, at: 0, lens: pieces, turn: 0 }, Patience::default());
        runtime().block_on(async {
            for body in &bodies[..whole] {
                let frame = reader.next().await.expect("it is there");
                prop_assert_eq!(&frame.body[..], &body[..]);
            }
            prop_assert!(matches!(reader.next().await, Err(Stop::Gone)));
            Ok(())
        })?;
    }
}

#[test]
fn a_declared_length_alone_takes_no_memory() {
    let (ours, theirs) = tokio::io::duplex(1 << 10);
    let mut reader = FrameReader::new(ours.compat(), Patience::default());
    let len = super::super::wire::DATA_BYTES_MAX as u32;
    runtime().block_on(async {
        use tokio::io::AsyncWriteExt;
        let mut theirs = theirs;
        theirs.write_all(&len.to_le_bytes()).await.unwrap();
        theirs.write_all(&[Kind::Data as u8]).await.unwrap();
        let nothing = timeout(Duration::from_millis(50), reader.next()).await;
        assert!(nothing.is_err());
    });
    assert!(reader.buffer.capacity() <= READ_BYTES_MAX / 2 + READ_BYTES_MIN);
}

#[tokio::test]
async fn a_peer_that_stops_half_way_has_stalled() {
    use tokio::io::AsyncWriteExt;
    let (ours, mut theirs) = tokio::io::duplex(1 << 10);
    let mut reader = FrameReader::new(ours.compat(), SHORT);
    theirs.write_all(&[9, 0]).await.unwrap();
    let stopped = reader.next().await;
    assert!(matches!(stopped, Err(Stop::Violation(Violation::Stalled))), "{stopped:?}");
}

#[tokio::test]
async fn a_quiet_peer_is_waited_for_and_costs_nothing() {
    use tokio::io::AsyncWriteExt;
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let mut reader = FrameReader::new(ours.compat(), SHORT);
    theirs.write_all(&frames(&[vec![1; 300_000]])).await.unwrap();
    assert_eq!(reader.next().await.unwrap().body.len(), 300_000);
    let long = timeout(SHORT.stall * 10, reader.next()).await;
    assert!(long.is_err(), "still waiting");
    assert!(reader.buffer.capacity() < READ_BYTES_MIN);
    theirs.write_all(&frames(&[vec![2; 10]])).await.unwrap();
    assert_eq!(&reader.next().await.unwrap().body[..], [2; 10]);
}

#[test]
fn an_oversized_frame_is_told_from_its_header() {
    let bytes = [0xff, 0xff, 0xff, 0x7f, 1].to_vec();
    let mut reader =
        FrameReader::new(Pieces { bytes, at: 0, lens: vec![5], turn: 0 }, Patience::default());
    let stopped = runtime().block_on(reader.next());
    assert!(matches!(stopped, Err(Stop::Violation(Violation::Oversized))));
}
