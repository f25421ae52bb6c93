//! Blobs that a fetch is filling, and the set of those that are open.
//!
//! A partial blob is a sparse file of its final length. A leaf goes to it in three steps: its range is
//! claimed, its bytes are written, its presence record is appended and its entry made visible (both
//! under the blob's lock, so that a count of records taken before the overlay is drained never runs
//! ahead of the drained entries). Ranges never overlap: sizes in a file's branches are a stranger's
//! claims, and a leaf may not be written over another one.
//!
//! Lock order: a blob's lock, then the overlay's; the set's lock, then the overlay's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::blob::BlobId;
use crate::disk::DiskFile;
use crate::error::WriteError;
use crate::key::{Digest, Entry, Key, Place};
use crate::layout::Layout;
use crate::presence::{Header, Presence, Record};
use crate::ranges::Ranges;

/// Open partial blobs that nobody uses are closed beyond this many: two descriptors each.
const PARTIALS_OPEN_MAX: usize = 128;
/// The largest content that gets a blob: index entries have 48 bits for an offset.
pub(crate) const BLOB_BYTES_MAX: u64 = 1 << 47;

#[derive(Debug)]
struct State {
    ranges: Ranges,
    presence: Presence,
    /// Claimed ranges whose bytes are being written: one for each thread that writes.
    writing: Vec<(u64, u64)>,
    /// It is whole, and may be the user's file by now: nothing is written to it any more.
    is_sealed: bool,
}

impl State {
    fn new(ranges: Ranges, presence: Presence) -> Mutex<Self> {
        Mutex::new(Self { ranges, presence, writing: Vec::new(), is_sealed: false })
    }

    fn claim(&mut self, offset: u64, len: u64) -> bool {
        let is_claimed = !self.is_sealed && self.ranges.claim(offset, len);
        if is_claimed {
            self.writing.push((offset, len));
        }
        is_claimed
    }
}

/// One partial blob.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) id: BlobId,
    pub(crate) root: Key,
    pub(crate) size: u64,
    pub(crate) file: DiskFile,
    pub(crate) path: PathBuf,
    presence_path: PathBuf,
    state: Mutex<State>,
    /// A write has ended.
    written: Condvar,
    dirty: AtomicBool,
}

/// A leaf for a partial blob.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) key: Key,
    pub(crate) offset: u64,
    pub(crate) data: &'a [u8],
    pub(crate) public: bool,
}

impl Partial {
    /// Makes the file and the presence record of a new partial blob.
    pub(crate) fn create(
        layout: &Layout,
        root: Key,
        size: u64,
        boot_id: &str,
    ) -> Result<Self, WriteError> {
        let header = Header { root: Some(root), size, boot_id: boot_id.to_owned(), is_list: false };
        let (id, file, presence) = create_blob(layout, &header)?;
        let (path, presence_path) = (layout.blob(id), layout.presence(id));
        if let Err(error) = file.set_len(size) {
            drop((layout.disk().remove(&path), layout.disk().remove(&presence_path)));
            return Err(WriteError::io(path, error));
        }
        let state = State::new(Ranges::default(), presence);
        let (written, dirty) = (Condvar::new(), AtomicBool::new(false));
        Ok(Self { id, root, size, file, path, presence_path, state, written, dirty })
    }

