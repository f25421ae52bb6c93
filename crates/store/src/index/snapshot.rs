//! The index as it was at one moment, for walks over everything: collecting, verifying.
//!
//! Every row has a dense id below [`Snapshot::count`], so that a walk marks blocks in a bitmap. A
//! digest may have several rows: the newest one counts, and is the one that [`Snapshot::find`] gives.
//! What is committed later is not seen; what was only in the overlay is not seen either, so whoever
//! wants everything makes a checkpoint first. Nothing is locked while a snapshot lives.

use std::ops::ControlFlow;

use redb::ReadableTable;

use super::{BLOCKS, Index, IndexError};
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
    rows: Vec<(Digest, Entry)>,
}

impl Index {
    /// The committed entries of this moment.
    pub(crate) fn snapshot(&self) -> Result<std::sync::Arc<Snapshot>, WriteError> {
        let rows = self.read(|tx| {
            let table = tx.open_table(BLOCKS)?;
            let rows = table.iter()?.map(|row| {
                let (digest, entry) = row?;
                Ok((*digest.value(), Entry::from_bytes(entry.value())))
            });
            rows.collect()
        });
        Ok(std::sync::Arc::new(Snapshot { rows: rows.map_err(|error| self.write_error(error))? }))
    }
}

impl Snapshot {
    /// How many rows there are: the ids are those below it.
    pub(crate) fn count(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The newest row of a digest; `None` where there is none or it says that the block is gone.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<(u64, Entry)>, IndexError> {
        let found = self.rows.binary_search_by(|row| row.0.cmp(digest));
        Ok(found.ok().map(|at| (at as u64, self.rows[at].1)))
    }

    /// The digest of a row; `None` where there is no such row.
    pub(crate) fn digest_of(&self, id: u64) -> Result<Option<Digest>, IndexError> {
        Ok(self.rows.get(id as usize).map(|row| row.0))
    }

    /// Gives the rows from `from` on to `each` in the order of their ids, reading the disk in
    /// sequence; rows that say that a block is gone are left out. Ends early where `each` breaks.
    /// Returns the id with which the next call goes on: the count after the last row.
    pub(crate) fn each(
        &self,
        from: u64,
        mut each: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, IndexError> {
        for (id, (digest, entry)) in self.rows.iter().enumerate().skip(from as usize) {
            let (id, is_newest) = (id as u64, true);
            if each(Row { id, digest: *digest, entry: *entry, is_newest }).is_break() {
                return Ok(id + 1);
            }
        }
        Ok(self.count())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::disk::Disk;
    use crate::index::Changes;
    use crate::key::Place;

    fn entry(offset: u64) -> Entry {
        Entry { place: Place::Pack(1), offset, len: 1, hash: 0x1e, public: false }
    }

    #[test]
    fn ids_are_dense_and_only_the_newest_row_of_a_digest_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(&dir.path().join("index.redb"), &Disk::default()).unwrap();
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
