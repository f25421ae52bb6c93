//! Remembers which blocks were held, in two bytes each.
//!
//! A fetch of a terabyte passes sixteen million blocks; their slots are dropped as sub-trees
//! complete, yet they must still be served. [`Filter`] is a Bloom filter in layers (each four times
//! the one before, until 1 MiB): it never forgets, and says yes to one stranger's guess in a
//! thousand or so per layer. A false yes is harmless: the store is asked, and may then give a
//! cached block of another root; the fingerprints are keyed, so nobody can aim for one.

use crate::limits::{FILTER_LAYER_WORDS_MAX, FILTER_LAYERS_MAX};
use crate::random::Print;

/// Words of the first layer: 8 KiB, room for 4,096 blocks.
const FIRST_WORDS: usize = 1 << 10;
/// Bits set per block; with 16 bits of room each, one false yes in about 2,000.
const PROBES: u32 = 8;
/// Bits of room per block.
const BITS: usize = 16;

/// A set of fingerprints that may say yes too often, never no.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    layers: Vec<Vec<u64>>,
    room: usize,
}

impl Filter {
    /// Remembers a block. Beyond [`FILTER_LAYERS_MAX`] full layers nothing more is remembered.
    pub(crate) fn insert(&mut self, print: Print) {
        if self.room == 0 && !self.grow() {
            return;
        }
        let Some(layer) = self.layers.last_mut() else { return };
        for (word, bit) in places(print, layer.len()) {
            layer[word] |= bit;
        }
        self.room -= 1;
    }

    /// Whether the block was (almost surely) inserted.
    pub(crate) fn contains(&self, print: Print) -> bool {
        self.layers
            .iter()
            .any(|layer| places(print, layer.len()).all(|(word, bit)| layer[word] & bit != 0))
    }

    fn grow(&mut self) -> bool {
        if self.layers.len() >= FILTER_LAYERS_MAX {
            return false;
        }
        let words = self.layers.last().map_or(FIRST_WORDS, |last| last.len() * 4);
        let words = words.min(FILTER_LAYER_WORDS_MAX);
        self.layers.push(vec![0; words]);
        self.room = words * 64 / BITS;
        true
    }
}

fn places(print: Print, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let mask = words * 64 - 1;
    let step = print.rotate_left(32) | 1;
    (0..PROBES).map(move |turn| {
        let at = print.wrapping_add(step.wrapping_mul(u64::from(turn))) as usize & mask;
        (at / 64, 1 << (at % 64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn what_went_in_is_found_and_little_else() {
        let mut random = Random::new(1);
        let prints: Vec<u64> = (0..100_000).map(|_| random.draw()).collect();
        let mut filter = Filter::default();
        for print in &prints {
            filter.insert(*print);
        }
        assert!(prints.iter().all(|print| filter.contains(*print)));
        let wrong = (0..100_000).filter(|_| filter.contains(random.draw())).count();
        assert!(wrong < 500, "{wrong} of 100,000 strangers were let in");
    }

    #[test]
    fn memory_has_an_end() {
        let mut filter = Filter { layers: vec![vec![0; 1]; FILTER_LAYERS_MAX], room: 0 };
        filter.insert(7);
        assert_eq!(filter.layers.len(), FILTER_LAYERS_MAX);
    }
}
