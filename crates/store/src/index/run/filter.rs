//! The filter of a run: says of a digest that it is certainly not there, or perhaps.
//!
//! A Bloom filter in blocks of 64 bytes: all bits of a digest lie in one block, so that a question
//! touches one line of the processor's cache. Digests are hashes already; their bytes choose block
//! and bits. Whoever chooses digests at will can make it say "perhaps", which costs a read and no
//! wrong answer.
//!
//! ```text
//! block:  bytes 8 to 15 of the digest, as a number, times the blocks, divided by 2^64
//! bits:   bytes 16 to 23, as a number: 7 times 9 bits, the lowest first
//! ```

use crate::key::Digest;

/// One false "perhaps" in a hundred, for a fortieth of what the rows take.
const BITS_PER_ROW: u64 = 10;
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: u64 = 64 * BLOCK_WORDS as u64;
pub(super) const BLOCK_BYTES: usize = 8 * BLOCK_WORDS;
const PROBES: u32 = 7;

/// The filter of one run.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Filter {
    /// An empty filter for this many rows at most.
    pub(super) fn new(rows: u64) -> Self {
        let blocks = (rows * BITS_PER_ROW).div_ceil(BLOCK_BITS).max(1);
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks as usize] }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for what is no number of blocks.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        let word = |bytes: &[u8; BLOCK_BYTES], n: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[8 * n..][..8]);
            u64::from_le_bytes(word)
        };
        let blocks: Vec<_> =
            blocks.iter().map(|bytes| std::array::from_fn(|n| word(bytes, n))).collect();
        (rest.is_empty() && !blocks.is_empty()).then_some(Self { blocks })
    }

    /// The bytes of the filter.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Adds a digest.
    pub(super) fn insert(&mut self, digest: &Digest) {
        let (at, bits) = self.place(digest);
        let block = &mut self.blocks[at];
        for bit in bits {
            block[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Can this digest have been added?
    pub(super) fn may_have(&self, digest: &Digest) -> bool {
        let (at, mut bits) = self.place(digest);
        let block = &self.blocks[at];
        bits.all(|bit| block[bit / 64] & 1 << (bit % 64) != 0)
    }

    fn place(&self, digest: &Digest) -> (usize, impl Iterator<Item = usize> + use<>) {
        let number = |from: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest[from..from + 8]);
            u64::from_le_bytes(bytes)
        };
        let at = (u128::from(number(8)) * self.blocks.len() as u128) >> 64;
        let bits = number(16);
        (at as usize, (0..PROBES).map(move |n| (bits >> (9 * n)) as usize % BLOCK_BITS as usize))
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::hash::HashKind;

    use super::*;

    fn digest(n: u64) -> Digest {
        HashKind::Blake3.digest(&n.to_le_bytes())
    }

    #[test]
    fn nothing_that_was_added_is_denied_and_little_else_is_admitted() {
        const ROWS: u64 = 20_000;
        let mut filter = Filter::new(ROWS);
        (0..ROWS).for_each(|n| filter.insert(&digest(n)));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..ROWS).all(|n| filter.may_have(&digest(n))));
        let admitted = (ROWS..11 * ROWS).filter(|n| filter.may_have(&digest(*n))).count();
        let share = admitted as f64 / (10 * ROWS) as f64;
        assert!(share < 0.02, "{share}");
    }

    #[test]
    fn an_empty_filter_denies_everything() {
        let filter = Filter::new(0);
        assert!(!filter.may_have(&digest(1)));
        assert!(Filter::from_bytes(&[]).is_none());
        assert!(Filter::from_bytes(&[0; 65]).is_none());
    }
}
