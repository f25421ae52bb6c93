//! Files that lie whole on the local disk: read by the kernel alone where it may, right in any case.
//!
//! Bytes alone prove little here, so the mount's own counters are asked who served them. Kernels that
//! pass nothing through skip what needs it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;

use crate::scratch::{Scratch, noise, usable};
use shoal_dag::Cid;
use shoal_fuse::memory::MemoryTreeBuilder;
use shoal_fuse::{MountOptions, Statistics};
use tempfile::NamedTempFile;

const SIZE: usize = 3_000_001;

/// A tree with one file that holds nothing itself, and the local file that does.
struct Rig {
    scratch: Scratch,
    cid: Cid,
    local: NamedTempFile,
    data: Vec<u8>,
}

impl Rig {
    fn new(passthrough: bool) -> Self {
        let data = noise(SIZE, 3);
        let mut local = NamedTempFile::new().unwrap();
        local.write_all(&data).unwrap();
        let mut builder = MemoryTreeBuilder::new();
        let cid = builder.file(data.clone());
        let root = builder.directory([("file", cid)]);
        let options = MountOptions { passthrough, ..MountOptions::default() };
        Self { scratch: Scratch::with(builder.finish(root), &options), cid, local, data }
    }

    fn back(&self) {
        self.scratch.tree.back(self.cid, self.local.path());
    }

    fn open(&self) -> fs::File {
        fs::File::open(self.scratch.at("file")).unwrap()
    }

    #[track_caller]
    fn check(&self) {
        assert!(fs::read(self.scratch.at("file")).unwrap() == self.data);
    }

    fn statistics(&self) -> Statistics {
        self.scratch.mounted.statistics()
    }
}

/// Does this kernel pass reads through for this process?
fn passes(rig: &Rig) -> bool {
    rig.back();
    drop(rig.open());
    let passed = rig.statistics().passed_opens > 0;
    if !passed {
        let required = std::env::var("SHOAL_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.contains("passthrough"), "this kernel passes nothing through");
        println!("skipped: this kernel passes nothing through");
    }
    passed
}

#[test]
fn whole_local_files_are_read_by_the_kernel_alone() {
    if !usable() {
        return;
    }
    let rig = Rig::new(true);
    if !passes(&rig) {
        return;
    }
    rig.check();
    let file = rig.open();
    let mut read = [0; 5000];
    let got = file.read_at(&mut read, SIZE as u64 - 4000).unwrap();
    assert_eq!(got, 4000);
    assert!(read[..got] == rig.data[SIZE - 4000..]);
    let same = Command::new("cmp").arg(rig.scratch.at("file")).arg(rig.local.path()).status();
    assert!(same.unwrap().success());
    let seen = rig.statistics();
    assert_eq!((seen.cached_opens, seen.tree_reads, seen.local_reads), (0, 0, 0));
    assert!(seen.passed_opens >= 4);
    assert_eq!(rig.scratch.tree.calls().read.load(Ordering::Relaxed), 0);
}

#[test]
fn without_passthrough_the_local_file_is_read_here() {
    if !usable() {
        return;
    }
    let rig = Rig::new(false);
    rig.back();
    rig.check();
    let seen = rig.statistics();
    assert_eq!((seen.passed_opens, seen.tree_reads), (0, 0));
    assert!(seen.local_reads > 0);
}

#[test]
fn a_local_file_that_was_cut_is_not_believed() {
    if !usable() {
        return;
    }
    let rig = Rig::new(true);
    rig.local.as_file().set_len(SIZE as u64 - 1).unwrap();
    rig.back();
    rig.check();
    let seen = rig.statistics();
    assert_eq!((seen.passed_opens, seen.local_reads), (0, 0));
}

#[test]
fn modes_never_mix_while_a_file_is_open() {
    if !usable() {
        return;
    }
    let probe = Rig::new(true);
    if !passes(&probe) {
        return;
    }
    let rig = Rig::new(true);
    let early = rig.open();
    rig.back();
    rig.check();
    assert_eq!(rig.statistics().passed_opens, 0, "somebody still has it open through the cache");
    drop(early);
    // RELEASE comes a moment after close; then the next opener is passed through.
    while rig.statistics().passed_opens == 0 {
        rig.check();
    }
}

#[test]
fn many_openers_at_once_never_get_an_error() {
    if !usable() {
        return;
    }
    let rig = Rig::new(true);
    thread::scope(|scope| {
        for number in 0..8_usize {
            let rig = &rig;
            scope.spawn(move || {
                for round in 0..150_usize {
                    if number == 0 && round == 20 {
                        rig.back();
                    }
                    let offset = (number * 7919 + round * 104_729) % (SIZE - 100);
                    let mut read = [0; 100];
                    rig.open().read_exact_at(&mut read, offset as u64).unwrap();
                    assert!(read[..] == rig.data[offset..][..100]);
                }
            });
        }
    });
    assert_eq!(rig.statistics().overdue, 0);
}
