//! Logs of names with real content.
//!
//! Versions whose content nobody has are signed over CIDs of nothing; nobody can be asked.

use std::fs;

use shoal_ledger::{LedgerId, entry::Update};

use super::*;
use crate::node::names::lab::{Lab, WAIT};

async fn lines(lab: &mut Lab, target: &str, limit: Option<u64>) -> (Vec<VersionLine>, Vec<String>) {
    lab.answers();
    log(&lab.node, target.as_bytes(), limit, WAIT, &lab.out).await.expect("a log");
    let (mut lines, mut notes) = (Vec::new(), Vec::new());
    for answer in lab.answers() {
        match answer {
            Response::Versions(versions) => lines.extend(versions),
            Response::Note(note) => notes.push(note),
            _ => {}
        }
    }
    (lines, notes)
}

async fn versions(lab: &mut Lab, target: &str) -> Vec<u64> {
    lines(lab, target, None).await.0.iter().map(|line| line.version).collect()
}

fn write(lab: &Lab, path: &str, text: &str) {
    let path = lab.path("work").join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, text).expect("a file");
}

async fn publish(lab: &Lab, name: LedgerId) -> Cid {
    let root = lab.add("work").await;
    lab.publish(name, root);
    root
}

/// Six versions; `d/a` appears in 2, changes in 4, goes in 5 and is back in 6.
async fn history(lab: &Lab) -> (LedgerId, Vec<Cid>) {
    let name = lab.name("work").await;
    let mut roots = Vec::new();
    write(lab, "b", "1");
    roots.push(publish(lab, name).await);
    write(lab, "d/a", "2");
    roots.push(publish(lab, name).await);
    write(lab, "d/other", "3");
    roots.push(publish(lab, name).await);
    write(lab, "d/a", "4");
    roots.push(publish(lab, name).await);
    fs::remove_file(lab.path("work/d/a")).expect("a file");
    roots.push(publish(lab, name).await);
    let mut update = Update::of_root(roots[3].to_bytes());
    update.rolled_back_to = Some(4);
    lab.sign(name, Body::Update(update), super::super::now_ms());
    roots.push(roots[3]);
    (name, roots)
}

#[tokio::test]
async fn versions_are_told_newest_first() {
    let mut lab = Lab::new().await;
    let (_, roots) = history(&lab).await;
    let (lines, notes) = lines(&mut lab, "work", None).await;
    assert!(notes.is_empty(), "{notes:?}");
    let told: Vec<_> = lines.iter().map(|line| (line.version, line.cid.clone())).collect();
    let wanted = roots.iter().enumerate().rev();
    let wanted: Vec<_> = wanted.map(|(at, root)| (at as u64 + 1, Some(root.to_string()))).collect();
    assert_eq!(told, wanted);
    assert_eq!(lines[0].rolled_back_to, Some(4));
    assert_eq!(lines[0].position, "#0.6");
    assert_eq!(lines[1].message, format!("is {}", roots[4]));
    assert!(lines.iter().all(|line| line.kept && line.time_ms > 0));
    lab.node.store().unpin(&roots[0]).expect("the store");
    let (lines, _) = super::tests::lines(&mut lab, "work", None).await;
    assert_eq!(
        lines.iter().filter(|line| !line.kept).map(|line| line.version).collect::<Vec<_>>(),
        [1]
    );
}

#[tokio::test]
async fn a_log_begins_where_it_is_asked_and_ends_at_its_limit() {
    let mut lab = Lab::new().await;
    history(&lab).await;
    assert_eq!(versions(&mut lab, "work@3").await, [3, 2, 1]);
    let (two, _) = lines(&mut lab, "work", Some(2)).await;
    assert_eq!(two.iter().map(|line| line.version).collect::<Vec<_>>(), [6, 5]);
    let (one, _) = lines(&mut lab, "work/d/a", Some(1)).await;
    assert_eq!(one.iter().map(|line| line.version).collect::<Vec<_>>(), [6]);
    assert!(lines(&mut lab, "work", Some(0)).await.0.is_empty());
}

#[tokio::test]
async fn of_a_path_only_its_changes_are_told() {
    let mut lab = Lab::new().await;
    history(&lab).await;
    let (told, _) = lines(&mut lab, "work/d/a", None).await;
    assert_eq!(told.iter().map(|line| line.version).collect::<Vec<_>>(), [6, 5, 4, 2]);
    assert_eq!(told[1].cid, None, "it is gone in version 5");
    assert_eq!(told[0].cid, told[2].cid);
    assert_ne!(told[2].cid, told[3].cid);
    assert_eq!(versions(&mut lab, "work/b").await, [1]);
    assert_eq!(versions(&mut lab, "work/d/other").await, [3]);
    assert_eq!(versions(&mut lab, "work/d").await, [6, 5, 4, 3, 2]);
    assert!(versions(&mut lab, "work/none").await.is_empty());
    assert!(versions(&mut lab, "work/b/below-a-file").await.is_empty());
}

/// Content that nobody has: versions of it are passed over and told, the others compared.
#[tokio::test]
async fn versions_that_nobody_has_are_passed_over() {
    let mut lab = Lab::new().await;
    let name = lab.name("work").await;
    let gone = |number: u64| {
        let kind = shoal_dag::hash::HashKind::Blake3;
        let text = number.to_le_bytes();
        shoal_dag::hash::cid_of(kind, shoal_dag::hash::DAG_PB, shoal_dag::Version::V1, &text)
    };
    write(&lab, "a", "1");
    publish(&lab, name).await;
    for number in 2..=9 {
        lab.publish(name, gone(number));
    }
    publish(&lab, name).await;
    lab.publish(name, gone(11));
    write(&lab, "a", "12");
    publish(&lab, name).await;
    let (told, notes) = lines(&mut lab, "work/a", None).await;
    assert_eq!(told.iter().map(|line| line.version).collect::<Vec<_>>(), [12, 1]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].ends_with("left out: 11, 2-9"), "{}", notes[0]);
    assert_eq!(versions(&mut lab, "work").await.len(), 12);
}

#[tokio::test]
async fn more_versions_than_are_read_at_once() {
    let mut lab = Lab::new().await;
    let name = lab.name("work").await;
    write(&lab, "a", "1");
    let first = publish(&lab, name).await;
    for _ in 0..AT_ONCE + 20 {
        lab.publish(name, first);
    }
    let all = AT_ONCE + 21;
    assert_eq!(versions(&mut lab, "work").await, (1..=all).rev().collect::<Vec<_>>());
    assert_eq!(versions(&mut lab, "work/a").await, [1]);
}

#[tokio::test]
async fn of_a_light_reader_no_log_is_told() {
    let lab = Lab::new().await;
    let (name, _) = history(&lab).await;
    let mut state = lab.state(name);
    state.kept.len = 0;
    lab.node.names().book().put_state(&state).expect("the index");
    let failure = log(&lab.node, b"work", None, WAIT, &lab.out).await.expect_err("no history");
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.hint.expect("a hint").contains("follow work"));
}
