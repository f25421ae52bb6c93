//! `shoal name`: what it prints and asks, and where secrets go.
//!
//! The node is scripted: whether a petname is allowed or a key is one is its business.

use std::{fs, os::unix::fs::PermissionsExt as _};

use shoal::{
    control::protocol::{
        Failure, Outcome, Response,
        name::{NameLine, NameRequest},
    },
    exit::Exit,
};
use shoal_ledger::SecretKey;

use super::{
    run::run,
    script::{KEY, Say, Store, done, exchange, failed, objects, resolved},
};

fn made() -> Say {
    done(Outcome::NameMade { name: KEY.into(), petname: "notes".into() })
}

/// The commitment to the recovery key that stands in that text, on a line of its own.
#[track_caller]
fn committed(text: &str) -> [u8; 32] {
    let mut keys = text.lines().filter_map(|line| line.strip_prefix("shoal-recovery-key 1 "));
    let (key, more) = (keys.next().expect("there is no recovery key"), keys.next());
    assert!(more.is_none() && key.len() == 64, "{text}");
    let byte = |at: usize| u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).unwrap();
    let public = SecretKey::from_seed(&std::array::from_fn(byte)).public();
    *public.commitment().as_bytes()
}

#[track_caller]
fn commitment(request: NameRequest) -> [u8; 32] {
    match request {
        NameRequest::New { petname, recovery } if petname == "notes" => recovery,
        other => panic!("another request: {other:?}"),
    }
}

#[test]
fn a_new_name_prints_its_key_and_shows_the_recovery_key_once() {
    for arguments in ["name new notes", "name new notes -q"] {
        let (ran, request) = exchange(arguments, vec![made()]);
        assert_eq!((ran.code, ran.stdout), (Some(0), format!("{KEY}\n")), "{}", ran.stderr);
        assert!(ran.stderr.contains("when its own is lost or stolen"), "{}", ran.stderr);
        assert_eq!(committed(&ran.stderr), commitment(request));
    }
}

#[test]
fn a_recovery_file_has_the_key_and_nothing_else_has() {
    let store = Store::new();
    let node = store.answer(true, vec![made()]);
    let ran = run(&mut store.shoal("name new notes --recovery key --json"));
    let request = node.asked().remove(0);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("shoal-recovery-key"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("shoal-recovery-key"), "{}", ran.stdout);
    let path = store.path("key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# Recovery key of the Shoal name notes: "), "{text}");
    assert_eq!(committed(&text), commitment(request));
    let outcome = objects(&ran).remove(0);
    assert_eq!((&outcome["name"], &outcome["petname"]), (&KEY.into(), &"notes".into()));
    assert_eq!(outcome["path"], path.to_str().unwrap());
}

#[test]
fn a_file_that_exists_is_refused_before_anybody_is_asked() {
    let store = Store::new();
    fs::write(store.path("key"), "old").unwrap();
    let ran = run(&mut store.shoal("name new notes --recovery key"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("key exists already"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: a key is written to a new file only"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(store.path("key")).unwrap(), "old");
}

#[test]
fn the_file_goes_when_the_name_is_refused() {
    let store = Store::new();
    let refusal = Failure::failed("notes is another name already");
    let node = store.answer(true, vec![failed(refusal)]);
    let ran = run(&mut store.shoal("name new notes --recovery key"));
    node.asked();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr, "error: notes is another name already\n");
    assert!(!store.path("key").exists());
}

#[test]
fn the_key_stays_when_the_name_may_have_been_made_before_a_death() {
    for (arguments, in_file) in
        [("name new notes --recovery key -q", true), ("name new notes -q", false)]
    {
        let store = Store::new();
        let refusal = Failure::failed("notes is another name already");
        let node = store.answer(false, vec![Say::Die, failed(refusal)]);
        let ran = run(&mut store.shoal(arguments));
        let asked = node.asked();
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("may have been made"), "{}", ran.stderr);
        let text =
            if in_file { fs::read_to_string(store.path("key")).unwrap() } else { ran.stderr };
        // Both nodes were told of the same key.
        for request in asked {
            assert_eq!(committed(&text), commitment(request));
        }
    }
}

fn names() -> Vec<Say> {
    let own = NameLine {
        name: KEY.into(),
        petname: Some("notes".into()),
        own: true,
        followed: false,
        version: Some(3),
        cid: Some("bafyhead".into()),
        keep: "last=10".into(),
        forked: false,
    };
    let followed =
        NameLine { own: false, followed: true, petname: Some("a\x1b".into()), ..own.clone() };
    let batches = [vec![own], vec![followed]].map(|names| Say::Message(Response::Names(names)));
    batches.into_iter().chain([done(Outcome::Nothing)]).collect()
}

#[test]
fn names_are_lines() {
    let (ran, request) = exchange("name ls", names());
    assert!(matches!(request, NameRequest::List));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, format!("{KEY} notes 3 own\n{KEY} a\\x1b 3 followed\n"));
}

