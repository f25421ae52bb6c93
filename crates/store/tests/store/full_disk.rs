//! A full disk: said so, nothing lost, and the store works on when there is room again.
//!
//! Mounts a tmpfs of 16 MiB; without the privilege it says that it was skipped.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use shoal_store::{Options, Store, WriteError};

use crate::fixture::{Tree, block, bytes, leaf_cid, public};

/// A small tmpfs, unmounted when it is dropped.
pub(crate) struct Small(tempfile::TempDir);

impl Small {
    pub(crate) fn mounted() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = c"size=16m";
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(dir)),
            Err(error) => {
                println!("skipped: mounting a tmpfs is not possible here: {error}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_is_named_and_ends_when_there_is_room() {
    let Some(small) = Small::mounted() else { return };
    let store = Store::open(&small.path().join("store"), Options::default()).unwrap();
    let batch = store.batch(public());
    batch.put(&block(1).0, &block(1).1).unwrap();
    batch.commit().unwrap();
    let ballast = small.path().join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let tree = Tree::of(&(100..108).collect::<Vec<_>>(), 64 * 1024);
    let is_full = |result: Result<(), WriteError>| match result {
        Ok(()) => false,
        Err(WriteError::Full { .. }) => true,
        Err(other) => panic!("{other:?}"),
    };
    let mut kept = Vec::new();
    for n in 200.. {
        let data = bytes(n, 60_000);
        if is_full(store.keep(&leaf_cid(&data), None, &data, true)) {
            break;
        }
        kept.push(n);
    }
    assert!(kept.len() > 20, "{}", kept.len());
    let batch = store.batch(public());
    let data = bytes(1, 100_000);
    assert!(is_full(batch.put(&leaf_cid(&data), &data)));
    let mut blob = batch.blob().unwrap();
    assert!(is_full(blob.write(&bytes(9, 1 << 20))));
    drop(blob);
    drop(batch);
    // The index may not be able to grow; either way nothing is lost and nothing is poisoned.
    match store.checkpoint() {
        Ok(()) | Err(WriteError::Full { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(store.get(&block(1).0).unwrap(), Some(block(1).1));
    fs::remove_file(&ballast).unwrap();
    store.checkpoint().unwrap();
    let batch = store.batch(public());
    tree.add(&batch);
    batch.commit().unwrap();
    drop(store);
    let store = Store::open(&small.path().join("store"), Options::default()).unwrap();
    tree.assert_readable(&store);
    for n in kept {
        let data = bytes(n, 60_000);
        assert_eq!(store.get(&leaf_cid(&data)).unwrap(), Some(data));
    }
}
