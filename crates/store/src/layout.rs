//! Where everything lies in a store's directory, and the disk that it is on.
//!
//! Owns all path building: no other file joins a path beneath the store. Directories are made with
//! mode 0700 and files with 0600 (see `disk`), whatever the umask allows beyond that.

use std::path::{Path, PathBuf};

use crate::blob::BlobId;
use crate::disk::Disk;
use crate::key::Place;

/// The paths of one store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    disk: Disk,
}

impl Layout {
    /// The layout of the store in `root`.
    pub(crate) fn new(root: &Path, disk: Disk) -> Self {
        Self { root: root.to_owned(), disk }
    }

    /// The disk: whoever has the paths may change what is there.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    /// Is there after a sync failed, until the store was opened again.
    pub(crate) fn sync_failed(&self) -> PathBuf {
        self.root.join("sync-failed")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.redb")
    }

    pub(crate) fn stats(&self) -> PathBuf {
        self.root.join("stat.redb")
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn journal(&self, number: u32) -> PathBuf {
        self.journals().join(format!("{number:08}.log"))
    }

    /// A journal that is not complete yet.
    pub(crate) fn new_journal(&self, number: u32) -> PathBuf {
        self.journals().join(format!("{number:08}.new"))
    }

    /// An index that is not complete yet.
    pub(crate) fn new_index(&self) -> PathBuf {
        self.root.join("index.new")
    }

    pub(crate) fn run(&self, number: u32) -> PathBuf {
        self.runs().join(format!("{number:08}.run"))
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    pub(crate) fn pack(&self, number: u32) -> PathBuf {
        self.packs().join(format!("{number:08}.pack"))
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn blob_dir(&self, id: BlobId) -> PathBuf {
        self.blobs().join(format!("{:02x}", id.0 >> 56))
    }

    pub(crate) fn blob(&self, id: BlobId) -> PathBuf {
        self.blob_dir(id).join(id.to_string())
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn presence(&self, id: BlobId) -> PathBuf {
        self.partials().join(id.to_string())
    }

    pub(crate) fn moved(&self, id: BlobId) -> PathBuf {
        self.partials().join(format!("{id}.moved"))
    }

    /// A copy on its way to a blob's name; of no use to another process.
    pub(crate) fn copy(&self, id: BlobId) -> PathBuf {
        self.partials().join(format!("{id}.copy"))
    }

    /// Space that is given up when the disk is full.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The file of a place, for a blob that the store itself holds.
    pub(crate) fn place(&self, place: Place) -> PathBuf {
        match place {
            Place::Pack(number) => self.pack(number),
            Place::Blob(id) => self.blob(id),
        }
    }
}