    /// Opens one that exists, reading its presence record; `None` where the record is not readable.
    pub(crate) fn open(layout: &Layout, id: BlobId) -> Result<Option<Self>, WriteError> {
        let (path, presence_path) = (layout.blob(id), layout.presence(id));
        let opened = Presence::open(layout.disk(), &presence_path)
            .map_err(|error| WriteError::io(&presence_path, error))?;
        let Some((presence, header)) = opened else { return Ok(None) };
        let Some(root) = header.root else { return Ok(None) };
        let file = match layout.disk().open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| WriteError::io(&path, error))?,
        };
        let mut ranges = Ranges::default();
        presence
            .each(0, |record| {
                ranges.claim(record.offset, u64::from(record.len));
            })
            .map_err(|error| WriteError::io(&presence_path, error))?;
        let (state, written) = (State::new(ranges, presence), Condvar::new());
        let (size, dirty) = (header.size, AtomicBool::new(false));
        Ok(Some(Self { id, root, size, file, path, presence_path, state, written, dirty }))
    }

    /// Takes the space of the whole content.
    pub(crate) fn allocate(&self) -> Result<(), WriteError> {
        let cannot = Some(rustix::io::Errno::OPNOTSUPP.raw_os_error());
        match self.file.allocate(self.size) {
            // Not every file system can; the file stays sparse then.
            Err(error) if error.raw_os_error() == cannot => Ok(()),
            done => done.map_err(|error| WriteError::io(&self.path, error)),
        }
    }

    /// Writes a leaf to its place and tells `made` of its entry. `false` when the place is not free or
    /// not within the content; then nothing was written.
    pub(crate) fn write(
        &self,
        leaf: Leaf<'_>,
        set: &Partials,
        made: impl FnOnce(Digest, Entry),
    ) -> Result<bool, WriteError> {
        let (len, Leaf { key, offset, public, .. }) = (leaf.data.len() as u64, leaf);
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.size);
        if !fits || !self.state.lock().claim(offset, len) {
            return Ok(false);
        }
        if let Err(error) = self.file.write_all_at(leaf.data, offset) {
            self.end(self.state.lock(), offset, len, false);
            return Err(WriteError::io(&self.path, error));
        }
        self.touch(set);
        let mut state = self.state.lock();
        let record = Record { digest: key.digest, hash: key.hash, offset, len: len as u32, public };
        if let Err(error) = state.presence.append(record) {
            self.end(state, offset, len, false);
            return Err(WriteError::io(&self.presence_path, error));
        }
        let (place, len) = (Place::Blob(self.id), record.len);
        made(key.digest, Entry { place, offset, len, hash: key.hash, public });
        self.end(state, offset, u64::from(len), true);
        Ok(true)
    }

    /// A claimed range is written, or given up.
    fn end(&self, mut state: MutexGuard<'_, State>, offset: u64, len: u64, is_written: bool) {
        state.writing.retain(|range| *range != (offset, len));
        if !is_written {
            state.ranges.release(offset, len);
        }
        drop(state);
        self.written.notify_all();
    }

    /// Waits until nobody writes to this range.
    pub(crate) fn wait_written(&self, offset: u64, len: u32) {
        let (start, end) = (offset, offset.saturating_add(u64::from(len)));
        let mut state = self.state.lock();
        while state.writing.iter().any(|(at, len)| *at < end && at + len > start) {
            self.written.wait(&mut state);
        }
    }

    /// Writes bytes that no entry leads to. `false` when the place is not free.
    pub(crate) fn write_plain(
        &self,
        offset: u64,
        data: &[u8],
        set: &Partials,
    ) -> Result<bool, WriteError> {
        let len = data.len() as u64;
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.size);
        if !fits || len > 0 && !self.state.lock().claim(offset, len) {
            return Ok(false);
        }
        let written = self.file.write_all_at(data, offset);
        self.touch(set);
        self.end(self.state.lock(), offset, len, written.is_ok());
        written.map(|()| true).map_err(|error| WriteError::io(&self.path, error))
    }

    /// Notes that the file has bytes that are not synced. Called after the write: a sync that begins
    /// after the mark was taken away covers it.
    fn touch(&self, set: &Partials) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            set.note_dirty(self.root.digest);
        }
    }

    /// Are these bytes claimed (and, once no write is under way, present)?
    pub(crate) fn covers(&self, offset: u64, len: u32) -> bool {
        self.state.lock().ranges.covers(offset, u64::from(len))
    }

    /// Gives up a range whose bytes were found to be wrong.
    pub(crate) fn release(&self, offset: u64, len: u32) {
        let mut state = self.state.lock();
        if !state.is_sealed {
            state.ranges.release(offset, u64::from(len));
        }
    }

    /// Ends all writing: the blob is whole.
    pub(crate) fn seal(&self) {
        self.state.lock().is_sealed = true;
    }

    /// How many presence records there are, every one with its entry made visible.
    pub(crate) fn records(&self) -> u64 {
        self.state.lock().presence.count
    }

    /// The path of the presence record.
    pub(crate) fn presence_path(&self) -> &Path {
        &self.presence_path
    }
}

