//! Checkouts of real versions into real directories.
//!
//! What stands there afterwards is compared with the tree that was added, with modes and times. Breaking off
//! is simulated by doing only the first acts and leaving half a file staged; no process is killed here.

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use shoal_dag::{
    Block, Bytes, Metadata, Profile, Version,
    hash::{self, HashKind},
    pb,
    unixfs::{self, UnixFs},
};
use shoal_ledger::LedgerId;
use shoal_store::{BatchOptions, PinOptions};

use super::{plan::Act, *};
use crate::{
    exit::Exit,
    node::names::lab::{Lab, WAIT},
};

/// What stands at a path: kind, content or target, mode, time.
type Entry = (char, Vec<u8>, u32, i64);

/// Everything below a directory, with modes and times.
fn tree(top: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut entries = BTreeMap::new();
    let mut found = vec![top.to_owned()];
    while let Some(path) = found.pop() {
        let stat = fs::symlink_metadata(&path).expect("an entry");
        let (kind, content) = if stat.is_symlink() {
            let target = fs::read_link(&path).expect("a symlink").into_os_string();
            ('l', target.into_encoded_bytes())
        } else if stat.is_dir() {
            let below = fs::read_dir(&path).expect("a directory");
            found.extend(below.map(|entry| entry.expect("an entry").path()));
            ('d', Vec::new())
        } else {
            ('f', fs::read(&path).expect("a file"))
        };
        let mode = if kind == 'l' { 0 } else { stat.mode() & 0o7777 };
        let within = path.strip_prefix(top).expect("below it").to_owned();
        entries.insert(
            within,
            (kind, content, mode, stat.mtime_nsec() + stat.mtime() * 1_000_000_000),
        );
    }
    entries
}

fn long_ago(path: &Path, seconds: u64) {
    let file = fs::File::open(path).expect("it opens");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("a time");
}

fn large(seed: u32) -> Vec<u8> {
    (0..700_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8)
        .collect()
}

/// The first version, at `work`.
fn first(lab: &Lab) {
    let work = lab.path("work");
    for directory in ["d/deep", "same", "turns-file", "goes/below"] {
        fs::create_dir_all(work.join(directory)).expect("directories");
    }
    for (path, bytes) in [
        ("a", "a"),
        ("d/deep/one", "1"),
        ("d/two", "2"),
        ("same/s", "same"),
        ("turns-dir", "t"),
        ("turns-file/x", "x"),
        ("goes/below/g", "g"),
        ("goes/h", "h"),
    ] {
        fs::write(work.join(path), bytes).expect("a file");
        long_ago(&work.join(path), 1_000_000);
    }
    fs::write(work.join("large"), large(1)).expect("a file");
    symlink("a", work.join("link")).expect("a symlink");
    fs::set_permissions(work.join("d/two"), fs::Permissions::from_mode(0o750)).expect("a mode");
    for directory in ["same", "d/deep", "d", "."] {
        long_ago(&work.join(directory), 2_000_000);
    }
}

/// The second version of it.
fn second(lab: &Lab) {
    let work = lab.path("work");
    fs::write(work.join("a"), "other").expect("a file");
    fs::write(work.join("d/deep/one"), "one").expect("a file");
    fs::set_permissions(work.join("d/two"), fs::Permissions::from_mode(0o600)).expect("a mode");
    fs::remove_dir_all(work.join("goes")).expect("a directory");
    fs::remove_file(work.join("turns-dir")).expect("a file");
    fs::create_dir(work.join("turns-dir")).expect("a directory");
    fs::write(work.join("turns-dir/inside"), "i").expect("a file");
    fs::remove_dir_all(work.join("turns-file")).expect("a directory");
    fs::write(work.join("turns-file"), "now a file").expect("a file");
    fs::write(work.join("large"), large(2)).expect("a file");
    fs::create_dir_all(work.join("new/deep")).expect("directories");
    fs::write(work.join("new/deep/n"), "n").expect("a file");
    fs::remove_file(work.join("link")).expect("a symlink");
    symlink("../nowhere", work.join("link")).expect("a symlink");
    for directory in ["new/deep", "turns-dir", "."] {
        long_ago(&work.join(directory), 3_000_000);
    }
}

/// A lab with both versions of a name, and what they look like.
struct Versions {
    lab: Lab,
    name: LedgerId,
    trees: [BTreeMap<PathBuf, Entry>; 2],
}

impl Versions {
    async fn new() -> Self {
        let lab = Lab::new().await;
        let name = lab.name("work").await;
        first(&lab);
        let before = tree(&lab.path("work"));
        lab.publish(name, lab.add("work").await);
        second(&lab);
        let after = tree(&lab.path("work"));
        lab.publish(name, lab.add("work").await);
        Self { lab, name, trees: [before, after] }
    }

