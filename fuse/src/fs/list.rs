//! Opening and listing directories.
//!
//! A listing is given out by offsets: 0 and 1 are `.` and `..`, entry *i* has 2 + *i*; each reply says
//! the offset after it, and positions never move because directories never change.
//!
//! The kernel asks for names *with* attributes and makes inodes of them, so a wrong kind would be
//! believed. Attributes that a directory does not carry are therefore asked of the tree, a whole
//! window at once, before the names are given. An entry that cannot be had within the tree's deadline
//! is still listed, as a directory that nobody may enter and that the kernel must not keep: its name
//! is seen and every use of it is an error. Such a listing is not cached by the kernel.

use std::sync::Arc;

use super::{Fs, Keep, Stat};
use crate::errno::FsError;
use crate::listing::Listing;
use crate::tree::ATTRIBUTES_OF_MAX;

/// Offset of the first entry, after `.` and `..`.
const FIRST: u64 = 2;

/// One line of a listing.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    /// The offset to go on from after this one.
    pub(crate) next: u64,
    /// The name.
    pub(crate) name: &'a [u8],
    /// What is shown of it.
    pub(crate) stat: Stat,
    /// How long the kernel may keep this.
    pub(crate) keep: Keep,
}

impl Fs {
    /// Opens a directory whose listing is in memory: its handle, and whether the kernel may cache
    /// what it lists.
    pub(crate) fn known_open_directory(&self, ino: u64) -> Option<Result<(u64, bool), FsError>> {
        match self.known_listing(ino) {
            Ok(listing) => Some(self.open_listing(ino, listing?)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Opens a directory, asking the tree for its listing.
    pub(crate) fn open_directory(&self, ino: u64) -> Result<(u64, bool), FsError> {
        self.open_listing(ino, self.listing(ino)?)
    }

    fn open_listing(&self, ino: u64, listing: Arc<Listing>) -> Result<(u64, bool), FsError> {
        let lasting = self.keep(ino) == Keep::Lasting && listing.is_complete();
        Ok((self.directories.open(listing)?, lasting))
    }

    /// Ends a directory handle.
    pub(crate) fn release_directory(&self, handle: u64) {
        self.directories.release(handle);
    }

    /// Is everything known that a reply from `offset` on shows?
    pub(crate) fn is_window_known(&self, handle: u64, offset: u64) -> bool {
        let known =
            |listing: Arc<Listing>| listing.unknown(position(offset), ATTRIBUTES_OF_MAX).is_empty();
        self.directories.get(handle).is_ok_and(known)
    }

    /// Asks the tree for what is not known of the window from `offset` on.
    pub(crate) fn learn_window(&self, ino: u64, handle: u64, offset: u64) -> Result<(), FsError> {
        let _asking = self.root.asking(ino);
        let listing = self.directories.get(handle)?;
        let unknown = listing.unknown(position(offset), ATTRIBUTES_OF_MAX);
        let cids: Vec<_> = unknown.iter().map(|at| listing.cid(*at)).collect();
        for (at, answer) in unknown.into_iter().zip(self.tree.attributes_of(&cids)) {
            match answer {
                Ok(attributes) => listing.learn(at, attributes),
                Err(error) => {
                    let name = listing.entry(at).map_or(&[][..], |entry| &entry.name);
                    let number = self.inodes.first_number(ino, name, &listing.cid(at));
                    self.failed(number, error);
                }
            }
        }
        Ok(())
    }

    /// Lists an open directory from `offset` until `sink` says that it is full. With `counted`, every
    /// entry that `sink` takes counts as a lookup (`.` and `..` never do). Never waits.
    pub(crate) fn list(
        &self,
        ino: u64,
        handle: u64,
        offset: u64,
        counted: bool,
        mut sink: impl FnMut(&Listed<'_>) -> bool,
    ) -> Result<(), FsError> {
        let listing = self.directories.get(handle)?;
        let parent = self.known(ino)?.parent;
        for (at, (name, dot)) in [(&b"."[..], ino), (b"..", parent)].into_iter().enumerate() {
            let (stat, keep) = self.dot(dot);
            let line = Listed { next: at as u64 + 1, name, stat, keep };
            if offset <= at as u64 && sink(&line) {
                return Ok(());
            }
        }
        // What the root shows no more must not take the place of what it shows now.
        let keep = if self.is_shown(ino, &listing) { self.keep(ino) } else { Keep::Never };
        for at in position(offset)..listing.len() {
            if self.list_entry((ino, keep), &listing, at, counted, &mut sink) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn list_entry(
        &self,
        (parent, keep): (u64, Keep),
        listing: &Listing,
        at: usize,
        counted: bool,
        sink: &mut impl FnMut(&Listed<'_>) -> bool,
    ) -> bool {
        let Some(entry) = listing.entry(at) else {
            return true;
        };
        // Attributes that no file can have are as good as none.
        let attributes = listing.attributes(at).filter(|it| self.owner.stat(0, it).is_ok());
        let number = if counted {
            self.inodes.remember(parent, &entry.name, entry.cid, attributes)
        } else {
            self.inodes.first_number(parent, &entry.name, &entry.cid)
        };
        let stat = attributes.and_then(|it| self.owner.stat(number, &it).ok());
        let full = sink(&Listed {
            next: at as u64 + FIRST + 1,
            name: &entry.name,
            stat: stat.unwrap_or_else(|| self.owner.unknown(number)),
            keep: if stat.is_some() { keep } else { Keep::Never },
        });
        if full && counted {
            self.inodes.forget(number, 1);
        }
        full
    }

    /// What `.` or `..` shows: only its number and kind are ever looked at.
    fn dot(&self, ino: u64) -> (Stat, Keep) {
        match self.known_stat(ino) {
            Some(Ok(stat)) => (stat, self.keep(ino)),
            _ => (self.owner.unknown(ino), Keep::Never),
        }
    }
}

/// The position of the first entry a reply from `offset` on shows.
fn position(offset: u64) -> usize {
    usize::try_from(offset.saturating_sub(FIRST)).unwrap_or(usize::MAX)
}
