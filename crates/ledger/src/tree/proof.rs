//! Verification of inclusion and consistency.
//!
//! The algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2. A path is right or wrong, and why it is
//! wrong matters to nobody, so they answer yes or no. Time and memory are bounded by the length of
//! the path, which is bounded by the sizes: a longer one is wrong before anything is hashed.

use super::{EMPTY_ROOT, PEAKS_MAX, node_hash};
use crate::hash::Hash;

/// The longest path of either kind: one node per level, and one more in a consistency proof.
pub const PATH_MAX: usize = PEAKS_MAX + 1;

/// Whether that leaf stands at that index of the tree of that size and root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, root: &Hash, path: &[Hash]) -> bool {
    if index >= size || path.len() > PATH_MAX {
        return false;
    }
    let mut climb = Climb { index, last: size - 1 };
    let mut node = *leaf;
    for sibling in path {
        match climb.step() {
            Some(Side::Left) => node = node_hash(sibling, &node),
            Some(Side::Right) => node = node_hash(&node, sibling),
            None => return false,
        }
    }
    climb.last == 0 && node == *root
}

/// Whether the tree of `old_size` and `old_root` is a beginning of the tree of `size` and `root`.
/// Everything extends the empty tree, and a tree extends itself, each with an empty path.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    path: &[Hash],
) -> bool {
    if old_size > size || path.len() > PATH_MAX {
        return false;
    }
    if old_size == 0 || old_size == size {
        let roots_fit = if old_size == size { old_root == root } else { *old_root == EMPTY_ROOT };
        return path.is_empty() && roots_fit;
    }
    let mut climb = Climb { index: old_size - 1, last: size - 1 };
    climb.rise(climb.index.trailing_ones());
    let (seed, path) = if old_size.is_power_of_two() {
        (*old_root, path)
    } else {
        let Some((first, rest)) = path.split_first() else { return false };
        (*first, rest)
    };
    let (mut old_node, mut node) = (seed, seed);
    for sibling in path {
        match climb.step() {
            Some(Side::Left) => {
                old_node = node_hash(sibling, &old_node);
                node = node_hash(sibling, &node);
            }
            Some(Side::Right) => node = node_hash(&node, sibling),
            None => return false,
        }
    }
    climb.last == 0 && old_node == *old_root && node == *root
}

/// On which side of the node a sibling stands.
enum Side {
    Left,
    Right,
}

/// A way up the tree: the node's index on its level, and the last index of that level.
struct Climb {
    index: u64,
    last: u64,
}

impl Climb {
    fn rise(&mut self, levels: u32) {
        self.index = self.index.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    /// The side of the next sibling, and up past it; none at the top.
    fn step(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.index & 1 == 1 || self.index == self.last {
            // The last node of a level without a sibling is carried up until it has one.
            if self.index & 1 == 0 {
                self.rise(self.index.trailing_zeros());
            }
            Side::Left
        } else {
            Side::Right
        };
        self.rise(1);
        Some(side)
    }
}
