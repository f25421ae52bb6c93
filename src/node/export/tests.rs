//! Exports from a real store: what is written, and what a hostile DAG cannot make it write.
//!
//! Directories that the builder refuses are written by hand. Nothing here needs a network.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use shoal_dag::{
    Block, Profile, Version,
    build::{DirectoryBuilder, FileBuilder, leaf, symlink},
    hash::{self, HashKind},
    pb,
    unixfs::{Kind, UnixFs},
};
use shoal_store::{BatchOptions, KeepPlace, Options, PinOptions};
use tempfile::TempDir;

use super::*;
use crate::control::frame::Frame;

struct Lab {
    dir: TempDir,
    store: Store,
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
        fs::create_dir(dir.path().join("here")).expect("a directory");
        Self { dir, store }
    }

    fn put(&self, block: &Block) -> Cid {
        let batch = self.store.batch(BatchOptions { public: true });
        batch.put(&block.cid, &block.data).expect("room");
        batch.pin(&block.cid, PinOptions::default()).expect("a pin");
        batch.commit().expect("a commit");
        block.cid
    }

    fn file(&self, bytes: &'static [u8]) -> (Cid, u64) {
        let leaf = leaf(Profile::Shoal, bytes);
        self.put(&Block { cid: leaf.cid, data: Bytes::from_static(bytes) });
        (leaf.cid, leaf.dag_size)
    }

    fn directory(&self, entries: &[(&[u8], (Cid, u64))]) -> (Cid, u64) {
        let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
        for (name, (cid, size)) in entries {
            builder.insert(name, *cid, *size).expect("a good entry");
        }
        let (block, size) = builder.finish().expect("a small directory");
        (self.put(&block), size)
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("here/out")
    }

    fn exporting(&self, root: Cid, out: Responder) -> Export {
        Export {
            store: self.store.clone(),
            root,
            target: self.out(),
            force: false,
            copy: false,
            sync: false,
            umask: 0o027,
            size_max: None,
            out,
        }
    }

    fn export(&self, root: Cid) -> Result<Exported, Failure> {
        let (out, answers) = Responder::for_tests(10_000);
        let exported = self.exporting(root, out).run();
        drop(answers);
        exported
    }

    /// Everything beside the target, which must be nothing after a failure.
    fn beside(&self) -> usize {
        fs::read_dir(self.dir.path().join("here")).expect("the directory").count()
    }
}

#[test]
fn a_tree_is_written_with_the_umask_and_its_links() {
    let lab = Lab::new();
    let (link, size) = symlink(Profile::Shoal, b"../../escape", Metadata::NONE);
    lab.put(&link);
    let inner = lab.directory(&[(b"file", lab.file(b"inner")), (b"link", (link.cid, size))]);
    let (root, _) = lab.directory(&[(b"a\xff", lab.file(b"bytes")), (b"d", inner)]);
    let exported = lab.export(root).expect("an export");
    assert_eq!((exported.bytes, exported.files), (10, 3));
    let raw = lab.out().join(std::ffi::OsStr::from_bytes(b"a\xff"));
    assert_eq!(fs::read(&raw).expect("the file"), b"bytes");
    assert_eq!(fs::metadata(&raw).expect("the file").mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(lab.out()).expect("the directory").mode() & 0o777, 0o750);
    let target = fs::read_link(lab.out().join("d/link")).expect("a link, not followed");
    assert_eq!(target.as_os_str().as_bytes(), b"../../escape");
    assert_eq!(lab.beside(), 1);
}

