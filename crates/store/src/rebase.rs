//! The newest version of a file becomes whole, older ones give up what it has.
//!
//! Versions of a file are stored by their new leaves (see [`holes`](crate::holes)), so that the first
//! one is whole and the newest one is in pieces: the wrong way round, since the newest is the one that
//! is read. A rebase turns it over, in steps each of which may be the last one before a crash:
//!
//! 1. the holes of the newest version's blob are filled with verified copies: nobody relies on them;
//! 2. that file is synced;
//! 3. a commit says that it is whole, that the older ones are sparse, and which of those are to be
//!    thinned;
//! 4. commits lead the shared leaves to the newest one, a bounded number at a time: a whole blob is a
//!    better home than a sparse one, and nothing else decides it (see `index::apply`);
//! 5. what no entry leads to any more is punched out of the older files ([`thin`]), after the commits
//!    that forget it, and never under a [`Lease`](crate::Lease). What is left to do stands in the index.
//!
//! Leaves move out of the blobs of the roots that the caller names only: two files that share leaves and
//! are both the newest of something would else take them from each other for ever.

mod spans;
mod thin;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shoal_dag::Cid;

use crate::blob::{BlobId, BlobRecord};
use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::holes::{Filling, Hole};
use crate::index::Changes;
use crate::key::{Digest, Entry, Key, Place, inline};
use crate::read::Found;
use crate::store::{Shared, Store};

use spans::{LEAVES_AT_ONCE, Span, Spans};
pub use thin::Thinned;

/// Older versions whose leaves move in one rebase: what a name has by then is mostly one or two.
pub const OLDER_MAX: usize = 4096;
/// Older versions that are walked to see whether they can give something up: those that are whole still.
/// The others were looked at when they were replaced.
const WALKED_MAX: usize = 16;
/// Leaves whose home changes in one commit, while adds wait: 1 GiB of 64 KiB leaves.
const MOVED_AT_ONCE: usize = 16 * 1024;

/// What a [rebase](Store::rebase) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rebased {
    /// The newest version is one whole file of the store's own.
    pub whole: bool,
    /// Bytes that were copied, or shared, into it.
    pub filled: u64,
    /// Leaves that have it as their home now.
    pub moved: u64,
    /// It was told to stop: the rest is for the next call.
    pub stopped: bool,
}

/// The blob that a rebase makes whole.
struct Newest {
    root: Cid,
    id: BlobId,
    record: BlobRecord,
}

/// The blob of an older version.
struct Older {
    root: Cid,
    id: BlobId,
    sparse: bool,
}

impl Store {
    /// Makes the blob of `newest` whole and moves the leaves that it shares with those of `older` there.
    /// Older ones that have any, or that are whole without need, become sparse. Give the older roots
    /// newest first, and none that is the newest of something else; at most [`OLDER_MAX`] are looked at.
    /// A root that has no complete blob of the store's own is left alone, and so are older ones.
    ///
    /// A blob that was found damaged is hashed from end to end and filled where it is wrong: whole again,
    /// once every bad leaf was forgotten and has come back to some other place.
    ///
    /// Durable when it returns. `go_on` is asked between steps of a few MiB; after `false` it returns as
    /// soon as what it has is consistent.
    ///
    /// The space of the older ones comes back by [`thin`](Store::thin).
    pub fn rebase(
        &self,
        newest: &Cid,
        older: &[Cid],
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Rebased, WriteError> {
        let shared = &self.shared;
        let _one = shared.maintenance.lock();
        shared.disk.check()?;
        let Some((id, record)) = shared.own_or_damaged(newest)? else {
            return Ok(Rebased::default());
        };
        let newest = Newest { root: *newest, id, record };
        let older = shared.older(&newest, older)?;
        let givers = shared.givers(&newest, &older)?;
        let mut done = Rebased { whole: newest.record.is_whole(), ..Rebased::default() };
        if done.whole && givers.is_empty() {
            return Ok(done);
        }
        if !done.whole && !shared.fill_newest(&newest, &mut done, go_on)? {
            return Ok(Rebased { stopped: true, ..done });
        }
        shared.turn_over(&newest, &givers)?;
        done.whole = true;
        done.stopped = !shared.move_leaves(&newest, &givers, &mut done, go_on)?;
        Ok(done)
    }
}

impl Shared {
    /// As [`own_complete`](Self::own_complete), also where it was found damaged and its file is there.
    fn own_or_damaged(&self, root: &Cid) -> Result<Option<(BlobId, BlobRecord)>, WriteError> {
        let Some(key) = Key::of(root) else { return Ok(None) };
        let known = self.blob_of(&key).map_err(ReadError::from)?;
        let is_there = |id: BlobId, record: &BlobRecord| {
            let file = std::fs::metadata(self.layout.blob(id));
            file.is_ok_and(|file| file.len() == record.len)
        };
        Ok(known
            .filter(|(id, record)| is_kept(record) && (!record.damaged || is_there(*id, record))))
    }

