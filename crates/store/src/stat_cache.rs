//! What files looked like when they were added, so that adding them again need not read them.
//!
//! A convenience that proves nothing: a file of its own, `stat.redb`, which may be damaged, deleted or
//! of another version, and then costs the reading that it would have saved. It holds one record for
//! each directory that was added (and for each file that was named alone), with a row for each file:
//! a hash of what stat(2) said, and the root that its content got. Which rows may be written at all is
//! decided by [`Trust`]; that the content is still here by [`Store::generation`].
//!
//! Invariants: a row is written only after the content was committed. A record that does not hash
//! right is none. All rows of a record are of one generation. Nothing here is synced before something
//! else may be acknowledged, and no error of it reaches a caller.
//!
//! ```text
//! key    BLAKE3("shoal stat cache 1", kind 1, length of options 8, options, path)
//! value  BLAKE3(key, BLAKE3(body)) 32, body
//! body   generation 8, rows
//! row    length of name 1, name, print 16, bytes of the DAG 8, length of CID 1, CID
//! ```
//!
//! It does not know what a profile is (that is in the caller's `options`), and it walks nothing.

mod file;
mod memory;
mod trust;

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shoal_dag::Cid;
use shoal_dag::hash::HashKind;

use crate::store::Store;

pub(crate) use file::StatFile;
pub use memory::{Memory, Note};
pub use trust::Trust;

/// Begins what keys are made of; another layout has another one.
const DOMAIN: &[u8] = b"shoal stat cache 1";

/// A record's key.
type StatKey = [u8; 32];

/// All that stat(2) says of a file that changes when its content or metadata do, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatPrint([u8; 16]);

impl StatPrint {
    /// Of device, inode, mode, size, mtime and ctime.
    pub fn of(stat: &Metadata) -> Self {
        let parts = [
            stat.dev(),
            stat.ino(),
            stat.mode().into(),
            stat.size(),
            stat.mtime().cast_unsigned(),
            stat.mtime_nsec().cast_unsigned(),
            stat.ctime().cast_unsigned(),
            stat.ctime_nsec().cast_unsigned(),
        ];
        let mut bytes = [0; 64];
        for (to, part) in bytes.chunks_exact_mut(8).zip(parts) {
            to.copy_from_slice(&part.to_le_bytes());
        }
        let mut print = [0; 16];
        print.copy_from_slice(&HashKind::Blake3.digest(&bytes)[..16]);
        Self(print)
    }
}

/// What adding a file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The file's root.
    pub cid: Cid,
    /// Bytes of its DAG, branches included.
    pub dag_size: u64,
}

impl Store {
    /// What is remembered of the files of the directory `path` (`is_dir`), or of the one file `path`.
    /// `options` are all choices that the roots depend on. Nothing is read where `wanted` is false.
    pub fn memory(&self, options: &[u8], path: &Path, is_dir: bool, wanted: bool) -> Memory {
        let key = key(options, path.as_os_str(), is_dir);
        let known = if wanted { self.shared.stats.get(&key) } else { None };
        Memory::new(key, known.and_then(|value| body(&key, value)))
    }

    /// Writes down what was added. The content must have been committed.
    pub fn remember(&self, notes: Vec<Note>) {
        if !notes.is_empty() {
            self.shared.stats.put(notes.into_iter().map(|note| (note.key, note.value)).collect());
        }
    }
}

fn key(options: &[u8], path: &OsStr, is_dir: bool) -> StatKey {
    let kind = [if is_dir { b'd' } else { b'f' }];
    let len = (options.len() as u64).to_le_bytes();
    HashKind::Blake3.digest(&[DOMAIN, &kind, &len, options, path.as_bytes()].concat())
}

/// The body of a record that hashes right.
fn body(key: &StatKey, mut value: Vec<u8>) -> Option<Vec<u8>> {
    let (sum, body) = value.split_first_chunk::<32>()?;
    if *sum != checksum(key, body) {
        tracing::debug!("a record of the stat cache is damaged");
        return None;
    }
    value.drain(..32);
    Some(value)
}

fn checksum(key: &StatKey, body: &[u8]) -> [u8; 32] {
    // The body's own hash first, so that the body is not copied.
    HashKind::Blake3.digest(&[&key[..], &HashKind::Blake3.digest(body)].concat())
}

#[cfg(test)]
mod tests;
