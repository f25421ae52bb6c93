//! Reading runs in sequence: one, or several as if they were one.
//!
//! Memory: 256 KiB for each run, whatever its length.

use std::sync::Arc;

use super::reader::Run;
use super::{IndexError, PAGE_BYTES, PAGE_ROWS};
use crate::key::{Digest, Slot};

/// Pages that are read at once: 256 KiB.
const READ_PAGES: u32 = 64;

/// The rows of a run from some rank on.
#[derive(Debug)]
pub(crate) struct Scan {
    run: Arc<Run>,
    rank: u64,
    /// The pages that were read last, and the number of the first.
    bytes: Vec<u8>,
    first: u32,
    /// The rows of the page in which `rank` lies.
    rows: Vec<(Digest, Slot)>,
}

impl Scan {
    /// Begins at a rank.
    pub(crate) fn new(run: &Arc<Run>, rank: u64) -> Self {
        Self { run: Arc::clone(run), rank, bytes: Vec::new(), first: 0, rows: Vec::new() }
    }

    /// The next row and its rank; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Digest, Slot)>, IndexError> {
        if self.rank >= self.run.row.rows {
            return Ok(None);
        }
        let at = (self.rank % PAGE_ROWS) as usize;
        if at == 0 || self.rows.is_empty() {
            self.turn((self.rank / PAGE_ROWS) as u32)?;
        }
        let Some((digest, slot)) = self.rows.get(at) else { return Ok(None) };
        self.rank += 1;
        Ok(Some((self.rank - 1, *digest, *slot)))
    }

    /// Takes the rows of a page.
    fn turn(&mut self, number: u32) -> Result<(), IndexError> {
        let here = (self.bytes.len() / PAGE_BYTES) as u32;
        if !(self.first..self.first + here).contains(&number) {
            let count = READ_PAGES.min(self.run.pages() - number);
            self.bytes = self.run.read_pages(number, count)?;
            self.first = number;
        }
        let at = (number - self.first) as usize * PAGE_BYTES;
        let bytes = self.bytes.get(at..at + PAGE_BYTES).unwrap_or_default();
        let page = self.run.check(bytes, number)?;
        self.rows.clear();
        self.rows.extend((0..page.len()).filter_map(|at| page.row(at)));
        Ok(())
    }
}

/// Several runs as one: of rows with the same digest the newest.
#[derive(Debug)]
pub(crate) struct Merge {
    /// The newest first, each with its next row.
    inputs: Vec<(Scan, Option<(Digest, Slot)>)>,
}

impl Merge {
    /// Begins; the newest run comes first.
    pub(crate) fn new(runs: &[Arc<Run>]) -> Result<Self, IndexError> {
        let mut inputs: Vec<_> = runs.iter().map(|run| (Scan::new(run, 0), None)).collect();
        inputs.iter_mut().try_for_each(step)?;
        Ok(Self { inputs })
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<(Digest, Slot)>, IndexError> {
        let heads = self.inputs.iter().filter_map(|input| input.1);
        // The first of equals is the newest.
        let Some(found) = heads.reduce(|best, row| if row.0 < best.0 { row } else { best }) else {
            return Ok(None);
        };
        for input in &mut self.inputs {
            if input.1.is_some_and(|row| row.0 == found.0) {
                step(input)?;
            }
        }
        Ok(Some(found))
    }
}

fn step(input: &mut (Scan, Option<(Digest, Slot)>)) -> Result<(), IndexError> {
    input.1 = input.0.next()?.map(|(_, digest, slot)| (digest, slot));
    Ok(())
}
