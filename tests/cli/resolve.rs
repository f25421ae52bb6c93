//! `shoal resolve` and `shoal follow`: the path on standard output, all else on standard error.
//!
//! The node is scripted: how a name stands, and that it is forked, is the test's choice.

use shoal::control::protocol::{
    Outcome,
    name::{NameRequest, Resolved, Standing},
};

use super::{
    run::run,
    script::{KEY, Say, Store, done, exchange, forked, objects, resolved},
};

fn says(resolved: Resolved) -> Vec<Say> {
    vec![done(Outcome::Resolved(Box::new(resolved)))]
}

#[test]
fn the_path_is_all_that_is_printed() {
    let (ran, request) = exchange("resolve notes/a --timeout 9s", says(resolved()));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/ipfs/bafyhead/a\n"));
    let age = "notes@3 (#0.4) of 2026-01-31T12:00:00Z: confirmed 3 s ago by gossip\n";
    assert_eq!(ran.stderr, age);
    let NameRequest::Resolve { target, offline, wait } = request else { panic!("{request:?}") };
    assert_eq!((target.as_slice(), offline, wait.idle_ms), (&b"notes/a"[..], false, 9000));
    let (ran, request) = exchange("resolve notes/a --offline -q", says(resolved()));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("/ipfs/bafyhead/a\n", ""));
    assert!(matches!(request, NameRequest::Resolve { offline: true, .. }));
}

#[test]
fn what_was_refused_is_told_when_asked_for() {
    let (ran, _) = exchange("resolve notes -v", says(resolved()));
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let link = format!("link: shoal://{KEY}#0.4.ab12cd34");
    let refused = "refused or held: an answer of 12D3KooWx: wrong sig\\x1bnature";
    assert_eq!(lines[1..], [link.as_str(), refused], "{}", ran.stderr);
    assert_eq!(ran.stdout, "/ipfs/bafyhead/a\n");
}

#[test]
fn how_it_stands_is_told() {
    for (standing, confirmed_ms, expected) in [
        (Standing::Stale, Some(7_200_000), ": nobody has confirmed it for 2 h\n"),
        (Standing::Own, None, ": own, nobody else has confirmed it yet\n"),
        (Standing::Ended, Some(0), "\nnotes has ended: no version comes after this one\n"),
        (Standing::Superseded, Some(0), "not be verified yet: another version may hold\n"),
    ] {
        let (ran, _) =
            exchange("resolve notes", says(Resolved { standing, confirmed_ms, ..resolved() }));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/ipfs/bafyhead/a\n"));
        assert!(ran.stderr.ends_with(expected), "{standing:?}: {}", ran.stderr);
    }
}

#[test]
fn a_forked_name_is_printed_frozen_and_ends_with_its_code() {
    for arguments in ["resolve notes", "resolve notes -q", "follow notes -q"] {
        let (ran, _) = exchange(arguments, says(forked()));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(8), "/ipfs/bafyhead/a\n"), "{arguments}");
        let told = format!(
            "two histories of notes part at #0.5; both share version 3\n  \
             entry bafyone (version 4), content bafkone\n  \
             entry bafytwo (version 4), content bafktwo\n  \
             both signed by the key {}\n  \
             proof: /store/proofs/1\n\
             error: notes is forked at #0.5: there are two versions 4\n\
             hint: to go on with one of them: shoal name accept notes ENTRY\n",
            "ab".repeat(32)
        );
        // More stands before it without -q, as of any name.
        let before = ran.stderr.lines().count() - told.lines().count();
        assert_eq!(before > 0, !arguments.ends_with("-q"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&told), "{}", ran.stderr);
    }
}

#[test]
fn json_has_all_of_it() {
    let (ran, _) = exchange("resolve notes --json", says(resolved()));
    assert_eq!(ran.code, Some(0));
    let expected = serde_json::json!({
        "type": "outcome", "exit": 0, "name": KEY, "petname": "notes",
        "path": "/ipfs/bafyhead/a", "cid": "bafyhead", "version": 3, "position": "#0.4",
        "link": format!("shoal://{KEY}#0.4.ab12cd34"), "time": "2026-01-31T12:00:00.123000000Z",
        "standing": "ok", "confirmed_ms": 3400, "sources": ["gossip"],
        "refused": ["an answer of 12D3KooWx: wrong sig\x1bnature"], "fork": null,
    });
    assert_eq!(objects(&ran), [expected]);
    let (ran, _) = exchange("resolve notes --json", says(forked()));
    let outcome = objects(&ran).remove(0);
    assert_eq!((ran.code, &outcome["exit"]), (Some(8), &8.into()));
    assert_eq!(outcome["standing"], "forked");
    assert_eq!(outcome["fork"]["entries"], serde_json::json!(["bafyone", "bafytwo"]));
    assert_eq!(outcome["fork"]["proof"], "/store/proofs/1");
    assert!(outcome["hint"].as_str().unwrap().contains("shoal name accept notes"));
}

#[test]
fn a_path_that_is_not_text_is_raw_for_programs_and_exact_in_json() {
    let strange = || Resolved { path: b"/ipfs/bafyhead/\xff".to_vec(), ..resolved() };
    let (ran, _) = exchange("resolve notes --json", says(strange()));
    assert_eq!(objects(&ran)[0]["path_hex"], "2f697066732f62616679686561642fff");
    let store = Store::new();
    let node = store.answer(true, says(strange()));
    let output = store.shoal("resolve notes").output().unwrap();
    node.asked();
    assert_eq!(output.stdout, b"/ipfs/bafyhead/\xff\n");
}

#[test]
fn following_says_who_follows() {
    for (running, expected) in [
        (true, "the running peer follows it from now on"),
        (false, "recorded; no running peer follows it, start one with: shoal seed"),
    ] {
        let store = Store::new();
        let node = store.answer(running, says(resolved()));
        let ran = run(&mut store.shoal("follow k51q --as notes --keep last=3,daily=30"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/ipfs/bafyhead/a\n"));
        assert_eq!(ran.stderr.lines().last(), Some(expected));
        let request = node.asked().remove(0);
        let NameRequest::Follow { name, petname, keep, stop, .. } = request else {
            panic!("{request:?}")
        };
        assert_eq!(
            (name.as_slice(), petname.as_deref(), stop),
            (&b"k51q"[..], Some("notes"), false)
        );
        assert_eq!(keep.as_deref(), Some("last=3,daily=30"));
    }
}

#[test]
fn following_ends_without_a_path() {
    let (ran, request) = exchange("follow notes --stop", says(resolved()));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert_eq!(ran.stderr, "notes is no longer followed\n");
    assert!(matches!(request, NameRequest::Follow { stop: true, keep: None, .. }));
}
