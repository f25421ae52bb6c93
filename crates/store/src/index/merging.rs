//! Merging runs: what keeps a lookup from asking many of them.
//!
//! Runs that follow each other in age are merged into one, newest row first, when four of a size (to a
//! factor of four) have gathered with only smaller ones between them, or when there are too many in all.
//! It is done by one thread, in steps, with bounded buffers. The new run takes the age of its newest part.
//! Rows that say that a block is gone are dropped by a merge that reaches the oldest run.
//!
//! The commit that names the new run forgets the old ones; only then their files go. Whoever reads them
//! has them open.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Condvar, Mutex};

use super::level0::{NewRun, RUN_SHARE};
use super::run::{Merge, Run, RunWriter};
use super::{Index, IndexError, RUNS};
use crate::error::WriteError;

/// Runs of a size that are merged together.
const FAN_IN: usize = 4;
/// More runs than this are merged whatever their sizes: each costs a lookup a look at its filter.
const RUNS_MAX: usize = 32;
/// Rows between two looks at whether to go on: half a megabyte.
const STEP_ROWS: u64 = 8 * 1024;

/// What the merging thread waits for.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    has_work: bool,
    is_stopped: bool,
    paused: u32,
}

impl Wake {
    pub(super) fn work(&self) {
        self.state.lock().has_work = true;
        self.changed.notify_all();
    }

    /// Waits until there may be something to merge; `false` when the store goes.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while !state.is_stopped && (!state.has_work || state.paused > 0) {
            self.changed.wait(&mut state);
        }
        state.has_work = false;
        !state.is_stopped
    }

    /// Waits while merging is paused; `false` when the store goes.
    fn may_go_on(&self) -> bool {
        let mut state = self.state.lock();
        while !state.is_stopped && state.paused > 0 {
            self.changed.wait(&mut state);
        }
        !state.is_stopped
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}

/// While it lives, nothing is merged.
#[derive(Debug)]
pub(crate) struct Paused<'a>(&'a Wake);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.paused -= 1);
    }
}

/// Which runs to merge, given their rows, the newest first, and how many the smallest have.
fn plan(rows: &[u64], smallest: u64) -> Option<Range<usize>> {
    let size = |rows: u64| (rows / smallest.max(1)).max(1).ilog(FAN_IN as u64);
    let largest = rows.iter().map(|rows| size(*rows)).max()?;
    for wanted in 0..=largest {
        // Stretches without a larger run.
        let mut start = 0;
        for end in 0..=rows.len() {
            if end < rows.len() && size(rows[end]) <= wanted {
                continue;
            }
            let of_size = |at: &usize| size(rows[*at]) == wanted;
            let found: Vec<usize> = (start..end).filter(of_size).collect();
            if found.len() >= FAN_IN {
                return Some(found[0]..found[found.len() - 1] + 1);
            }
            start = end + 1;
        }
    }
    let cheapest = || {
        let at =
            (0..=rows.len() - FAN_IN).min_by_key(|at| rows[*at..at + FAN_IN].iter().sum::<u64>());
        at.map(|at| at..at + FAN_IN)
    };
    if rows.len() > RUNS_MAX { cheapest() } else { None }
}

impl Index {
    /// Merges whatever is to be merged, each time that there may be something, until
    /// [`stop_merging`](Self::stop_merging).
    pub(crate) fn merge_until_stopped(&self) {
        while self.wake.wait() {
            loop {
                match self.merge_once() {
                    Ok(true) => {}
                    Ok(false) => break,
                    // A damaged run stays as it is: its rows answer, or name it. A full disk may have
                    // room when the next run is made.
                    Err(error) => {
                        tracing::warn!(%error, "cannot merge the runs of the index");
                        break;
                    }
                }
            }
        }
    }

    /// Ends [`merge_until_stopped`](Self::merge_until_stopped); a merge under way is given up.
    pub(crate) fn stop_merging(&self) {
        self.wake.change(|state| state.is_stopped = true);
    }

