//! Tests of the tree: published roots and proofs, a naive generator, and every single flipped bit.
//!
//! Published values come from transparency-dev/merkle. The naive generator is the definition of RFC
//! 6962, section 2.1, and shares nothing with the code but the two hashes.

use super::proof::{verify_consistency, verify_inclusion};
use super::prove::{Levels, Nodes, completed, consistency, inclusion, peaks, root};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// RFC 6962 section 2.1, word for word, and nothing clever.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
        }
    }
}

fn tree(size: u64) -> (Levels, Vec<Hash>) {
    let leaves: Vec<_> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let mut levels = Levels::default();
    for leaf in &leaves {
        levels.push(*leaf);
    }
    (levels, leaves)
}

fn hash(text: &str) -> Hash {
    Hash::from_bytes(std::array::from_fn(|i| {
        u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()
    }))
}

/// Leaves and roots of the certificate-transparency test data, as in transparency-dev/merkle,
/// `testonly/constants.go` (`LeafInputs`, `RootHashes`).
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn published_roots() {
    let mut range = Peaks::default();
    let mut levels = Levels::default();
    for (size, expected) in (0..).zip(ROOTS) {
        assert_eq!(range.root(), hash(expected), "{size}");
        assert_eq!(root(&levels, size), Some(hash(expected)), "{size}");
        if let Some(leaf) = LEAVES.get(size as usize) {
            range.push(leaf_hash(leaf));
            levels.push(leaf_hash(leaf));
        }
    }
}

#[test]
fn published_paths() {
    let mut levels = Levels::default();
    for leaf in LEAVES {
        levels.push(leaf_hash(leaf));
    }
    // transparency-dev/merkle, `testdata/inclusion/2` and `/3`, `testdata/consistency/3` and `/4`.
    let fourth = hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
    let third_pair = hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a");
    let last_pair = hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0");
    let second_pair = hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e");
    let sixth = hash("b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f");
    assert_eq!(inclusion(&levels, 5, 8), Some(vec![fourth, last_pair, hash(ROOTS[4])]));
    assert_eq!(inclusion(&levels, 2, 3), Some(vec![hash(ROOTS[2])]));
    assert_eq!(consistency(&levels, 2, 5), Some(vec![second_pair, fourth]));
    assert_eq!(consistency(&levels, 6, 7), Some(vec![third_pair, sixth, hash(ROOTS[4])]));
}

#[test]
fn range_and_stored_tree_agree_with_the_naive_root_up_to_2000() {
    let (levels, leaves) = tree(2_000);
    let mut range = Peaks::default();
    for size in 0..=2_000_u64 {
        let expected = range.root();
        if size < 70 || size % 97 == 0 || size > 1_990 {
            assert_eq!(naive_root(&leaves[..size as usize]), expected, "{size}");
        }
        assert_eq!(root(&levels, size), Some(expected), "{size}");
        assert_eq!(peaks(&levels, size).as_ref(), Some(&range), "{size}");
        if let Some(leaf) = leaves.get(size as usize) {
            range.push(*leaf);
        }
    }
}

#[test]
fn every_path_of_small_trees_verifies_and_is_of_logarithmic_length() {
    let (levels, leaves) = tree(70);
    for size in 1..=70 {
        let of = |size| root(&levels, size).unwrap();
        let height = (size as f64).log2().ceil() as usize;
        for index in 0..size {
            let path = inclusion(&levels, index, size).unwrap();
            assert!(path.len() <= height, "{index} of {size}");
            let leaf = &leaves[index as usize];
            assert!(verify_inclusion(leaf, index, size, &of(size), &path), "{index} of {size}");
            assert!(!verify_inclusion(leaf, index + 1, size, &of(size), &path));
            let path = consistency(&levels, index, size).unwrap();
            assert!(path.len() <= height + 1, "{index} to {size}");
            assert!(
                verify_consistency(index, &of(index), size, &of(size), &path),
                "{index} to {size}"
            );
            assert!(
                index == 0 || !verify_consistency(index, &of(index - 1), size, &of(size), &path)
            );
        }
        assert!(verify_consistency(size, &of(size), size, &of(size), &[]));
        assert_eq!(inclusion(&levels, size, size), None);
        assert_eq!(consistency(&levels, size + 1, size), None);
    }
}

