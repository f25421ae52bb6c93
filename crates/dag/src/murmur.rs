//! The hash of entry names in sharded directories: the first 64 bits of MurmurHash3 x64-128.
//!
//! Multicodec calls it `murmur3-x64-64` (0x22); the seed is zero. It spreads names over the slots
//! of a shard and proves nothing: whoever chooses names can make them collide. Blocks are never
//! addressed by it. Specification: Austin Appleby's MurmurHash3, which is in the public domain.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// Hashes a name. The first byte of the digest is the highest byte of the number.
pub(crate) fn hash(name: &[u8]) -> u64 {
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let (pairs, tail) = name.as_chunks::<16>();
    for pair in pairs {
        let (low, high) = words(pair);
        h1 ^= mix_low(low);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_high(high);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    // Of words that are zero the mixture is zero, so absent bytes change nothing.
    let (low, high) = words(&last);
    let len = name.len() as u64;
    h1 = (h1 ^ mix_low(low)) ^ len;
    h2 = (h2 ^ mix_high(high)) ^ len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    finish(h1).wrapping_add(finish(h2))
}

fn words(pair: &[u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(*pair);
    (both as u64, (both >> 64) as u64)
}

const fn mix_low(word: u64) -> u64 {
    word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

const fn mix_high(word: u64) -> u64 {
    word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

const fn finish(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_have_their_hashes() {
        // As github.com/spaolacci/murmur3 1.1.0, which kubo uses, hashes the first bytes of this.
        let text = b"The quick brown fox jumps over the lazy dog";
        let hashes = [
            (0, 0),
            (1, 0x8c03_777e_9184_689a),
            (7, 0xf0d3_843a_5abc_d5c9),
            (8, 0x644b_aae4_ad5b_71cd),
            (9, 0x37a0_6404_b2a8_f155),
            (15, 0x4813_7cb8_64e3_9216),
            (16, 0x9d12_44f4_af9b_32c4),
            (17, 0x91f9_6376_e757_e9ae),
            (31, 0x9b28_b5dd_d9c4_c509),
            (32, 0xdf6a_f91b_b29b_dacf),
            (33, 0x68d1_35cd_ab7b_b3dd),
            (43, 0xe34b_bc7b_bc07_1b6c),
        ];
        for (len, expected) in hashes {
            assert_eq!(hash(&text[..len]), expected, "{len}");
        }
        assert_eq!(hash(&[0xff, 0xfe, 0]), 0xde69_9128_f275_19ae);
    }
}
