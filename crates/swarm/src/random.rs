//! Randomness and fingerprints, both from the engine's seed.
//!
//! [`Random`] is SplitMix64: two multiplications a draw, one word of state, the same sequence on
//! every machine. [`Keys`] folds a CID into 64 bits under a secret of the engine, so that maps can
//! be keyed by eight bytes, and strangers who choose CIDs can neither force collisions nor
//! foresee them. A fingerprint is a hint: where a wrong match would matter the CID is compared.

use std::hash::{BuildHasherDefault, Hasher};

use shoal_dag::Cid;

/// A keyed fingerprint of a CID.
pub(crate) type Print = u64;

/// A map keyed by fingerprints. It is never iterated: its order means nothing.
pub(crate) type PrintMap<V> = std::collections::HashMap<Print, V, BuildHasherDefault<Plain>>;

/// A set of fingerprints, as [`PrintMap`].
pub(crate) type PrintSet = std::collections::HashSet<Print, BuildHasherDefault<Plain>>;

/// Fingerprints are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = fold(self.0 ^ u64::from(*byte), MIX);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: u64 = 0xbf58_476d_1ce4_e5b9;

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a).wrapping_mul(u128::from(b));
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Draws from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(MIX);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.draw() as u32) * u64::from(end)) >> 32) as u32
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The secret under which CIDs become fingerprints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys(u64);

impl Keys {
    pub(crate) fn new(secret: u64) -> Self {
        Self(secret | 1)
    }

    /// The fingerprint of a CID.
    pub(crate) fn print(self, cid: &Cid) -> Print {
        let mut state = fold(self.0 ^ cid.codec(), GOLDEN);
        for part in cid.hash().digest().chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            state = fold(state ^ u64::from_le_bytes(word), MIX ^ self.0);
        }
        fold(state ^ cid.hash().code(), GOLDEN)
    }
}
