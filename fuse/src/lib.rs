//! Presents a [`Tree`] as a mounted drive.
//!
//! The tree says what there is, by CID; this package turns it into inodes, handles and kernel
//! replies. Start at `fs.rs` (what each request means, without FUSE) and `mount.rs` (the life of a
//! mount); `adapter.rs` is the only file that names the FUSE library.
//!
//! Invariants: the mount is read-only; no request waits for ever; a request that must wait (for the
//! network, for the node) never holds up one that can be answered from memory; a panic costs one
//! request. Does not fetch, verify or store anything: that is the tree's part.

mod adapter;
mod device;
mod errno;
mod fs;
mod handle;
mod inode;
mod listing;
pub mod memory;
mod mount;
mod mountinfo;
mod pool;
mod statistics;
mod tree;
mod unmount;

pub use adapter::{RootSwitch, SwitchError};
pub use mount::{
    METADATA_GUARD_DEFAULT, MountError, MountOptions, Mounted, READ_GUARD_DEFAULT, Unmounter,
};
pub use statistics::Statistics;
pub use tree::{
    ATTRIBUTES_OF_MAX, Attributes, BACKING_BYTES_MIN, Directory, Entry, Kind, Named,
    READ_BYTES_MAX, Tree, TreeError,
};
pub use unmount::{UnmountError, unmount};