    /// The blob of a root, if it is the store's own and nothing of it is still to come.
    fn own_complete(&self, root: &Cid) -> Result<Option<(BlobId, BlobRecord)>, WriteError> {
        let Some(key) = Key::of(root) else { return Ok(None) };
        let known = self.blob_of(&key).map_err(ReadError::from)?;
        Ok(known.filter(|(_, record)| is_kept(record) && !record.damaged))
    }

    /// The blobs of older versions.
    fn older(&self, newest: &Newest, roots: &[Cid]) -> Result<Vec<Older>, WriteError> {
        let mut older: Vec<Older> = Vec::new();
        let mut seen = HashSet::from([newest.id]);
        for root in roots.iter().take(OLDER_MAX) {
            if let Some((id, record)) = self.own_complete(root)?
                && seen.insert(id)
            {
                older.push(Older { root: *root, id, sparse: record.sparse });
            }
        }
        Ok(older)
    }

    /// Those of the older blobs that are to give something up: they are the home of leaves of the newest
    /// one, or whole although they are not the home of all their own.
    fn givers(&self, newest: &Newest, older: &[Older]) -> Result<HashMap<BlobId, Cid>, WriteError> {
        let mut givers = self.homes_among(newest, older)?;
        let rest = older.iter().filter(|one| !one.sparse && !givers.contains_key(&one.id));
        let rest: Vec<&Older> = rest.take(WALKED_MAX).collect();
        for one in rest {
            let mut spans = Spans::of(self, &one.root);
            loop {
                let group = spans.group(LEAVES_AT_ONCE)?;
                if !self.dead_of(one.id, &group)?.is_empty() {
                    givers.insert(one.id, one.root);
                }
                if group.is_empty() || givers.contains_key(&one.id) {
                    break;
                }
            }
        }
        Ok(givers)
    }

    /// Those of the older blobs that have a leaf of the newest one.
    fn homes_among(
        &self,
        newest: &Newest,
        older: &[Older],
    ) -> Result<HashMap<BlobId, Cid>, WriteError> {
        let older: HashMap<BlobId, Cid> = older.iter().map(|one| (one.id, one.root)).collect();
        let mut homes = HashMap::new();
        if older.is_empty() {
            return Ok(homes);
        }
        let mut spans = Spans::of(self, &newest.root);
        loop {
            let group = spans.group(LEAVES_AT_ONCE)?;
            if group.is_empty() {
                return Ok(homes);
            }
            let cids: Vec<Cid> = group.iter().map(|span| span.cid).collect();
            for found in self.find_many(&cids).map_err(ReadError::from)?.into_iter().flatten() {
                if let Place::Blob(id) = found.entry.place
                    && let Some(root) = older.get(&id)
                {
                    homes.insert(id, *root);
                }
            }
        }
    }

