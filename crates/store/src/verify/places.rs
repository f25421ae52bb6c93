//! The blocks of a snapshot in the order in which they lie on the disk.
//!
//! A snapshot is sorted by digest. To read a disk in sequence its rows are sorted by place, a bounded
//! part at a time: each part costs one pass over the snapshot, which has a thousandth of the bytes of
//! the content.

use std::ops::ControlFlow;

use crate::index::IndexError;
use crate::index::snapshot::Snapshot;
use crate::key::{Digest, Place};

/// Blocks that are sorted at once: 34 GB of leaves of 64 KiB, 56 MB of memory while they are chosen.
pub(crate) const PLACES_AT_ONCE: usize = 512 * 1024;

/// A block where it lies. The order is that of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Placed {
    pub(crate) place: Place,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) hash: u8,
    pub(crate) digest: Digest,
}

/// The first `max` blocks behind `after`, in order.
pub(crate) fn next(
    snapshot: &Snapshot,
    after: Option<&Placed>,
    max: usize,
) -> Result<Vec<Placed>, IndexError> {
    let mut chosen: Vec<Placed> = Vec::new();
    let mut bound: Option<Placed> = None;
    snapshot.each(0, |row| {
        let entry = row.entry;
        let (place, offset, len, hash) = (entry.place, entry.offset, entry.len, entry.hash);
        let placed = Placed { place, offset, len, hash, digest: row.digest };
        let is_behind = after.is_none_or(|after| placed > *after);
        if row.is_newest && is_behind && bound.is_none_or(|bound| placed < bound) {
            chosen.push(placed);
            if chosen.len() >= 2 * max {
                // The first `max` of them stay; nothing behind them is wanted any more.
                chosen.select_nth_unstable(max);
                bound = Some(chosen[max]);
                chosen.truncate(max);
            }
        }
        ControlFlow::Continue(())
    })?;
    chosen.sort_unstable();
    chosen.truncate(max);
    Ok(chosen)
}
