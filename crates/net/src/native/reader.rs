//! Frames out of a byte stream, in memory that follows what has arrived.
//!
//! The buffer grows by what reads fill, from [`READ_BYTES_MIN`] to [`READ_BYTES_MAX`] ahead, never
//! by a declared length alone; a frame's body is a view of it, so a block is not copied. When the
//! stream is idle the buffer is given back: a hundred quiet peers cost nothing.
//!
//! Bytes that stop in the middle of a frame for [`Patience::stall`] are a violation.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::wire::{HEADER_BYTES, Header, Kind};
use crate::event::Violation;

/// The first read of an idle stream; control frames fit.
const READ_BYTES_MIN: usize = 8 << 10;
/// The largest read: two runs of 256 KiB, as much as half of what is usually asked for at once.
const READ_BYTES_MAX: usize = 512 << 10;

/// How long a stream waits for its peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For its `Hello`: in both directions a matter of one round trip.
    pub(crate) hello: Duration,
    /// Without a byte in the middle of a frame: no path is that slow, and the engine has given up
    /// its requests long before.
    pub(crate) stall: Duration,
    /// Without a byte between frames, before the buffer is given back.
    pub(crate) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            idle: Duration::from_secs(2),
        }
    }
}

/// Why there are no more frames.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The peer broke the protocol.
    Violation(Violation),
    /// The stream ended or broke.
    Gone,
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        tracing::trace!(%error, "stream broke");
        Self::Gone
    }
}

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}

/// Reads frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    read: R,
    /// All of it is initialised; the first `filled` bytes have arrived.
    buffer: BytesMut,
    filled: usize,
    /// Bytes that the next read may bring.
    chunk: usize,
    patience: Patience,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Nothing has been read.
    pub(crate) fn new(read: R, patience: Patience) -> Self {
        Self { read, buffer: BytesMut::new(), filled: 0, chunk: READ_BYTES_MIN, patience }
    }

    /// The next frame.
    ///
    /// Cancel-safe: what has arrived stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Frame, Stop> {
        loop {
            let missing = match Header::decode(&self.buffer[..self.filled])? {
                None => HEADER_BYTES - self.filled,
                Some(header) => {
                    let len = HEADER_BYTES + header.body_len;
                    if len <= self.filled {
                        return Ok(self.take(header, len));
                    }
                    len - self.filled
                }
            };
            self.fill(missing).await?;
        }
    }

    fn take(&mut self, header: Header, len: usize) -> Frame {
        let mut frame = self.buffer.split_to(len);
        self.filled -= len;
        Frame { kind: header.kind, body: frame.split_off(HEADER_BYTES).freeze() }
    }

    /// Reads once; `missing` bytes complete the frame.
    async fn fill(&mut self, missing: usize) -> Result<(), Stop> {
        let want = self.chunk.max(missing.min(READ_BYTES_MAX / 2));
        if self.buffer.len() - self.filled < missing.min(READ_BYTES_MIN) {
            self.buffer.resize(self.filled + want, 0);
        }
        let space = self.buffer.len() - self.filled;
        let n =
            match timeout(self.patience(), self.read.read(&mut self.buffer[self.filled..])).await {
                Ok(n) => n?,
                Err(_) if self.filled > 0 => return Err(Violation::Stalled.into()),
                Err(_) => {
                    self.rest();
                    self.read.read(&mut self.buffer).await?
                }
            };
        if n == 0 {
            return Err(Stop::Gone);
        }
        self.filled += n;
        if n == space {
            self.chunk = (self.chunk * 2).min(READ_BYTES_MAX);
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        if self.filled > 0 { self.patience.stall } else { self.patience.idle }
    }

    /// Gives the buffer back; the next read begins small.
    fn rest(&mut self) {
        self.chunk = READ_BYTES_MIN;
        self.buffer = BytesMut::zeroed(HEADER_BYTES);
    }
}

#[cfg(test)]
mod tests;