#[test]
fn sizes_of_a_million_stay_below_the_promise() {
    /// A tree of equal leaves, which needs no memory: every node of a level is the same.
    struct Equal(Vec<Hash>);
    impl Nodes for Equal {
        fn node(&self, level: u32, _: u64) -> Option<Hash> {
            self.0.get(level as usize).copied()
        }
    }
    let mut nodes = vec![leaf_hash(b"x")];
    (0..20).for_each(|level| nodes.push(node_hash(&nodes[level], &nodes[level])));
    let nodes = Equal(nodes);
    let longest = (1..1_000_000).step_by(997).map(|old| {
        let path = consistency(&nodes, old, 1_000_000).unwrap();
        let (old_root, new_root) = (root(&nodes, old).unwrap(), root(&nodes, 1_000_000).unwrap());
        assert!(verify_consistency(old, &old_root, 1_000_000, &new_root, &path), "{old}");
        path.len() * 32
    });
    assert!(longest.max().unwrap() <= 672);
}

#[test]
fn absurd_sizes_and_paths_are_refused() {
    let leaf = leaf_hash(b"x");
    let long = vec![leaf; 100];
    assert!(!verify_inclusion(&leaf, 0, u64::MAX, &leaf, &long));
    assert!(!verify_inclusion(&leaf, 0, 0, &leaf, &[]));
    assert!(!verify_inclusion(&leaf, u64::MAX - 1, u64::MAX, &leaf, &long[..40]));
    assert!(!verify_consistency(1, &leaf, u64::MAX, &leaf, &long));
    assert!(!verify_consistency(u64::MAX, &leaf, 1, &leaf, &[]));
    assert!(!verify_consistency(0, &leaf, 5, &leaf, &[]), "nothing has the root of the empty tree");
    assert!(!verify_consistency(3, &leaf, 5, &leaf, &[]));
    assert_eq!(Peaks::from_parts(3, vec![leaf]), None);
    assert_eq!(Peaks::from_parts(1 << 40, vec![leaf]), None);
    assert!(Peaks::from_parts(4, vec![leaf]).is_some());
}

/// Nodes by level and index, as a store has them.
struct Stored<'a>(&'a BTreeMap<(u32, u64), Hash>);

impl Nodes for Stored<'_> {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

#[test]
fn what_a_leaf_completes_is_what_a_store_lacks() {
    let (whole, leaves) = tree(150);
    let mut stored = BTreeMap::new();
    for (index, leaf) in (0..).zip(&leaves) {
        let made = completed(&Stored(&stored), index, *leaf).unwrap();
        assert_eq!(made.len() as u32, index.trailing_ones() + 1);
        for (level, index, node) in made {
            assert_eq!(whole.node(level, index), Some(node));
            assert_eq!(stored.insert((level, index), node), None, "written once");
        }
        assert_eq!(root(&Stored(&stored), index + 1), root(&whole, index + 1));
    }
    assert_eq!(stored.len() as u64, 150 + 75 + 37 + 18 + 9 + 4 + 2 + 1);
    assert_eq!(completed(&Levels::default(), 5, leaves[0]), None);
}

#[test]
fn truncating_forgets_exactly_the_later_leaves() {
    let (mut levels, leaves) = tree(37);
    levels.truncate(19);
    assert_eq!(levels.size(), 19);
    assert_eq!(root(&levels, 19), Some(naive_root(&leaves[..19])));
    assert_eq!(root(&levels, 20), None);
    for leaf in &leaves[19..] {
        levels.push(*leaf);
    }
    assert_eq!(root(&levels, 37), Some(naive_root(&leaves)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_flipped_bit_breaks_a_proof(
        size in 1..300_u64, part in any::<prop::sample::Index>(), bit in 0..256_usize,
        what in any::<prop::sample::Index>(),
    ) {
        let (levels, leaves) = tree(size);
        let old = part.index(size as usize) as u64;
        let flip = |hash: &Hash| {
            let mut bytes = *hash.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Hash::from_bytes(bytes)
        };
        let whole = root(&levels, size).unwrap();
        let mut path = inclusion(&levels, old, size).unwrap();
        let leaf = leaves[old as usize];
        prop_assert!(!verify_inclusion(&flip(&leaf), old, size, &whole, &path));
        prop_assert!(!verify_inclusion(&leaf, old, size, &flip(&whole), &path));
        if !path.is_empty() {
            let at = what.index(path.len());
            path[at] = flip(&path[at]);
            prop_assert!(!verify_inclusion(&leaf, old, size, &whole, &path));
        }
        let mut path = consistency(&levels, old, size).unwrap();
        let before = root(&levels, old).unwrap();
        prop_assert!(!verify_consistency(old, &flip(&before), size, &whole, &path));
        prop_assert!(old == 0 || !verify_consistency(old, &before, size, &flip(&whole), &path));
        if !path.is_empty() {
            let at = what.index(path.len());
            path[at] = flip(&path[at]);
            prop_assert!(!verify_consistency(old, &before, size, &whole, &path));
        }
    }
}
