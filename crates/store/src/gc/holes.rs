//! Giving back what is dead within a file: holes, and how much a file takes.
//!
//! It works on ranges and open files, and on the rows of the homes that are worked on. Whether anybody
//! needs the bytes is decided, and committed, before it is asked.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::run::{Run, Stop};
use crate::disk::DiskFile;
use crate::error::ReadError;
use crate::files;
use crate::key::{Digest, Entry, Place};

/// Holes begin and end at multiples of this: pages, and blocks of the usual file systems.
pub(super) const HOLE_UNIT_BYTES: u64 = 4096;
/// Rows of homes that are worked on together: 64 MB. A home with more is worked on alone.
pub(super) const ROWS_GATHERED_MAX: u64 = 1 << 20;

/// A block in a home that is worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lodger {
    pub(super) digest: Digest,
    pub(super) entry: Entry,
    pub(super) stays: bool,
}

/// What a file takes on the disk; nothing where it is not there, or has other names.
pub(super) fn last_name_bytes(path: &Path) -> u64 {
    let metadata = std::fs::symlink_metadata(path);
    metadata.map_or(0, |file| if file.nlink() == 1 { files::taken(&file) } else { 0 })
}

/// What an open file takes on the disk.
pub(super) fn taken(file: &File) -> u64 {
    file.metadata().map_or(0, |file| files::taken(&file))
}

/// The parts of `0..len` that no range covers; the ranges are sorted.
pub(super) fn gaps(ranges: impl Iterator<Item = (u64, u64)>, len: u64) -> Vec<(u64, u64)> {
    let (mut gaps, mut at) = (Vec::new(), 0);
    for (start, end) in ranges {
        if start > at {
            gaps.push((at, start));
        }
        at = at.max(end);
    }
    if at < len {
        gaps.push((at, len));
    }
    gaps
}

/// The part of a gap that can become a hole; `None` where there is none.
pub(super) fn hole_of((start, end): (u64, u64)) -> Option<(u64, u64)> {
    let start = start.next_multiple_of(HOLE_UNIT_BYTES);
    let end = end / HOLE_UNIT_BYTES * HOLE_UNIT_BYTES;
    end.checked_sub(start).filter(|len| *len > 0).map(|len| (start, len))
}

/// Makes holes; says whether the file system can.
pub(super) fn punch(file: &DiskFile, holes: &[(u64, u64)]) -> io::Result<bool> {
    for (offset, len) in holes {
        match file.punch(*offset, *len) {
            Err(error) if error.raw_os_error() == Some(OPNOTSUPP) => return Ok(false),
            done => done?,
        }
    }
    Ok(true)
}

/// What a file system says that cannot make holes.
const OPNOTSUPP: i32 = rustix::io::Errno::OPNOTSUPP.raw_os_error();

impl Run<'_> {
    /// The newest rows of some homes, in the order of their offsets.
    pub(super) fn lodgers(
        &self,
        homes: &[Place],
    ) -> Result<std::collections::HashMap<Place, Vec<Lodger>>, Stop> {
        let mut found: std::collections::HashMap<Place, Vec<Lodger>> =
            homes.iter().map(|place| (*place, Vec::new())).collect();
        let each = |row: crate::index::snapshot::Row| {
            if row.is_newest
                && !self.moved.contains(&row.id)
                && let Some(lodgers) = found.get_mut(&row.entry.place)
            {
                let (digest, entry) = (row.digest, row.entry);
                lodgers.push(Lodger { digest, entry, stays: self.marks.stays(row.id) });
            }
            ControlFlow::Continue(())
        };
        self.snapshot.each(0, each).map_err(ReadError::from)?;
        for lodgers in found.values_mut() {
            lodgers.sort_unstable_by_key(|lodger| lodger.entry.offset);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_no_range_covers() {
        let ranges = [(0, 10), (10, 20), (15, 18), (30, 40)];
        assert_eq!(gaps(ranges.into_iter(), 50), [(20, 30), (40, 50)]);
        assert_eq!(gaps([].into_iter(), 5), [(0, 5)]);
        assert_eq!(gaps([(0, 5)].into_iter(), 5), []);
        assert_eq!(hole_of((1, 4096 * 3)), Some((4096, 8192)));
        assert_eq!(hole_of((1, 8191)), None);
        assert_eq!(hole_of((5000, 5100)), None);
    }
}
