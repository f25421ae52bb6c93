//! The tree over a history: RFC 6962 outside, a Merkle mountain range inside.
//!
//! Leaf hash = SHA-256(0x00 || block), node hash = SHA-256(0x01 || left || right), root of the empty
//! tree = SHA-256 of nothing (RFC 6962 section 2.1, RFC 9162 section 2.1). A range keeps only its
//! peaks, the roots of the complete subtrees, largest first, one for each bit of its size; bagging
//! them from the right gives the RFC 6962 root. So a writer appends with at most 40 hashes in hand
//! and anybody who knows CT can check the root.

pub mod proof;
pub mod prove;

use crate::hash::{Hash, sha256};

/// Peaks of any range, and nodes of any inclusion path: indices are below 2^40.
pub const PEAKS_MAX: usize = 40;

/// The root over no entry: SHA-256 of the empty string.
pub const EMPTY_ROOT: Hash = Hash::from_bytes([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The leaf of a block.
pub fn leaf_hash(block: &[u8]) -> Hash {
    Hash::from_bytes(sha256(&[&[0x00], block]))
}

/// The node above two others.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::from_bytes(sha256(&[&[0x01], left.as_bytes(), right.as_bytes()]))
}

/// A mountain range: the peaks over the first `size` entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peaks {
    size: u64,
    /// Largest subtree first.
    peaks: Vec<Hash>,
}

impl Peaks {
    /// The range with those peaks, if that is how many a range of that size has.
    pub fn from_parts(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize && size >> PEAKS_MAX == 0)
            .then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The peaks, largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf: as many merges as the size has trailing ones.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak stands for each bit of the size");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The RFC 6962 root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => EMPTY_ROOT,
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests;
