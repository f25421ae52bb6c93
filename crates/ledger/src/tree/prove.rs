//! Proofs out of a stored tree.
//!
//! What is stored are the complete subtrees: node (level, i) covers leaves i * 2^level up to the
//! next. Any root, path or range of peaks for any earlier size comes from them with at most two
//! look-ups per level (RFC 9162, sections 2.1.3.1 and 2.1.4.1). A store that lacks a node answers
//! none, and so does the proof; a store that answers wrongly makes a proof that no one accepts.

use super::{EMPTY_ROOT, Peaks, node_hash};
use crate::hash::Hash;

/// Where the nodes of a tree are kept.
pub trait Nodes {
    /// The root of the complete subtree over leaves `index << level` to `(index + 1) << level`.
    fn node(&self, level: u32, index: u64) -> Option<Hash>;
}

/// The root over the first `size` leaves.
pub fn root(nodes: &(impl Nodes + ?Sized), size: u64) -> Option<Hash> {
    if size == 0 { Some(EMPTY_ROOT) } else { subtree(nodes, 0, size) }
}

/// The mountain range over the first `size` leaves.
pub fn peaks(nodes: &(impl Nodes + ?Sized), size: u64) -> Option<Peaks> {
    let mut hashes = Vec::with_capacity(size.count_ones() as usize);
    let mut begin = 0;
    for level in (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1) {
        hashes.push(nodes.node(level, begin >> level)?);
        begin += 1 << level;
    }
    Peaks::from_parts(size, hashes)
}

/// The path from leaf `index` to the root over the first `size` leaves.
pub fn inclusion(nodes: &(impl Nodes + ?Sized), index: u64, size: u64) -> Option<Vec<Hash>> {
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    if index >= size {
        return None;
    }
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, begin, middle)?);
            begin = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The path which shows that the first `old_size` leaves are the beginning of the first `size`.
pub fn consistency(nodes: &(impl Nodes + ?Sized), old_size: u64, size: u64) -> Option<Vec<Hash>> {
    if old_size > size {
        return None;
    }
    if old_size == 0 || old_size == size {
        return Some(Vec::new());
    }
    let mut path = Vec::new();
    let (mut begin, mut end) = (0, size);
    while old_size < end {
        let middle = begin + split(end - begin);
        if old_size <= middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, begin, middle)?);
            begin = middle;
        }
    }
    if begin > 0 {
        path.push(subtree(nodes, begin, end)?);
    }
    path.reverse();
    Some(path)
}

/// The complete subtrees that appending `leaf` at `index` makes: level, index on it, and root, the
/// leaf itself first. What a store must write for one entry; none when it lacks a node before it.
pub fn completed(
    nodes: &(impl Nodes + ?Sized),
    index: u64,
    leaf: Hash,
) -> Option<Vec<(u32, u64, Hash)>> {
    let mut made = vec![(0, index, leaf)];
    let mut node = leaf;
    for level in 0..index.trailing_ones() {
        let left = nodes.node(level, (index >> level) - 1)?;
        node = node_hash(&left, &node);
        made.push((level + 1, index >> (level + 1), node));
    }
    Some(made)
}

/// The largest power of two below a size of two or more.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root over leaves `begin` to `end`, where `begin` is where RFC 6962 would cut.
fn subtree(nodes: &(impl Nodes + ?Sized), begin: u64, end: u64) -> Option<Hash> {
    let len = end - begin;
    if len.is_power_of_two() {
        let level = len.trailing_zeros();
        return nodes.node(level, begin >> level);
    }
    let middle = begin + split(len);
    Some(node_hash(&subtree(nodes, begin, middle)?, &subtree(nodes, middle, end)?))
}

/// Nodes in memory, level by level: for tests, tools, and ledgers that fit.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    levels: Vec<Vec<Hash>>,
}

impl Levels {
    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends a leaf, and every subtree that it completes.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(node);
            let [.., left, right] = self.levels[level][..] else { return };
            if self.levels[level].len() % 2 == 1 {
                return;
            }
            node = node_hash(&left, &right);
        }
    }

    /// Forgets all leaves from `size` on, and the nodes above them.
    pub fn truncate(&mut self, size: u64) {
        for (level, nodes) in self.levels.iter_mut().enumerate() {
            nodes.truncate((size >> level) as usize);
        }
    }
}

impl Nodes for Levels {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let nodes = self.levels.get(level as usize)?;
        nodes.get(usize::try_from(index).ok()?).copied()
    }
}
