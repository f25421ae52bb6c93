//! Tests of the coalescer over a sink that takes only so many bytes per call and counts calls.
//!
//! A header and its body are one write, flush and close leave nothing behind, and whatever the
//! sink does, every byte arrives once and in order.

use futures::AsyncWriteExt;
use futures::executor::block_on;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Records what is written, at most `at_most` bytes a call, and is pending every other call if
/// `stutter`.
#[derive(Debug, Default)]
struct Sink {
    written: Vec<u8>,
    calls: usize,
    flushed_at: Option<usize>,
    at_most: usize,
    stutter: bool,
    ready: bool,
}

impl Sink {
    fn new(at_most: usize, stutter: bool) -> Self {
        Self { at_most, stutter, ..Self::default() }
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.ready = !self.ready;
        if self.stutter && self.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.calls += 1;
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let n = all.len().min(self.at_most);
        self.written.extend_from_slice(&all[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed_at = Some(self.written.len());
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[test]
fn a_header_and_its_body_are_one_write() {
    let mut stream = Coalesce::new(Sink::new(usize::MAX, false));
    block_on(async {
        stream.write_all(&[1; 12]).await.unwrap();
        assert_eq!(stream.inner.calls, 0, "the header waits");
        stream.write_all(&[2; 1000]).await.unwrap();
    });
    assert_eq!(stream.inner.calls, 1);
    assert_eq!(stream.inner.written.len(), 1012);
    assert_eq!(stream.inner.written[..13], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn flush_and_close_push_out_what_is_held() {
    for close in [false, true] {
        let mut stream = Coalesce::new(Sink::new(5, false));
        block_on(async {
            stream.write_all(b"window update").await.unwrap();
            if close { stream.close().await } else { stream.flush().await }
        })
        .unwrap();
        assert_eq!(stream.inner.flushed_at, Some(13));
        assert_eq!(stream.inner.written, b"window update");
    }
}

#[test]
fn a_sink_that_takes_nothing_is_an_error() {
    let mut stream = Coalesce::new(Sink::new(0, false));
    let result = block_on(async {
        stream.write_all(b"short").await?;
        stream.flush().await
    });
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::WriteZero);
}

proptest! {
    #[test]
    fn every_byte_arrives_in_order(
        lens in vec(0usize..80, 0..20),
        at_most in 1usize..70,
        stutter: bool,
    ) {
        let mut stream = Coalesce::new(Sink::new(at_most, stutter));
        let mut expected = Vec::new();
        block_on(async {
            for (i, len) in lens.iter().enumerate() {
                let part = vec![i as u8; *len];
                expected.extend_from_slice(&part);
                stream.write_all(&part).await.unwrap();
            }
            stream.flush().await.unwrap();
        });
        prop_assert_eq!(&stream.inner.written, &expected);
        prop_assert_eq!(stream.inner.flushed_at, Some(expected.len()));
    }
}
