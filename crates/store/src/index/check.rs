//! Reading the whole index from the disk, for `verify`: every page that something leads to, every run,
//! and the journal.
//!
//! A fault is a part whose bytes are not what was written. The rows themselves are not looked at: whether
//! what they lead to is right is for who reads the blocks. Commits wait while redb's file and the journal
//! are read, which are small; the runs never change and are read while others work.

use std::path::PathBuf;
use std::sync::Arc;

use redb::ReadableTable;

use super::journal::read;
use super::run::{Run, Scan};
use super::{BLOBS, BLOCKS, COUNTS, HIDDEN, Index, IndexError, PACKS, PINS, RECORDS, RUNS, WHOLES};
use crate::error::ReadError;
use crate::store::Store;

/// A file of the index that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong in it.
    pub reason: String,
}

impl Store {
    /// Reads the whole index from the disk and says which of its files are damaged;
    /// [`rebuild`](Self::rebuild) makes it again.
    pub fn check_index(&self) -> Result<Vec<IndexFault>, ReadError> {
        Ok(self.shared.index.check()?)
    }
}

impl Index {
    fn check(&self) -> Result<Vec<IndexFault>, IndexError> {
        let mut faults = Vec::new();
        let runs = self.runs()?;
        {
            let _one = self.writing.lock();
            // What redb has in memory says nothing about the disk.
            self.reopen();
            if let Err(error) = self.walk_tables() {
                faults.push(IndexFault { path: self.path.clone(), reason: error.to_string() });
            }
            faults.extend(self.check_journal());
        }
        for run in runs.iter() {
            if let Err(error) = check_run(run) {
                faults.push(IndexFault { path: run.path().to_owned(), reason: error.to_string() });
            }
        }
        Ok(faults)
    }

    /// Reads every row of every table, and with them every page that leads to one.
    fn walk_tables(&self) -> Result<(), IndexError> {
        self.read_once(|tx| {
            tx.open_table(BLOCKS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(RUNS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(BLOBS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(WHOLES)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(PACKS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(PINS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(RECORDS)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(HIDDEN)?.iter()?.try_for_each(|row| row.map(drop))?;
            tx.open_table(COUNTS)?.iter()?.try_for_each(|row| row.map(drop))?;
            Ok(())
        })
    }

    fn check_journal(&self) -> Option<IndexFault> {
        let number = self.state().ok()?.journal.number;
        let path = self.layout.journal(number);
        let reason = match read(&path, |_| Ok::<_, std::io::Error>(())) {
            Ok(damage) if damage.bytes == 0 => return None,
            Ok(damage) => format!("{} bytes are no entry of the journal", damage.bytes),
            Err(error) => error.to_string(),
        };
        Some(IndexFault { path, reason })
    }
}

fn check_run(run: &Arc<Run>) -> Result<(), IndexError> {
    let again = Arc::new(Run::open(run.number, run.row, run.path())?);
    again.load_all()?;
    let mut scan = Scan::new(&again, 0);
    while scan.next()?.is_some() {}
    Ok(())
}
