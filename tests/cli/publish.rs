//! `shoal publish` and `shoal rollback`: one line of data, and who heard of it.
//!
//! The node is scripted: nothing is signed and nobody is told.

use std::fs;

use shoal::control::protocol::{
    Added, Failure, Outcome, Response,
    name::{NameRequest, PublishSource, Published},
};

use super::{
    run::run,
    script::{KEY, Say, Store, done, exchange, failed, objects},
};

fn published(told: u64, queued: bool, unchanged: bool) -> Say {
    done(Outcome::Published(Published {
        name: KEY.into(),
        version: 3,
        position: "#0.4".into(),
        cid: "bafyhead".into(),
        told,
        queued,
        unchanged,
    }))
}

#[test]
fn a_path_is_made_absolute_and_the_version_printed() {
    let store = Store::new();
    fs::create_dir(store.path("photos")).unwrap();
    let path = store.path("photos").into_os_string().into_encoded_bytes();
    let added = Added { cid: "bafyhead".into(), path: path.clone(), size: 2048, files: 3 };
    let script = vec![Say::Message(Response::Added(added)), published(2, true, false)];
    let node = store.answer(true, script);
    let ran = run(&mut store.shoal("publish notes photos -m first --timeout 7s"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "bafyhead notes@3\n"), "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines[0].starts_with("added bafyhead /") && lines[0].ends_with("photos (2.0 KiB)"));
    assert_eq!(lines[1..], ["told 2 peers"]);
    let request = node.asked().remove(0);
    let NameRequest::Publish { name, source, message, force, wait } = request else {
        panic!("{request:?}")
    };
    assert_eq!((name.as_slice(), message.as_deref(), force), (&b"notes"[..], Some("first"), false));
    assert!(matches!(source, PublishSource::Path(asked) if asked == path));
    assert_eq!(wait.idle_ms, 7000);
}

#[test]
fn what_does_not_exist_is_a_target() {
    let (ran, request) =
        exchange(&format!("publish {KEY} other@2/a --force -q"), vec![published(0, true, false)]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("bafyhead {KEY}@3\n")));
    assert_eq!(ran.stderr, "");
    let NameRequest::Publish { source, force, .. } = request else { panic!("{request:?}") };
    assert!(force && matches!(source, PublishSource::Target(target) if target == b"other@2/a"));
}

#[test]
fn with_nobody_there_it_is_queued() {
    let (ran, _) = exchange("publish notes bafyhead", vec![published(0, true, false)]);
    assert_eq!(ran.code, Some(0));
    let queued = "queued: nobody is connected; it is announced when a peer is there\n";
    assert_eq!(ran.stderr, queued);
    let (ran, _) = exchange("publish notes bafyhead", vec![published(0, false, true)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "bafyhead notes@3\n"));
    let unchanged = "unchanged: notes@3 has this content already, nothing was signed\n";
    assert_eq!(ran.stderr, unchanged);
}

#[test]
fn json_has_what_came_of_it() {
    let (ran, _) = exchange("publish notes bafyhead --json", vec![published(2, false, false)]);
    let lines = objects(&ran);
    assert_eq!(lines.len(), 1);
    let expected = serde_json::json!({
        "type": "outcome", "exit": 0, "name": KEY, "version": 3, "position": "#0.4",
        "cid": "bafyhead", "told": 2, "queued": false, "unchanged": false, "skipped": 0,
    });
    assert_eq!(lines[0], expected);
}

#[test]
fn sources_that_were_left_out_make_it_a_part() {
    let skipped = Response::Skipped { path: b"/x\x1b".to_vec(), why: "not allowed".into() };
    let script = vec![Say::Message(skipped), published(1, false, false)];
    let (ran, _) = exchange("publish notes . -q", script);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "bafyhead notes@3\n"));
    let left_out = "warning: left out /x\\x1b: not allowed\n\
                    error: 1 source was left out of what was published\n";
    assert_eq!(ran.stderr, left_out);
}

#[test]
fn a_refusal_to_sign_comes_with_its_hint() {
    let refusal = Failure::failed("another machine uses the key of notes").hint("use one of them");
    let (ran, _) = exchange("publish notes bafyhead", vec![failed(refusal)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.ends_with("\nhint: use one of them\n"), "{}", ran.stderr);
}

#[test]
fn a_rollback_publishes_an_earlier_version() {
    let (ran, request) = exchange("rollback notes 1 -m undo", vec![published(1, false, false)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "bafyhead notes@3\n"));
    assert_eq!(ran.stderr, "told 1 peer\n");
    let NameRequest::Publish { source, message, force, .. } = request else {
        panic!("{request:?}")
    };
    assert!(matches!(source, PublishSource::Version(1)));
    assert_eq!((message.as_deref(), force), (Some("undo"), false));
}
