//! A blob's identity and what the index records about it.
//!
//! A blob is a run of bytes from 0 to its length in one file: the store's own file under `blobs/`, or
//! a user's file that the store refers to. Its id never changes while its bytes wander: `get` turns a
//! store file into a reference and `own` turns a reference into a store file, and no leaf's entry has
//! to be touched for either.
//!
//! ```text
//! record, little-endian
//!  0       1      9      10
//! +-------+------+------+----------------------------------------------+
//! |version| len  |flags | partial: root hash 1, root digest 32, count 8|
//! +-------+------+------+----------------------------------------------+
//! | reference: size 8, mtime 16, ctime 16, ino 8, dev 8, path to the end |
//! +----------------------------------------------------------------------+
//! flags: bit 0 kept, 1 damaged, 2 partial, 3 reference, 4 moved, 5 sparse
//! ```

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;

use crate::key::Key;

const VERSION: u8 = 1;
const KEPT: u8 = 1;
const DAMAGED: u8 = 2;
const PARTIAL: u8 = 4;
const REFERENCE: u8 = 8;
const MOVED: u8 = 16;
const SPARSE: u8 = 32;

/// The name of a blob: a number below 2^63, drawn at random; it says nothing about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobId(pub(crate) u64);

impl BlobId {
    /// Draws an id. Two draws may be equal: whoever makes the file does it exclusively and draws again.
    pub(crate) fn draw() -> Self {
        Self(RandomState::new().build_hasher().finish() >> 1)
    }

    /// Reads the name of a blob's file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Set by [`know_users_files_by_size`].
static BY_SIZE: AtomicBool = AtomicBool::new(false);

/// From now on this process knows users' files by their paths and sizes only. For tests that make a
/// crashed disk anew from a log, where inodes and times are others.
#[doc(hidden)]
pub fn know_users_files_by_size() {
    BY_SIZE.store(true, Ordering::Relaxed);
}

/// What is remembered of a user's file, to see that it was not edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
    ino: u64,
    dev: u64,
}

impl Fingerprint {
    /// The fingerprint of what stat(2) gave.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
            ino: metadata.ino(),
            dev: metadata.dev(),
        }
    }

    /// Is it still the same content? The ctime may differ: a rename, a link or a chmod moves it.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        if BY_SIZE.load(Ordering::Relaxed) {
            return self.size == other.size;
        }
        Self { ctime: other.ctime, ..*self } == *other
    }

    /// The device.
    pub(crate) fn dev(&self) -> u64 {
        self.dev
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.size.to_le_bytes());
        for part in [self.mtime.0, self.mtime.1, self.ctime.0, self.ctime.1] {
            out.extend_from_slice(&part.to_le_bytes());
        }
        out.extend_from_slice(&self.ino.to_le_bytes());
        out.extend_from_slice(&self.dev.to_le_bytes());
    }
}

/// A file of the user that stands for a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Its absolute path.
    pub(crate) path: PathBuf,
    /// What it looked like when it had the blob's bytes.
    pub(crate) fingerprint: Fingerprint,
    /// The store made it (by moving a blob out); else the user gave it by reference.
    pub(crate) moved: bool,
}

impl Reference {
    /// Opens the user's file, if it is still the one that was looked at.
    pub(crate) fn open(&self) -> Option<File> {
        // NONBLOCK: the path may be a fifo by now.
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        let file = options.open(&self.path).ok()?;
        let now = Fingerprint::of(&file.metadata().ok()?);
        self.fingerprint.same_content(&now).then_some(file)
    }
}

/// A blob that is not whole: a fetch filled a part of it, or an add is still writing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartialState {
    /// The root of the file that it will be; `None` for an add.
    pub(crate) root: Option<Key>,
    /// How many presence records the index has taken in.
    pub(crate) records: u64,
}

/// What the index knows about a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlobRecord {
    /// Its length when whole.
    pub(crate) len: u64,
    /// Something pinned relies on it: never moved out.
    pub(crate) kept: bool,
    /// A block in it was found corrupt: not whole any more, nothing new relies on it.
    pub(crate) damaged: bool,
    /// It has holes where its content's leaves lie elsewhere: read leaf by leaf, never as a whole.
    pub(crate) sparse: bool,
    /// Set while it is not complete.
    pub(crate) partial: Option<PartialState>,
    /// Set when its bytes lie in a user's file.
    pub(crate) reference: Option<Reference>,
}

