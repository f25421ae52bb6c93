//! A scripted node behind a whole store: what it answers, and that it dies, is the test's choice.
//!
//! The test holds the store's lock, so that verbs attach to the script instead of opening the store.
//! What they asked is handed to the test at the end.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::Duration,
};

use shoal::control::{
    frame,
    protocol::{
        Failure, Outcome, Request, Response,
        name::{ForkLine, NameRequest, Resolved, Standing},
    },
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use super::{
    peer::{accept, at, request, say},
    run::{Ran, run},
};

/// What the node says.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a script has a handful of them")]
pub(crate) enum Say {
    /// A message.
    Message(Response),
    /// Data.
    Data(&'static [u8]),
    /// It dies; what follows says another node.
    Die,
}

/// The outcome.
pub(crate) fn done(outcome: Outcome) -> Say {
    Say::Message(Response::Done(outcome))
}

/// A failure.
pub(crate) fn failed(failure: Failure) -> Say {
    Say::Message(Response::Failed(failure))
}

/// Longest time that a script waits for the verb: one that never asks fails its test.
const ASKED_WITHIN: Duration = Duration::from_mins(1);

/// A store that a script answers for, and a directory to work in.
#[derive(Debug)]
pub(crate) struct Store {
    dir: TempDir,
    work: TempDir,
    _lock: File,
}

impl Store {
    /// A store of its own.
    pub(crate) fn new() -> Self {
        let (dir, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = File::create(dir.path().join("lock")).unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        // What makes a directory a store; who does not get the lock reads no more of it.
        std::fs::write(dir.path().join("format"), "1\n").unwrap();
        Self { dir, work, _lock: lock }
    }

    /// A path in the directory that verbs run in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// The binary at this store.
    pub(crate) fn shoal(&self, arguments: &str) -> Command {
        let mut command = at(self.dir.path(), arguments);
        command.current_dir(self.work.path());
        command
    }

    /// Answers as a running peer or as another verb's process does.
    pub(crate) fn answer(&self, persistent: bool, script: Vec<Say>) -> Answering {
        Answering::begin(&self.dir.path().join("control.sock"), persistent, script)
    }
}

async fn accepted(listener: &UnixListener, persistent: bool) -> UnixStream {
    let accepting = tokio::time::timeout(ASKED_WITHIN, accept(listener, persistent));
    accepting.await.expect("the verb asks nobody")
}

/// A script that goes on.
#[derive(Debug)]
pub(crate) struct Answering(JoinHandle<Vec<Request>>);

impl Answering {
    fn begin(socket: &Path, persistent: bool, script: Vec<Say>) -> Self {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                let mut asked = Vec::new();
                for part in script.split(|say| matches!(say, Say::Die)) {
                    let mut stream = accepted(&listener, persistent).await;
                    asked.push(request(&mut stream).await);
                    for line in part {
                        match line {
                            Say::Message(message) => say(&mut stream, message).await,
                            Say::Data(data) => frame::write_data(&mut stream, data).await.unwrap(),
                            Say::Die => unreachable!("the script is split at it"),
                        }
                    }
                }
                asked
            })
        }))
    }

    /// Every request about names that came, one for each node.
    pub(crate) fn asked(self) -> Vec<NameRequest> {
        let of_names = |request| match request {
            Request::Name(request) => request,
            other => panic!("no request about names but {other:?}"),
        };
        self.0.join().unwrap().into_iter().map(of_names).collect()
    }
}

/// Runs a verb against a script of one node, a running peer.
#[track_caller]
pub(crate) fn exchange(arguments: &str, script: Vec<Say>) -> (Ran, NameRequest) {
    let store = Store::new();
    let node = store.answer(true, script);
    let ran = run(&mut store.shoal(arguments));
    (ran, node.asked().remove(0))
}

/// Standard output as objects.
#[track_caller]
pub(crate) fn objects(ran: &Ran) -> Vec<serde_json::Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The key of the names of these tests.
pub(crate) const KEY: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

/// A name that stands well.
pub(crate) fn resolved() -> Resolved {
    Resolved {
        name: KEY.into(),
        petname: Some("notes".into()),
        path: b"/ipfs/bafyhead/a".to_vec(),
        cid: "bafyhead".into(),
        version: Some(3),
        position: "#0.4".into(),
        link: format!("shoal://{KEY}#0.4.ab12cd34"),
        time_ms: 1_769_860_800_123,
        standing: Standing::Ok,
        confirmed_ms: Some(3_400),
        sources: vec!["gossip".into()],
        refused: vec!["an answer of 12D3KooWx: wrong sig\x1bnature".into()],
        fork: None,
    }
}

/// The same, forked.
pub(crate) fn forked() -> Resolved {
    Resolved {
        standing: Standing::Forked,
        fork: Some(ForkLine {
            position: "#0.5".into(),
            common: Some(3),
            version: Some(4),
            entries: vec!["bafyone".into(), "bafytwo".into()],
            roots: vec![Some("bafkone".into()), Some("bafktwo".into())],
            guilty: vec!["ab".repeat(32)],
            proof: b"/store/proofs/1".to_vec(),
        }),
        ..resolved()
    }
}
