//! The frames: what is written is read, and nothing else is.
//!
//! Lengths that lie, streams that end early, bytes that come one at a time, and how much memory a
//! declared length takes before its bytes are there.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::executor::block_on;
use futures::io::Cursor;
use proptest::prelude::*;

use super::*;

/// Gives its bytes in pieces of the given size, and remembers the largest buffer it was offered.
struct Slow<'a> {
    bytes: &'a [u8],
    piece: usize,
    offered: usize,
}

impl AsyncRead for Slow<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.offered = self.offered.max(buffer.len());
        let count = self.piece.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(count))
    }
}

fn read(bytes: &[u8], piece: usize, max: usize) -> (io::Result<Vec<u8>>, usize) {
    let mut slow = Slow { bytes, piece, offered: 0 };
    let read = block_on(read_frame(&mut slow, max));
    (read, slow.offered)
}

fn frame(length: u32, bytes: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes(), bytes].concat()
}

#[test]
fn the_frame_is_the_documented_one() {
    let mut out = Cursor::new(Vec::new());
    block_on(write_frame(&mut out, b"abc", 8)).unwrap();
    assert_eq!(out.into_inner(), b"\x03\0\0\0abc");
}

#[test]
fn the_limits_are_inclusive_in_both_directions() {
    for max in [QUESTION_BYTES_MAX, ANSWER_BYTES_MAX] {
        let mut out = Cursor::new(Vec::new());
        block_on(write_frame(&mut out, &vec![7; max], max)).unwrap();
        let written = out.into_inner();
        assert_eq!(read(&written, usize::MAX, max).0.unwrap(), vec![7; max]);
        assert!(read(&written, usize::MAX, max - 1).0.is_err());
        let mut out = Cursor::new(Vec::new());
        assert!(block_on(write_frame(&mut out, &vec![7; max + 1], max)).is_err());
        assert!(out.into_inner().is_empty(), "nothing of it was written");
    }
}

#[test]
fn a_length_beyond_the_limit_ends_it_before_any_byte_is_read() {
    let (result, offered) = read(&frame(u32::MAX, &[1; 100]), 1, ANSWER_BYTES_MAX);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(offered, 4);
}

#[test]
fn memory_comes_with_the_bytes() {
    let (result, offered) = read(&frame(ANSWER_BYTES_MAX as u32, &[1; 10]), 1, ANSWER_BYTES_MAX);
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(offered <= READ_AHEAD_BYTES, "{offered}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        bytes in prop::collection::vec(any::<u8>(), 0..100_000),
        piece in 1_usize..70_000,
    ) {
        let mut out = Cursor::new(Vec::new());
        block_on(write_frame(&mut out, &bytes, ANSWER_BYTES_MAX)).unwrap();
        prop_assert_eq!(read(&out.into_inner(), piece, ANSWER_BYTES_MAX).0.unwrap(), bytes);
    }

    #[test]
    fn garbage_is_an_error_or_the_bytes_that_it_declares(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        max in 0_usize..300,
    ) {
        if let Ok(got) = read(&bytes, 3, max).0 {
            prop_assert!(got.len() <= max);
            prop_assert_eq!(frame(got.len() as u32, &got), &bytes[..got.len() + 4]);
        }
    }
}