impl BlobRecord {
    /// Are all its bytes at their places from 0 to its end?
    pub(crate) fn is_whole(&self) -> bool {
        self.partial.is_none() && !self.damaged && !self.sparse
    }

    /// May a pinned tree rely on its blocks?
    pub(crate) fn is_owned(&self) -> bool {
        self.kept && !self.damaged && self.reference.is_none()
    }

    /// The bytes that the index stores.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let reference = self.reference.as_ref();
        let flags = [
            (KEPT, self.kept),
            (DAMAGED, self.damaged),
            (SPARSE, self.sparse),
            (PARTIAL, self.partial.is_some()),
            (REFERENCE, reference.is_some()),
            (MOVED, reference.is_some_and(|reference| reference.moved)),
        ];
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.len.to_le_bytes());
        out.push(flags.iter().filter(|flag| flag.1).map(|flag| flag.0).sum());
        if let Some(partial) = self.partial {
            let root = partial.root.unwrap_or(Key { digest: [0; 32], hash: 0 });
            out.push(root.hash);
            out.extend_from_slice(&root.digest);
            out.extend_from_slice(&partial.records.to_le_bytes());
        }
        if let Some(reference) = reference {
            reference.fingerprint.write(&mut out);
            out.extend_from_slice(reference.path.as_os_str().as_bytes());
        }
        out
    }

    /// Reads a record; `None` where it is not one that this version writes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let [VERSION] = input.take::<1>()? else {
            return None;
        };
        let len = input.u64()?;
        let [flags] = input.take::<1>()?;
        let partial = if flags & PARTIAL == 0 { None } else { Some(input.partial()?) };
        let reference =
            if flags & REFERENCE == 0 { None } else { Some(input.reference(flags & MOVED != 0)?) };
        Some(Self {
            len,
            kept: flags & KEPT != 0,
            damaged: flags & DAMAGED != 0,
            sparse: flags & SPARSE != 0,
            partial,
            reference,
        })
    }
}

/// The rest of a record that is being read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn partial(&mut self) -> Option<PartialState> {
        let [hash] = self.take::<1>()?;
        let digest = self.take::<32>()?;
        let root = (hash != 0).then_some(Key { digest, hash });
        Some(PartialState { root, records: self.u64()? })
    }

    fn reference(&mut self, moved: bool) -> Option<Reference> {
        let fingerprint = Fingerprint {
            size: self.u64()?,
            mtime: (self.i64()?, self.i64()?),
            ctime: (self.i64()?, self.i64()?),
            ino: self.u64()?,
            dev: self.u64()?,
        };
        let path = PathBuf::from(OsString::from_vec(std::mem::take(&mut self.0).to_vec()));
        path.is_absolute().then_some(Reference { path, fingerprint, moved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_bytes() {
        let key = Key { digest: [7; 32], hash: 0x1e };
        let fingerprint =
            Fingerprint { size: 5, mtime: (-1, 999), ctime: (3, 4), ino: 8, dev: u64::MAX };
        let path = PathBuf::from(OsString::from_vec(b"/tmp/not \xff utf-8".to_vec()));
        for partial in [None, Some(PartialState { root: Some(key), records: 9 })] {
            for moved in [None, Some(false), Some(true)] {
                let reference =
                    moved.map(|moved| Reference { path: path.clone(), fingerprint, moved });
                let (len, sparse) = (1 << 40, moved.is_none());
                let record =
                    BlobRecord { len, kept: true, damaged: false, sparse, partial, reference };
                assert_eq!(BlobRecord::from_bytes(&record.to_bytes()), Some(record.clone()));
                let bytes = record.to_bytes();
                for cut in 0..bytes.len().min(20) {
                    assert_ne!(BlobRecord::from_bytes(&bytes[..cut]), Some(record.clone()));
                }
            }
        }
        assert_eq!(BlobRecord::from_bytes(&[]), None);
    }

    #[test]
    fn ids_are_read_from_names() {
        let id = BlobId::draw();
        assert_eq!(BlobId::parse(&id.to_string()), Some(id));
        assert_eq!(BlobId::parse("zz"), None);
    }
}
