//! Adding into a real store: what a request that is broken off leaves behind, and what is kept.
//!
//! No network and no other process: what the client sees is read from its queue of answers.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use shoal_store::Options;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::control::frame::Frame;

mod again;
mod left_out;

struct Lab {
    dir: TempDir,
    store: Store,
    out: Responder,
    answers: mpsc::Receiver<Frame<Response>>,
}

/// To a store without a quota, by a verb.
fn unlimited(store: &Store) -> To {
    To { store: store.clone(), quota: None, served: false }
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
        fs::create_dir(dir.path().join("sources")).expect("a directory");
        let (out, answers) = Responder::for_tests(1000);
        Self { dir, store, out, answers }
    }

    fn source(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let path = self.dir.path().join("sources").join(name);
        fs::write(&path, bytes).expect("a source");
        path.into_os_string().into_encoded_bytes()
    }

    fn add(
        &self,
        sources: Vec<Option<Vec<u8>>>,
        bytes: Option<stream::Incoming>,
    ) -> Result<Finished, Failure> {
        add_all(&unlimited(&self.store), &request(sources), bytes, &self.out, &mut Vec::new())
    }

    fn pins(&self) -> usize {
        self.store.pins(None, 10).expect("the pins").len()
    }

    /// What was named as left out so far.
    fn skipped(&mut self) -> Vec<(PathBuf, String)> {
        let mut skipped = Vec::new();
        while let Ok(answer) = self.answers.try_recv() {
            if let Frame::Message(Response::Skipped { path, why }) = answer {
                skipped.push((PathBuf::from(OsStr::from_bytes(&path)), why));
            }
        }
        skipped
    }

    #[track_caller]
    fn assert_nothing_is_kept(&self) {
        assert_eq!(self.pins(), 0, "something was pinned");
    }
}

fn request(sources: Vec<Option<Vec<u8>>>) -> Add {
    Add { sources, ..Add::path(Vec::new()) }
}

#[test]
fn half_a_stream_is_not_kept_when_the_node_stops() {
    let lab = Lab::new();
    let (feed, bytes) = stream::channel();
    feed.give(Ok(Some(Bytes::from_static(b"half of a stream"))));
    // A node that stops drops the connection's future, and the feed with it.
    drop(feed);
    let failure = lab.add(vec![None], Some(bytes)).expect_err("it has no end");
    assert_eq!(failure.exit, Exit::Failed, "{failure:?}");
    lab.assert_nothing_is_kept();
}

#[test]
fn a_whole_stream_is_kept() {
    let lab = Lab::new();
    let (feed, bytes) = stream::channel();
    feed.give(Ok(Some(Bytes::from_static(b"a stream"))));
    feed.give(Ok(None));
    drop(feed);
    let (added, _) = lab.add(vec![None], Some(bytes)).expect("an add");
    assert_eq!(added[0].size, 8);
    assert_eq!(lab.pins(), 1);
}

#[test]
fn a_request_whose_client_has_gone_pins_nothing() {
    let mut lab = Lab::new();
    let source = lab.source("file", b"bytes");
    lab.answers.close();
    let failure = lab.add(vec![Some(source)], None).expect_err("nobody waits for it");
    assert_eq!(failure.exit, Exit::Interrupted, "{failure:?}");
    lab.assert_nothing_is_kept();
}

#[test]
fn a_preserved_mode_is_one_that_get_restores() {
    use std::os::unix::fs::PermissionsExt;

    let lab = Lab::new();
    let source = lab.source("file", b"bytes");
    let path = Path::new(OsStr::from_bytes(&source));
    let mut cids = Vec::new();
    for mode in [0o6755, 0o1755, 0o755] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        let preserving = Add { preserve: true, ..request(vec![Some(source.clone())]) };
        let (added, _) =
            add_all(&unlimited(&lab.store), &preserving, None, &lab.out, &mut Vec::new())
                .expect("an add");
        cids.push(added[0].cid.clone());
    }
    assert_eq!(cids, vec![cids[2].clone(); 3]);
}

#[test]
fn a_store_among_the_sources_is_left_out_and_named() {
    let mut lab = Lab::new();
    lab.source("file", b"bytes");
    let sources = lab.dir.path().join("sources");
    let other = sources.join("deep/other");
    drop(Store::open(&other, Options::default()).expect("another store"));
    fs::write(other.join("secrets/node.key"), "a private key").expect("a key");
    let path = |path: &Path| Some(path.as_os_str().as_bytes().to_vec());
    // Around both, with the store that is in use.
    let (added, outcome) = lab.add(vec![path(lab.dir.path())], None).expect("the rest is added");
    let outcome = outcome.expect("the rest was added");
    assert!(matches!(outcome, Outcome::Added { skipped: 2, .. }), "{outcome:?}");
    assert_eq!((added.len(), added[0].files), (1, 1));
    let mut named = lab.skipped();
    named.sort();
    assert_eq!(
        named,
        [
            (other.clone(), "is a Shoal store".to_owned()),
            (lab.store.dir(), "is a Shoal store".to_owned())
        ]
    );
}

#[test]
fn neither_a_store_nor_what_lies_in_it_is_added() {
    let mut lab = Lab::new();
    let link = lab.dir.path().join("sources/link");
    std::os::unix::fs::symlink(lab.store.dir(), &link).expect("a symlink");
    fs::remove_file(lab.store.dir().join("format")).expect("its own store without a format");
    for (inside, why) in [
        (lab.store.dir(), "is a Shoal store"),
        (lab.store.dir().join("secrets"), "lies in a Shoal store"),
        (lab.store.dir().join("index.redb"), "lies in a Shoal store"),
        (link.join("secrets"), "lies in a Shoal store"),
    ] {
        let sources = vec![Some(inside.as_os_str().as_bytes().to_vec())];
        let (added, outcome) = lab.add(sources, None).expect("an answer");
        assert_eq!(outcome.expect_err("nothing was added").exit, Exit::Failed);
        assert!(added.is_empty());
        assert_eq!(lab.skipped(), [(inside, why.to_owned())]);
    }
    lab.assert_nothing_is_kept();
}