    /// Fills and syncs the newest blob; `false` where it was told to stop.
    fn fill_newest(
        &self,
        newest: &Newest,
        done: &mut Rebased,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, WriteError> {
        let path = self.layout.blob(newest.id);
        let file = self.disk.open(&path).map_err(|error| WriteError::io(&path, error))?;
        check_is_alone(&file, &path, newest.record.len)?;
        let find = |key: &Key| Ok(self.find(key).map_err(ReadError::from)?);
        let filling = Filling { shared: self, to: &file, path: &path, find: &find };
        let mut spans = Spans::of(self, &newest.root);
        loop {
            let group = spans.group(LEAVES_AT_ONCE)?;
            let (Some(first), Some(last)) = (group.first(), group.last()) else { break };
            let holes = self.holes_of(newest, &group, &filling)?;
            filling.fill(&holes)?;
            done.filled += holes.iter().map(|hole| u64::from(hole.len)).sum::<u64>();
            file.begin_write_out(first.offset..last.offset + u64::from(last.len));
            if !go_on() {
                return Ok(false);
            }
        }
        file.sync(&path)?;
        Ok(true)
    }

    /// Which of these leaves have their home elsewhere, or, in a damaged blob, wrong bytes. Bytes that a
    /// CID carries itself are written.
    fn holes_of(
        &self,
        newest: &Newest,
        group: &[Span],
        filling: &Filling<'_>,
    ) -> Result<Vec<Hole>, WriteError> {
        let (file, path) = (filling.to, filling.path);
        let cids: Vec<Cid> = group.iter().map(|span| span.cid).collect();
        let found = self.find_many(&cids).map_err(ReadError::from)?;
        let mut holes = Vec::new();
        for (span, found) in group.iter().zip(found) {
            if let Some(bytes) = inline(&span.cid) {
                let written = file.write_all_at(bytes, span.offset);
                written.map_err(|error| WriteError::io(path, error))?;
                continue;
            }
            let missing = || ReadError::Corrupt { cid: span.cid, path: path.to_owned() };
            let (Some(found), Some(key)) = (found, Key::of(&span.cid)) else {
                return Err(missing().into());
            };
            let home = (found.entry.place, found.entry.offset);
            let hole = Hole { key, offset: span.offset, len: span.len, home };
            let is_home = home == (Place::Blob(newest.id), span.offset);
            if newest.record.damaged && !filling.is_right(&hole) {
                if is_home {
                    return Err(missing().into());
                }
                holes.push(hole);
            } else if !newest.record.damaged && !is_home {
                holes.push(hole);
            }
        }
        Ok(holes)
    }

    /// Commits that the newest blob is whole and that the older ones are not, which are then to be
    /// thinned.
    fn turn_over(&self, newest: &Newest, older: &HashMap<BlobId, Cid>) -> Result<(), WriteError> {
        {
            let _homes = self.homes.lock();
            self.set_state(newest.id, |record| {
                is_kept(record).then(|| BlobRecord {
                    sparse: false,
                    damaged: false,
                    ..record.clone()
                })
            })?;
            for id in older.keys() {
                self.set_state(*id, |record| {
                    let may = is_kept(record) && !record.damaged;
                    may.then(|| BlobRecord { sparse: true, ..record.clone() })
                })?;
            }
        }
        let mut records = vec![thin::row(&newest.root, false)?];
        for root in older.values() {
            records.push(thin::row(root, true)?);
        }
        let changes = Changes { records, ..Changes::default() };
        self.commit(Commit { changes, drain: true, ..Commit::default() })
    }

    /// Changes a blob's state, on top of the newest record of it. The lock of `homes` is held.
    fn set_state(
        &self,
        id: BlobId,
        becomes: impl Fn(&BlobRecord) -> Option<BlobRecord>,
    ) -> Result<(), WriteError> {
        let Some((record, _)) = self.record(id).map_err(ReadError::from)? else { return Ok(()) };
        if let Some(new) = becomes(&record).filter(|new| *new != record) {
            self.overlay.change(|layer| drop(layer.blobs.insert(id, Some(new))));
            self.arm();
        }
        Ok(())
    }

    /// Leads the leaves of the newest blob to it, as far as they lie in older ones or in what no pin may
    /// rely on; `false` where it was told to stop.
    fn move_leaves(
        &self,
        newest: &Newest,
        older: &HashMap<BlobId, Cid>,
        done: &mut Rebased,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, WriteError> {
        let mut spans = Spans::of(self, &newest.root);
        loop {
            let group = spans.group(MOVED_AT_ONCE)?;
            if group.is_empty() {
                return Ok(true);
            }
            // What waits for a commit goes first, so that the lock is held for a short one.
            self.checkpoint()?;
            done.moved += self.move_group(newest, older, &group)?;
            if !go_on() {
                return Ok(false);
            }
        }
    }

    fn move_group(
        &self,
        newest: &Newest,
        older: &HashMap<BlobId, Cid>,
        group: &[Span],
    ) -> Result<u64, WriteError> {
        let _alone = self.moving.write();
        let cids: Vec<Cid> = group.iter().map(|span| span.cid).collect();
        let found = self.find_many(&cids).map_err(ReadError::from)?;
        let moves = |found: &Found| match found.entry.place {
            Place::Blob(id) => older.contains_key(&id) || !found.is_owned(),
            Place::Pack(_) => false,
        };
        let mut entries: HashMap<Digest, Entry> = HashMap::new();
        for (span, found) in group.iter().zip(found) {
            let (Some(key), Some(found)) = (Key::of(&span.cid), found.filter(moves)) else {
                continue;
            };
            let (place, offset) = (Place::Blob(newest.id), span.offset);
            // The first of its places, where it stands twice.
            entries.entry(key.digest).or_insert(Entry { place, offset, ..found.entry });
        }
        let moved = entries.len() as u64;
        if moved > 0 {
            let changes = Changes { entries: entries.into_iter().collect(), ..Changes::default() };
            self.commit(Commit { changes, drain: true, ..Commit::default() })?;
        }
        Ok(moved)
    }
}

/// Is it a blob of the store's own, damaged perhaps, and nothing of it still to come?
fn is_kept(record: &BlobRecord) -> bool {
    record.kept && record.reference.is_none() && record.partial.is_none()
}

/// Is the file of the expected length, and known by no other name?
fn check_is_alone(file: &File, path: &Path, len: u64) -> Result<(), WriteError> {
    let metadata = file.metadata().map_err(|error| WriteError::io(path, error))?;
    if metadata.len() == len && metadata.nlink() == 1 {
        return Ok(());
    }
    Err(WriteError::SourceChanged { path: path.to_owned() })
}
