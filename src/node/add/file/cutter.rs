//! Reads a source and cuts it into chunks, one buffer at a time.
//!
//! The source is read straight into a buffer, which the chunks are then slices of; only what is left
//! over after the last cut is copied, to the head of the next buffer. Buffers that come back are used
//! again: making one means zeroing it. A small file gets a buffer of its own length.

use std::{
    io::{self, Read},
    sync::mpsc,
};

use bytes::{Bytes, BytesMut};
use shoal_dag::chunk::Chunker;

/// Bytes read at once: large enough that a read costs little beside its copy, small enough that the
/// buffers of one file stay in the cache that the two threads share.
const READ_BYTES: usize = 1 << 20;

/// Bytes that follow each other in the file, cut into chunks.
pub(super) struct Group {
    /// The bytes, and behind them what does not belong to this group.
    pub(super) buffer: Bytes,
    /// Lengths of the chunks, from the head of the buffer on.
    pub(super) chunks: Vec<usize>,
}

/// The groups of a source, in order. After an error nothing comes.
pub(super) struct Cutter<S> {
    source: S,
    chunker: Chunker,
    /// Read and not cut yet.
    rest: Bytes,
    /// How much to read next.
    ask: usize,
    spare: mpsc::Receiver<Bytes>,
    ended: bool,
    is_empty: bool,
}

impl<S: Read> Cutter<S> {
    /// Cuts `source`, expected to hold `len` bytes, into buffers of its own or from `spare`.
    pub(super) fn new(
        source: S,
        chunker: Chunker,
        len: Option<u64>,
        spare: mpsc::Receiver<Bytes>,
    ) -> Self {
        // One byte more than there should be tells that there is not.
        let expected = len
            .and_then(|len| usize::try_from(len).ok())
            .map_or(READ_BYTES, |len| len.saturating_add(1));
        let ask = expected.min(READ_BYTES);
        Self { source, chunker, rest: Bytes::new(), ask, spare, ended: false, is_empty: true }
    }

    /// A buffer of at least `len` bytes.
    fn buffer(&self, len: usize) -> BytesMut {
        let used = self.spare.try_iter().find_map(|used| used.try_into_mut().ok());
        match used {
            Some(used) if used.len() >= len => used,
            _ if len > READ_BYTES / 2 => BytesMut::zeroed(READ_BYTES + self.chunker.max()),
            _ => BytesMut::zeroed(len),
        }
    }

    /// Reads on behind the rest; says up to where the buffer holds the file.
    fn read(&mut self) -> io::Result<(Bytes, usize)> {
        let mut filled = self.rest.len();
        let mut buffer = self.buffer(filled + self.ask);
        buffer[..filled].copy_from_slice(&self.rest);
        self.rest = Bytes::new();
        self.ask = READ_BYTES;
        while filled < buffer.len() {
            match self.source.read(&mut buffer[filled..]) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok((buffer.freeze(), filled))
    }

    fn group(&mut self) -> io::Result<Group> {
        let (buffer, filled) = self.read()?;
        let (mut at, mut chunks) = (0, Vec::new());
        while let Some(len) = self.chunker.cut(&buffer[at..filled], self.ended) {
            chunks.push(len);
            at += len;
        }
        self.rest = buffer.slice(at..filled);
        Ok(Group { buffer, chunks })
    }
}

impl<S: Read> Iterator for Cutter<S> {
    type Item = io::Result<Group>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let group = self.group();
            match &group {
                Err(_) => self.ended = true,
                // An empty file has one empty chunk; else there is too little to cut yet.
                Ok(group) if group.chunks.is_empty() && !(self.ended && self.is_empty) => continue,
                Ok(_) => {}
            }
            let group = group.map(|mut group| {
                if group.chunks.is_empty() {
                    group.chunks.push(0);
                }
                group
            });
            self.is_empty = false;
            return Some(group);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::Profile;

    use super::*;

    /// Gives its bytes in pieces, and then an error if told so.
    struct Source<'a> {
        bytes: &'a [u8],
        piece: usize,
        fails: bool,
    }

    impl Read for Source<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.piece.min(self.bytes.len()).min(buffer.len());
            if len == 0 && self.fails {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.bytes.read(&mut buffer[..len])
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    /// The chunks of the whole in memory: what any way of reading must give.
    fn expected(profile: Profile, mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut chunker, mut chunks) = (Chunker::new(&profile), Vec::new());
        while let Some(len) = chunker.cut(bytes, true) {
            chunks.push(bytes[..len].to_vec());
            bytes = &bytes[len..];
        }
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        chunks
    }

    fn chunks(profile: Profile, source: Source<'_>, len: Option<u64>, again: bool) -> Vec<Vec<u8>> {
        let (used, spare) = mpsc::sync_channel(2);
        let mut chunks = Vec::new();
        for group in Cutter::new(source, Chunker::new(&profile), len, spare) {
            let group = group.expect("a good source");
            let mut at = 0;
            for len in &group.chunks {
                chunks.push(group.buffer[at..at + len].to_vec());
                at += len;
            }
            if again {
                used.try_send(group.buffer).expect("room");
            }
        }
        chunks
    }

    #[test]
    fn chunks_do_not_depend_on_how_the_source_is_read() {
        let bytes = noise(3_300_000);
        for profile in Profile::ALL {
            for len in [0, 1, 1000, 262_144, 1 << 20, 3_300_000] {
                let bytes = &bytes[..len];
                let expected = expected(profile, bytes);
                for hint in [None, Some(0), Some(len as u64), Some(len as u64 * 2)] {
                    for (piece, again) in [(usize::MAX, true), (77_777, false), (77_777, true)] {
                        let source = Source { bytes, piece, fails: false };
                        let chunks = chunks(profile, source, hint, again);
                        assert!(chunks == expected, "{profile} {len} {hint:?} {piece}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_error_is_told_once_and_ends_it() {
        let bytes = noise(2_000_000);
        let (_used, spare) = mpsc::sync_channel(1);
        let source = Source { bytes: &bytes, piece: 100_000, fails: true };
        let cutter = Cutter::new(source, Chunker::new(&Profile::Shoal), None, spare);
        let groups: Vec<_> = cutter.collect();
        assert_eq!(groups.iter().filter(|group| group.is_err()).count(), 1);
        assert!(groups.last().is_some_and(Result::is_err));
    }
}
