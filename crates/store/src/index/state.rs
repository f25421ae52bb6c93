//! What a lookup needs, as the last commit left it: level 0 and the runs.
//!
//! Bounded: level 0 has [`LEVEL0_ROWS_MAX`](super::level0::LEVEL0_ROWS_MAX) rows (2 MB), the runs are
//! open files, a few dozen. The lock is held while level 0 is asked and never while a run is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use redb::ReadableTable;

use super::journal::Position;
use super::run::{Run, RunRow, find_newest};
use super::small::read_position;
use super::{BLOCKS, COUNT_BLOCKS, COUNTS, Index, IndexError, RUNS};
use crate::key::{Digest, Entry, Slot, slot_from_bytes};

/// Level 0 and the runs.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) level0: HashMap<Digest, Slot>,
    /// The newest first.
    pub(super) runs: Arc<Vec<Arc<Run>>>,
    /// The age of the newest run that could not be opened; only where damage is looked past.
    pub(super) lost: Option<u32>,
    /// How many blocks there are.
    pub(super) blocks: u64,
    /// How far the journal counts.
    pub(super) journal: Position,
}

impl State {
    /// The greatest number of a run.
    pub(super) fn newest_number(&self) -> u32 {
        self.runs.iter().map(|run| run.number).max().unwrap_or(0)
    }

    /// The age of the next run.
    pub(super) fn next_age(&self) -> u32 {
        self.runs.first().map_or(0, |run| run.row.age + 1)
    }
}

impl Index {
    /// Reads what the index file says.
    pub(super) fn load(&self) -> Result<State, IndexError> {
        self.load_past(&mut |_, error| Err(error))
    }

    /// As [`load`](Self::load); `damaged` says whether to go on without a run.
    pub(super) fn load_past(
        &self,
        damaged: &mut dyn FnMut(RunRow, IndexError) -> Result<(), IndexError>,
    ) -> Result<State, IndexError> {
        let (level0, rows, blocks, journal) = self.read_once(|tx| {
            let mut level0 = HashMap::new();
            for row in tx.open_table(BLOCKS)?.iter()? {
                let (digest, slot) = row?;
                level0.insert(*digest.value(), slot_from_bytes(slot.value()));
            }
            let mut rows = Vec::new();
            for row in tx.open_table(RUNS)?.iter()? {
                let (number, row) = row?;
                rows.push((number.value(), RunRow::from_bytes(row.value())));
            }
            let blocks = tx.open_table(COUNTS)?.get(COUNT_BLOCKS)?.map_or(0, |count| count.value());
            Ok((level0, rows, blocks, read_position(tx)?))
        })?;
        let (mut runs, mut lost) = (Vec::new(), None);
        for (number, row) in rows {
            match Run::open(number, row, &self.layout.run(number)) {
                Ok(run) => runs.push(Arc::new(run)),
                Err(error) => {
                    damaged(row, error)?;
                    lost = lost.max(Some(row.age));
                }
            }
        }
        runs.sort_by_key(|run| std::cmp::Reverse(run.row.age));
        Ok(State { level0, runs: Arc::new(runs), lost, blocks, journal })
    }

    /// Removes the files of runs that no commit named, or that a merge has left behind.
    pub(super) fn remove_unnamed(&self) -> io::Result<()> {
        let named: HashSet<_> = {
            let state = self.state.read();
            let runs = state.iter().flat_map(|state| state.runs.iter());
            runs.map(|run| run.path().to_owned()).collect()
        };
        for name in std::fs::read_dir(self.layout.runs())? {
            let path = name?.path();
            if !named.contains(&path) {
                tracing::debug!(path = %path.display(), "removes a run that the index does not name");
                self.layout.disk().remove(&path)?;
            }
        }
        Ok(())
    }

    /// The runs, the newest first.
    pub(super) fn runs(&self) -> Result<Arc<Vec<Arc<Run>>>, IndexError> {
        self.state().map(|state| Arc::clone(&state.runs))
    }

    /// What the newest row of a digest says; `None` where it has none.
    pub(crate) fn slot(&self, digest: &Digest) -> Result<Option<Slot>, IndexError> {
        let runs = {
            let state = self.state()?;
            if let Some(slot) = state.level0.get(digest) {
                return Ok(Some(*slot));
            }
            Arc::clone(&state.runs)
        };
        Ok(find_newest(&runs, digest)?.map(|(_, _, slot)| slot))
    }

    /// How many blocks there are.
    pub(super) fn blocks(&self) -> Result<u64, IndexError> {
        self.state().map(|state| state.blocks)
    }

    /// The entry of a digest.
    pub(crate) fn entry(&self, digest: &Digest) -> Result<Option<Entry>, IndexError> {
        Ok(self.slot(digest)?.flatten())
    }

    /// The entries of many digests, all as of one commit.
    pub(crate) fn entries(&self, digests: &[Digest]) -> Result<Vec<Option<Entry>>, IndexError> {
        Ok(self.entries_and_count(digests)?.0)
    }

    /// As [`entries`](Self::entries), with how many blocks there are.
    pub(crate) fn entries_and_count(
        &self,
        digests: &[Digest],
    ) -> Result<(Vec<Option<Entry>>, u64), IndexError> {
        let (fresh, runs, blocks) = {
            let state = self.state()?;
            let fresh: Vec<Option<Slot>> =
                digests.iter().map(|digest| state.level0.get(digest).copied()).collect();
            (fresh, Arc::clone(&state.runs), state.blocks)
        };
        let look = |(digest, fresh): (&Digest, Option<Slot>)| match fresh {
            Some(slot) => Ok(slot),
            None => Ok(find_newest(&runs, digest)?.and_then(|(_, _, slot)| slot)),
        };
        let entries = digests.iter().zip(fresh).map(look).collect::<Result<_, IndexError>>()?;
        Ok((entries, blocks))
    }
}