    fn out(&self) -> PathBuf {
        self.lab.path("out")
    }

    async fn checkout(&self, target: &str, force: bool) -> Result<(u64, u64, u64), Failure> {
        let request = self.request(target, force);
        match checkout(&self.lab.node, request, &self.lab.out).await? {
            Outcome::CheckedOut { written, removed, kept, .. } => Ok((written, removed, kept)),
            other => panic!("{other:?}"),
        }
    }

    fn request(&self, target: &str, force: bool) -> Checkout {
        let out = self.out().into_os_string().into_encoded_bytes();
        Checkout { target: target.as_bytes().to_vec(), out, force, umask: 0o022, wait: WAIT }
    }

    #[track_caller]
    fn assert_is(&self, version: usize) {
        let there = tree(&self.out());
        let wanted = &self.trees[version - 1];
        for path in there.keys().chain(wanted.keys()) {
            assert_eq!(there.get(path), wanted.get(path), "{}", path.display());
        }
    }
}

fn inode(path: PathBuf) -> u64 {
    fs::symlink_metadata(path).expect("an entry").ino()
}

#[tokio::test]
async fn a_new_checkout_is_the_version_and_the_users_own() {
    let versions = Versions::new().await;
    assert_eq!(versions.checkout("work@1", false).await.expect("a checkout"), (10, 0, 0));
    versions.assert_is(1);
    // What is written into it changes nothing in the store.
    let out = versions.out();
    fs::write(out.join("large"), "edited").expect("a file");
    fs::remove_dir_all(&out).expect("a directory");
    versions.checkout("work@1", false).await.expect("a checkout");
    versions.assert_is(1);
}

#[tokio::test]
async fn only_what_differs_is_changed() {
    let versions = Versions::new().await;
    versions.checkout("work@1", false).await.expect("a checkout");
    let out = versions.out();
    let kept = ["same", "same/s", "d", "d/deep", "d/two"].map(|path| inode(out.join(path)));
    let changed = inode(out.join("a"));
    assert_eq!(versions.checkout("work@2", false).await.expect("a checkout"), (7, 3, 2));
    versions.assert_is(2);
    assert_eq!(["same", "same/s", "d", "d/deep", "d/two"].map(|path| inode(out.join(path))), kept);
    assert_ne!(inode(out.join("a")), changed, "it was replaced, not written into");
    // There again, and back.
    assert_eq!(versions.checkout("work", false).await.expect("a checkout"), (0, 0, 9));
    versions.assert_is(2);
    versions.checkout("work@1", false).await.expect("a checkout");
    versions.assert_is(1);
}

#[tokio::test]
async fn a_path_in_a_version_is_checked_out_alone() {
    let versions = Versions::new().await;
    versions.checkout("work@1/d", false).await.expect("a checkout");
    assert_eq!(fs::read(versions.out().join("deep/one")).expect("a file"), b"1");
    versions.checkout("work@2/d", false).await.expect("a checkout");
    assert_eq!(fs::read(versions.out().join("deep/one")).expect("a file"), b"one");
    let failure = versions.checkout("work@2/a", false).await.expect_err("a file over a directory");
    assert_eq!(failure.exit, Exit::Failed);
    fs::remove_dir_all(versions.out()).expect("a directory");
    versions.checkout("work@2/a", false).await.expect("a file");
    assert_eq!(fs::read(versions.out()).expect("a file"), b"other");
}

#[tokio::test]
async fn what_the_user_made_stays() {
    let versions = Versions::new().await;
    versions.checkout("work@1", false).await.expect("a checkout");
    let out = versions.out();
    fs::write(out.join("mine"), "mine").expect("a file");
    fs::write(out.join("goes/below/mine"), "mine too").expect("a file");
    // Edited, and the same in both versions.
    fs::write(out.join("same/s"), "edited").expect("a file");
    versions.checkout("work@2", false).await.expect("nothing of it is in the way");
    assert_eq!(fs::read(out.join("mine")).expect("a file"), b"mine");
    assert_eq!(fs::read(out.join("goes/below/mine")).expect("a file"), b"mine too");
    assert!(!out.join("goes/below/g").exists() && !out.join("goes/h").exists());
    assert_eq!(fs::read(out.join("same/s")).expect("a file"), b"edited");
    assert_eq!(fs::read(out.join("a")).expect("a file"), b"other");
}

