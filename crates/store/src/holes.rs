//! Leaves of a file that lie elsewhere in the store: holes of its blob, and how they are filled.
//!
//! A blob with holes costs no more than its new leaves; one without is read at the speed of a file. So a
//! few holes are filled, many stay ([`HOLES_PART`]). A hole is filled with bytes that were hashed: from
//! the home that the index knows *now*, since blocks wander. Where the file system shares extents
//! between files, whole pages of leaves that lie alike in both files are shared and cost nothing; they
//! are hashed at the place where they then are.
//!
//! This file writes into blobs and never changes the index: nobody relies on a hole before the record
//! of its blob says that it is whole.

use std::path::Path;

use shoal_dag::Bytes;
use shoal_dag::hash::RAW;

use crate::blob::BlobId;
use crate::disk::DiskFile;
use crate::error::{ReadError, WriteError};
use crate::files::read_at;
use crate::key::{Key, Place};
use crate::pack::scan::matches;
use crate::read::Found;
use crate::store::Shared;

/// Where at least one byte of this many would have to be copied from elsewhere in the store, a new file
/// stays sparse: else ten versions with few changes would take ten times the space.
pub(crate) const HOLES_PART: u64 = 4;
/// Holes that are remembered until it is clear whether they are filled: 4 GiB of 64 KiB leaves, 5 MB. A
/// file with more is decided by what was seen of it.
const HOLES_MAX: usize = 64 * 1024;
/// File systems share whole blocks, of this size where nothing says otherwise.
const SHARED_BLOCK_BYTES: u64 = 4096;

/// A leaf whose bytes are not at their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) key: Key,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    pub(crate) len: u32,
    /// Where it was seen.
    pub(crate) home: (Place, u64),
}

impl Hole {
    /// The start of the file as seen from the home: whoever has the same lies behind it there too.
    fn shift(&self) -> (Place, u64) {
        (self.home.0, self.home.1.wrapping_sub(self.offset))
    }

    /// Can its pages be shared with its home?
    fn is_alike(&self) -> bool {
        let (place, shift) = self.shift();
        matches!(place, Place::Blob(_)) && shift.is_multiple_of(SHARED_BLOCK_BYTES)
    }

    fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }
}

/// The holes of one blob.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    list: Vec<Hole>,
    /// Bytes that would have to be copied.
    costly: u64,
    /// There were too many, and they stay.
    stay: bool,
}

impl Holes {
    /// Notes a hole; `true` when the list is full and has to be [decided](Self::decide).
    pub(crate) fn push(&mut self, hole: Hole, reflinks: bool) -> bool {
        if !(reflinks && hole.is_alike()) {
            self.costly += u64::from(hole.len);
        }
        if !self.stay {
            self.list.push(hole);
        }
        self.list.len() >= HOLES_MAX
    }

    /// The holes to fill now, of a file of `len` bytes (so far); none where they stay.
    pub(crate) fn decide(&mut self, len: u64) -> Vec<Hole> {
        let list = std::mem::take(&mut self.list);
        if self.stay || list.is_empty() {
            return Vec::new();
        }
        self.stay = self.costly.saturating_mul(HOLES_PART) >= len;
        if self.stay { Vec::new() } else { list }
    }

    /// Do some stay?
    pub(crate) fn stay(&self) -> bool {
        self.stay
    }
}

/// Where a leaf is now.
pub(crate) type Finder<'a> = dyn Fn(&Key) -> Result<Option<Found>, WriteError> + 'a;

/// A file whose holes are filled.
pub(crate) struct Filling<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) to: &'a DiskFile,
    /// For messages.
    pub(crate) path: &'a Path,
    pub(crate) find: &'a Finder<'a>,
}

impl Filling<'_> {
    /// Fills holes, which are in order. `Corrupt` or `Changed` names a leaf whose bytes are wrong where
    /// they are; one that is nowhere is `Corrupt` too.
    pub(crate) fn fill(&self, holes: &[Hole]) -> Result<(), WriteError> {
        if !self.shared.reflinks() {
            return holes.iter().try_for_each(|hole| self.fill_one(hole));
        }
        for run in holes.chunk_by(|a, b| a.shift() == b.shift() && a.end() == b.offset) {
            let is_shared = run[0].is_alike() && self.share(run);
            for hole in run {
                if !(is_shared && self.is_right(hole)) {
                    self.fill_one(hole)?;
                }
            }
        }
        Ok(())
    }

    /// Lets the file share the whole blocks of holes that follow each other here and in their home, and
    /// copies the two ends; says whether that was done. What is there then is to be hashed.
    fn share(&self, run: &[Hole]) -> bool {
        let (place, shift) = run[0].shift();
        let (start, end) = (run[0].offset, run[run.len() - 1].end());
        let first = start.next_multiple_of(SHARED_BLOCK_BYTES).min(end);
        let last = (end - end % SHARED_BLOCK_BYTES).max(first);
        let Ok(from) = self.shared.files.open(&self.shared.layout, place) else { return false };
        let mut at = first;
        while at < last {
            let len = usize::try_from(last - at).unwrap_or(usize::MAX);
            match self.to.copy_from(&from, at.wrapping_add(shift), at, len) {
                Ok(copied) if copied > 0 => at += copied as u64,
                _ => return false,
            }
        }
        [(start, first), (last, end)].into_iter().all(|(start, end)| {
            let bytes = read_at(&from, start.wrapping_add(shift), (end - start) as usize);
            bytes.is_ok_and(|bytes| self.to.write_all_at(&bytes, start).is_ok())
        })
    }

    /// Are the right bytes at the place of a leaf?
    pub(crate) fn is_right(&self, hole: &Hole) -> bool {
        read_at(self.to, hole.offset, hole.len as usize)
            .is_ok_and(|data| data.len() == hole.len as usize && matches(&hole.key, &data))
    }

    fn fill_one(&self, hole: &Hole) -> Result<(), WriteError> {
        let data = self.leaf(&hole.key)?;
        if data.len() != hole.len as usize {
            let (found, max) = (data.len() as u64, u64::from(hole.len));
            return Err(WriteError::TooLarge { what: "the leaf", found, max });
        }
        if data.iter().all(|byte| *byte == 0) && self.is_right(hole) {
            // A hole reads so already.
            return Ok(());
        }
        let written = self.to.write_all_at(&data, hole.offset);
        written.map_err(|error| WriteError::io(self.path, error))
    }

    /// The verified bytes of a leaf, from where it is now.
    fn leaf(&self, key: &Key) -> Result<Bytes, WriteError> {
        let cid = key.cid(RAW);
        // Twice: between the look at the index and the read it may move.
        for is_last in [false, true] {
            let Some(found) = (self.find)(key)? else { break };
            match self.shared.read_found(&cid, key, &found) {
                Err(ReadError::Corrupt { .. } | ReadError::Changed { .. }) if !is_last => {}
                done => return Ok(done?),
            }
        }
        Err(ReadError::Corrupt { cid, path: self.path.to_owned() }.into())
    }
}

impl Shared {
    /// Does the store's file system share extents between files? Found out once.
    pub(crate) fn reflinks(&self) -> bool {
        *self.reflinks.get_or_init(|| {
            let (one, two) = (self.layout.copy(BlobId::draw()), self.layout.copy(BlobId::draw()));
            let cloned = self.disk.create_new(&one).and_then(|one| {
                let two = self.disk.create_new(&two)?;
                two.clone_from(&one)
            });
            self.unlink(&[one, two]);
            cloned.is_ok()
        })
    }
}
