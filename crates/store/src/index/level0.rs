//! Level 0: the rows that are not worth a run yet, and how they become one.
//!
//! It is a table of redb and the same in memory; both are changed by the same commit. A row that says that
//! a block is gone stays only while a run may have an older one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::WriteTransaction;

use super::apply::Done;
use super::journal::Position;
use super::run::{Run, RunWriter, Written};
use super::small::{Marked, Noted};
use super::{BLOCKS, Index, IndexError, RUNS};
use crate::error::WriteError;
use crate::key::{Digest, Slot, slot_to_bytes};

/// Level 0 is read when the store is opened and held in memory: 2 MB, a few milliseconds.
pub(crate) const LEVEL0_ROWS_MAX: usize = 16 * 1024;
/// A commit of this part of level 0 writes a run: with less, a run's two syncs cost more than the inserts.
pub(super) const RUN_SHARE: usize = 4;

/// What a commit did to the rows of blocks.
#[derive(Debug)]
pub(super) enum Rows {
    /// These went into level 0; `None` as the second: the digest has no row there any more.
    Level0(Vec<(Digest, Option<Slot>)>),
    /// They and all of level 0 went into a run, unless nothing was left of them.
    Run(Option<NewRun>),
}

/// A run that the commit names.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) number: u32,
    pub(super) written: Written,
}

impl Index {
    /// Puts rows where they belong, within a commit.
    pub(super) fn place_rows(
        &self,
        tx: &WriteTransaction,
        rows: HashMap<Digest, Slot>,
    ) -> Result<Rows, IndexError> {
        let level0 = self.state()?.level0.len();
        if rows.len() >= self.level0_rows / RUN_SHARE || level0 + rows.len() > self.level0_rows {
            return self.write_level0(tx, rows).map(Rows::Run);
        }
        let runs = self.runs()?;
        let mut placed = Vec::with_capacity(rows.len());
        let mut table = tx.open_table(BLOCKS)?;
        let mut sorted: Vec<_> = rows.into_iter().collect();
        sorted.sort_unstable_by_key(|row| row.0);
        for (digest, slot) in sorted {
            if slot.is_none() && !may_have(&runs, &digest)? {
                table.remove(&digest)?;
                placed.push((digest, None));
            } else {
                table.insert(&digest, &slot_to_bytes(slot))?;
                placed.push((digest, Some(slot)));
            }
        }
        Ok(Rows::Level0(placed))
    }

    /// Writes level 0 and `rows`, which are newer, into a new run, within a commit.
    pub(super) fn write_level0(
        &self,
        tx: &WriteTransaction,
        rows: HashMap<Digest, Slot>,
    ) -> Result<Option<NewRun>, IndexError> {
        let (mut all, runs, age) = {
            let state = self.state()?;
            let all: BTreeMap<_, _> = state.level0.iter().map(|row| (*row.0, *row.1)).collect();
            (all, Arc::clone(&state.runs), state.next_age())
        };
        all.extend(rows);
        tx.delete_table(BLOCKS)?;
        tx.open_table(BLOCKS)?;
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let Some(written) = self.write_run((number, age), &runs, &all)? else { return Ok(None) };
        tx.open_table(RUNS)?.insert(number, &written.row().to_bytes())?;
        Ok(Some(NewRun { number, written }))
    }

    fn write_run(
        &self,
        (number, age): (u32, u32),
        runs: &[Arc<Run>],
        rows: &BTreeMap<Digest, Slot>,
    ) -> Result<Option<Written>, IndexError> {
        let (path, disk) = (self.layout.run(number), self.layout.disk());
        let mut writer =
            RunWriter::create(disk, &path, age, rows.len() as u64).map_err(IndexError::write)?;
        for (digest, slot) in rows {
            if slot.is_some() || may_have(runs, digest)? {
                writer.push(digest, *slot).map_err(IndexError::write)?;
            }
        }
        if writer.is_empty() {
            return Ok(None);
        }
        let written = writer.finish().map_err(IndexError::write)?;
        match disk.sync_dir(&self.layout.runs()) {
            Ok(()) => Ok(Some(written)),
            Err(error) => {
                written.discard(disk);
                Err(IndexError::write(error))
            }
        }
    }

    /// Writes level 0 into a run, unless it is empty. The caller holds the lock of `writing`.
    pub(super) fn flush_level0(&self) -> Result<(), WriteError> {
        let (is_empty, blocks) = {
            let state = self.state().map_err(|e| self.write_error(e))?;
            (state.level0.is_empty(), state.blocks)
        };
        if is_empty {
            return Ok(());
        }
        self.commit(|tx| {
            let rows = Rows::Run(self.write_level0(tx, HashMap::new())?);
            let done = Done { rows, blocks, noted: Noted::default() };
            self.hide(tx, &Marked::default(), done)
        })
    }

    /// Takes over what a commit did.
    pub(super) fn committed(&self, done: Done, journal: Position) {
        let Done { rows, blocks, .. } = done;
        let run = match rows {
            Rows::Level0(placed) => {
                if let Some(state) = self.state.write().as_mut() {
                    for (digest, slot) in placed {
                        match slot {
                            Some(slot) => state.level0.insert(digest, slot),
                            None => state.level0.remove(&digest),
                        };
                    }
                    (state.blocks, state.journal) = (blocks, journal);
                }
                return;
            }
            Rows::Run(None) => None,
            Rows::Run(Some(new)) => Some(Arc::new(new.written.into_run(new.number))),
        };
        if let Some(state) = self.state.write().as_mut() {
            state.level0.clear();
            // It is there already where redb was opened again since.
            let is_new = |run: &Arc<Run>| state.runs.iter().all(|old| old.number != run.number);
            let run = run.filter(is_new);
            let runs = run.into_iter().chain(state.runs.iter().map(Arc::clone)).collect();
            state.runs = Arc::new(runs);
            (state.blocks, state.journal) = (blocks, journal);
        }
        self.wake.work();
    }

    /// Removes the file of a run whose commit failed, unless redb names it all the same.
    pub(super) fn discard(&self, new: NewRun) {
        let is_named = self.runs().map(|runs| runs.iter().any(|run| run.number == new.number));
        if !is_named.unwrap_or(true) {
            new.written.discard(self.layout.disk());
        }
    }
}

/// Can an older row of this digest be in a run?
fn may_have(runs: &[Arc<Run>], digest: &Digest) -> Result<bool, IndexError> {
    for run in runs {
        if run.may_have(digest)? {
            return Ok(true);
        }
    }
    Ok(false)
}
