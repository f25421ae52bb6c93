//! A short form of `scripts/interop-kubo`: the same inputs added by kubo and by this binary.
//!
//! Left out where no kubo was built; the script builds one when it is run by hand.

use std::process::Command;

use crate::harness::require;

/// The seed of the inputs, frozen: other seeds are for the script.
const SEED: &str = "5";

/// Inputs: the directories around both thresholds, with and without modes and times, and some trees.
const INPUTS: &str = "12";

#[test]
fn kubo_gives_the_same_cids() {
    let Some(kubo) = require::kubo() else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/interop-kubo");
    let mut command = Command::new("python3");
    command.args([script, "--no-build", "--part", "cids", "--seed", SEED, "--trees", INPUTS]);
    command.arg("--kubo").arg(kubo).args(["--shoal", env!("CARGO_BIN_EXE_shoal")]);
    let done = command.env("SHOAL_NETWORK", "isolated").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{out}");
    assert!(done.status.success(), "{out}{err}");
    assert!(out.contains("24 equal, 0 different"), "{out}");
}