#[tokio::test]
async fn what_was_edited_is_named_and_nothing_is_changed() {
    let versions = Versions::new().await;
    versions.checkout("work@1", false).await.expect("a checkout");
    let out = versions.out();
    // With the size and time that it had.
    fs::write(out.join("a"), "A").expect("a file");
    long_ago(&out.join("a"), 1_000_000);
    fs::remove_file(out.join("d/deep/one")).expect("a file");
    fs::write(out.join("turns-file/mine"), "in the way of a file").expect("a file");
    fs::create_dir_all(out.join("new")).expect("a directory");
    fs::write(out.join("new/deep"), "in the way of a directory").expect("a file");
    let mut middle = large(1);
    middle[400_000] ^= 1;
    fs::write(out.join("large"), middle).expect("a file");
    let before = tree(&out);
    let failure = versions.checkout("work@2", false).await.expect_err("it was edited");
    assert_eq!(failure.exit, Exit::Failed);
    let named = "a, d/deep/one, large, new/deep, new/deep/n, turns-file";
    assert!(failure.message.ends_with(named), "{}", failure.message);
    assert_eq!(tree(&out), before, "something was changed");
    versions.checkout("work@2", true).await.expect("by force");
    versions.assert_is(2);
}

#[tokio::test]
async fn many_edits_are_named_up_to_a_bound() {
    let versions = Versions::new().await;
    let work = versions.lab.path("many");
    fs::create_dir(&work).expect("a directory");
    for text in ["1", "2"] {
        for number in 0..30 {
            fs::write(work.join(format!("{number:02}")), text).expect("a file");
        }
        versions.lab.publish(versions.name, versions.lab.add("many").await);
    }
    versions.checkout("work@3", false).await.expect("a checkout");
    for number in 0..30 {
        fs::write(versions.out().join(format!("{number:02}")), "mine").expect("a file");
    }
    let failure = versions.checkout("work@4", false).await.expect_err("all were edited");
    assert!(failure.message.ends_with("18, 19, 10 more"), "{}", failure.message);
}

#[tokio::test]
async fn a_directory_that_is_no_checkout_is_left_alone_without_force() {
    let versions = Versions::new().await;
    let out = versions.out();
    fs::create_dir_all(out.join("d/deep")).expect("directories");
    fs::write(out.join("d/deep/one"), "one").expect("a file");
    fs::write(out.join("a"), "mine").expect("a file");
    fs::write(out.join("mine"), "mine").expect("a file");
    let failure = versions.checkout("work@2", false).await.expect_err("it is no checkout");
    assert_eq!(failure.exit, Exit::Failed);
    assert!(failure.hint.expect("a hint").contains("--force"));
    assert_eq!(fs::read(out.join("a")).expect("a file"), b"mine");
    let same = inode(out.join("d/deep/one"));
    versions.checkout("work@2", true).await.expect("by force");
    assert_eq!(inode(out.join("d/deep/one")), same, "it held the same");
    assert_eq!(fs::read(out.join("mine")).expect("a file"), b"mine");
    fs::remove_file(out.join("mine")).expect("a file");
    long_ago(&out, 3_000_000);
    versions.assert_is(2);
    // From now on it is one.
    versions.checkout("work@1", false).await.expect("a checkout");
    versions.assert_is(1);
}

#[tokio::test]
async fn an_empty_directory_is_filled_whatever_it_was_before() {
    let versions = Versions::new().await;
    fs::create_dir(versions.out()).expect("a directory");
    versions.checkout("work@1", false).await.expect("a checkout");
    versions.assert_is(1);
    for entry in fs::read_dir(versions.out()).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("gone");
    }
    versions.checkout("work@1", false).await.expect("a checkout");
    versions.assert_is(1);
    if fs::metadata(versions.out()).expect("a directory").created().is_err() {
        return;
    }
    // Another directory at that path is another one.
    fs::remove_dir_all(versions.out()).expect("a directory");
    fs::create_dir(versions.out()).expect("a directory");
    fs::write(versions.out().join("mine"), "mine").expect("a file");
    versions.checkout("work@1", false).await.expect_err("it is no checkout");
}

