//! What each request means: the read-only file system over a [`Tree`], without FUSE.
//!
//! Two doors to most operations: `known_*` answers from memory and never waits (`None` = not known),
//! its namesake may ask the tree and wait as long as that does. Event loops use the first, workers the
//! second. All of it can be called without a mount, and the tests do.
//!
//! Owns the inode table, the listings, the open directories and the last error of things that failed.
//! Invariants: `NotFound` is said only of a name missing from a listing that was read; a read gives
//! every byte asked for up to the end of the file or an error, never fewer and never zeros for what
//! could not be had. Does not decide who waits where: that is the adapter's and the pools' part.

mod extended;
mod list;
mod read;
mod root;
mod stat;

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use shoal_dag::Cid;
use shoal_dag::name::NAME_BYTES_MAX;

use crate::errno::FsError;
use crate::handle::DirectoryHandles;
use crate::inode::{Inodes, Known, ROOT};
use crate::listing::{LISTED_ENTRIES_MAX, Listing, Listings};
use crate::tree::{Attributes, Directory, Entry, Kind, Named, Tree, TreeError};

use root::{Root, Shown};

pub(crate) use list::Listed;
pub(crate) use root::{Keep, LIVE_KEPT};
pub(crate) use stat::{BLOCK_BYTES, Owner, Stat};

/// Inodes whose last error is remembered for the xattr `user.shoal.lasterror`.
const LAST_ERRORS_MAX: usize = 256;

/// What a lookup found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Looked {
    /// The name is there; the kernel now counts one lookup of it.
    Found(Stat),
    /// The directory was read and lacks the name; [`Fs::keep`] says how long that stays so.
    Absent,
}

/// A tree as a file system.
pub(crate) struct Fs {
    tree: Arc<dyn Tree>,
    owner: Owner,
    inodes: Inodes,
    listings: Listings,
    directories: DirectoryHandles,
    root: Root,
    last_errors: Mutex<VecDeque<(u64, String)>>,
}

