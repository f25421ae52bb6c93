//! Adding into a real store: what a request that is broken off leaves behind, and what is kept.
//!
//! No network and no other process: what the client sees is read from its queue of answers.

use std::fs;

use bytes::Bytes;
use shoal_store::Options;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::control::frame::Frame;

struct Lab {
    dir: TempDir,
    store: Store,
    out: Responder,
    answers: mpsc::Receiver<Frame<Response>>,
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
        add_all(&self.store, &request(sources), bytes, &self.out, false, &mut Vec::new())
    }

    fn pins(&self) -> usize {
        self.store.pins(None, 10).expect("the pins").len()
    }

    #[track_caller]
    fn assert_nothing_is_kept(&self) {
        assert_eq!(self.pins(), 0, "something was pinned");
    }
}

fn request(sources: Vec<Option<Vec<u8>>>) -> Add {
    Add {
        sources,
        profile: "shoal".to_owned(),
        preserve: false,
        reference: false,
        local: false,
        only_hash: false,
    }
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
        let (added, _) = add_all(&lab.store, &preserving, None, &lab.out, false, &mut Vec::new())
            .expect("an add");
        cids.push(added[0].cid.clone());
    }
    assert_eq!(cids, vec![cids[2].clone(); 3]);
}