#[tokio::test]
async fn a_symlink_in_the_way_leads_nowhere() {
    let versions = Versions::new().await;
    versions.checkout("work@1", false).await.expect("a checkout");
    let (out, outside) = (versions.out(), versions.lab.path("outside"));
    fs::create_dir_all(outside.join("deep")).expect("directories");
    fs::write(outside.join("deep/one"), "1").expect("a file");
    fs::write(outside.join("two"), "2").expect("a file");
    fs::remove_dir_all(out.join("d")).expect("a directory");
    symlink(&outside, out.join("d")).expect("a symlink");
    fs::remove_file(out.join("a")).expect("a file");
    symlink(outside.join("two"), out.join("a")).expect("a symlink");
    let before = tree(&outside);
    let failure = versions.checkout("work@2", false).await.expect_err("both were edited");
    assert!(failure.message.contains("d/deep/one"), "{}", failure.message);
    assert_eq!(tree(&outside), before);
    versions.checkout("work@2", true).await.expect("by force");
    assert_eq!(tree(&outside), before, "something outside was changed");
    versions.assert_is(2);
}

/// A request that is broken off at each of its acts, as by the end of the process.
#[tokio::test]
async fn what_was_broken_off_is_finished_by_the_next() {
    let versions = Versions::new().await;
    for (broken, next) in [("work@2", "work@2"), ("work@2", "work@1")] {
        let mut cut = 0;
        loop {
            versions.checkout("work@1", false).await.expect("a checkout");
            versions.assert_is(1);
            let acts = break_off(&versions, broken, cut).await;
            versions.checkout(next, false).await.expect("nothing of it was edited");
            versions.assert_is(if next == "work@2" { 2 } else { 1 });
            cut += 1;
            if cut > acts {
                break;
            }
        }
        assert!(cut > 10, "{cut}");
    }
}

/// Does the first `cut` acts of a checkout and ends as a process that is killed; how many there are.
async fn break_off(versions: &Versions, target: &str, cut: usize) -> usize {
    let (request, node) = (versions.request(target, false), &versions.lab.node);
    let spelling = target::parse(target.as_bytes()).expect("a name");
    let found = resolve::find(node, &spelling, How::Offline, WAIT, &versions.lab.out).await;
    let root = found.expect("a version").version.root;
    let checked = Checked { name: versions.name, position: "#0.0".to_owned(), root };
    let path = CidPath { root, segments: Vec::new() };
    let task = Task { node, request: &request, answers: &versions.lab.out, path, checked };
    let (out, standing) = task.open(&versions.out()).await.expect("it is a checkout");
    let reader = Reader::new(node, root, WAIT.into(), None);
    let to = Link { cid: root, under: None };
    let collected = task.collect(reader, &to, &standing).await.expect("all is here");
    let plan = plan::decide(node.store(), &out, &collected.changes, false).expect("a plan");
    assert_eq!(plan.edited_count, 0);
    let whole = Record::whole(&out.path, out.identity().expect("it"), &task.checked, 9);
    let staging = b".shoal-checkout-cut".to_vec();
    whole.going(&standing.bases, 9, staging.clone()).write(node.store()).expect("the store");
    let apply = Apply {
        store: node.store(),
        out: &out,
        version: &task.path,
        umask: 0o022,
        force: false,
        staging: &staging,
        answers: &versions.lab.out,
        work: Work::default(),
    };
    // In the order in which they are done.
    let goes = |act: &Act| matches!(act, Act::Remove(_) | Act::RemoveDirectory);
    let (gone, rest): (Vec<_>, Vec<_>) = plan.acts.iter().cloned().partition(|(_, act)| goes(act));
    let mut done: Vec<_> = gone.into_iter().rev().chain(rest).take(cut).collect();
    done.sort_by(|a, b| a.0.cmp(&b.0));
    apply.run(&done).expect("the disk");
    fs::create_dir(out.path.join(".shoal-checkout-cut")).expect("a directory");
    fs::write(out.path.join(".shoal-checkout-cut/0"), "half").expect("a file");
    plan.acts.len()
}

#[tokio::test]
async fn an_entry_that_changes_after_the_look_is_not_touched() {
    let versions = Versions::new().await;
    versions.checkout("work@1", false).await.expect("a checkout");
    let out = Out::open(&versions.out()).expect("a directory");
    let found = out.look(b"a").expect("a look");
    fs::write(versions.out().join("a"), "edited just now").expect("a file");
    let path = CidPath { root: Cid::default(), segments: Vec::new() };
    let apply = Apply {
        store: versions.lab.node.store(),
        out: &out,
        version: &path,
        umask: 0o022,
        force: false,
        staging: b".staging",
        answers: &versions.lab.out,
        work: Work::default(),
    };
    let stamp = found.stamp().expect("a file");
    let failure = apply.run(&[(b"a".to_vec(), Act::Remove(stamp))]).expect_err("it is another one");
    assert_eq!(failure.exit, Exit::TryAgain);
    assert_eq!(fs::read(versions.out().join("a")).expect("a file"), b"edited just now");
    assert!(!versions.out().join(".staging").exists());
    // Nor is a second checkout let in meanwhile.
    let failure = versions.checkout("work@2", true).await.expect_err("it is locked");
    assert_eq!(failure.exit, Exit::TryAgain);
}

