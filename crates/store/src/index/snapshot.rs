//! The index as it was at one moment, for walks over everything: collecting, verifying.
//!
//! Every row has a dense id below [`Snapshot::count`], so that a walk marks blocks in a bitmap. A
//! digest may have several rows: the newest one counts, and is the one that [`Snapshot::find`] gives.
//! What is committed later is not seen; what was only in the overlay is not seen either, so whoever
//! wants everything makes a checkpoint first. Nothing is locked while a snapshot lives.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::run::{Run, Scan, find_newest};
use super::{Index, IndexError};
use crate::error::WriteError;
use crate::key::{Digest, Entry};

/// One row of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Dense: below the snapshot's count.
    pub(crate) id: u64,
    pub(crate) digest: Digest,
    pub(crate) entry: Entry,
    /// No newer row has this digest: the row is what a lookup gives.
    pub(crate) is_newest: bool,
}

/// The rows of one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The newest first.
    runs: Vec<Arc<Run>>,
    /// The id of the first row of each run, and the count at the end.
    bases: Vec<u64>,
}

impl Index {
    /// The committed rows of this moment: level 0 becomes a run first.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, WriteError> {
        let _one = self.writing.lock();
        self.flush_level0()?;
        let runs = self.runs().map_err(|error| self.write_error(error))?.to_vec();
        let mut bases = vec![0];
        for run in &runs {
            bases.push(bases.last().copied().unwrap_or(0) + run.row.rows);
        }
        Ok(Arc::new(Snapshot { runs, bases }))
    }
}

impl Snapshot {
    /// How many rows there are: the ids are those below it.
    pub(crate) fn count(&self) -> u64 {
        self.bases.last().copied().unwrap_or(0)
    }

    /// The newest row of a digest; `None` where there is none or it says that the block is gone.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<(u64, Entry)>, IndexError> {
        let found = find_newest(&self.runs, digest)?;
        Ok(found.and_then(|(at, rank, slot)| Some((self.bases[at] + rank, slot?))))
    }

    /// The digest of a row; `None` where there is no such row.
    pub(crate) fn digest_of(&self, id: u64) -> Result<Option<Digest>, IndexError> {
        let Some(at) = self.run_of(id) else { return Ok(None) };
        let row = self.runs[at].row_at(id - self.bases[at])?;
        Ok(row.map(|(digest, _)| digest))
    }

    /// Gives the rows from `from` on to `each` in the order of their ids, reading the disk in
    /// sequence; rows that say that a block is gone are left out. Ends early where `each` breaks.
    /// Returns the id with which the next call goes on: the count after the last row.
    pub(crate) fn each(
        &self,
        from: u64,
        mut each: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, IndexError> {
        let Some(first) = self.run_of(from) else { return Ok(self.count()) };
        for at in first..self.runs.len() {
            let base = self.bases[at];
            let mut scan = Scan::new(&self.runs[at], from.saturating_sub(base));
            while let Some((rank, digest, slot)) = scan.next()? {
                let Some(entry) = slot else { continue };
                let is_newest = find_newest(&self.runs[..at], &digest)?.is_none();
                if each(Row { id: base + rank, digest, entry, is_newest }).is_break() {
                    return Ok(base + rank + 1);
                }
            }
        }
        Ok(self.count())
    }

    /// The place of the run in which an id lies.
    fn run_of(&self, id: u64) -> Option<usize> {
        (id < self.count()).then(|| self.bases.partition_point(|base| *base <= id) - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::disk::Disk;
    use crate::index::Changes;
    use crate::key::Place;
    use crate::layout::Layout;

    fn entry(offset: u64) -> Entry {
        Entry { place: Place::Pack(1), offset, len: 1, hash: 0x1e, public: false }
    }

    #[test]
    fn ids_are_dense_and_only_the_newest_row_of_a_digest_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&Layout::new(dir.path(), Disk::default()), 40).unwrap();
        let rows: BTreeMap<Digest, Entry> =
            (0..200u8).map(|n| ([n; 32], entry(n.into()))).collect();
        for part in rows.iter().collect::<Vec<_>>().chunks(70) {
            let entries = part.iter().map(|row| (*row.0, *row.1)).collect();
            index.apply(&mut Changes { entries, ..Changes::default() }).unwrap();
            index.snapshot().unwrap();
        }
        let forgotten = vec![[7; 32]];
        index.apply(&mut Changes { forgotten, ..Changes::default() }).unwrap();
        let marks = vec![([8; 32], true)];
        index.apply(&mut Changes { marks, ..Changes::default() }).unwrap();
        let snapshot = index.snapshot().unwrap();
        let forgotten = vec![[9; 32]];
        index.apply(&mut Changes { forgotten, ..Changes::default() }).unwrap();
        let mut seen = BTreeMap::new();
        let (mut from, mut last) = (0, None);
        while from < snapshot.count() {
            from = snapshot
                .each(from, |row| {
                    assert!(last < Some(row.id) && row.id < snapshot.count());
                    last = Some(row.id);
                    assert_eq!(snapshot.digest_of(row.id).unwrap(), Some(row.digest));
                    let newest = snapshot.find(&row.digest).unwrap();
                    assert_eq!(newest == Some((row.id, row.entry)), row.is_newest);
                    if row.is_newest {
                        assert_eq!(seen.insert(row.digest, row.entry), None);
                    }
                    ControlFlow::Break(())
                })
                .unwrap();
        }
        let mut expected = rows;
        expected.remove(&[7; 32]);
        expected.insert([8; 32], Entry { public: true, ..entry(8) });
        assert_eq!(seen, expected);
        assert_eq!(snapshot.find(&[7; 32]).unwrap(), None);
        assert_eq!(snapshot.find(&[201; 32]).unwrap(), None);
        assert_eq!(snapshot.digest_of(snapshot.count()).unwrap(), None);
    }
}
