//! Messages out of one stream, in memory that follows what has arrived.
//!
//! A message is a varint length and so many bytes. The buffer grows by what reads fill, never by a
//! declared length; but a message is begun only when its length fits into the peer's budget
//! ([`BUDGET_BYTES`] of messages at once, over all its streams), which the message holds until it
//! has been dealt with. A peer that declares much and sends little keeps itself waiting.
//!
//! Bytes that stop in the middle of a message for [`Patience::stall`] are a violation; between
//! messages a stream may rest for as long as it likes.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt};
use shoal_dag::varint;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::message::MESSAGE_BYTES_MAX;
use crate::event::Violation;
use crate::native::{Patience, Stop};

/// Bytes of messages of one peer that are being read or dealt with: one of the longest.
pub(crate) const BUDGET_BYTES: usize = MESSAGE_BYTES_MAX;
/// The first read of a message, and what the buffer has at least.
const READ_BYTES_MIN: usize = 16 << 10;
/// The most that is read at once.
const READ_BYTES_MAX: usize = 512 << 10;

/// One message and its part of the peer's budget.
#[derive(Debug)]
pub(super) struct Framed<'a> {
    pub(super) body: Bytes,
    pub(super) _budget: SemaphorePermit<'a>,
}

/// Reads messages.
#[derive(Debug)]
pub(super) struct MessageReader<R> {
    read: R,
    /// All of it is initialised; the first `filled` bytes have arrived.
    buffer: BytesMut,
    filled: usize,
    patience: Duration,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    /// Nothing has been read.
    pub(super) fn new(read: R, patience: Patience) -> Self {
        Self { read, buffer: BytesMut::new(), filled: 0, patience: patience.stall }
    }

    /// The stream itself, at its end.
    pub(super) fn into_inner(self) -> R {
        self.read
    }

    /// The next message; `None` when the peer has ended the stream between two.
    pub(super) async fn next<'a>(
        &mut self,
        budget: &'a Semaphore,
    ) -> Result<Option<Framed<'a>>, Stop> {
        let Some(len) = self.length().await? else { return Ok(None) };
        // The longest message takes it all, so there is always enough for one.
        let permit = budget.acquire_many(len as u32).await.map_err(|_| Stop::Gone)?;
        while self.filled < len {
            if !self.fill(len - self.filled, true).await? {
                return Err(Stop::Gone);
            }
        }
        let body = self.buffer.split_to(len).freeze();
        self.filled -= len;
        Ok(Some(Framed { body, _budget: permit }))
    }

    /// The length of the next message.
    async fn length(&mut self) -> Result<Option<usize>, Stop> {
        loop {
            let read =
                varint::read(&self.buffer[..self.filled]).map_err(|_| Violation::Malformed)?;
            if let Some((len, bytes)) = read {
                let len = usize::try_from(len).ok().filter(|len| *len <= MESSAGE_BYTES_MAX);
                let len = len.ok_or(Violation::Oversized)?;
                self.buffer.advance(bytes);
                self.filled -= bytes;
                return Ok(Some(len));
            }
            let begun = self.filled > 0;
            if !self.fill(READ_BYTES_MIN, begun).await? {
                return if begun { Err(Stop::Gone) } else { Ok(None) };
            }
        }
    }

    /// Reads once, no more than is missing and than has arrived already; false at the end of the
    /// stream. Whoever has `begun` a message must go on.
    async fn fill(&mut self, missing: usize, begun: bool) -> Result<bool, Stop> {
        let have = self.filled;
        let end = have + have.clamp(READ_BYTES_MIN, READ_BYTES_MAX).min(missing);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        let read = self.read.read(&mut self.buffer[have..end]);
        let n = if begun {
            timeout(self.patience, read).await.map_err(|_| Violation::Stalled)??
        } else {
            read.await?
        };
        self.filled += n;
        Ok(n > 0)
    }
}

#[cfg(test)]
mod tests;
