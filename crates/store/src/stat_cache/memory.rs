//! The rows of one directory: those that were there, and those that are written now.
//!
//! A directory that did not change is listed in the same order as the last time, so rows are looked
//! for where the last one ended, and only where that fails by their names' hashes. Memory: the old
//! record and the new one, each at most [`RECORD_BYTES_MAX`], and 16 bytes a row once the order has
//! changed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use shoal_dag::Cid;

use super::{Remembered, StatKey, StatPrint, checksum};

/// About 200,000 files of one directory; the rest are read again. Two of these are in memory.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The generation, before the rows.
const HEAD_BYTES: usize = 8;

/// The files of one directory: as they were when they were last added, and as they are added now.
#[derive(Debug)]
pub struct Memory {
    key: StatKey,
    /// What was there, with its head; empty when nothing was.
    old: Vec<u8>,
    /// Where the next row is expected.
    next: usize,
    by_name: Option<Names>,
    new: Vec<u8>,
    /// Of the old rows.
    generation: Option<u64>,
}

/// Rows by the hash of their names.
#[derive(Debug)]
struct Names {
    hasher: RandomState,
    at: HashMap<u64, usize>,
}

/// One record to be written; or none, when everything is as it was.
#[derive(Debug)]
pub struct Note {
    pub(super) key: StatKey,
    pub(super) value: Option<Vec<u8>>,
}

impl Note {
    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// A row that was read.
struct Row<'a> {
    name: &'a [u8],
    print: StatPrint,
    remembered: Remembered,
    end: usize,
}

impl Memory {
    pub(super) fn new(key: StatKey, old: Option<Vec<u8>>) -> Self {
        let old = old.unwrap_or_default();
        let (head, next) = (old.first_chunk::<HEAD_BYTES>(), HEAD_BYTES);
        let generation = head.map(|head| u64::from_le_bytes(*head));
        Self { key, old, next, by_name: None, new: Vec::new(), generation }
    }

    /// The generation of the store in which everything that is found was here.
    pub fn generation(&self) -> Option<u64> {
        self.generation
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let names = self.by_name.as_ref().map_or(0, |names| names.at.capacity() * 24);
        self.old.len() + self.new.len() + names
    }

    /// What the file `name` gave when it looked like this.
    pub fn find(&mut self, name: &[u8], print: StatPrint) -> Option<Remembered> {
        if self.old.is_empty() {
            return None;
        }
        let mut row = row(&self.old, self.next).filter(|row| row.name == name);
        if row.is_none() {
            let old = &self.old;
            let names = self.by_name.get_or_insert_with(|| Names::of(old));
            let at = names.at.get(&names.hasher.hash_one(name)).copied()?;
            row = self::row(&self.old, at).filter(|row| row.name == name);
        }
        let row = row?;
        self.next = row.end;
        (row.print == print).then_some(row.remembered)
    }

    /// The file `name`, which looks like this, gave that.
    pub fn note(&mut self, name: &[u8], print: StatPrint, remembered: &Remembered) {
        let cid = remembered.cid.to_bytes();
        let (Ok(name_len), Ok(cid_len)) = (u8::try_from(name.len()), u8::try_from(cid.len()))
        else {
            return;
        };
        if self.new.is_empty() {
            self.new.extend_from_slice(&[0; HEAD_BYTES]);
        }
        if self.new.len() + name.len() + cid.len() + 26 > RECORD_BYTES_MAX {
            return;
        }
        self.new.push(name_len);
        self.new.extend_from_slice(name);
        self.new.extend_from_slice(&print.0);
        self.new.extend_from_slice(&remembered.dag_size.to_le_bytes());
        self.new.push(cid_len);
        self.new.extend_from_slice(&cid);
    }

    /// What is to be written, if that is not there already: the rows noted, which were all here in
    /// `generation`.
    pub fn finish(mut self, generation: u64) -> Option<Note> {
        if self.new.is_empty() {
            // Nothing of it may be remembered; what was is of no use.
            return (!self.old.is_empty()).then_some(Note { key: self.key, value: None });
        }
        self.new[..HEAD_BYTES].copy_from_slice(&generation.to_le_bytes());
        if self.new == self.old {
            return None;
        }
        let sum = checksum(&self.key, &self.new);
        Some(Note { key: self.key, value: Some([&sum[..], &self.new].concat()) })
    }
}

impl Names {
    fn of(rows: &[u8]) -> Self {
        let (hasher, mut at, mut next) = (RandomState::new(), HashMap::new(), HEAD_BYTES);
        while let Some(row) = row(rows, next) {
            at.insert(hasher.hash_one(row.name), next);
            next = row.end;
        }
        Self { hasher, at }
    }
}

/// Reads the row at `at`; none at the end, or where there is no row.
fn row(rows: &[u8], at: usize) -> Option<Row<'_>> {
    let rest = rows.get(at..)?;
    let (name_len, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked((*name_len).into())?;
    let (print, rest) = rest.split_first_chunk::<16>()?;
    let (dag_size, rest) = rest.split_first_chunk::<8>()?;
    let (cid_len, rest) = rest.split_first()?;
    let (cid, rest) = rest.split_at_checked((*cid_len).into())?;
    let remembered =
        Remembered { cid: Cid::try_from(cid).ok()?, dag_size: u64::from_le_bytes(*dag_size) };
    Some(Row { name, print: StatPrint(*print), remembered, end: rows.len() - rest.len() })
}
