//! File systems that share extents between files: btrfs and xfs, each in an image on a loop device.
//!
//! Skipped with a reason where one cannot be made or mounted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixture::bytes;
use crate::versions::{Edit, EditKind, add, add_clone, blob_bytes, unique};
use shoal_store::{Options, Store};

const MIB: usize = 1 << 20;
/// Larger than the least that mkfs of either takes.
const IMAGE_BYTES: u64 = 512 << 20;

/// A file system of its own, unmounted at the end.
struct Loop {
    kind: &'static str,
    _dir: TempDir,
    at: PathBuf,
}

impl Loop {
    /// `None` says why on stdout.
    fn of(kind: &'static str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, at) = (dir.path().join("image"), dir.path().join("mnt"));
        std::fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        std::fs::create_dir(&at).unwrap();
        let made = run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        let mounted = made
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)));
        if let Err(reason) = mounted {
            println!("skipped: {kind}: {reason}");
            return None;
        }
        Some(Self { kind, _dir: dir, at })
    }

    /// What the file system has given out, after everything was written back.
    fn used(&self) -> u64 {
        run(Command::new("sync").arg("-f").arg(&self.at)).unwrap();
        let stat = rustix::fs::statvfs(&self.at).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(reason) = run(Command::new("umount").arg(&self.at)) {
            println!("{} stays mounted: {reason}", self.at.display());
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

fn on_each(test: impl Fn(&Loop, &Path)) {
    for kind in ["btrfs", "xfs"] {
        if let Some(mounted) = Loop::of(kind) {
            println!("on {kind}");
            test(&mounted, &mounted.at.join("store"));
        }
    }
}

#[test]
fn a_clone_of_the_users_file_takes_no_space() {
    on_each(|mounted, dir| {
        let source = mounted.at.join("source");
        std::fs::write(&source, bytes(1, 64 * MIB)).unwrap();
        let store = Store::open(dir, Options::default()).unwrap();
        let before = mounted.used();
        let doc = add_clone(&store, &source);
        let taken = mounted.used().saturating_sub(before);
        assert!(taken < 8 * MIB as u64, "{taken}");
        // What the user does to his file afterwards does nothing to the store's.
        std::fs::write(&source, bytes(2, 64 * MIB)).unwrap();
        doc.assert_whole(&store, true);
        drop(store);
        doc.assert_whole(&Store::open(dir, Options::default()).unwrap(), true);
    });
}

#[test]
fn holes_that_lie_alike_are_shared_and_filled_at_once() {
    on_each(|mounted, dir| {
        let store = Store::open(dir, Options::default()).unwrap();
        let empty = mounted.used();
        let first = add(&store, &bytes(1, 64 * MIB));
        let before = mounted.used();
        // In place: what follows does not shift.
        let edit = Edit { at: 1 << 15, kind: EditKind::Overwrite, len: 4096, seed: 3 };
        let second = add(&store, &edit.apply(&first.content));
        let taken = mounted.used().saturating_sub(before);
        assert!(taken < 8 * MIB as u64, "{taken}");
        first.assert_whole(&store, true);
        second.assert_whole(&store, true);
        // Shifted by what is no whole block, the rest cannot be shared and stays where it is.
        let edit = Edit { at: 9, kind: EditKind::Insert, len: 999, seed: 4 };
        let third = add(&store, &edit.apply(&first.content));
        third.assert_whole(&store, false);
        let all = [first.root, second.root];
        assert!(store.rebase(&third.root, &all, &mut || true).unwrap().whole);
        store.thin(&mut || true).unwrap();
        third.assert_whole(&store, true);
        let docs = [first, second, third];
        for doc in &docs {
            doc.assert_right(&store);
        }
        let (taken, (unique, leaves)) = (blob_bytes(&store), unique(&docs));
        assert!(taken <= unique + leaves * 8192, "{taken} of {unique}");
        // btrfs frees an extent when the last byte of it is gone.
        if mounted.kind == "xfs" {
            let taken = mounted.used() - empty;
            assert!(taken <= unique + leaves * 8192 + 8 * MIB as u64, "{taken} of {unique}");
        }
    });
}

#[test]
fn another_file_system_is_not_cloned_from() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(elsewhere.path(), bytes(1, MIB)).unwrap();
    on_each(|_, dir| {
        let store = Store::open(dir, Options::default()).unwrap();
        let batch = store.batch(crate::fixture::public());
        let source = std::fs::File::open(elsewhere.path()).unwrap();
        assert!(batch.clone_of(&source).unwrap().is_none());
        batch.commit().unwrap();
        assert!(crate::fixture::files_in(&dir.join("blobs")).is_empty());
    });
}
