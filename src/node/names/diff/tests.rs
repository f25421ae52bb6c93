//! Differences of real trees in a real store.
//!
//! Nobody can be asked: what is missing stays so. Trees that no builder makes are written by hand.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use shoal_dag::{
    Block, Cid, Metadata, Profile, Version,
    hash::{self, HashKind},
    pb,
    unixfs::{Kind as UnixFsKind, UnixFs},
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{BatchOptions, PinOptions};

use super::*;
use crate::{
    control::protocol::Kind,
    exit::Exit,
    node::names::lab::{Lab, WAIT},
};

type Line = (Change, String, Kind);

async fn lines(lab: &mut Lab, from: &str, to: &str) -> Vec<Line> {
    lab.answers();
    let outcome = diff(&lab.node, from.as_bytes(), to.as_bytes(), WAIT, &lab.out).await;
    let outcome = outcome.expect("both are here");
    let answers = lab.answers().into_iter();
    let lines: Vec<Line> = answers
        .filter_map(|answer| match answer {
            Response::Changes(lines) => Some(lines),
            _ => None,
        })
        .flatten()
        .map(|line| (line.change, String::from_utf8_lossy(&line.path).into_owned(), line.kind))
        .collect();
    let Outcome::Compared { added, removed, changed } = outcome else { panic!("{outcome:?}") };
    assert_eq!(added + removed + changed, lines.len() as u64);
    lines
}

fn line(change: Change, path: &str, kind: Kind) -> Line {
    (change, path.to_owned(), kind)
}

/// A tree at `work`, in which every entry has a time of long ago.
fn first(lab: &Lab) {
    let work = lab.path("work");
    fs::create_dir_all(work.join("d/deep")).expect("directories");
    fs::create_dir_all(work.join("same")).expect("directories");
    for (path, bytes) in
        [("a", "a"), ("gone", "x"), ("d/deep/one", "1"), ("same/s", "s"), ("turns", "t")]
    {
        fs::write(work.join(path), bytes).expect("a file");
    }
    symlink("a", work.join("link")).expect("a symlink");
}

fn second(lab: &Lab) {
    let work = lab.path("work");
    fs::write(work.join("a"), "other").expect("a file");
    fs::remove_file(work.join("gone")).expect("a file");
    fs::create_dir(work.join("d/new")).expect("a directory");
    fs::write(work.join("d/new/two"), "2").expect("a file");
    fs::remove_file(work.join("link")).expect("a symlink");
    symlink("d", work.join("link")).expect("a symlink");
    fs::remove_file(work.join("turns")).expect("a file");
    fs::create_dir(work.join("turns")).expect("a directory");
    fs::write(work.join("turns/inside"), "i").expect("a file");
}

#[tokio::test]
async fn what_was_added_removed_and_changed_is_told() {
    let mut lab = Lab::new().await;
    let name = lab.name("work").await;
    first(&lab);
    let one = lab.add("work").await;
    lab.publish(name, one);
    second(&lab);
    let two = lab.add("work").await;
    lab.publish(name, two);
    // Times of directories moved; they are looked at in a test of their own.
    let content = |lines: Vec<Line>| {
        lines.into_iter().filter(|line| line.0 != Change::Metadata).collect::<Vec<_>>()
    };
    let forth = content(lines(&mut lab, "work@1", "work").await);
    let expected = [
        line(Change::Changed, "a", Kind::File),
        line(Change::Added, "d/new", Kind::Directory),
        line(Change::Added, "d/new/two", Kind::File),
        line(Change::Removed, "gone", Kind::File),
        line(Change::Changed, "link", Kind::Symlink),
        line(Change::Changed, "turns", Kind::Directory),
        line(Change::Added, "turns/inside", Kind::File),
    ];
    assert_eq!(forth, expected);
    let back = content(lines(&mut lab, &two.to_string(), &one.to_string()).await);
    let expected = [
        line(Change::Changed, "a", Kind::File),
        line(Change::Removed, "d/new", Kind::Directory),
        line(Change::Removed, "d/new/two", Kind::File),
        line(Change::Added, "gone", Kind::File),
        line(Change::Changed, "link", Kind::Symlink),
        line(Change::Changed, "turns", Kind::File),
        line(Change::Removed, "turns/inside", Kind::File),
    ];
    assert_eq!(back, expected);
    assert_eq!(lines(&mut lab, "work@1/same", "work/same").await, []);
    let below = content(lines(&mut lab, "work@1/d", "work@2/d").await);
    assert_eq!(below[0], line(Change::Added, "new", Kind::Directory));
}

#[tokio::test]
async fn another_mode_or_time_is_told_as_such() {
    let mut lab = Lab::new().await;
    first(&lab);
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(lab.path("work/large"), &large).expect("a file");
    let before = lab.add("work").await.to_string();
    for path in ["work/a", "work/large", "work/d"] {
        fs::set_permissions(lab.path(path), fs::Permissions::from_mode(0o711)).expect("a mode");
    }
    let after = lab.add("work").await.to_string();
    let expected = [
        line(Change::Metadata, "a", Kind::File),
        line(Change::Metadata, "d", Kind::Directory),
        line(Change::Metadata, "large", Kind::File),
    ];
    assert_eq!(lines(&mut lab, &before, &after).await, expected);
}

