//! Messages out of a pipe that gives them whole, in pieces, too long or never.
//!
//! What is in them does not matter here; that is `message`'s.

use std::sync::Arc;

use bytes::BufMut;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::super::proto::put_varint;
use super::*;

/// For peers that are waited for in vain.
const SHORT: Patience = Patience {
    hello: Duration::from_millis(200),
    stall: Duration::from_millis(50),
    idle: Duration::from_millis(10),
};

fn pipe(patience: Patience) -> (DuplexStream, MessageReader<Compat<DuplexStream>>) {
    let (ours, theirs) = duplex(1 << 16);
    (theirs, MessageReader::new(ours.compat(), patience))
}

fn framed(body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_varint(&mut out, body.len() as u64);
    out.put_slice(body);
    out
}

#[tokio::test]
async fn messages_come_out_as_they_went_in() {
    let (mut wire, mut reader) = pipe(Patience::default());
    let bodies = [vec![1; 3], vec![], vec![2; 500_000], vec![3; MESSAGE_BYTES_MAX], vec![4; 1]];
    let sent: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    let writer = tokio::spawn(async move {
        for piece in sent.chunks(10_007) {
            wire.write_all(piece).await.unwrap();
        }
    });
    let budget = Semaphore::new(BUDGET_BYTES);
    for body in bodies {
        assert_eq!(reader.next(&budget).await.unwrap().unwrap().body, body);
    }
    assert!(reader.next(&budget).await.unwrap().is_none(), "the stream ended between messages");
    assert_eq!(budget.available_permits(), BUDGET_BYTES);
    writer.await.unwrap();
}

#[tokio::test]
async fn what_is_too_long_or_no_length_is_refused_before_it_is_read() {
    let too_long = framed(&vec![0; MESSAGE_BYTES_MAX + 1]);
    for (bytes, expected) in
        [(&too_long[..5], Violation::Oversized), (&[0xff; 10][..], Violation::Malformed)]
    {
        let (mut wire, mut reader) = pipe(Patience::default());
        wire.write_all(bytes).await.unwrap();
        let stop = reader.next(&Semaphore::new(BUDGET_BYTES)).await.unwrap_err();
        assert!(matches!(stop, Stop::Violation(kind) if kind == expected), "{stop:?}");
        assert!(reader.buffer.capacity() <= 2 * READ_BYTES_MIN);
    }
}

#[tokio::test]
async fn half_a_message_is_a_fault_and_silence_is_not() {
    let (mut wire, mut reader) = pipe(SHORT);
    let budget = Arc::new(Semaphore::new(BUDGET_BYTES));
    let waiting = timeout(4 * SHORT.stall, reader.next(&budget)).await;
    assert!(waiting.is_err(), "an idle stream may rest");
    wire.write_all(&framed(&[7; 100])[..50]).await.unwrap();
    let stop = reader.next(&budget).await.unwrap_err();
    assert!(matches!(stop, Stop::Violation(Violation::Stalled)), "{stop:?}");

    let (mut wire, mut reader) = pipe(SHORT);
    wire.write_all(&framed(&[7; 100])[..50]).await.unwrap();
    drop(wire);
    assert!(matches!(reader.next(&budget).await, Err(Stop::Gone)));
}

/// Streams that declare much and send little hold up nobody but their own peer, and take no memory.
#[tokio::test]
async fn the_budget_is_for_all_streams_of_a_peer() {
    let budget = Semaphore::new(BUDGET_BYTES);
    let (mut slow_wire, mut slow) = pipe(Patience::default());
    let (mut wire, mut reader) = pipe(Patience::default());
    let large = framed(&vec![1; MESSAGE_BYTES_MAX]);
    slow_wire.write_all(&large[..10]).await.unwrap();
    wire.write_all(&framed(b"small")).await.unwrap();
    let first = slow.next(&budget);
    let second = reader.next(&budget);
    tokio::pin!(first, second);
    let waits = tokio::select! {
        biased;
        _ = &mut first => false,
        _ = &mut second => false,
        () = tokio::time::sleep(Duration::from_millis(50)) => true,
    };
    assert!(waits, "the first has all of the budget");
    slow_wire.write_all(&large[10..20]).await.unwrap();
    drop(slow_wire);
    assert!(matches!(first.await, Err(Stop::Gone)));
    assert_eq!(second.await.unwrap().unwrap().body, &b"small"[..]);
}
