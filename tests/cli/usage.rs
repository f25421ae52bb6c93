//! Wrong command lines: exit code 2, a message that says what was expected, nothing on standard
//! output, and nothing made on disk.

use super::run::{Ran, run, shoal};

#[track_caller]
fn refused(arguments: &str, expected: &str) -> Ran {
    let ran = run(&mut shoal(arguments));
    assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "{arguments}");
    assert!(ran.stderr.contains(expected), "{arguments}: {}", ran.stderr);
    ran
}

#[test]
fn a_verb_is_needed() {
    refused("", "Usage: shoal [OPTIONS] <COMMAND>");
    refused("pin", "Usage: shoal pin [OPTIONS] <COMMAND>");
    refused("fetch X", "unrecognized subcommand 'fetch'");
}

#[test]
fn what_a_verb_needs_is_named() {
    refused("add", "<PATH>...");
    refused("get", "<CID|NAME[/PATH]>");
    refused("mount", "<DIR>");
    refused("seed --forget", "<PATH|CID|NAME>...");
    refused("completions", "<SHELL>");
    refused("completions tcsh", "possible values: bash");
}

#[test]
fn options_of_one_verb_are_not_taken_by_another() {
    refused("get X --preserve", "unexpected argument '--preserve'");
    refused("ls X --force", "unexpected argument '--force'");
}

#[test]
fn wrong_values_say_what_was_expected() {
    refused("ls X --timeout 5d", "`5d` is not a time");
    refused("ls X --timeout 0", "longer than nothing");
    refused("--bwlimit fast ls X", "`fast` is not a rate");
    refused("--bwlimit 0:off ls X", "`off` means no limit");
    refused("cat X --range 9-3", "the range `9-3` ends before it begins");
    refused("cat X --range ten", "`ten` is not a range");
    refused("seed --bootstrap localhost:4001", "`localhost:4001` is not a multiaddress");
    refused("seed --listen 4001", "`4001` is not a multiaddress");
    refused("add --profile kubo x", "possible values: shoal");
    refused("--color red id", "possible values: auto");
}

#[test]
fn verbs_of_names_say_what_they_need() {
    refused("name", "Usage: shoal name [OPTIONS] <COMMAND>");
    refused("name new", "<PETNAME>");
    refused("name import notes", "<FILE>");
    refused("publish", "<NAME>");
    refused("rollback notes", "<N>");
    refused("rollback notes 0", "0 is not in 1..");
    refused("rollback notes two", "invalid value 'two'");
    refused("log notes -n 0", "0 is not in 1..");
    refused("diff notes@1", "<NAME@B[/PATH]>");
    refused("checkout notes", "--out <DIR>");
    refused("checkout notes -o -", "DIR is a directory");
    refused("prove notes/a", "--out <FILE>");
    refused("prove notes/a -o -", "FILE is a path");
    refused("name export notes -o -", "without -o");
    refused("follow notes --stop --keep last=1", "cannot be used with");
    refused("verify-proof", "<FILE>");
}

#[test]
fn a_message_is_bounded_before_anything_is_added() {
    let message = format!("publish notes . -m {}", "x".repeat(257));
    refused(&message, "a message has at most 256 bytes, this has 257");
    refused(&message.replace("publish notes .", "rollback notes 1"), "at most 256 bytes");
}

#[test]
fn publishing_a_working_tree_says_that_it_is_to_come() {
    let ran = refused("publish notes", "publishing a working tree is not built yet");
    assert!(ran.stderr.contains("hint: say what to publish: shoal publish NAME PATH"));
}

#[test]
fn networks_to_come_say_so() {
    for network in ["ipfs", "private"] {
        refused(&format!("id --network {network}"), "is not built yet");
    }
    refused("id --network moon", "there is no network `moon`");
}

#[test]
fn the_environment_is_checked_as_options_are() {
    for (name, value, expected) in [
        ("SHOAL_NETWORK", "moon", "there is no network `moon`"),
        ("SHOAL_TIMEOUT", "soon", "`soon` is not a time"),
        ("SHOAL_BOOTSTRAP", "/ip4/127.0.0.1/tcp/1,nobody", "`nobody` is not a multiaddress"),
    ] {
        let ran = run(shoal("id").env(name, value));
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{name}: {}", ran.stderr);
    }
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    refused("add - -", "only once");
    refused("add --ref --only-hash x", "cannot be used with");
    refused("get X -o -", "shoal cat");
    refused("get /", "-o OUT");
}

#[test]
fn what_is_not_built_says_so() {
    let ran = run(&mut shoal("mount --rw X /nonexistent"));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("not built yet"), "{}", ran.stderr);
}

#[test]
fn json_tells_usage_errors_too() {
    for (arguments, expected) in [
        ("--json get", "CID|NAME[/PATH]"),
        ("ls X --timeout 5d --json", "`5d` is not a time"),
        ("--json", "requires a subcommand"),
        ("--json get X -o -", "OUT is a path"),
    ] {
        let ran = run(&mut shoal(arguments));
        assert_eq!(ran.code, Some(2), "{arguments}: {}", ran.stderr);
        let outcome: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(outcome["type"], "outcome", "{arguments}");
        assert_eq!(outcome["exit"], 2, "{arguments}");
        let error = outcome["error"].as_str().unwrap();
        assert!(error.contains(expected), "{arguments}: {error}");
    }
    // After `--` it is a name like any other.
    assert_eq!(run(&mut shoal("ls X Y -- --json")).stdout, "");
}