/// Directories with whatever names: the builder refuses these, so they are written by hand.
fn hostile(lab: &Lab, bytes: &'static [u8], names: &[&'static [u8]]) -> Cid {
    let batch = lab.node.store().batch(BatchOptions { public: true });
    let leaf = shoal_dag::build::leaf(Profile::Shoal, bytes);
    batch.put(&leaf.cid, &Bytes::from_static(bytes)).expect("room");
    let link =
        |name: &&'static [u8]| pb::PbLink { hash: leaf.cid, name: Some(name), tsize: Some(1) };
    let message = UnixFs { meta: Metadata::NONE, ..UnixFs::new(unixfs::Kind::Directory) }.encode();
    let node = pb::PbNode { links: names.iter().map(link).collect(), data: Some(&message) };
    let data = Bytes::from(node.encode().expect("a block"));
    let cid = hash::cid_of(HashKind::Blake3, hash::DAG_PB, Version::V1, &data);
    let block = Block { cid, data };
    batch.put(&block.cid, &block.data).expect("room");
    batch.pin(&block.cid, PinOptions::default()).expect("a pin");
    batch.commit().expect("a commit");
    cid
}

#[tokio::test]
async fn names_that_no_file_system_may_have_never_reach_the_disk() {
    let versions = Versions::new().await;
    let names: [&[u8]; 6] = [b"", b"..", b"../up", b"/abs", b"a/b", b"good"];
    for bytes in [b"one".as_slice(), b"two"] {
        versions.lab.publish(versions.name, hostile(&versions.lab, bytes, &names));
        for force in [false, true] {
            let request = versions.request("work", force);
            let outcome = checkout(&versions.lab.node, request, &versions.lab.out).await;
            let Ok(Outcome::CheckedOut { refused, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(refused.len(), 5, "{refused:?}");
            let there = fs::read_dir(versions.out()).expect("a directory");
            let there: Vec<_> = there.map(|entry| entry.expect("an entry").file_name()).collect();
            assert_eq!(there, ["good"]);
            assert_eq!(fs::read(versions.out().join("good")).expect("a file"), bytes);
        }
    }
    assert!(!versions.lab.path("up").exists());
}

#[tokio::test]
async fn content_is_compared_by_leaves_of_every_kind() {
    let lab = Lab::new().await;
    fs::write(lab.path("file"), large(3)).expect("a file");
    fs::write(lab.path("empty"), "").expect("a file");
    for profile in Profile::ALL {
        for (source, preserve) in
            [("file", false), ("file", true), ("empty", false), ("empty", true)]
        {
            let path = lab.path(source);
            let request = crate::control::protocol::Add {
                profile: profile.name().to_owned(),
                preserve,
                ..crate::control::protocol::Add::path(
                    path.clone().into_os_string().into_encoded_bytes(),
                )
            };
            let (added, _) =
                crate::node::add::add_told(&lab.node, request, &lab.out).await.expect("an add");
            let cid: Cid = added[0].cid.parse().expect("a CID");
            let holds = |path: &Path| {
                let file = fs::File::open(path).expect("a file");
                content::holds(lab.node.store(), &file, &cid).expect("the store")
            };
            assert!(holds(&path), "{source} as {profile:?}, {preserve}");
            let other = lab.path("other");
            for at in [0, 350_000, 699_999] {
                let mut bytes = large(3);
                bytes[at] ^= 1;
                fs::write(&other, bytes).expect("a file");
                assert!(!holds(&other), "{source} as {profile:?}, byte {at}");
            }
            fs::write(&other, [large(3), vec![0]].concat()).expect("a file");
            assert!(!holds(&other), "{source} as {profile:?}, longer");
        }
    }
}

#[tokio::test]
async fn a_checkout_needs_a_name() {
    let versions = Versions::new().await;
    let root = versions.lab.state(versions.name);
    let newest = versions.lab.node.names().book();
    let newest = crate::node::names::version::newest(newest, &root).expect("the index");
    let cid = newest.expect("a version").root.to_string();
    let failure = versions.checkout(&cid, false).await.expect_err("a CID has no versions");
    assert_eq!(failure.exit, Exit::Usage);
    let failure = versions.checkout("work@9", false).await.expect_err("there is no such version");
    assert_eq!(failure.exit, Exit::NotFound);
    let failure = versions.checkout("work@1/none", false).await.expect_err("no such path");
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(!versions.out().exists());
}
