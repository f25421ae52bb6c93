//! What an acknowledgement means, what a flipped bit does, and how much memory a stream takes.
//!
//! The order of syncs is read from `strace`, a flipped bit is put into the store's own file, and the
//! memory is that of a control group. Power losses and kills are short forms of what `scripts/powerloss` and
//! `scripts/killpoints` do at length; crashes at any point are simulated beneath the store, in its tests.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::harness::{Lab, Started, Store, require, tree};

mod losses;
mod trace;

/// Bytes of the stream that is added within a memory limit.
const STREAM_BYTES: u64 = 1 << 30;

/// The limit: a quarter of the stream.
const STREAM_MEMORY_BYTES: u64 = 256 << 20;

#[test]
fn everything_is_synced_before_the_cid_is_written() {
    if !require::strace() {
        return;
    }
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("large"), 1, 2_000_000);
    tree::small_files(&source, 20);
    let (a, log) = (lab.store("a"), lab.path("strace"));
    let words: [&dyn AsRef<std::ffi::OsStr>; 8] = [
        &"strace",
        &"-f",
        &"-y",
        &"-s64",
        &"-o",
        &log,
        &trace::CALLS,
        &env!("CARGO_BIN_EXE_shoal"),
    ];
    let cid = Started::new(a.command_in(&words, &[&"add", &source])).finish().cid();
    let trace = trace::Trace::read(&log, a.dir(), &cid);
    let (files, names) = trace.unsynced();
    assert!(files.is_empty(), "written and not synced before the CID: {files:?}");
    assert!(names.is_empty(), "made and not synced before the CID: {names:?}");
    let synced = trace.synced();
    for part in ["blobs/", "packs/", "index.redb"] {
        assert!(synced.iter().any(|path| path.contains(part)), "no {part} among {synced:?}");
    }
}

#[test]
fn a_flipped_byte_is_never_served() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 5_000_000);
    let introducer = lab.store("introducer").seed();
    let [bad, good, c, d] =
        ["bad", "good", "c", "d"].map(|name| lab.store(name).told(introducer.address()));
    let cid = bad.add(&source);
    assert_eq!(good.add(&source), cid);
    flip(&bad, &source, 2_500_000);

    let run = bad.run(&[&"cat", &cid]).exits(6);
    let bytes = fs::read(&source).unwrap();
    assert!(
        run.stdout.len() < bytes.len() && bytes.starts_with(&run.stdout),
        "wrong bytes on stdout"
    );
    drop(bad.run(&[&"get", &cid, &"-o", &lab.path("no")]).exits(6));
    assert!(!lab.path("no").exists());

    let _bad = bad.seed();
    bad.announced(1);
    let alone = lab.path("alone");
    let run = d.run(&[&"get", &cid, &"-o", &alone, &"--timeout", &"4s"]);
    assert_ne!(run.code(), Some(0), "{run}");
    assert!(!alone.exists());

    let _good = good.seed();
    good.announced(1);
    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
}

#[test]
fn a_file_seeded_by_reference_and_edited_is_never_served_wrong() {
    let lab = Lab::new();
    let (source, a) = (lab.path("source"), lab.store("a"));
    tree::file(&source, 1, 3_000_000);
    let cid = a.run(&[&"add", &"--ref", &source]).cid();
    assert!(a.disk_bytes() < 3_000_000, "a reference took {} bytes", a.disk_bytes());
    assert_eq!(a.run(&[&"cat", &cid]).ok().stdout, fs::read(&source).unwrap());
    let old = fs::read(&source).unwrap();
    let file = OpenOptions::new().write(true).open(&source).unwrap();
    file.write_all_at(&[old[1_500_000] ^ 1], 1_500_000).unwrap();
    let run = a.run(&[&"cat", &cid]).exits(6);
    assert!(old.starts_with(&run.stdout), "wrong bytes on stdout");
}

#[test]
fn a_stream_is_added_in_a_quarter_of_its_size_of_memory() {
    let Some(group) = require::memory_cgroup(STREAM_MEMORY_BYTES) else {
        return;
    };
    let lab = Lab::new();
    let a = lab.store("a");
    let script = "echo $$ > \"$0\" && exec \"$@\"";
    let processes = group.processes();
    let words: [&dyn AsRef<std::ffi::OsStr>; 5] =
        [&"sh", &"-c", &script, &processes, &env!("CARGO_BIN_EXE_shoal")];
    let (reader, mut writer) = io::pipe().unwrap();
    let mut command = a.command_in(&words, &[&"add", &"-"]);
    command.stdin(reader);
    let add = Started::new(command);
    let stream = thread::spawn(move || {
        let mut noise = tree::Noise::new(1).take(STREAM_BYTES);
        io::copy(&mut noise, &mut writer).and_then(|_| writer.flush())
    });
    let cid = add.finish_within(Duration::from_mins(4)).cid();
    stream.join().unwrap().unwrap();
    println!("at most {} MiB in the group, page cache included", group.most_bytes() >> 20);
    let stat = a.run(&[&"stat", &cid, &"--json"]).ok().outcome();
    assert_eq!(stat["bytes"], STREAM_BYTES);
}

/// Flips a bit at `offset` of the content of `source` where `store` keeps it.
#[track_caller]
fn flip(store: &Store, source: &Path, offset: u64) {
    let size = fs::metadata(source).unwrap().len();
    let blobs: Vec<(u64, PathBuf)> = tree::files_by_size(&store.dir().join("blobs"));
    let blob = blobs.iter().find(|(len, _)| *len == size);
    let (_, path) = blob.unwrap_or_else(|| panic!("no blob of {size} bytes among {blobs:?}"));
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}
