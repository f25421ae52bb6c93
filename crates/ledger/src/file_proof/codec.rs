//! Proofs of files as bytes: one canonical dag-cbor list.
//!
//! ```text
//! file proof  [name bytes 32, block, hashes, [placed ..], [placed?], [segment ..], [directory ..]]
//!             the head, the peaks over the entries before it, the changes of keys before it, the
//!             update unless it is the head, the path, the directories that it leads through
//! segment     bytes, 1 to 255
//! directory   bytes, at most 2 MiB: a block as it is stored
//! ```
//!
//! `placed` is that of `head/codec.rs`. The head is proven from nothing, so nothing is said of what
//! a reader might have. Every bit counts: what is not signed is hashed into what is.

use shoal_dag::name::NAME_BYTES_MAX;
use shoal_dag::{BLOCK_BYTES_MAX, Bytes};

use super::{FILE_PROOF_BYTES_MAX, FileProof, SEGMENTS_MAX};
use crate::LedgerId;
use crate::cbor::{Reader, Writer};
use crate::head::{Common, HeadProof, Placed};
use crate::tree::EMPTY_ROOT;
use crate::wire::{DecodeError, count, entry, hashes, optional, write_hashes, write_optional};

/// Blocks of directories on a path: eight for each name, as many as a sharded directory can have levels
/// when it is written with 256 slots.
const BLOCKS_MAX: usize = 8 * SEGMENTS_MAX;

type Result<T> = std::result::Result<T, DecodeError>;

impl FileProof {
    /// The proof as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(7);
        out.bytes(self.name.key_bytes());
        out.bytes(self.head.head.block());
        write_hashes(out, &self.head.peaks);
        out.array(self.head.control.len());
        for placed in &self.head.control {
            placed.write(out);
        }
        write_optional(out, self.version.as_ref(), |out, placed| placed.write(out));
        out.array(self.segments.len());
        for segment in &self.segments {
            out.bytes(segment);
        }
        out.array(self.directories.len());
        for directory in &self.directories {
            out.bytes(directory);
        }
    }

    /// Reads a proof of at most [`FILE_PROOF_BYTES_MAX`] bytes. It proves nothing before it is
    /// verified.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > FILE_PROOF_BYTES_MAX {
            return Err(DecodeError::Format);
        }
        let mut input = Reader::new(bytes);
        let proof = Self::read(&mut input)?;
        input.end()?;
        Ok(proof)
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.array_exact(7)?;
        let name = LedgerId::from_key_bytes(input.array_of()?);
        let (head, peaks) = (entry(input)?, hashes(input)?);
        let control = (0..count(input)?).map(|_| Placed::read(input)).collect::<Result<_>>()?;
        let common = Common { size: 0, root: EMPTY_ROOT, to_have: Vec::new(), to_head: Vec::new() };
        let version = optional(input, Placed::read)?;
        let segments = list(input, (SEGMENTS_MAX, NAME_BYTES_MAX), <[u8]>::to_vec)?;
        let directories = list(input, (BLOCKS_MAX, BLOCK_BYTES_MAX), Bytes::copy_from_slice)?;
        let head = HeadProof { head, peaks, common, control };
        Ok(Self { name, head, version, segments, directories })
    }
}

/// A list of at most that many byte strings of at most that many bytes.
fn list<T>(
    input: &mut Reader<'_>,
    (items_max, bytes_max): (usize, usize),
    of: fn(&[u8]) -> T,
) -> Result<Vec<T>> {
    let items = input.array()?;
    if items > items_max {
        return Err(DecodeError::Format);
    }
    let item = |_| match input.bytes()? {
        bytes if bytes.len() <= bytes_max => Ok(of(bytes)),
        _ => Err(DecodeError::Format),
    };
    (0..items).map(item).collect()
}
