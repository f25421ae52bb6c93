//! Joins the short header that yamux writes by itself to the body that follows.
//!
//! yamux writes its 12-byte header and the frame's body in two calls; each would become a TLS
//! record and a system call of its own. [`Coalesce`] holds back writes shorter than [`HELD_MAX`]
//! bytes and issues them together with the next one, vectored. Flush and close push out what is
//! held, or window updates would stall. Reads pass through.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

/// Writes shorter than this are held back: a yamux header has 12 bytes.
pub(crate) const HELD_MAX: usize = 32;

/// A stream whose short writes wait for the next one.
#[derive(Debug)]
pub(crate) struct Coalesce<S> {
    inner: S,
    held: [u8; HELD_MAX],
    held_len: usize,
}

impl<S> Coalesce<S> {
    /// Nothing held yet.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, held: [0; HELD_MAX], held_len: 0 }
    }

    /// Removes the first `n` held bytes, which have been written.
    fn release(&mut self, n: usize) {
        self.held.copy_within(n..self.held_len, 0);
        self.held_len -= n;
    }
}

impl<S: AsyncWrite + Unpin> Coalesce<S> {
    /// Writes what is held.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held_len > 0 {
            let held = &self.held[..self.held_len];
            let n = ready!(Pin::new(&mut self.inner).poll_write(cx, held))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.release(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesce<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.held_len + buf.len() < HELD_MAX {
            this.held[this.held_len..][..buf.len()].copy_from_slice(buf);
            this.held_len += buf.len();
            return Poll::Ready(Ok(buf.len()));
        }
        loop {
            if this.held_len == 0 {
                return Pin::new(&mut this.inner).poll_write(cx, buf);
            }
            let parts = [IoSlice::new(&this.held[..this.held_len]), IoSlice::new(buf)];
            let n = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, &parts))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if n > this.held_len {
                let of_buf = n - this.held_len;
                this.held_len = 0;
                return Poll::Ready(Ok(of_buf));
            }
            this.release(n);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesce<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests;
