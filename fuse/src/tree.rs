//! What a mount shows: a tree of immutable things, each named by its CID.
//!
//! The mount asks, somebody else answers: the node over its control socket, or the in-memory tree of
//! the tests. Every method blocks until it has an answer and is called from worker threads, many at a
//! time; the two that are called from event loops say so and may not block. **The implementer keeps
//! the deadlines** (10 s for metadata, 30 s without progress for a read, at once when no provider is
//! left); the mount has its own, longer guard only so that a broken implementer cannot hang a process
//! that reads.
//!
//! A CID names content for ever, so nothing here is ever invalidated: what was answered once is kept
//! by the kernel for a year. Only *success* and *proven* absence are kept; errors are asked again. What
//! may change is which CID a live mount shows as its root ([`crate::RootSwitch`]); the tree is asked
//! for both then, as long as somebody holds something of the old one.
//! There are no inode numbers, handles or FUSE types here.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use shoal_dag::Cid;

/// What sort of thing a CID names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// What `stat` tells about one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// What sort of thing it is.
    pub kind: Kind,
    /// Bytes of content: of a file, of a link's target; for a directory whatever the tree can tell
    /// about what is below it, or zero.
    pub size: u64,
    /// Permission bits as stored; `None` where the DAG has none. Only the lowest nine are shown.
    pub mode: Option<u32>,
    /// Seconds and nanoseconds since the epoch as stored; `None` where the DAG has none.
    pub mtime: Option<(i64, u32)>,
}

