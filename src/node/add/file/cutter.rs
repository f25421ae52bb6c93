//! Cuts what a [`Reader`](super::reader::Reader) read into chunks, one buffer at a time.
//!
//! The chunks are slices of the buffers; only what is left over after the last cut is copied, into the room
//! at the head of the next buffer.

use std::io;

use bytes::Bytes;
use shoal_dag::chunk::Chunker;

use super::reader::Filled;

/// Bytes that follow each other in the file, cut into chunks.
pub(super) struct Group {
    /// The bytes, and around them what does not belong to this group.
    pub(super) buffer: Bytes,
    /// Where the first chunk begins.
    pub(super) from: usize,
    /// Lengths of the chunks, one behind the other.
    pub(super) chunks: Vec<usize>,
}

/// The groups of a source, in order. After an error nothing comes.
pub(super) struct Cutter<I> {
    filled: I,
    chunker: Chunker,
    /// Read and not cut yet; shorter than the longest chunk.
    rest: Vec<u8>,
    has_ended: bool,
    is_empty: bool,
}

impl<I: Iterator<Item = io::Result<Filled>>> Cutter<I> {
    /// Cuts what comes out of `filled`.
    pub(super) const fn new(filled: I, chunker: Chunker) -> Self {
        Self { filled, chunker, rest: Vec::new(), has_ended: false, is_empty: true }
    }

    fn group(&mut self) -> io::Result<Group> {
        // A reader that stops without having said that it was at the end has not read the file.
        let filled = self.filled.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let Filled { mut buffer, from, end, is_last } = filled;
        self.has_ended = is_last;
        let start = from - self.rest.len();
        buffer[start..from].copy_from_slice(&self.rest);
        let (mut at, mut chunks) = (start, Vec::new());
        while let Some(len) = self.chunker.cut(&buffer[at..end], is_last) {
            chunks.push(len);
            at += len;
        }
        self.rest.clear();
        self.rest.extend_from_slice(&buffer[at..end]);
        Ok(Group { buffer: buffer.freeze(), from: start, chunks })
    }
}

impl<I: Iterator<Item = io::Result<Filled>>> Iterator for Cutter<I> {
    type Item = io::Result<Group>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_ended {
            let group = self.group();
            match &group {
                Err(_) => self.has_ended = true,
                // An empty file has one empty chunk; else there is too little to cut yet.
                Ok(group) if group.chunks.is_empty() && !(self.has_ended && self.is_empty) => {
                    continue;
                }
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
    use std::{io::Read, sync::mpsc};

    use shoal_dag::Profile;

    use super::{super::reader::Reader, *};

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
        let chunker = Chunker::new(&profile);
        for group in Cutter::new(Reader::new(source, chunker.max(), len, spare), chunker) {
            let group = group.expect("a good source");
            let mut at = group.from;
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
        let chunker = Chunker::new(&Profile::Shoal);
        let cutter = Cutter::new(Reader::new(source, chunker.max(), None, spare), chunker);
        let groups: Vec<_> = cutter.collect();
        assert_eq!(groups.iter().filter(|group| group.is_err()).count(), 1);
        assert!(groups.last().is_some_and(Result::is_err));
    }

    #[test]
    fn a_reader_that_stops_before_the_end_is_an_error() {
        let bytes = noise(3_000_000);
        let chunker = Chunker::new(&Profile::Shoal);
        let (_used, spare) = mpsc::sync_channel(1);
        let source = Source { bytes: &bytes, piece: usize::MAX, fails: false };
        let reader = Reader::new(source, chunker.max(), None, spare);
        let groups: Vec<_> = Cutter::new(reader.take(1), chunker).collect();
        assert!(groups.last().is_some_and(Result::is_err));
    }
}
