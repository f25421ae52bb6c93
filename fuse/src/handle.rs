//! What is open: directory handles, and how each open file is served.
//!
//! A directory handle holds its listing, so that offsets stay meaningful whatever the cache drops.
//! Files need no handle of their own; what counts is the *mode* of an inode, because the kernel
//! refuses (`EIO`) to open one inode through the page cache and passed through at the same time.
//!
//! Invariant: the first opener of an inode decides its mode, everybody who opens it before the last
//! RELEASE gets the same, and the backing of a passed-through inode lives until then. RELEASE comes
//! some time after `close`, so the mode here changes never earlier than in the kernel.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::errno::FsError;
use crate::listing::Listing;

/// Open directories: far above what a system allows descriptors of (`fs.nr_open` is 2^20), a stop
/// for lost RELEASEDIRs only.
pub(crate) const DIRECTORY_HANDLES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
struct Open {
    last: u64,
    listings: HashMap<u64, Arc<Listing>>,
}

/// The open directories.
#[derive(Debug, Default)]
pub(crate) struct DirectoryHandles(RwLock<Open>);

impl DirectoryHandles {
    /// A new handle on a listing.
    pub(crate) fn open(&self, listing: Arc<Listing>) -> Result<u64, FsError> {
        let mut open = self.0.write();
        if open.listings.len() >= DIRECTORY_HANDLES_MAX {
            return Err(FsError::TooManyOpen);
        }
        open.last += 1;
        let handle = open.last;
        open.listings.insert(handle, listing);
        Ok(handle)
    }

    /// The listing behind a handle.
    pub(crate) fn get(&self, handle: u64) -> Result<Arc<Listing>, FsError> {
        self.0.read().listings.get(&handle).cloned().ok_or(FsError::Stale)
    }

    /// A handle goes on with another listing.
    pub(crate) fn renew(&self, handle: u64, listing: Arc<Listing>) {
        if let Some(held) = self.0.write().listings.get_mut(&handle) {
            *held = listing;
        }
    }

    /// Ends a handle.
    pub(crate) fn release(&self, handle: u64) {
        let _listing = self.0.write().listings.remove(&handle);
    }
}

/// How an open file is served. `B` is what the kernel calls the backing file by.
#[derive(Debug)]
pub(crate) enum Mode<B> {
    /// Through the page cache and this process; from the local file where there is one.
    Cached(Option<Arc<File>>),
    /// By the kernel alone.
    Pass(Arc<B>),
}

impl<B> Clone for Mode<B> {
    fn clone(&self) -> Self {
        match self {
            Self::Cached(file) => Self::Cached(file.clone()),
            Self::Pass(backing) => Self::Pass(Arc::clone(backing)),
        }
    }
}

#[derive(Debug)]
struct OpenFile<B> {
    mode: Mode<B>,
    opens: u64,
}

/// The mode of every inode that is open as a file; bounded by the descriptors of the system.
#[derive(Debug)]
pub(crate) struct OpenFiles<B>(Mutex<HashMap<u64, OpenFile<B>>>);

impl<B> Default for OpenFiles<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B> OpenFiles<B> {
    /// Opens `ino` once more in the mode it has; `None` when it is not open.
    pub(crate) fn join(&self, ino: u64) -> Option<Mode<B>> {
        let mut files = self.0.lock();
        let file = files.get_mut(&ino)?;
        file.opens += 1;
        Some(file.mode.clone())
    }

    /// Opens `ino`; `first` decides the mode when nobody else has it open.
    pub(crate) fn enter(&self, ino: u64, first: impl FnOnce() -> Mode<B>) -> Mode<B> {
        let mut files = self.0.lock();
        let file = files.entry(ino).or_insert_with(|| OpenFile { mode: first(), opens: 0 });
        file.opens += 1;
        file.mode.clone()
    }

    /// The local file behind an inode that is open in the cached mode.
    pub(crate) fn local_file(&self, ino: u64) -> Option<Arc<File>> {
        match &self.0.lock().get(&ino)?.mode {
            Mode::Cached(file) => file.clone(),
            Mode::Pass(_) => None,
        }
    }

    /// Closes `ino` once; true when that was the last.
    pub(crate) fn leave(&self, ino: u64) -> bool {
        let mut files = self.0.lock();
        let Some(file) = files.get_mut(&ino) else {
            return false;
        };
        file.opens -= 1;
        if file.opens > 0 {
            return false;
        }
        let closed = files.remove(&ino);
        // Giving a backing back is a call into the kernel: not under the lock.
        drop(files);
        drop(closed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Directory;

    fn is_pass(mode: &Mode<u32>) -> bool {
        matches!(mode, Mode::Pass(_))
    }

    #[test]
    fn the_first_opener_decides_until_the_last_release() {
        let files = OpenFiles::<u32>::default();
        assert!(files.join(5).is_none());
        assert!(is_pass(&files.enter(5, || Mode::Pass(Arc::new(1)))));
        assert!(is_pass(&files.enter(5, || Mode::Cached(None))));
        assert!(is_pass(&files.join(5).unwrap()));
        assert!(!files.leave(5));
        assert!(!files.leave(5));
        assert!(is_pass(&files.enter(5, || Mode::Cached(None))));
        assert!(!files.leave(5));
        assert!(files.leave(5));
        assert!(!is_pass(&files.enter(5, || Mode::Cached(None))));
        assert!(!is_pass(&files.enter(5, || Mode::Pass(Arc::new(2)))));
    }

    #[test]
    fn a_backing_lives_exactly_as_long_as_its_inode_is_open() {
        let files = OpenFiles::<u32>::default();
        let backing = Arc::new(1);
        files.enter(5, || Mode::Pass(Arc::clone(&backing)));
        files.join(5);
        files.leave(5);
        assert_eq!(Arc::strong_count(&backing), 2);
        files.leave(5);
        assert_eq!(Arc::strong_count(&backing), 1);
        assert!(!files.leave(5), "a release too many is nothing");
    }

    #[test]
    fn the_local_file_is_shared_by_those_who_have_it_open() {
        let files = OpenFiles::<u32>::default();
        let file = Arc::new(File::open("/dev/null").unwrap());
        files.enter(5, || Mode::Cached(Some(file)));
        assert!(files.local_file(5).is_some());
        files.leave(5);
        assert!(files.local_file(5).is_none());
    }

    #[test]
    fn a_directory_handle_ends_once() {
        let handles = DirectoryHandles::default();
        let listing = Arc::new(Listing::new(Arc::new(Directory::default())));
        let one = handles.open(Arc::clone(&listing)).unwrap();
        let two = handles.open(listing).unwrap();
        assert_ne!(one, two);
        handles.release(one);
        assert_eq!(handles.get(one).unwrap_err(), FsError::Stale);
        assert_eq!(handles.get(two).unwrap().len(), 0);
    }
}