    /// Holds merging up, in the middle of a merge too.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the collector"))]
    pub(crate) fn pause_merging(&self) -> Paused<'_> {
        self.wake.change(|state| state.paused += 1);
        Paused(&self.wake)
    }

    /// Merges some runs; `false` when there is nothing to merge or the store goes.
    pub(super) fn merge_once(&self) -> Result<bool, WriteError> {
        let runs = self.runs().map_err(|error| self.write_error(error))?;
        let rows: Vec<u64> = runs.iter().map(|run| run.row.rows).collect();
        let smallest = (self.level0_rows / RUN_SHARE) as u64;
        let Some(range) = plan(&rows, smallest) else { return Ok(false) };
        let is_oldest = range.end == runs.len();
        self.merge(&runs[range], is_oldest).map_err(|error| self.write_error(error))
    }

    /// Merges runs that follow each other in age, the newest first.
    pub(super) fn merge(&self, parts: &[Arc<Run>], is_oldest: bool) -> Result<bool, IndexError> {
        if parts.is_empty() {
            return Ok(false);
        }
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let Some(writer) = self.write_merged(number, parts, is_oldest)? else { return Ok(false) };
        let new = if writer.is_empty() {
            None
        } else {
            let written = writer.finish().map_err(IndexError::write)?;
            Some(NewRun { number, written })
        };
        let _one = self.writing.lock();
        let named = self.layout.disk().sync_dir(&self.layout.runs()).map_err(IndexError::write);
        let named = named.and_then(|()| {
            self.write(|tx| {
                let mut table = tx.open_table(RUNS)?;
                for part in parts {
                    table.remove(part.number)?;
                }
                if let Some(new) = &new {
                    table.insert(number, &new.written.row().to_bytes())?;
                }
                Ok(())
            })
        });
        if let Err(error) = named {
            if let Some(new) = new {
                self.discard(new);
            }
            return Err(error);
        }
        self.replace(parts, new);
        for part in parts {
            if let Err(error) = self.layout.disk().remove(part.path()) {
                tracing::warn!(path = %part.path().display(), %error, "cannot remove a merged run");
            }
        }
        Ok(true)
    }

    /// Writes the rows of runs into one; `None` when the store goes.
    fn write_merged(
        &self,
        number: u32,
        parts: &[Arc<Run>],
        is_oldest: bool,
    ) -> Result<Option<RunWriter>, IndexError> {
        let rows = parts.iter().map(|run| run.row.rows).sum();
        let age = parts.first().map_or(0, |newest| newest.row.age);
        let path = self.layout.run(number);
        let mut writer =
            RunWriter::create(self.layout.disk(), &path, age, rows).map_err(IndexError::write)?;
        let mut merge = Merge::new(parts)?;
        let mut taken = 0;
        while let Some((digest, slot)) = merge.next()? {
            if slot.is_some() || !is_oldest {
                writer.push(&digest, slot).map_err(IndexError::write)?;
            }
            taken += 1;
            if taken % STEP_ROWS == 0 && !self.wake.may_go_on() {
                return Ok(None);
            }
        }
        Ok(Some(writer))
    }

    /// Puts a merged run in the place of its parts.
    fn replace(&self, parts: &[Arc<Run>], new: Option<NewRun>) {
        let run = new.map(|new| Arc::new(new.written.into_run(new.number)));
        if let Some(state) = self.state.write().as_mut() {
            let is_part = |run: &&Arc<Run>| parts.iter().any(|part| part.number == run.number);
            let mut runs: Vec<_> = state.runs.iter().filter(|run| !is_part(run)).cloned().collect();
            // It is there already where redb was opened again since.
            let is_new = |run: &Arc<Run>| state.runs.iter().all(|old| old.number != run.number);
            runs.extend(run.filter(is_new));
            runs.sort_by_key(|run| std::cmp::Reverse(run.row.age));
            state.runs = Arc::new(runs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_a_size_are_merged_with_the_smaller_ones_between_them() {
        assert_eq!(plan(&[], 4096), None);
        assert_eq!(plan(&[4096; 3], 4096), None);
        assert_eq!(plan(&[4096; 4], 4096), Some(0..4));
        assert_eq!(plan(&[1 << 20, 4096, 4096, 10, 4096], 4096), Some(1..5));
        assert_eq!(plan(&[5000, 1 << 20, 4096, 4096, 4096], 4096), None, "a larger one between");
        let large = 16 * 4096;
        assert_eq!(plan(&[9, large, 9, large, large, 9, 9, large, 9], 4096), Some(1..8));
    }

    #[test]
    fn runs_stay_few_whatever_comes() {
        let mut rows: Vec<u64> = Vec::new();
        let (mut state, mut moved, mut came) = (7u64, 0, 0);
        for _ in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let new = 1 << (state >> 60);
            rows.insert(0, new * 64);
            came += new * 64;
            while let Some(range) = plan(&rows, 4096) {
                let sum: u64 = rows[range.clone()].iter().sum();
                moved += sum;
                rows.splice(range, [sum]);
            }
            assert!(rows.len() <= RUNS_MAX);
        }
        assert!(moved < 12 * came, "{moved} rows were written again for {came}");
    }
}
