//! A mount in a temporary directory that is gone when the test is, whatever became of the test.
//!
//! Tests that need the kernel call [`usable`] first and return when it says no: the reason is printed,
//! and where `SHOAL_TEST_REQUIRE` contains `fuse` it is a failure instead.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::{UnmountFlags, unmount};
use shoal_fuse::memory::MemoryTree;
use shoal_fuse::{MountOptions, Mounted};
use tempfile::TempDir;

/// Can this process mount? Prints the reason when not.
pub(crate) fn usable() -> bool {
    let reason = if !rustix::process::getuid().is_root() {
        "mounting takes root here".to_owned()
    } else if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        format!("/dev/fuse: {error}")
    } else {
        return true;
    };
    let required = std::env::var("SHOAL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == "fuse"), "{reason}");
    println!("skipped: {reason}");
    false
}

/// A directory to mount on, cleared of every mount at its end.
pub(crate) struct Place(Option<TempDir>);

impl Place {
    pub(crate) fn new() -> Self {
        Self(Some(TempDir::new().unwrap()))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let directory = self.0.take().unwrap();
        while unmount(directory.path(), UnmountFlags::DETACH).is_ok() {}
        directory.close().unwrap();
    }
}

/// A mounted tree in memory.
pub(crate) struct Scratch {
    pub(crate) tree: Arc<MemoryTree>,
    pub(crate) mounted: Mounted,
    place: Place,
}

impl Scratch {
    pub(crate) fn new(tree: MemoryTree) -> Self {
        Self::with(tree, &MountOptions::default())
    }

    pub(crate) fn with(tree: MemoryTree, options: &MountOptions) -> Self {
        let place = Place::new();
        let tree = Arc::new(tree);
        let mounted =
            Mounted::start(Arc::<MemoryTree>::clone(&tree), place.path(), options).unwrap();
        Self { tree, mounted, place }
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What hangs in the tree would keep its thread for the rest of the test program.
        self.tree.release();
    }
}

/// The line of the mount table for a directory, if something is mounted there.
pub(crate) fn mount_line(path: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let wanted = format!(" {} ", path.display());
    table.lines().find(|line| line.contains(&wanted)).map(str::to_owned)
}

/// Bytes that differ everywhere.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// The error number of a failed call.
#[track_caller]
pub(crate) fn number<T: std::fmt::Debug>(outcome: std::io::Result<T>) -> i32 {
    outcome.unwrap_err().raw_os_error().unwrap()
}
