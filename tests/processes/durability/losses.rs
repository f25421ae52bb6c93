//! Power losses and kills of the real binary: short forms of `scripts/powerloss` and `scripts/killpoints`.
//!
//! The scripts draw from a seed, keep what was acknowledged outside, and end with 0 when nothing of it is lost
//! and the store opens within two seconds without any repair.

use std::path::Path;
use std::process::Command;

use crate::harness::{Lab, require};

/// Runs a script over the binary of this build; its output says what was lost.
#[track_caller]
fn script(name: &str, arguments: &[&str]) {
    let lab = Lab::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let done = Command::new("python3")
        .arg(script)
        .args(["--shoal", env!("CARGO_BIN_EXE_shoal"), "--seed", "1"])
        .args(arguments)
        .env("TMPDIR", lab.path(""))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    print!("{out}{err}");
    assert!(done.status.success(), "{name}: {}\n{out}\n{err}", done.status);
    assert!(out.contains("lost 0"), "{name}: {out}");
}

#[test]
fn what_was_acknowledged_survives_power_losses() {
    if require::power_loss() {
        script("powerloss", &["3", "--size", "256"]);
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_call() {
    if require::strace() && require::python() {
        let calls = "fdatasync,pwrite64,renameat2,unlink";
        script("killpoints", &["--limit", "2", "--verbs", "add,keep,publish", "--calls", calls]);
    }
}
