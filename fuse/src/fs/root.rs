//! The root of the mount, and switching it to another tree while the mount is in use.
//!
//! A mount of a name is *live*: its root is one inode for ever (FUSE fixes number 1), but what that
//! inode shows may be replaced. Everything below the root is immutable as in any mount: an entry of a
//! live root is numbered by what it stands for as well, so that a changed entry is another inode with
//! other pages, an unchanged one is the same, and who holds the old one goes on with the old tree.
//!
//! Invariants: a lookup in the root is answered from the root that is shown at the time of the answer;
//! a directory stream shows the root that was shown when it was begun; the kernel keeps names and
//! attributes of a live root for a second at most, so that an invalidation that is lost does not last.
//! The listing of a live root is not given back to the cache: what the kernel may know of it is the
//! difference that a switch tells.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use shoal_dag::Cid;

use super::{Fs, alone, around};
use crate::errno::FsError;
use crate::inode::ROOT;
use crate::listing::Listing;
use crate::tree::{Attributes, Kind, Tree, TreeError};

/// How long the kernel may keep what it is told of a live root's own entries and attributes.
pub(crate) const LIVE_KEPT: Duration = Duration::from_secs(1);

/// Roots that one lookup outlives: each is a switch while it waited for the tree.
pub(super) const LOOKUP_ROOTS_MAX: usize = 4;

/// How long the kernel may keep what it is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    /// Content never changes under its CID.
    Lasting,
    /// For [`LIVE_KEPT`]: of a root that may be switched.
    Shortly,
    /// Not at all: what could not be had, or is shown no more.
    Never,
}

/// What the root of a mount shows.
#[derive(Debug)]
pub(super) struct Shown {
    cid: Cid,
    /// Of the directory that is shown, which is a made-up one around a single file.
    attributes: Attributes,
    /// Set from the beginning where the directory is made up, in a live mount as soon as it is read.
    listing: OnceLock<Arc<Listing>>,
}

/// The root of a mount.
#[derive(Debug)]
pub(super) struct Root {
    live: bool,
    shown: RwLock<Arc<Shown>>,
    switching: Mutex<()>,
    asks: Mutex<usize>,
    answered: Condvar,
}

/// A request about the live root that may wait for the tree. The kernel holds the directory's lock
/// meanwhile, and wants it for itself to take an entry back.
#[derive(Debug)]
pub(super) struct Asking<'a>(&'a Root);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        *self.0.asks.lock() -= 1;
        self.0.answered.notify_all();
    }
}

impl Shown {
    /// What is at `cid`, asking the tree.
    pub(super) fn load(tree: &dyn Tree, cid: Cid) -> Result<Self, TreeError> {
        let attributes = tree.attributes(&cid)?;
        let listing = OnceLock::new();
        if attributes.kind == Kind::Directory {
            return Ok(Self { cid, attributes, listing });
        }
        listing.get_or_init(|| alone(cid, attributes));
        Ok(Self { cid, attributes: around(attributes), listing })
    }

    /// Its CID, and what `stat` shows.
    pub(super) fn known(&self) -> (Cid, Attributes) {
        (self.cid, self.attributes)
    }
}

impl Root {
    pub(super) fn new(shown: Shown, live: bool) -> Self {
        Self {
            live,
            shown: RwLock::new(Arc::new(shown)),
            switching: Mutex::default(),
            asks: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    /// May the directory `ino` show something else later?
    pub(super) fn is_live(&self, ino: u64) -> bool {
        self.live && ino == ROOT
    }

    fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown.read())
    }

    /// Counts a request that may wait for the tree while the kernel holds the lock of `ino`.
    pub(super) fn asking(&self, ino: u64) -> Option<Asking<'_>> {
        self.is_live(ino).then(|| {
            *self.asks.lock() += 1;
            Asking(self)
        })
    }
}

impl Fs {
    /// How long the kernel may keep entries that it looks up in `parent`, or attributes of it.
    pub(crate) fn keep(&self, parent: u64) -> Keep {
        if self.root.is_live(parent) { Keep::Shortly } else { Keep::Lasting }
    }

