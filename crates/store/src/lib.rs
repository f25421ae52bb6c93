//! Keeps verified blocks and pins on disk, and forgets unpinned ones safely.
//!
//! A [`Store`] is one directory that one process owns. It maps the digest of a block to an *extent*
//! (a place in a file) and reads it from there, hashing on every read. Content of 256 KiB and more
//! lies in a *blob*: a plain file with exactly its bytes, which can be read, cloned, linked and
//! passed through at line speed. Branches and small content lie in append-only *packs*.
//!
//! ```text
//! DIR/                     mode 0700, files 0600
//!   lock                   flock(2) is held on it; "PID\nCOMMAND\n" of the holder
//!   format                 "shoal-store N\n"
//!   sync-failed            a sync failed, and the store was not opened again since
//!   stat.redb              what files looked like that were added (see `stat_cache`); may go
//!   index.redb             digest -> extent, blobs, whole files, pins, records (see `index`)
//!   packs/NNNNNNNN.pack    records of a header and a block each (see `pack`)
//!   blobs/xx/ID            one file per content, ID is 16 hex digits and xx the first two of them
//!   partial/ID             beside a blob that is not whole yet: what is present (see `presence`)
//!   partial/ID.moved       a blob that became the user's file (see `blob`)
//!   reserve                space that is given up when the disk is full (see `gc`)
//!   secrets/NAME           small secret files
//! ```
//!
//! **Two ways in.** A [`Batch`] is for content that a user gives: nothing is visible before
//! [`Batch::commit`], and everything is on the disk after it. [`Store::keep`] is for verified blocks
//! from peers: visible at once, survives the death of the process at once, and is synced and indexed
//! by the next [`Store::checkpoint`], which the store also starts itself.
//!
//! **Order of a write**: data, its fdatasync, fsync of a directory where a name was made, index
//! commit (two-phase, immediate), acknowledgement. After a failed sync nothing is acknowledged until
//! the store is opened again.
//!
//! **One way out.** [`Store::collect`] removes what no pin leads to, while everything else goes on.
//!
//! What this package does not do: fetch, or decide what may be served.
#![forbid(unsafe_code)]

mod batch;
mod blob;
mod checkpoint;
mod disk;
mod error;
mod files;
mod gc;
mod generation;
mod holes;
mod index;
mod keep;
mod key;
mod layout;
mod leases;
mod lock;
mod move_out;
mod overlay;
mod own;
mod pack;
mod partial;
mod pins;
mod presence;
mod ranges;
mod read;
mod rebase;
mod rebuild;
mod records;
mod recovery;
mod secret;
mod settle;
mod stat_cache;
mod store;
mod usage;
mod verify;

pub use batch::{Batch, BatchOptions, BlobWriter, RefWriter};
pub use blob::BlobId;
#[doc(hidden)]
pub use blob::know_users_files_by_size;
#[doc(hidden)]
pub use disk::{Change, DiskWatch};
pub use error::{OpenError, ReadError, WriteError};
pub use gc::{CollectOptions, Collected, Hold, Progress};
pub use index::{IndexFault, is_guarded};
pub use keep::KeepPlace;
pub use leases::Lease;
pub use lock::Holder;
pub use move_out::{Moved, MovedOut};
pub use pins::{PIN_NAME_BYTES_MAX, Pin, PinOptions};
pub use read::{Extent, Home, WholeFile};
pub use rebase::{OLDER_MAX, Rebased, Thinned};
pub use rebuild::{Progress as RebuildProgress, RebuildReport, TablesFrom};
pub use records::{
    RECORD_KEY_BYTES_MAX, RECORD_NAMESPACE_BYTES_MAX, RECORD_VALUE_BYTES_MAX, Record,
};
pub use settle::SettleOptions;
pub use stat_cache::{Memory, Note, Remembered, StatPrint, Trust};
pub use store::{Options, Store, is_store};
pub use usage::Usage;
pub use verify::{BadBlock, Checked, FAULTS_MAX, Fault, VerifyReport};

/// Content of this many bytes and more gets a blob of its own; less goes into packs.
///
/// Below it a file costs more (inode, directory entry, sync) than a pack record, and line-speed
/// reading gains nothing. It is also the largest leaf of the default profile, so that every file
/// of several leaves is a blob.
pub const BLOB_BYTES_MIN: u64 = 256 * 1024;
