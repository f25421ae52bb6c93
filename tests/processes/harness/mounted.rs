//! A mount of the test, undone at its end.
//!
//! `shoal mount` runs in the foreground as a process of the test. A dropped mount is unmounted, by
//! force if need be, before its process is killed, so that no test leaves a dead mountpoint.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::mount::{UnmountFlags, unmount};

use super::{Run, Started, Store, eventually};

/// A mounted root.
pub(crate) struct Mounted {
    store: Store,
    dir: PathBuf,
    process: Option<Started>,
}

impl Mounted {
    /// Mounts `what` at `dir`, which is made, and waits until it is in the mount table.
    #[track_caller]
    pub(crate) fn new(store: &Store, what: &str, dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let process = store.start(&[&"mount", &what, &dir]);
        let mut mounted = Self { store: store.clone(), dir, process: Some(process) };
        eventually("it is mounted", || {
            if !mounted.process.as_mut().is_some_and(Started::runs) {
                let run = mounted.process.take().map(Started::finish).unwrap();
                panic!("the mount ended: {run}");
            }
            stands(&mounted.dir).then_some(())
        });
        mounted
    }

    /// The mountpoint.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path below it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Unmounts with the verb and gives how the mount's process ended.
    #[track_caller]
    pub(crate) fn umount(mut self) -> Run {
        drop(self.store.run(&[&"umount", &self.dir]).ok());
        assert!(!stands(&self.dir), "`umount` returned before the mount was gone");
        self.process.take().unwrap().finish()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if stands(&self.dir) {
            unmount(&self.dir, UnmountFlags::DETACH).ok();
        }
    }
}

/// True when something is mounted at `dir`, an absolute path without blanks.
pub(crate) fn stands(dir: &Path) -> bool {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let dir = dir.as_os_str().as_bytes();
    table.split(|byte| *byte == b'\n').any(|line| line.split(|b| *b == b' ').nth(4) == Some(dir))
}
