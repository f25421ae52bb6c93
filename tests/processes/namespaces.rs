//! A small crowd in network namespaces with slow links, one of which is cut and healed.
//!
//! The lab of `scripts/lab` builds, runs and measures it; this runs the shortest of its scenarios, and
//! judges what it says. Nothing in it is timed. Its figures with large files are for the script.

use std::process::Command;

use serde_json::Value;

use crate::harness::require;

#[test]
fn a_cut_and_healed_link_costs_a_fetch_nothing_but_time() {
    if !(require::root() && require::python() && require::netns()) {
        return;
    }
    // A name of its own: several runs of the tests may share a machine.
    let name = format!("t{}", std::process::id());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lab");
    let mut command = Command::new("python3");
    command.args([script, "short", "--json", "--name", &name]);
    let done = command.args(["--shoal", env!("CARGO_BIN_EXE_shoal")]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{out}");
    assert!(done.status.success(), "{out}{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let held = lines.iter().filter(|line| line["holds"] == true).count();
    assert_eq!(held, 3, "{out}");
    assert_eq!(lines.last().unwrap()["passed"], true, "{out}");
    assert!(!require::stands_in_namespaces(&name), "namespaces were left behind");
}
