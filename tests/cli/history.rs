//! `shoal log`, `shoal diff` and `shoal checkout`: versions as lines, differences and files.
//!
//! What a node answers is scripted; that its answers are true is not tested here.

use std::os::unix::ffi::OsStrExt as _;

use shoal::control::protocol::{
    Kind, Outcome, Response,
    name::{Change, ChangeLine, NameRequest, Resolved, VersionLine},
};

use super::{
    run::run,
    script::{Say, Store, done, exchange, forked, objects, resolved},
};

fn versions() -> Vec<Say> {
    let newest = VersionLine {
        version: 2,
        position: "#0.3".into(),
        cid: Some("bafyold".into()),
        time_ms: 1_769_860_800_123,
        message: "und\no".into(),
        rolled_back_to: Some(1),
        kept: true,
    };
    let oldest = VersionLine {
        version: 1,
        message: String::new(),
        rolled_back_to: None,
        kept: false,
        ..newest.clone()
    };
    let batches = [vec![newest], vec![oldest]].map(|all| Say::Message(Response::Versions(all)));
    batches.into_iter().chain([done(Outcome::Nothing)]).collect()
}

#[test]
fn a_version_is_a_line() {
    let (ran, request) = exchange("log notes/a -n 2", versions());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let lines = "@2 2026-01-31T12:00:00Z bafyold und\\x0ao (rolled back to @1)\n\
                 @1 2026-01-31T12:00:00Z bafyold (not kept here)\n";
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), (lines, ""));
    let NameRequest::Log { target, limit, .. } = request else { panic!("{request:?}") };
    assert_eq!((target.as_slice(), limit), (&b"notes/a"[..], Some(2)));
}

#[test]
fn a_version_is_an_object() {
    let (ran, _) = exchange("log notes --json", versions());
    let lines = objects(&ran);
    let newest = serde_json::json!({
        "type": "version", "version": 2, "position": "#0.3", "cid": "bafyold",
        "time": "2026-01-31T12:00:00.123000000Z", "message": "und\no", "rolled_back_to": 1,
        "kept": true,
    });
    assert_eq!(lines[0], newest);
    assert_eq!((&lines[1]["kept"], &lines[1]["message"]), (&false.into(), &"".into()));
    assert_eq!((&lines[2]["type"], &lines[2]["versions"]), (&"outcome".into(), &2.into()));
}

fn changes() -> Vec<Say> {
    let line = |change, path: &[u8], from: Option<&str>, to: Option<&str>| ChangeLine {
        change,
        path: path.to_vec(),
        kind: Kind::File,
        from: from.map(Into::into),
        to: to.map(Into::into),
    };
    let changes = vec![
        line(Change::Added, b"new \x1b", None, Some("bafka")),
        line(Change::Removed, b"gone", Some("bafkb"), None),
        line(Change::Changed, b"d/edited\xff", Some("bafkc"), Some("bafkd")),
        line(Change::Metadata, b"tool", Some("bafke"), Some("bafkf")),
    ];
    let outcome = Outcome::Compared { added: 1, removed: 1, changed: 2 };
    vec![Say::Message(Response::Changes(changes)), done(outcome)]
}

#[test]
fn a_difference_is_a_letter_and_a_path() {
    let (ran, request) = exchange("diff notes@1 notes@2", changes());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "A new \\x1b\nD gone\nM d/edited\\xff\nT tool\n");
    let NameRequest::Diff { from, to, .. } = request else { panic!("{request:?}") };
    assert_eq!((from.as_slice(), to.as_slice()), (&b"notes@1"[..], &b"notes@2"[..]));
}

#[test]
fn a_difference_is_an_object() {
    let (ran, _) = exchange("diff notes@1 notes@2 --json", changes());
    let lines = objects(&ran);
    let edited = serde_json::json!({
        "type": "change", "change": "changed", "path": "d/edited\u{fffd}",
        "path_hex": "642f656469746564ff", "kind": "file", "from": "bafkc", "to": "bafkd",
    });
    assert_eq!(lines[2], edited);
    assert_eq!((&lines[0]["from"], &lines[3]["change"]), (&().into(), &"metadata".into()));
    let outcome = serde_json::json!({
        "type": "outcome", "exit": 0, "added": 1, "removed": 1, "changed": 2,
    });
    assert_eq!(lines[4], outcome);
}

fn checked_out(resolved: Resolved, refused: &[&str]) -> Vec<Say> {
    let refused = refused.iter().map(ToString::to_string).collect();
    vec![done(Outcome::CheckedOut {
        resolved: Box::new(resolved),
        written: 2,
        removed: 1,
        kept: 7,
        bytes_received: 2048,
        refused,
    })]
}

#[test]
fn a_checkout_tells_what_it_did() {
    let store = Store::new();
    let node = store.answer(true, checked_out(resolved(), &[]));
    let ran = run(&mut store.shoal("checkout notes@3 -o work --force"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    let done = "work: 2 written, 1 removed, 7 the same, 2.0 KiB received\n";
    assert!(ran.stderr.contains(done), "{}", ran.stderr);
    assert!(ran.stderr.contains("notes@3 (#0.4) of 2026-01-31T12:00:00Z"), "{}", ran.stderr);
    let request = node.asked().remove(0);
    let NameRequest::Checkout { target, out, force, .. } = request else { panic!("{request:?}") };
    assert_eq!((target.as_slice(), force), (&b"notes@3"[..], true));
    assert_eq!(out, store.path("work").as_os_str().as_bytes());
}

#[test]
fn a_checkout_is_an_object() {
    let (ran, _) = exchange("checkout notes -o work --json", checked_out(resolved(), &[".."]));
    let outcome = objects(&ran).remove(0);
    assert_eq!((ran.code, &outcome["exit"]), (Some(3), &3.into()));
    assert_eq!((&outcome["written"], &outcome["bytes_received"]), (&2.into(), &2048.into()));
    assert_eq!((&outcome["version"], &outcome["left_out"][0]), (&3.into(), &"..".into()));
}

#[test]
fn a_fork_takes_nothing_from_a_version_that_was_asked_for() {
    for (arguments, code) in [("checkout notes -o work", 8), ("checkout notes@3 -o work", 0)] {
        let (ran, _) = exchange(arguments, checked_out(forked(), &[]));
        assert_eq!(ran.code, Some(code), "{arguments}");
        assert!(ran.stderr.contains("two histories of notes part at #0.5"), "{}", ran.stderr);
    }
}