#[tokio::test]
async fn two_files_are_compared_themselves() {
    let mut lab = Lab::new().await;
    first(&lab);
    let root = lab.add("work").await.to_string();
    let [a, s] = ["a", "same/s"].map(|path| format!("{root}/{path}"));
    assert_eq!(lines(&mut lab, &a, &s).await, [line(Change::Changed, "", Kind::File)]);
    assert_eq!(lines(&mut lab, &a, &a).await, []);
}

#[tokio::test]
async fn a_missing_block_is_nobodys_and_a_wrong_target_is_said() {
    let lab = Lab::new().await;
    first(&lab);
    let root = lab.add("work").await.to_string();
    let foreign = hash::cid_of(HashKind::Blake3, hash::DAG_PB, Version::V1, b"elsewhere");
    let diff = |from: String, to: String| {
        let (node, out) = (Arc::clone(&lab.node), lab.out.clone());
        async move { diff(&node, from.as_bytes(), to.as_bytes(), WAIT, &out).await }
    };
    let failure = diff(root.clone(), foreign.to_string()).await.expect_err("nobody has it");
    assert_eq!(failure.exit, Exit::NotFound);
    let failure = diff(root.clone(), "unheard-of".to_owned()).await.expect_err("no name");
    assert_eq!(failure.exit, Exit::Usage);
    let failure = diff(root.clone(), format!("{root}/nowhere")).await.expect_err("no path");
    assert_eq!(failure.exit, Exit::NotFound);
}

/// A tree of 40 directories, each with two links to the next: 2^40 paths.
#[tokio::test]
async fn a_tree_that_doubles_at_each_level_ends_where_the_client_has_gone() {
    let lab = Lab::new().await;
    let batch = lab.node.store().batch(BatchOptions { public: true });
    let leaf = shoal_dag::build::leaf(Profile::Shoal, b"bottom");
    batch.put(&leaf.cid, &shoal_dag::Bytes::from_static(b"bottom")).expect("room");
    let mut below = leaf.cid;
    for _ in 0..40 {
        let link = |name| pb::PbLink { hash: below, name: Some(name), tsize: Some(1) };
        let message =
            UnixFs { meta: Metadata::NONE, ..UnixFs::new(UnixFsKind::Directory) }.encode();
        let links = vec![link(b"a".as_slice()), link(b"b")];
        let data = pb::PbNode { links, data: Some(&message) }.encode().expect("a block");
        let cid = hash::cid_of(HashKind::Blake3, hash::DAG_PB, Version::V1, &data);
        let block = Block { cid, data: data.into() };
        batch.put(&block.cid, &block.data).expect("room");
        below = cid;
    }
    batch.pin(&below, PinOptions::default()).expect("a pin");
    batch.commit().expect("a commit");
    let (out, mut answers) = Responder::for_tests(2);
    let (from, to) = (leaf.cid.to_string(), below.to_string());
    let comparing = diff(&lab.node, from.as_bytes(), to.as_bytes(), WAIT, &out);
    let reading = async {
        let mut seen = 0;
        while seen < 5 && answers.recv().await.is_some() {
            seen += 1;
        }
        drop(answers);
        seen
    };
    let (failed, seen) = tokio::join!(comparing, reading);
    assert_eq!(seen, 5);
    assert_eq!(failed.expect_err("it has no end").exit, Exit::Interrupted);
}

/// Branches of a tree that is here.
fn branches(lab: &Lab, root: Cid) -> BTreeSet<Cid> {
    let mut walk = TreeWalk::new(root, Budget::TREE).without_leaves();
    let mut found = BTreeSet::new();
    while let TreeStep::Need(cid) = walk.poll().expect("an honest tree") {
        let data = lab.node.store().get(&cid).expect("it is good").expect("it is here");
        walk.handle_block(&cid, data).expect("it was asked for");
        found.insert(cid);
    }
    found
}

#[tokio::test]
async fn of_two_sharded_directories_only_shards_that_differ_are_read() {
    let mut lab = Lab::new().await;
    let file = |number: u32| format!("{number:060}");
    fs::create_dir(lab.path("work")).expect("a directory");
    for number in 0..6_000 {
        fs::write(lab.path("work").join(file(number)), number.to_string()).expect("a file");
    }
    let one = lab.add("work").await;
    fs::write(lab.path("work").join(file(5)), b"other").expect("a file");
    fs::remove_file(lab.path("work").join(file(6))).expect("a file");
    fs::write(lab.path("work/new"), b"new").expect("a file");
    let two = lab.add("work").await;
    let (before, after) = (branches(&lab, one), branches(&lab, two));
    let common: Vec<&Cid> = before.intersection(&after).collect();
    assert!(common.len() > 6_000, "{}", common.len());
    for cid in common {
        lab.node.store().forget_block(cid).expect("the index");
    }
    let told = lines(&mut lab, &one.to_string(), &two.to_string()).await;
    let told: Vec<Line> = told.into_iter().filter(|line| line.0 != Change::Metadata).collect();
    let expected = [
        line(Change::Changed, &file(5), Kind::File),
        line(Change::Removed, &file(6), Kind::File),
        line(Change::Added, "new", Kind::File),
    ];
    assert_eq!(told, expected);
    // One that is the same as a whole costs nothing.
    assert_eq!(lines(&mut lab, &two.to_string(), &two.to_string()).await, []);
}
