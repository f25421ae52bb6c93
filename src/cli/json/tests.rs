//! Tests of the lines of `--json`.
//!
//! They parse what is printed and look at it as a consumer would; that every verb prints its lines
//! is tested with the verbs.

use serde_json::Value;

use super::*;
use crate::{control::protocol::Failure, exit::Exit};

fn parsed(line: &[u8]) -> Value {
    assert_eq!(line.last(), Some(&b'\n'));
    assert!(!line[..line.len() - 1].contains(&b'\n'));
    serde_json::from_slice(line).unwrap()
}

#[test]
fn times_are_rfc3339() {
    assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_827_696, 0), "2000-02-29T12:34:56Z");
    assert_eq!(rfc3339(1_709_251_199, 5), "2024-02-29T23:59:59.000000005Z");
    assert_eq!(rfc3339(4_107_542_400, 0), "2100-03-01T00:00:00Z");
    assert_eq!(rfc3339(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z");
    assert_eq!(rfc3339(-62_167_219_200, 0), "0000-01-01T00:00:00Z");
    assert_eq!(rfc3339(253_402_300_799, 0), "9999-12-31T23:59:59Z");
    assert_eq!(rfc3339(253_402_300_800, 0), "+10000-01-01T00:00:00Z");
    // The ends of what a mtime can be must not overflow.
    assert!(rfc3339(i64::MAX, 0).starts_with("+292277026596-12-04"));
    assert!(rfc3339(i64::MIN, 0).starts_with("-292277022657-01-27"));
}

#[test]
fn the_outcome_of_a_failure_has_its_words_and_code() {
    let failure = Failure::new(Exit::NotFound, "nobody has it").hint("wait");
    let value = parsed(&outcome(&Report::failed(failure)));
    assert_eq!(value["type"], "outcome");
    assert_eq!(value["exit"], 4);
    assert_eq!(value["error"], "nobody has it");
    assert_eq!(value["hint"], "wait");
}

#[test]
fn the_outcome_of_a_get_says_who_sent_what() {
    let value = parsed(&outcome(&Report::done(Details::Fetched {
        cid: "bafk".into(),
        bytes: 10,
        files: 1,
        bytes_received: 12,
        sources: [("12D3a".into(), 5), ("12D3b".into(), 7)].into(),
        peers_connected: 3,
        elapsed_ms: 44,
        refused: vec!["..".into()],
    })));
    assert_eq!(value["exit"], 0);
    assert_eq!(value["sources"]["12D3b"], 7);
    assert_eq!(value["refused"][0], "..");
    assert!(value.get("error").is_none());
}

#[test]
fn names_that_are_not_text_are_kept_exactly() {
    let mut listed = Listed {
        name: b"a\xff\n".to_vec(),
        cid: "bafk".into(),
        kind: Some(Kind::File),
        size: Some(3),
        dag_size: 5,
        meta: Meta { mode: Some(0o100_644), mtime: Some((1, 0)) },
    };
    let value = parsed(&line(&Line::from(&listed)));
    assert_eq!(value["type"], "entry");
    assert_eq!(value["name"], "a\u{fffd}\n");
    assert_eq!(value["name_hex"], "61ff0a");
    assert_eq!(value["mode"], "0644");
    assert_eq!(value["mtime"], "1970-01-01T00:00:01Z");
    listed.name = b"plain".to_vec();
    assert!(parsed(&line(&Line::from(&listed))).get("name_hex").is_none());
}

#[test]
fn a_status_has_its_violations_by_kind() {
    let status = Status {
        peer: "12D3".into(),
        violations: vec![("corrupt_block".into(), 2)],
        ..Status::default()
    };
    let value = parsed(&outcome(&Report::done(super::status(&status))));
    assert_eq!(value["peer"], "12D3");
    assert_eq!(value["violations"]["corrupt_block"], 2);
}
