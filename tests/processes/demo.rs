//! `shoal demo`: it does the main job, and leaves nothing behind however it ends.
//!
//! Files, processes and mounts are looked for afterwards, at the end, after a signal and after a failure.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;

use crate::harness::{Lab, Started, eventually, process::Stream, tree};

/// Longest time of the whole demo in a debug build beside other tests.
const DEMO_WAIT_MAX: Duration = Duration::from_mins(3);

#[test]
fn the_demo_does_the_main_job_and_cleans_up() {
    let lab = Lab::new();
    let run = start(&lab, &[]).finish_within(DEMO_WAIT_MAX).ok();
    let text = run.lines().join("\n");
    for part in ["introducer", "half-way", "SIGKILL", "all there", "hash by hash"] {
        assert!(text.contains(part), "{part:?} is not told: {run}");
    }
    let from = run.lines().iter().filter(|line| line.contains(" from 12D3")).count();
    assert_eq!(from, 2, "{run}");
    assert_nothing_left(&lab);
}

#[test]
fn the_demo_takes_a_directory_and_leaves_it_alone() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::odd_things(&source);
    let before = tree::Snapshot::preserved(&source);
    let run = start(&lab, &[&source]).finish_within(DEMO_WAIT_MAX).ok();
    before.assert_same(&tree::Snapshot::preserved(&source));
    assert!(run.lines().last().unwrap().contains("hash by hash"), "{run}");
    assert_nothing_left(&lab);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    for (step, signal) in [("listens", Signal::INT), ("half-way", Signal::TERM)] {
        let lab = Lab::new();
        let mut demo = start(&lab, &[]);
        demo.line(Stream::Out, step, DEMO_WAIT_MAX).expect("the step is told");
        demo.signal(signal);
        drop(demo.finish_within(Duration::from_mins(1)).exits(130));
        assert_nothing_left(&lab);
    }
}

#[test]
fn a_directory_that_is_not_there_is_a_failure() {
    let lab = Lab::new();
    drop(start(&lab, &[&lab.path("missing")]).finish().exits(1).says("missing"));
    assert_nothing_left(&lab);
}

/// Starts the demo with a temporary directory of its own.
fn start(lab: &Lab, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Started {
    fs::create_dir_all(lab.path("tmp")).unwrap();
    let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"demo"];
    words.extend(arguments);
    let mut command = lab.store("not used").command(&words);
    command.env("TMPDIR", lab.path("tmp"));
    Started::new(command)
}

/// No file, no process and no mount of the demo is there any more.
#[track_caller]
fn assert_nothing_left(lab: &Lab) {
    let dir = lab.path("tmp");
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|item| item.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(dir.to_str().unwrap()), "{table}");
    // A process that was killed may still be in the table for a moment.
    eventually("no process of the demo is left", || {
        processes_naming(&dir).is_empty().then_some(())
    });
}

/// Processes whose command line names the directory.
fn processes_naming(dir: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(dir.to_str().unwrap())).collect()
}
