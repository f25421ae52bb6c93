//! What is left of the old index, and how much of what it says is to be believed.
//!
//! Nothing of it is changed. Where a newer row may have been lost, that is said with the answer.

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
    /// It opens. Pages of it, and whole runs, may still be damaged.
    Index(Box<Index>),
    /// Only runs are left, the newest first; what was not in a run yet is not known.
    Runs {
        runs: Vec<Arc<Run>>,
        /// There are others, of whatever age, that cannot be read.
        has_lost: bool,
    },
}

/// What the old index says of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// This, and nothing newer.
    Exactly(Slot),
    /// This, unless level 0 said something newer: a block that it hid is noted as hidden.
    Perhaps(Slot),
    /// This, unless a run that cannot be read said something newer.
    Doubtful(Slot),
    /// Nothing.
    Nothing,
    /// It could not be read.
    Unreadable,
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
                found_runs(layout)
            }
            None => found_runs(layout),
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
        match self {
            Self::Index(old) => match old.slot_and_doubt(digest) {
                Ok((Some(slot), false)) => Said::Exactly(slot),
                Ok((Some(slot), true)) => Said::Doubtful(slot),
                Ok((None, false)) => Said::Nothing,
                Ok((None, true)) | Err(_) => Said::Unreadable,
            },
            Self::Runs { runs, has_lost } => match find_newest(runs, digest) {
                Ok(Some((_, _, slot))) if *has_lost => Said::Doubtful(slot),
                Ok(Some((_, _, slot))) => Said::Perhaps(slot),
                // Where a page is damaged, an older row may be wrong.
                Ok(None) | Err(_) => Said::Unreadable,
            },
        }
    }
}

fn found_runs(layout: &Layout) -> Old {
    let (mut runs, mut has_lost) = (Vec::new(), false);
    for number in run_numbers(layout).unwrap_or_default() {
        match Run::open_found(number, &layout.run(number)) {
            Ok(run) => runs.push(Arc::new(run)),
            Err(error) => {
                tracing::warn!(%error, "a run of the old index cannot be read");
                has_lost = true;
            }
        }
    }
    runs.sort_by_key(|run| std::cmp::Reverse((run.row.age, run.number)));
    Old::Runs { runs, has_lost }
}

/// The numbers of the runs that are there, whoever names them.
fn run_numbers(layout: &Layout) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for name in fs::read_dir(layout.runs())? {
        let name = name?.file_name();
        numbers
            .extend(name.to_str().and_then(|name| name.strip_suffix(".run")?.parse::<u32>().ok()));
    }
    Ok(numbers)
}
