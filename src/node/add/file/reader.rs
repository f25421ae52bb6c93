//! Reads a source into buffers, for whoever cuts them.
//!
//! The source is read straight into a buffer, which the chunks are then slices of. Each buffer but the
//! first has room at its head for what was left over after the last cut in the one before. Buffers that come
//! back are used again: making one means zeroing it. A small file gets a buffer of its own length.

use std::{
    io::{self, Read},
    sync::mpsc,
};

use bytes::{Bytes, BytesMut};

/// Bytes read at once: large enough that a read costs little beside its copy, small enough that the
/// buffers of one file stay in the cache that the threads share.
const READ_BYTES: usize = 1 << 20;

/// A buffer with what was read.
#[derive(Debug)]
pub(super) struct Filled {
    /// The bytes of the source stand from `from` to `end`.
    pub(super) buffer: BytesMut,
    /// Before it there is room.
    pub(super) from: usize,
    /// Behind it there is nothing of the source.
    pub(super) end: usize,
    /// The source has no more.
    pub(super) is_last: bool,
}

/// The buffers of a source, in order; the last one says so. After an error nothing comes.
pub(super) struct Reader<S> {
    source: S,
    /// How much to read next.
    ask: usize,
    /// Room at the head of the next buffer.
    head: usize,
    /// Room at the head of the later ones: no chunk is longer.
    chunk_max: usize,
    spare: mpsc::Receiver<Bytes>,
    has_ended: bool,
}

impl<S: Read> Reader<S> {
    /// Reads `source`, expected to hold `len` bytes, into buffers of its own or from `spare`.
    pub(super) fn new(
        source: S,
        chunk_max: usize,
        len: Option<u64>,
        spare: mpsc::Receiver<Bytes>,
    ) -> Self {
        // One byte more than there should be tells that there is not.
        let expected = len
            .and_then(|len| usize::try_from(len).ok())
            .map_or(READ_BYTES, |len| len.saturating_add(1));
        Self { source, ask: expected.min(READ_BYTES), head: 0, chunk_max, spare, has_ended: false }
    }

    /// A buffer of at least `len` bytes.
    fn buffer(&self, len: usize) -> BytesMut {
        let used = self.spare.try_iter().find_map(|used| used.try_into_mut().ok());
        match used {
            Some(used) if used.len() >= len => used,
            _ if len > READ_BYTES / 2 => BytesMut::zeroed(READ_BYTES + self.chunk_max),
            _ => BytesMut::zeroed(len),
        }
    }

    fn read(&mut self) -> io::Result<Filled> {
        let from = self.head;
        let mut buffer = self.buffer(from + self.ask);
        (self.head, self.ask) = (self.chunk_max, READ_BYTES);
        let mut end = from;
        while end < buffer.len() {
            match self.source.read(&mut buffer[end..]) {
                Ok(0) => {
                    self.has_ended = true;
                    break;
                }
                Ok(read) => end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Filled { buffer, from, end, is_last: self.has_ended })
    }
}

impl<S: Read> Iterator for Reader<S> {
    type Item = io::Result<Filled>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let filled = self.read();
        self.has_ended |= filled.is_err();
        Some(filled)
    }
}