    /// The root's listing if it is in memory.
    pub(super) fn known_root_listing(&self) -> Option<Arc<Listing>> {
        let shown = self.root.shown();
        shown.listing.get().cloned().or_else(|| self.listings.get(&shown.cid))
    }

    /// The root's listing, asking the tree.
    pub(super) fn root_listing(&self) -> Result<Arc<Listing>, FsError> {
        let shown = self.root.shown();
        self.listing_of(&shown).map_err(|error| self.failed(ROOT, error))
    }

    fn listing_of(&self, shown: &Shown) -> Result<Arc<Listing>, TreeError> {
        if let Some(listing) = shown.listing.get() {
            return Ok(Arc::clone(listing));
        }
        let listing = if let Some(listing) = self.listings.get(&shown.cid) {
            listing
        } else {
            let directory = self.tree.directory(&shown.cid)?;
            self.listings.keep(shown.cid, Listing::new(directory))
        };
        if !self.root.live {
            return Ok(listing);
        }
        Ok(Arc::clone(shown.listing.get_or_init(|| listing)))
    }

    /// Is this listing of the directory `ino` what the directory shows now?
    pub(super) fn is_shown(&self, ino: u64, listing: &Arc<Listing>) -> bool {
        if !self.root.is_live(ino) {
            return true;
        }
        self.root.shown().listing.get().is_some_and(|shown| Arc::ptr_eq(shown, listing))
    }

    /// A stream of the directory `ino` begins, or begins again: it shows what is there now.
    pub(crate) fn begin_listing(&self, ino: u64, handle: u64) {
        if !self.root.is_live(ino) {
            return;
        }
        if let Some(listing) = self.root.shown().listing.get() {
            self.directories.renew(handle, Arc::clone(listing));
        }
    }

    /// Shows `cid` as the root from now on. Returns the names whose entries are others than before,
    /// as far as the kernel can know of them; `None` when it is shown already. Waits for the tree.
    pub(crate) fn switch_root(&self, cid: Cid) -> Result<Option<Vec<Box<[u8]>>>, TreeError> {
        let _one_at_a_time = self.root.switching.lock();
        let before = self.root.shown();
        if before.cid == cid {
            return Ok(None);
        }
        let shown = Shown::load(self.tree.as_ref(), cid)?;
        let now = self.listing_of(&shown)?;
        // What was never read was never told.
        let changed = before.listing.get().map_or_else(Vec::new, |it| compare(it, &now));
        let attributes = shown.attributes;
        *self.root.shown.write() = Arc::new(shown);
        self.inodes.replace_root(cid, attributes);
        Ok(Some(changed))
    }

    /// Waits until nobody asks for something of the root, not beyond `until`: true when nobody does.
    pub(crate) fn root_rests(&self, until: Instant) -> bool {
        let mut asks = self.root.asks.lock();
        while *asks > 0 {
            if self.root.answered.wait_until(&mut asks, until).timed_out() {
                return *asks == 0;
            }
        }
        true
    }
}

/// The names that stand for something else in two listings. What was learned of the entries that
/// stayed is passed on.
fn compare(before: &Listing, now: &Listing) -> Vec<Box<[u8]>> {
    let mut changed: Vec<Box<[u8]>> = Vec::new();
    for (at, entry) in (0..before.len()).filter_map(|at| Some((at, before.entry(at)?))) {
        match now.find(&entry.name) {
            Some(there) if now.cid(there) == entry.cid => {
                if let Some(attributes) = before.attributes(at) {
                    now.learn(there, attributes);
                }
            }
            _ => changed.push(entry.name.as_slice().into()),
        }
    }
    let entries = (0..now.len()).filter_map(|at| now.entry(at));
    let added = entries.filter(|entry| before.find(&entry.name).is_none());
    changed.extend(added.map(|entry| entry.name.as_slice().into()));
    changed
}
