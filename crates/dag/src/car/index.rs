//! The index of a version 2 CAR, written for readers that want one; it is never read here.
//!
//! Format 0x0401, `MultihashIndexSorted`: for each hash function and each width of digest, the
//! digests in order, each with the place of its section in the payload.

use std::collections::BTreeMap;

use crate::Cid;

use crate::hash;
use crate::wire::put_varint;

/// Multicodec of the format.
const FORMAT: u64 = 0x0401;

/// Most blocks that are indexed: 2^19 take about 40 MB until they are written. A larger CAR gets
/// no index, which every reader can make itself.
pub const BLOCKS_MAX: usize = 1 << 19;

/// Collects the places of sections.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    /// By hash function, then width of digest.
    places: BTreeMap<u64, BTreeMap<usize, Places>>,
}

/// Digests of one width, and where their sections begin.
type Places = Vec<(Box<[u8]>, u64)>;

impl IndexBuilder {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a section, which begins at this byte of the payload. Blocks that their CID
    /// carries are left out.
    pub fn push(&mut self, cid: &Cid, offset: u64) {
        if hash::identity(cid).is_some() {
            return;
        }
        let digest = cid.hash().digest();
        let widths = self.places.entry(cid.hash().code()).or_default();
        widths.entry(digest.len()).or_default().push((digest.into(), offset));
    }

    /// The bytes of the index.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, FORMAT);
        put_count(&mut out, self.places.len());
        for (code, widths) in self.places {
            out.extend(code.to_le_bytes());
            put_count(&mut out, widths.len());
            for (digest_bytes, mut places) in widths {
                places.sort_unstable();
                let width = digest_bytes + 8;
                put_count(&mut out, width);
                out.extend(((places.len() * width) as u64).to_le_bytes());
                for (digest, offset) in places {
                    out.extend(digest);
                    out.extend(offset.to_le_bytes());
                }
            }
        }
        out
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u32).to_le_bytes());
}