#[test]
fn names_are_objects() {
    let (ran, _) = exchange("name ls --json", names());
    let lines = objects(&ran);
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["type"], &lines[0]["own"]), (&"name".into(), &true.into()));
    assert_eq!((&lines[1]["petname"], &lines[1]["version"]), (&"a\x1b".into(), &3.into()));
    assert_eq!((&lines[2]["type"], &lines[2]["names"]), (&"outcome".into(), &2.into()));
}

#[test]
fn a_list_that_begins_anew_prints_nothing_twice() {
    let store = Store::new();
    let mut script = names();
    script.truncate(1);
    script.push(Say::Die);
    script.extend(names());
    let node = store.answer(false, script);
    let ran = run(&mut store.shoal("name ls -q"));
    assert_eq!(node.asked().len(), 2);
    assert_eq!(ran.stdout.lines().count(), 2, "{}", ran.stdout);
}

#[test]
fn a_name_is_forgotten_by_its_key_or_petname() {
    let removed = || vec![done(Outcome::NameRemoved { name: KEY.into() })];
    for (arguments, expected) in [("name rm notes", false), ("name rm notes --force", true)] {
        let (ran, request) = exchange(arguments, removed());
        assert_eq!((ran.code, ran.stdout), (Some(0), format!("{KEY}\n")));
        let NameRequest::Remove { name, force } = request else { panic!("{request:?}") };
        assert_eq!((name.as_slice(), force), (&b"notes"[..], expected));
    }
}

/// A key as libp2p writes it, and in base64.
fn key() -> (Vec<u8>, String) {
    let bytes = [&[8, 1, 0x12, 0x40][..], &[0; 64]].concat();
    let text = format!("CAESQ{}=", "A".repeat(86));
    (bytes, text)
}

fn exported() -> Say {
    done(Outcome::NameKey { name: KEY.into(), key: key().0 })
}

#[test]
fn a_key_is_exported_as_a_line_of_base64() {
    let (ran, request) = exchange("name export notes", vec![exported()]);
    assert!(matches!(request, NameRequest::Export { name } if name == b"notes"));
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("{}\n", key().1)), "{}", ran.stderr);
    let (ran, _) = exchange("name export notes --json", vec![exported()]);
    assert_eq!(objects(&ran)[0]["key"], key().1);
}

#[test]
fn a_key_is_exported_to_a_new_file_as_kubo_writes_it() {
    let store = Store::new();
    let node = store.answer(true, vec![exported()]);
    let ran = run(&mut store.shoal("name export notes -o key --json"));
    node.asked();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(objects(&ran)[0].get("key").is_none());
    assert_eq!(fs::read(store.path("key")).unwrap(), key().0);
    assert_eq!(fs::metadata(store.path("key")).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_key_is_imported_as_bytes_and_as_text() {
    let (bytes, text) = key();
    for (arguments, file) in
        [("name import notes key", &bytes), ("name import notes -", &text.into_bytes())]
    {
        let store = Store::new();
        fs::write(store.path("key"), file).unwrap();
        let node = store.answer(true, vec![made()]);
        let input = fs::File::open(store.path("key")).unwrap();
        let ran = run(store.shoal(arguments).stdin(input));
        assert_eq!((ran.code, ran.stdout), (Some(0), format!("{KEY}\n")), "{}", ran.stderr);
        let request = node.asked().remove(0);
        let NameRequest::Import { petname, key } = request else { panic!("{request:?}") };
        assert_eq!((petname.as_str(), &key), ("notes", &bytes));
    }
}

#[test]
fn what_is_no_key_is_refused_with_the_way_to_get_one() {
    let store = Store::new();
    fs::write(store.path("pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    for arguments in ["name import notes pem", "name import notes -"] {
        let ran = run(&mut store.shoal(arguments));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{arguments}");
        assert!(ran.stderr.contains("holds no secret key"), "{}", ran.stderr);
        assert!(ran.stderr.contains("ipfs key export"), "{}", ran.stderr);
    }
}

#[test]
fn a_branch_is_accepted_and_its_path_printed() {
    let accepted = || vec![done(Outcome::Resolved(Box::new(resolved())))];
    for (arguments, expected) in
        [("name accept notes bafyone", Some("bafyone")), ("name accept notes", None)]
    {
        let (ran, request) = exchange(arguments, accepted());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "/ipfs/bafyhead/a\n"));
        let NameRequest::Accept { name, branch, .. } = request else { panic!("{request:?}") };
        assert_eq!((name.as_slice(), branch.as_deref()), (&b"notes"[..], expected));
    }
}

#[test]
fn a_failure_of_the_node_keeps_its_code() {
    let failure = Failure::new(Exit::NotFound, "there is no name notes").hint("shoal name ls");
    let (ran, _) = exchange("name rm notes", vec![failed(failure)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(4), ""));
    assert_eq!(ran.stderr, "error: there is no name notes\nhint: shoal name ls\n");
}
