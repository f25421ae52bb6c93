//! Tests of the words about a name.
//!
//! How verbs print them, and what `-q` leaves, is tested in `tests/cli/resolve.rs`.

use super::*;

fn resolved(standing: Standing, confirmed_ms: Option<u64>) -> Resolved {
    Resolved {
        name: "k51q".into(),
        petname: Some("notes".into()),
        path: b"/ipfs/bafy".to_vec(),
        cid: "bafy".into(),
        version: Some(3),
        position: "#0.4".into(),
        link: "shoal://k51q#0.4.ab".into(),
        time_ms: 1_769_860_800_123,
        standing,
        confirmed_ms,
        sources: vec!["gossip".into()],
        refused: Vec::new(),
        fork: None,
    }
}

#[test]
fn the_age_is_said_as_people_say_it() {
    let ages = [0, 59_999, 60_000, 3_600_000, 172_799_000, 172_800_000, u64::MAX].map(age);
    assert_eq!(ages[..6], ["0 s", "59 s", "1 min", "1 h", "47 h", "2 days"]);
    assert!(ages[6].ends_with(" days"));
}

#[test]
fn version_time_and_who_confirmed_it_make_a_line() {
    let ok = resolved(Standing::Ok, Some(3000));
    let line = "notes@3 (#0.4) of 2026-01-31T12:00:00Z: confirmed 3 s ago by gossip";
    assert_eq!(describe(&ok), line);
    let stale = describe(&resolved(Standing::Stale, Some(7_200_000)));
    assert!(stale.ends_with(": nobody has confirmed it for 2 h"), "{stale}");
    let own = describe(&resolved(Standing::Own, None));
    assert!(own.ends_with(": own, nobody else has confirmed it yet"), "{own}");
}

#[test]
fn a_light_reader_has_a_position_and_no_version() {
    let light = Resolved { version: None, petname: None, ..resolved(Standing::Ok, Some(1)) };
    assert_eq!(version(&light), "k51q at #0.4");
}

#[test]
fn many_sources_are_counted() {
    let sources = ["dht", "gossip", "a", "b", "c"].map(String::from).to_vec();
    let many = Resolved { sources, ..resolved(Standing::Ok, Some(1)) };
    assert_eq!(confirmed(&many), "confirmed 0 s ago by dht, gossip, a and 2 more");
}

#[test]
fn a_fork_is_told_with_both_branches_and_the_way_out() {
    let fork = ForkLine {
        position: "#0.5".into(),
        common: Some(3),
        version: Some(4),
        entries: vec!["bafyone".into(), "bafytwo".into()],
        roots: vec![Some("bafkone".into()), None],
        guilty: vec!["ab".repeat(32)],
        proof: b"/s/proof\x1b".to_vec(),
    };
    let lines = branches("notes", &fork);
    assert_eq!(lines[0], "two histories of notes part at #0.5; both share version 3");
    assert_eq!(lines[1], "  entry bafyone (version 4), content bafkone");
    assert_eq!(lines[2], "  entry bafytwo (version 4)");
    assert_eq!(lines[3], format!("  both signed by the key {}", "ab".repeat(32)));
    assert_eq!(lines[4], "  proof: /s/proof\\x1b");
    let failure = failure("notes", Some(&fork));
    assert_eq!(failure.exit, Exit::Forked);
    assert_eq!(failure.message, "notes is forked at #0.5: there are two versions 4");
    assert!(failure.hint.unwrap().contains("shoal name accept notes ENTRY"));
}