/// A directory block with whatever names: the builder refuses these, so it is written by hand.
fn hostile_directory(lab: &Lab, names: &[&'static [u8]]) -> Cid {
    let (file, size) = lab.file(b"payload");
    let mut names = names.to_vec();
    names.sort_unstable();
    let link =
        |name: &&'static [u8]| pb::PbLink { hash: file, name: Some(name), tsize: Some(size) };
    let message = UnixFs::new(Kind::Directory).encode();
    let node = pb::PbNode { links: names.iter().map(link).collect(), data: Some(&message) };
    let data = Bytes::from(node.encode().expect("a block"));
    let cid = hash::cid_of(HashKind::Blake3, hash::DAG_PB, Version::V1, &data);
    lab.put(&Block { cid, data })
}

#[test]
fn names_that_no_file_system_may_have_never_reach_the_disk() {
    let lab = Lab::new();
    let names: [&[u8]; 9] =
        [b"", b".", b"..", b"../up", b"/abs", b"a/b", b"nul\0", &[b'x'; 256], b"good"];
    let root = hostile_directory(&lab, &names);
    let exported = lab.export(root).expect("the rest is written");
    assert_eq!(exported.refused.len(), 8, "{:?}", exported.refused);
    let written: Vec<_> = fs::read_dir(lab.out())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(written, ["good"]);
    assert_eq!(lab.beside(), 1, "nothing appeared beside the target");
    assert!(!lab.dir.path().join("up").exists());
}

#[test]
fn refused_names_are_bounded_in_number_and_length() {
    let lab = Lab::new();
    let mut names: Vec<&'static [u8]> = vec![b".."; 250];
    names.push(vec![b'x'; 100_000].leak());
    let root = hostile_directory(&lab, &names);
    let (out, mut answers) = Responder::for_tests(10_000);
    let exported = lab.exporting(root, out).run().expect("an export");
    assert_eq!(exported.refused.len(), REFUSED_MAX);
    let (mut skipped, mut notes) = (0, Vec::new());
    while let Ok(answer) = answers.try_recv() {
        match answer {
            Frame::Message(Response::Skipped { .. }) => skipped += 1,
            Frame::Message(Response::Note(text)) => notes.push(text),
            _ => {}
        }
    }
    assert_eq!(skipped, REFUSED_MAX);
    assert_eq!(notes, ["left out 151 more entries for their names"]);
    let long = shown(&Path::new(&"d/".repeat(100_000)).join("e"), &vec![b'x'; 100_000]);
    assert!(long.len() <= 1024 && long.ends_with(b"xxx..."), "{}", long.len());
}

#[test]
fn a_repeated_name_is_written_once_and_told() {
    let lab = Lab::new();
    let root = hostile_directory(&lab, &[b"twin", b"twin"]);
    let exported = lab.export(root).expect("an export");
    assert_eq!(exported.refused, ["twin"]);
}

#[test]
fn a_failure_in_the_middle_leaves_nothing() {
    let lab = Lab::new();
    let missing = leaf(Profile::Shoal, b"never stored");
    let (root, _) =
        lab.directory(&[(b"a", lab.file(b"here")), (b"b", (missing.cid, missing.dag_size))]);
    let failure = lab.export(root).expect_err("a block is missing");
    assert_eq!(failure.exit, crate::exit::Exit::TryAgain);
    assert_eq!(lab.beside(), 0);
}

/// A tree with one large file, whose bytes the store has fetched and does not own.
fn fetched_file(lab: &Lab, file_mode: u32, directory_mode: u32) -> (Cid, Cid) {
    let meta = |mode| Metadata { mode: Some(mode), mtime: None };
    let mut builder = FileBuilder::new(Profile::Shoal, meta(file_mode));
    let (mut branches, mut leaves, mut offset) = (Vec::new(), Vec::new(), 0);
    for byte in 0..4_u8 {
        let data = Bytes::from(vec![byte; 100_000]);
        let leaf = leaf(builder.leaf_form(), &data);
        builder.push(leaf.link(), &mut branches);
        leaves.push((leaf.cid, offset, data));
        offset += 100_000;
    }
    let built = builder.finish(&mut branches);
    for (cid, offset, data) in leaves {
        let place = KeepPlace { file: &built.cid, size: built.size, offset };
        lab.store.keep(&cid, Some(place), &data, false).expect("room");
    }
    for block in branches {
        lab.put(&block);
    }
    let mut builder = DirectoryBuilder::new(Profile::Shoal, meta(directory_mode));
    builder.insert(b"file", built.cid, built.dag_size).expect("a good entry");
    let (block, _) = builder.finish().expect("a small directory");
    (lab.put(&block), built.cid)
}

#[test]
fn a_file_that_its_owner_may_not_read_is_a_copy() {
    for (file, directory, linked) in
        [(0o640, 0o750, true), (0o000, 0o750, false), (0o640, 0o640, false)]
    {
        let lab = Lab::new();
        let (root, cid) = fetched_file(&lab, file, directory);
        lab.export(root).expect("an export");
        let whole = lab.store.whole_file(&cid).expect("the store").expect("it is whole");
        assert_eq!(whole.reference, linked, "{file:o} in {directory:o}");
        let stat = fs::metadata(lab.out().join("file")).expect("the file");
        assert_eq!(stat.mode() & 0o7777, file);
        assert_eq!(fs::metadata(lab.out()).expect("the directory").mode() & 0o7777, directory);
    }
}

#[test]
fn special_bits_of_a_mode_are_not_restored() {
    let lab = Lab::new();
    let (root, _) = fetched_file(&lab, 0o6755, 0o1777);
    lab.export(root).expect("an export");
    assert_eq!(fs::metadata(lab.out().join("file")).expect("the file").mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(lab.out()).expect("the directory").mode() & 0o7777, 0o777);
}

#[test]
fn a_tree_without_permissions_can_be_removed() {
    let lab = Lab::new();
    let inner = lab.out().join("a/b");
    fs::create_dir_all(&inner).expect("directories");
    fs::write(inner.join("file"), "x").expect("a file");
    for sealed in [&inner, &lab.out().join("a"), &lab.out()] {
        fs::set_permissions(sealed, Permissions::from_mode(0o0)).expect("a mode");
    }
    // Root may go through them anyway, so the modes are looked at.
    let sealed = || !fs::metadata(&inner).is_ok_and(|stat| stat.mode() & 0o777 == 0o700);
    let mut deleting = aside::Deleting { goes_on: &mut || sealed(), spares_stores: false };
    let error = deleting.delete(&lab.out()).expect_err("it was told to end");
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert!(inner.join("file").exists());
    remove_all(&lab.out());
    assert_eq!(lab.beside(), 0);
}

#[test]
fn no_deletion_follows_a_symlink_or_takes_a_store() {
    let lab = Lab::new();
    fs::create_dir_all(lab.out().join("a/b")).expect("directories");
    fs::write(lab.out().join("a/b/file"), "x").expect("a file");
    std::os::unix::fs::symlink(lab.store.dir(), lab.out().join("a/link")).expect("a symlink");
    let within = lab.out().join("a/within");
    drop(Store::open(&within, Options::default()).expect("a store"));
    let mut deleting = aside::Deleting { goes_on: &mut || true, spares_stores: true };
    let error = deleting.delete(&lab.out()).expect_err("a store stays").to_string();
    assert_eq!(error, "a/within: it is a Shoal store");
    assert!(shoal_store::is_store(&within) && shoal_store::is_store(&lab.store.dir()));
    let left: Vec<_> = fs::read_dir(lab.out().join("a")).expect("a directory").collect();
    assert_eq!(left.len(), 1, "the rest is gone: {left:?}");
    remove_all(&lab.out());
    assert_eq!(lab.beside(), 0);
    remove_all(&lab.out());
    assert!(lab.store.dir().join("secrets").exists());
}

#[test]
fn what_was_replaced_stays_aside_when_nobody_waits_any_more() {
    let lab = Lab::new();
    fs::create_dir(lab.out()).expect("a directory");
    fs::write(lab.out().join("mine"), "mine").expect("a file");
    let (root, _) = lab.directory(&[(b"theirs", lab.file(b"theirs"))]);
    let (out, answers) = Responder::for_tests(10_000);
    let export = Export { force: true, ..lab.exporting(root, out) };
    let mut writer = Writer::new(&export).expect("a writer");
    writer.tree().expect("a tree");
    let stood = replace(&writer.temp, &export.target, true).expect("an exchange");
    assert!(stood);
    drop(answers);
    writer.delete_what_stood();
    assert_eq!(fs::read(lab.out().join("theirs")).expect("the new one"), b"theirs");
    assert_eq!(fs::read(writer.temp.join("mine")).expect("the old one"), b"mine");
}

#[test]
fn a_replaced_directory_is_gone_at_the_end() {
    let lab = Lab::new();
    fs::create_dir_all(lab.out().join("a/b")).expect("directories");
    fs::write(lab.out().join("a/mine"), "mine").expect("a file");
    let (root, _) = lab.directory(&[(b"theirs", lab.file(b"theirs"))]);
    let (out, answers) = Responder::for_tests(10_000);
    Export { force: true, ..lab.exporting(root, out) }.run().expect("an export");
    drop(answers);
    assert_eq!(lab.beside(), 1);
    assert_eq!(fs::read_dir(lab.out()).expect("the directory").count(), 1);
}

#[test]
fn the_store_is_never_written_over() {
    let lab = Lab::new();
    let (root, _) = lab.directory(&[(b"theirs", lab.file(b"theirs"))]);
    for target in [lab.store.dir(), lab.store.dir().join("packs"), lab.store.dir().join("new")] {
        let (out, _answers) = Responder::for_tests(10_000);
        let export = Export { force: true, target, ..lab.exporting(root, out) };
        assert_eq!(export.run().expect_err("refused").exit, crate::exit::Exit::NotAllowed);
    }
    assert!(lab.store.dir().join("format").exists() && lab.store.dir().join("packs").is_dir());
    assert!(!lab.store.dir().join("new").exists());
}

#[test]
fn a_slash_at_the_end_asks_for_a_directory() {
    assert_eq!(target(b"/a/b"), (PathBuf::from("/a/b"), false));
    assert_eq!(target(b"/a/b//"), (PathBuf::from("/a/b"), true));
    assert_eq!(target(b"/").0, PathBuf::from("/"));
    let lab = Lab::new();
    let (file, _) = lab.file(b"bytes");
    let (directory, _) = lab.directory(&[]);
    for (cid, wants_directory, fits) in
        [(file, true, false), (file, false, true), (directory, true, true)]
    {
        let found = node(&lab.store, &cid).expect("a node");
        assert_eq!(check_kind(&lab.out(), wants_directory, &found).is_ok(), fits);
    }
}

#[test]
fn a_target_that_cannot_be_made_is_found_out_before_the_fetch() {
    let lab = Lab::new();
    for bad in ["/", "/tmp/..", ""] {
        assert!(check_target(Path::new(bad), true).is_err(), "{bad:?}");
    }
    assert!(check_target(&lab.dir.path().join("nowhere/out"), false).is_err());
    std::os::unix::fs::symlink("nowhere", lab.out()).expect("a symlink");
    assert!(check_target(&lab.out(), false).is_err(), "a symlink to nowhere stands there");
    let (file, _) = lab.file(b"bytes");
    lab.export(file).expect_err("it is not replaced");
    assert_eq!(fs::read_link(lab.out()).expect("the symlink"), Path::new("nowhere"));
}

#[test]
fn what_stands_at_the_target_stays_without_force() {
    let lab = Lab::new();
    fs::write(lab.out(), "mine").expect("a file");
    assert!(check_target(&lab.out(), false).is_err());
    assert!(check_target(&lab.out(), true).is_ok());
    let (file, _) = lab.file(b"theirs");
    // Also when it appears after the check.
    lab.export(file).expect_err("it is not replaced");
    assert_eq!(fs::read(lab.out()).expect("the file"), b"mine");
    assert_eq!(lab.beside(), 1);
}
