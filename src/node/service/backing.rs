//! The local file behind a file of a mount.
//!
//! A file that lies whole in one file of the store is handed to the mount by path, which then reads it,
//! or has the kernel read it, without the node. One that was read through the mount from end to end is
//! made whole when it is opened again. A file of the user is never handed out: it may be edited at any
//! time, and the node hashes what it reads of it.

use std::path::PathBuf;

use shoal_dag::{
    Cid, Node, hash,
    walk::{Budget, FileWalk, Step},
};
use shoal_store::{BLOB_BYTES_MIN, Lease, SettleOptions, Store};

use crate::node::export;

/// The path of the store's own file with exactly the bytes of `file`, if there is one, with a lease that is
/// to be held until the mount has opened and locked it. From then on it is the store's alone: a `get` copies it instead of taking it, since who got it may edit it while the
/// mount shows it.
pub(super) fn file(store: &Store, file: &Cid) -> Option<(PathBuf, Option<Lease>)> {
    let is_kept = match store.whole_file(file).ok()? {
        Some(whole) if whole.reference => false,
        Some(whole) => kept(store.settle(file, whole.len, &mut std::iter::empty(), KEPT)),
        None => is_made_whole(store, file),
    };
    let whole = is_kept.then(|| store.whole_file(file).ok().flatten()).flatten();
    whole.filter(|whole| !whole.reference).map(|whole| (whole.path, whole.lease))
}

/// Whole from now on, and never moved out.
const KEPT: SettleOptions = SettleOptions { sync: false, kept: true, sparse: false };

/// A file that cannot be kept is read through the node.
fn kept<E: std::fmt::Debug>(settled: Result<bool, E>) -> bool {
    settled.unwrap_or_else(|error| {
        tracing::debug!(?error, "a file cannot be handed to a mount");
        false
    })
}

/// Makes a file of which everything is here one file, where that can be.
fn is_made_whole(store: &Store, file: &Cid) -> bool {
    let Some(size) = size(store, file).filter(|size| *size >= BLOB_BYTES_MIN) else {
        return false;
    };
    // Most files that are not whole lack an end, which is found out without walking through them.
    if ![0..1, size - 1..size].into_iter().all(|range| has(store, file, range)) {
        return false;
    }
    kept(export::settle(store, file, size, KEPT))
}

/// The length of a file whose root is here and whose leaves may be slices of one file.
fn size(store: &Store, file: &Cid) -> Option<u64> {
    let data = store.get(file).ok()??;
    match Node::decode(file, data) {
        Ok(Node::File(file)) => Some(file.size),
        Ok(Node::Leaf { data, .. }) if file.codec() == hash::RAW => Some(data.len() as u64),
        _ => None,
    }
}

/// Are the leaves of a range here, and the branches on the way to them?
fn has(store: &Store, file: &Cid, range: std::ops::Range<u64>) -> bool {
    let mut walk = FileWalk::places(*file, range, Budget::FILE);
    loop {
        let here = match walk.poll() {
            Ok(Step::Need(cid)) => match store.get(&cid) {
                Ok(Some(data)) => walk.handle_block(&cid, data).is_ok(),
                _ => false,
            },
            Ok(Step::Place { cid, .. }) => store.has(&cid),
            Ok(Step::Leaf { .. }) => true,
            Ok(Step::Done) => return true,
            Err(_) => false,
        };
        if !here {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_dag::{
        Metadata,
        build::{self, FileBuilder, LeafBlock},
        profile::Profile,
    };
    use shoal_store::{KeepPlace, Moved, Options};

    use super::*;

    const LEAF_BYTES: usize = 100_000;

    /// A leaf and where it lies.
    type Leaf = (Cid, u64, Bytes);

    /// The blocks of a file of eight leaves: its root, its branches, and the leaves with their places.
    fn blocks() -> (Cid, Vec<shoal_dag::Block>, Vec<Leaf>) {
        let mut builder = FileBuilder::new(Profile::Shoal, Metadata::default());
        let (mut branches, mut leaves) = (Vec::new(), Vec::new());
        for number in 0..8_u8 {
            let data = Bytes::from(vec![number; LEAF_BYTES]);
            let leaf = build::leaf(Profile::Shoal, &data);
            assert!(matches!(leaf.block, LeafBlock::Raw));
            builder.push(leaf.link(), &mut branches);
            leaves.push((leaf.cid, u64::from(number) * LEAF_BYTES as u64, data));
        }
        let built = builder.finish(&mut branches);
        (built.cid, branches, leaves)
    }

    #[test]
    fn a_file_that_came_leaf_by_leaf_is_made_whole_when_the_last_one_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), Options::default()).unwrap();
        let (root, branches, leaves) = blocks();
        assert!(file(&store, &root).is_none(), "nothing is here");
        for block in &branches {
            store.keep(&block.cid, None, &block.data, false).unwrap();
        }
        let size = (leaves.len() * LEAF_BYTES) as u64;
        let (hole, rest) = leaves.split_at(1);
        for (cid, offset, data) in rest.iter().chain(hole) {
            assert!(file(&store, &root).is_none(), "a leaf is missing");
            let place = KeepPlace { file: &root, size, offset: *offset };
            store.keep(cid, Some(place), data, false).unwrap();
        }
        let (path, _lease) = file(&store, &root).expect("all is here");
        let bytes: Vec<u8> = leaves.iter().flat_map(|(_, _, data)| data.to_vec()).collect();
        assert_eq!(std::fs::read(path).unwrap(), bytes);
        assert_ne!(moved_out(&store, &root, dir.path()), Moved::Linked);
    }

    #[test]
    fn what_a_mount_has_is_not_moved_out_and_what_was_moved_out_no_mount_gets() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), Options::default()).unwrap();
        for (number, mounted) in [(1, true), (2, false)] {
            let data = Bytes::from(vec![number; 300_000]);
            let cid = build::leaf(Profile::UnixfsV1_2025, &data).cid;
            store.keep(&cid, None, &data, false).unwrap();
            assert!(export::settle(&store, &cid, 300_000, SettleOptions::default()).unwrap());
            assert!(!mounted || file(&store, &cid).is_some());
            let moved = moved_out(&store, &cid, dir.path());
            assert_eq!(moved == Moved::Linked, !mounted, "{moved:?}");
            assert_eq!(file(&store, &cid).is_some(), mounted);
        }
    }

    fn moved_out(store: &Store, cid: &Cid, dir: &std::path::Path) -> Moved {
        let out = dir.join(cid.to_string());
        let moved = store.move_out(cid, &out, 0o644, false).unwrap().expect("it is whole");
        let how = moved.how();
        moved.finish(&out).unwrap();
        how
    }
}