impl Attributes {
    /// Attributes of a thing that stores neither mode nor time.
    pub fn plain(kind: Kind, size: u64) -> Self {
        Self { kind, size, mode: None, mtime: None }
    }
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name: 1 to 255 bytes, any but `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// What the name stands for.
    pub cid: Cid,
    /// Its attributes where they are known without fetching anything (its block is here, or it is a
    /// raw leaf, whose kind and size the link tells). `None` costs an [`Tree::attributes_of`] before
    /// the entry can be listed.
    pub attributes: Option<Attributes>,
}

/// A whole decoded directory.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The entries, sorted by name bytewise, without doubles; names that no file system may have are
    /// left out by whoever decodes. The mount checks this and drops what breaks it.
    pub entries: Vec<Entry>,
}

/// What a name stands for in a directory, or all that it has.
#[derive(Clone, Debug)]
pub enum Named {
    /// The whole listing: it costs no more than the one entry, and answers for all others.
    Listing(Arc<Directory>),
    /// The entry of that name.
    Entry(Box<Entry>),
    /// The directory was read as far as it could have the name, and lacks it.
    Absent,
}

/// A tree that can be mounted. See the module documentation for threads and deadlines.
pub trait Tree: Send + Sync + 'static {
    /// The CID shown as the mount's root at first. When it is a file or a link, the mount shows a directory
    /// with that one thing in it, named by its CID.
    fn root(&self) -> Cid;

    /// The attributes of one thing; for most this costs its root block.
    fn attributes(&self, cid: &Cid) -> Result<Attributes, TreeError>;

    /// The attributes of many things, in the order asked: one answer per CID. Used when a directory
    /// is listed; an implementer that can ask for all at once should. At most
    /// [`ATTRIBUTES_OF_MAX`] CIDs are asked in one call.
    fn attributes_of(&self, cids: &[Cid]) -> Vec<Result<Attributes, TreeError>> {
        cids.iter().map(|cid| self.attributes(cid)).collect()
    }

    /// The whole listing of a directory.
    fn directory(&self, cid: &Cid) -> Result<Arc<Directory>, TreeError>;

    /// One name of a directory whose listing nobody asked for yet. An implementer that has large
    /// directories answers with the entry alone.
    fn entry(&self, cid: &Cid, name: &[u8]) -> Result<Named, TreeError> {
        let _ = name;
        self.directory(cid).map(Named::Listing)
    }

    /// The target of a symbolic link, never followed here.
    fn readlink(&self, cid: &Cid) -> Result<Vec<u8>, TreeError>;

    /// Up to `len` bytes of a file from `offset`: fewer only at the end of the file, none behind it.
    /// `len` is at most [`READ_BYTES_MAX`]. Calls for one file come concurrently and out of order.
    fn read(&self, cid: &Cid, offset: u64, len: u32) -> Result<Bytes, TreeError>;

    /// The same from memory and at once, exactly as many bytes as asked for; `None` when that cannot
    /// be. Called from an event loop, which saves a change of threads: must not block.
    fn read_ready(&self, cid: &Cid, offset: u64, len: u32) -> Option<Bytes> {
        let _ = (cid, offset, len);
        None
    }

    /// A descriptor, open for reading, of a local file that holds exactly the bytes of this file,
    /// all of them and verified; `None` when there is no such file, and then [`Tree::read`] serves.
    /// Asked at the first open of a file of at least [`BACKING_BYTES_MIN`]. Reads through it are not
    /// verified again.
    fn backing(&self, cid: &Cid) -> Result<Option<File>, TreeError> {
        let _ = cid;
        Ok(None)
    }

    /// How many bytes of this thing are on this machine, for the xattr `user.shoal.local`; `None`
    /// when that cannot be told.
    fn local_bytes(&self, cid: &Cid) -> Result<Option<u64>, TreeError> {
        let _ = cid;
        Ok(None)
    }

    /// The last handle on this file is closed: read-ahead for it may stop. Called from an event
    /// loop: must not block.
    fn closed(&self, cid: &Cid) {
        let _ = cid;
    }
}

/// Most CIDs in one [`Tree::attributes_of`]: what one listing request of the kernel (32 KiB from
/// glibc) holds of the shortest names, 160 bytes each, fits in it.
pub const ATTRIBUTES_OF_MAX: usize = 256;

/// Most bytes in one [`Tree::read`]: the kernel's `max_pages_limit` of 256 pages.
pub const READ_BYTES_MAX: u32 = 1 << 20;

/// Smallest file for which a backing descriptor is asked: below it a read through the daemon that
/// stays in the page cache was as fast as passthrough (16 KiB: 16.5 against 19.1 us; 64 KiB: 26.9
/// against 23.5 us).
pub const BACKING_BYTES_MIN: u64 = 32 << 10;

/// Why a tree could not answer. `errno.rs` says which error number each becomes.
#[derive(Clone, Debug, thiserror::Error, Eq, PartialEq)]
pub enum TreeError {
    /// The path was followed to a directory that was read and lacks the name. Never a failure to
    /// fetch: programs act on absence.
    #[error("there is no such thing")]
    NotFound,
    /// Nobody that can be reached has the block.
    #[error("no provider can be reached: {detail}")]
    Unreachable {
        /// What was tried.
        detail: String,
    },
    /// Providers are known but nothing arrived within the deadline.
    #[error("nothing arrived within the deadline")]
    TimedOut,
    /// Bytes do not hash to their CID, or do not decode, or sizes lie.
    #[error("the data is corrupt: {detail}")]
    Corrupt {
        /// What is wrong and with which block.
        detail: String,
    },
    /// A kind of node this version does not present.
    #[error("unsupported kind of node: {detail}")]
    Unsupported {
        /// Which kind.
        detail: String,
    },
    /// A directory was asked of something else.
    #[error("not a directory")]
    NotDirectory,
    /// File bytes were asked of a directory.
    #[error("is a directory")]
    IsDirectory,
    /// A link target was asked of something else.
    #[error("not a symbolic link")]
    NotSymlink,
    /// The local disk or the store's quota is full, and the data cannot pass without it.
    #[error("no space is left")]
    Full,
    /// The content may not be shown to this mount.
    #[error("access refused")]
    Refused,
    /// The node that answers went away and did not come back within the deadline.
    #[error("the node is not running")]
    NodeGone,
    /// The node is there but broke the protocol or failed inside.
    #[error("the node failed: {detail}")]
    Failed {
        /// What it said.
        detail: String,
    },
}
