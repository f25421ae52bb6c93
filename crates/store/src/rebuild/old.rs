//! What is left of the old index.

use std::fs;
use std::io;
use std::sync::Arc;

use super::TablesFrom;
use crate::index::run::{Run, find_newest};
use crate::index::{Index, IndexError, is_plain_index};
use crate::key::{Digest, Slot};
use crate::layout::Layout;

/// The old index, as far as it can be read.
pub(super) enum Old {
    /// It opens. A page of it may still be damaged.
    Index(Box<Index>),
    /// Only runs are left, the newest first; what was not in a run yet is not known.
    Runs(Vec<Arc<Run>>),
}

/// What the old index says of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// This, and nothing newer.
    Exactly(Slot),
    /// This, unless something newer was lost.
    Perhaps(Slot),
    /// Nothing, or it could not be read.
    Nothing,
}

impl Old {
    pub(super) fn open(layout: &Layout, level0_rows: usize) -> Self {
        let path = layout.index();
        let is_there = fs::metadata(&path).is_ok_and(|file| file.len() > 0)
            && fs::File::open(&path).and_then(|file| is_plain_index(&file)).is_ok_and(|is| !is);
        let opened = is_there.then(|| Index::look_at(layout, level0_rows));
        match opened {
            Some(Ok(index)) => Self::Index(Box::new(index)),
            Some(Err(error)) => {
                tracing::warn!(%error, "the old index cannot be read");
                Self::Runs(found_runs(layout))
            }
            None => Self::Runs(found_runs(layout)),
        }
    }

    /// Makes the new index with the small tables in it. Says where they came from and how many bytes of
    /// the journal were damaged.
    pub(super) fn tables(
        &self,
        layout: &Layout,
        level0_rows: usize,
    ) -> Result<(TablesFrom, u64, Index), IndexError> {
        if let Self::Index(old) = self {
            let new = Index::begin_anew(layout, level0_rows)?;
            match new.copy_from(old) {
                Ok(()) => return Ok((TablesFrom::Index, 0, new)),
                Err(error) => tracing::warn!(%error, "the old index cannot be read to its end"),
            }
        }
        let new = Index::begin_anew(layout, level0_rows)?;
        Ok(match new.restore_from_journal()? {
            Some(damaged) => (TablesFrom::Journal, damaged, new),
            None => (TablesFrom::Nowhere, 0, new),
        })
    }

    /// What the old index says of a digest.
    pub(super) fn say(&self, digest: &Digest) -> Said {
        let said = match self {
            Self::Index(old) => old.slot(digest),
            Self::Runs(runs) => find_newest(runs, digest).map(|row| row.map(|(_, _, slot)| slot)),
        };
        match (self, said) {
            (Self::Index(_), Ok(Some(slot))) => Said::Exactly(slot),
            (Self::Runs(_), Ok(Some(slot))) => Said::Perhaps(slot),
            // Where a run is damaged, an older row may be wrong.
            (_, Ok(None) | Err(_)) => Said::Nothing,
        }
    }
}

fn found_runs(layout: &Layout) -> Vec<Arc<Run>> {
    let mut runs = Vec::new();
    for number in run_numbers(layout).unwrap_or_default() {
        match Run::open_found(number, &layout.run(number)) {
            Ok(run) => runs.push(Arc::new(run)),
            Err(error) => tracing::warn!(%error, "a run of the old index cannot be read"),
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse((run.row.age, run.number)));
    runs
}

/// The numbers of the runs that are there, whoever names them.
pub(super) fn run_numbers(layout: &Layout) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for name in fs::read_dir(layout.runs())? {
        let name = name?.file_name();
        numbers
            .extend(name.to_str().and_then(|name| name.strip_suffix(".run")?.parse::<u32>().ok()));
    }
    Ok(numbers)
}