/// Makes the file of a new blob and its presence record, the record first: a blob without one is
/// whole.
pub(crate) fn create_blob(
    layout: &Layout,
    header: &Header,
) -> Result<(BlobId, DiskFile, Presence), WriteError> {
    let disk = layout.disk();
    loop {
        let id = BlobId::draw();
        let (path, presence_path, dir) =
            (layout.blob(id), layout.presence(id), layout.blob_dir(id));
        disk.make_dir(&dir).map_err(|error| WriteError::io(&dir, error))?;
        let taken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
        let presence = match Presence::create(disk, &presence_path, header) {
            Err(error) if taken(&error) => continue,
            other => other.map_err(|error| WriteError::io(&presence_path, error))?,
        };
        match disk.create_new(&path) {
            Ok(file) => return Ok((id, file, presence)),
            Err(error) => {
                drop(disk.remove(&presence_path));
                if !taken(&error) {
                    return Err(WriteError::io(path, error));
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Set {
    /// Every partial blob of the store, by the digest of its root: 50 bytes each.
    ids: HashMap<Digest, BlobId>,
    open: HashMap<Digest, Arc<Partial>>,
    dirty: Vec<Arc<Partial>>,
}

/// The partial blobs of a store.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    set: Mutex<Set>,
}

impl Partials {
    /// Notes a partial blob that was found on the disk.
    pub(crate) fn found(&self, root: Digest, id: BlobId) {
        self.set.lock().ids.insert(root, id);
    }

    /// The partial blob of a root, opened when it is not; `make` may make it where there is none.
    pub(crate) fn get(
        &self,
        layout: &Layout,
        root: &Key,
        make: impl FnOnce() -> Result<Option<Partial>, WriteError>,
    ) -> Result<Option<Arc<Partial>>, WriteError> {
        let mut set = self.set.lock();
        if let Some(partial) = set.open.get(&root.digest) {
            return Ok((partial.root == *root).then(|| Arc::clone(partial)));
        }
        let known = set.ids.get(&root.digest).copied();
        let opened = known.map(|id| Partial::open(layout, id)).transpose()?.flatten();
        let partial = match opened {
            Some(partial) => Some(partial),
            None => make()?,
        };
        let Some(partial) = partial.map(Arc::new) else { return Ok(None) };
        set.ids.insert(root.digest, partial.id);
        if set.open.len() >= PARTIALS_OPEN_MAX {
            let unused = |partial: &Arc<Partial>| Arc::strong_count(partial) == 1;
            set.open.retain(|_, partial| !unused(partial));
        }
        set.open.insert(root.digest, Arc::clone(&partial));
        Ok((partial.root == *root).then_some(partial))
    }

    fn note_dirty(&self, root: Digest) {
        let mut set = self.set.lock();
        if let Some(partial) = set.open.get(&root).map(Arc::clone) {
            set.dirty.push(partial);
        }
    }

    /// Those with unsynced bytes, without taking their marks.
    pub(crate) fn dirty(&self) -> Vec<Arc<Partial>> {
        self.set.lock().dirty.clone()
    }

    /// Those with unsynced bytes, taking their marks: sync them now.
    pub(crate) fn take_dirty(&self) -> Vec<Arc<Partial>> {
        let dirty = std::mem::take(&mut self.set.lock().dirty);
        for partial in &dirty {
            partial.dirty.store(false, Ordering::Release);
        }
        dirty
    }

    /// The blob is to go: nothing is written to it any more, and a new one may be begun.
    pub(crate) fn give_up(&self, root: &Digest, id: BlobId) {
        let mut set = self.set.lock();
        if let Some(partial) = set.open.get(root).filter(|partial| partial.id == id) {
            partial.seal();
            set.open.remove(root);
        }
        if set.ids.get(root) == Some(&id) {
            set.ids.remove(root);
        }
    }

    /// The blob of this root is not partial any more.
    pub(crate) fn remove(&self, root: &Digest) {
        let mut set = self.set.lock();
        set.ids.remove(root);
        set.open.remove(root);
    }
}