impl std::fmt::Debug for Fs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Fs").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Fs {
    /// The file system over `tree`; asks it for the attributes of its root. A live one may be
    /// switched to another root.
    pub(crate) fn new(tree: Arc<dyn Tree>, owner: Owner, live: bool) -> Result<Self, TreeError> {
        let shown = Shown::load(tree.as_ref(), tree.root())?;
        let (cid, attributes) = shown.known();
        Ok(Self {
            owner,
            inodes: if live { Inodes::live(cid, attributes) } else { Inodes::new(cid, attributes) },
            listings: Listings::new(LISTED_ENTRIES_MAX),
            directories: DirectoryHandles::default(),
            root: Root::new(shown, live),
            last_errors: Mutex::default(),
            tree,
        })
    }

    /// Lookup from memory.
    pub(crate) fn known_lookup(&self, parent: u64, name: &[u8]) -> Option<Result<Looked, FsError>> {
        if name.len() > NAME_BYTES_MAX {
            return Some(Err(FsError::NameTooLong));
        }
        let listing = match self.known_listing(parent) {
            Ok(listing) => listing?,
            Err(error) => return Some(Err(error)),
        };
        let Some(position) = listing.find(name) else {
            return Some(Ok(Looked::Absent));
        };
        let attributes = listing.attributes(position)?;
        Some(self.found(parent, &listing, position, attributes))
    }

    /// Lookup that may ask the tree.
    pub(crate) fn lookup(&self, parent: u64, name: &[u8]) -> Result<Looked, FsError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(FsError::NameTooLong);
        }
        let _asking = self.root.asking(parent);
        if let Some(looked) = self.lookup_alone(parent, name)? {
            return Ok(looked);
        }
        let mut listing = self.listing(parent)?;
        let mut place = self.place(parent, &listing, name);
        for _ in 1..root::LOOKUP_ROOTS_MAX {
            if self.is_shown(parent, &listing) {
                break;
            }
            listing = self.listing(parent)?;
            place = self.place(parent, &listing, name);
        }
        match place? {
            None => Ok(Looked::Absent),
            Some((position, attributes)) => self.found(parent, &listing, position, attributes),
        }
    }

    /// Lookup in a directory that was not listed, and is so large that it should not be; otherwise
    /// `None`, its listing being in memory.
    fn lookup_alone(&self, parent: u64, name: &[u8]) -> Result<Option<Looked>, FsError> {
        // Of a root that may be switched its listing tells what changed.
        if self.root.is_live(parent) || self.known_listing(parent)?.is_some() {
            return Ok(None);
        }
        let known = self.known(parent)?;
        let named = self.tree.entry(&known.cid, name);
        let entry = match named.map_err(|error| self.failed(parent, error))? {
            Named::Absent => return Ok(Some(Looked::Absent)),
            Named::Entry(entry) => entry,
            Named::Listing(directory) => {
                self.listings.keep(known.cid, Listing::new(directory));
                return Ok(None);
            }
        };
        let attributes = if let Some(attributes) = entry.attributes {
            attributes
        } else {
            let ino = self.inodes.first_number(parent, name, &entry.cid);
            self.tree.attributes(&entry.cid).map_err(|error| self.failed(ino, error))?
        };
        self.found_entry(parent, &entry, attributes).map(Some)
    }

    /// Where a name stands in a listing, and what it is; may ask the tree.
    fn place(
        &self,
        parent: u64,
        listing: &Listing,
        name: &[u8],
    ) -> Result<Option<(usize, Attributes)>, FsError> {
        let Some(position) = listing.find(name) else {
            return Ok(None);
        };
        if let Some(known) = listing.attributes(position) {
            return Ok(Some((position, known)));
        }
        let cid = listing.cid(position);
        let ino = self.inodes.first_number(parent, name, &cid);
        let learned = self.tree.attributes(&cid).map_err(|error| self.failed(ino, error))?;
        listing.learn(position, learned);
        Ok(Some((position, learned)))
    }

    /// The kernel takes back lookups.
    pub(crate) fn forget(&self, ino: u64, lookups: u64) {
        self.inodes.forget(ino, lookups);
    }

    /// Attributes from memory.
    pub(crate) fn known_stat(&self, ino: u64) -> Option<Result<Stat, FsError>> {
        match self.known(ino) {
            Ok(known) => Some(self.owner.stat(ino, &known.attributes?)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Attributes that may ask the tree.
    pub(crate) fn stat(&self, ino: u64) -> Result<Stat, FsError> {
        self.owner.stat(ino, &self.attributes(ino)?)
    }

    /// The target of a link.
    pub(crate) fn readlink(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        let known = self.known(ino)?;
        let target = self.tree.readlink(&known.cid).map_err(|error| self.failed(ino, error))?;
        if target.len() as u64 > stat::LINK_BYTES_MAX || target.contains(&0) || target.is_empty() {
            let detail = "a link's target is empty, too long or holds NUL".to_owned();
            return Err(self.failed(ino, TreeError::Corrupt { detail }));
        }
        Ok(target)
    }

    /// Bytes the root directory tells of, for `statfs`.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.known(ROOT).ok().and_then(|root| root.attributes).map_or(0, |it| it.size)
    }

    /// Inodes the kernel remembers.
    pub(crate) fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    fn known(&self, ino: u64) -> Result<Known, FsError> {
        self.inodes.get(ino).ok_or(FsError::Stale)
    }

    fn attributes(&self, ino: u64) -> Result<Attributes, FsError> {
        let known = self.known(ino)?;
        if let Some(attributes) = known.attributes {
            return Ok(attributes);
        }
        let asked = self.tree.attributes(&known.cid);
        let attributes = asked.map_err(|error| self.failed(ino, error))?;
        self.inodes.learn(ino, attributes);
        Ok(attributes)
    }

    fn found(
        &self,
        parent: u64,
        listing: &Listing,
        position: usize,
        attributes: Attributes,
    ) -> Result<Looked, FsError> {
        let entry = listing.entry(position).ok_or(FsError::Stale)?;
        self.found_entry(parent, entry, attributes)
    }

    fn found_entry(
        &self,
        parent: u64,
        entry: &Entry,
        attributes: Attributes,
    ) -> Result<Looked, FsError> {
        // Judged before it is remembered: a refused entry must not count as a lookup.
        self.owner.stat(0, &attributes)?;
        let ino = self.inodes.remember(parent, &entry.name, entry.cid, Some(attributes));
        self.owner.stat(ino, &attributes).map(Looked::Found)
    }

    /// The listing of a directory if it is in memory.
    fn known_listing(&self, ino: u64) -> Result<Option<Arc<Listing>>, FsError> {
        if ino == ROOT {
            return Ok(self.known_root_listing());
        }
        let known = self.known(ino)?;
        if known.attributes.is_some_and(|it| it.kind != Kind::Directory) {
            return Err(TreeError::NotDirectory.into());
        }
        Ok(self.listings.get(&known.cid))
    }

    fn listing(&self, ino: u64) -> Result<Arc<Listing>, FsError> {
        if let Some(listing) = self.known_listing(ino)? {
            return Ok(listing);
        }
        if ino == ROOT {
            return self.root_listing();
        }
        let known = self.known(ino)?;
        let directory = self.tree.directory(&known.cid).map_err(|error| self.failed(ino, error))?;
        Ok(self.listings.keep(known.cid, Listing::new(directory)))
    }

    /// Remembers why something failed, for whoever asks later.
    fn failed(&self, ino: u64, error: TreeError) -> FsError {
        let mut errors = self.last_errors.lock();
        errors.retain(|(other, _)| *other != ino);
        if errors.len() >= LAST_ERRORS_MAX {
            errors.pop_front();
        }
        errors.push_back((ino, error.to_string()));
        FsError::Tree(error)
    }
}

/// A directory that holds one thing, named by its CID.
fn alone(cid: Cid, attributes: Attributes) -> Arc<Listing> {
    let name = cid.to_string().into_bytes();
    let entries = vec![Entry { name, cid, attributes: Some(attributes) }];
    Arc::new(Listing::new(Arc::new(Directory { entries })))
}

/// The attributes of that directory.
fn around(attributes: Attributes) -> Attributes {
    Attributes { kind: Kind::Directory, mode: None, ..attributes }
}

#[cfg(test)]
mod tests;
