//! A node with names for tests: a real store in a temporary directory, and nobody to ask.
//!
//! A miss fails at once, since the network is isolated and knows no peer. Versions are signed with the
//! name's own key and stored as publishing stores them, so that everything read here was accepted by a
//! reader.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use shoal_dag::Cid;
use shoal_ledger::{
    Body, LedgerId, SecretKey,
    chain::{Archive, Chain},
    entry::Update,
    head,
};
use shoal_net::Network;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{keys, manage, now_ms, state::State};
use crate::{
    config::Settings,
    control::{
        frame::Frame,
        protocol::{Add, Outcome, Response, Wait},
        server::Responder,
    },
    node::{Node, add},
};

/// Answers that a test may leave unread.
const ANSWERS_MAX: usize = 100_000;

/// How long the tests wait for what nobody has: it fails before.
pub(crate) const WAIT: Wait = Wait { idle_ms: 60_000 };

/// A node, and the histories of the names that it made.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) node: Arc<Node>,
    pub(crate) out: Responder,
    answers: mpsc::Receiver<Frame<Response>>,
    chains: Mutex<HashMap<LedgerId, Chain>>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let settings = Settings {
            dir: dir.path().join("store"),
            network: Network::Isolated,
            bootstrap: Vec::new(),
            listen: Vec::new(),
            bandwidth: crate::config::bandwidth::Timetable::default(),
            connections_max: shoal_net::CONNECTIONS_DEFAULT,
            quota: None,
            timeout: Duration::from_mins(1),
            dns: None,
        };
        let node = Node::open(&settings, false).await.expect("a node");
        let (out, answers) = Responder::for_tests(ANSWERS_MAX);
        Self { dir, node, out, answers, chains: Mutex::default() }
    }

    /// A path beside the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new name of our own, without versions.
    pub(crate) async fn name(&self, petname: &str) -> LedgerId {
        let made = manage::make(&self.node, petname.to_owned(), [9; 32]).await.expect("a name");
        let Outcome::NameMade { name, .. } = made else { panic!("{made:?}") };
        let name: LedgerId = name.parse().expect("a name");
        let state = self.state(name);
        let genesis = self.node.names().book().branch(&state).entry(0).expect("its first entry");
        self.chains.lock().insert(name, Chain::begin(genesis).expect("a chain"));
        name
    }

    pub(crate) fn state(&self, name: LedgerId) -> State {
        self.node.names().book().state(name).expect("the index").expect("it is known")
    }

    /// Signs a version with that content, and returns its number.
    pub(crate) fn publish(&self, name: LedgerId, root: Cid) -> u64 {
        let mut update = Update::of_root(root.to_bytes());
        update.message = Some(format!("is {root}"));
        self.sign(name, Body::Update(update), now_ms())
    }

    /// Signs an entry, and returns how many versions there are now.
    pub(crate) fn sign(&self, name: LedgerId, body: Body, time_ms: u64) -> u64 {
        let seed = keys::seed(self.node.store(), name).expect("its key");
        let key = SecretKey::from_seed(&seed);
        let mut chains = self.chains.lock();
        let chain = chains.get_mut(&name).expect("its history");
        let draft = chain.tip().draft(body, &key.public(), time_ms).expect("a draft");
        let entry = draft.sign(&[&key]).expect("an entry");
        chain.push(entry.clone()).expect("it is the next one");
        let mut state = self.state(name);
        let proof = head::prove(&*chain, state.reader.have().as_ref()).expect("a proof");
        state.reader.accept(&proof, now_ms()).expect("it extends what is pinned");
        self.node.names().book().append(&mut state, &[entry]).expect("the index");
        state.kept.versions
    }

    /// Adds what stands at a path beside the store, with modes and times.
    pub(crate) async fn add(&self, path: &str) -> Cid {
        let path = self.path(path).into_os_string().into_encoded_bytes();
        let request = Add { preserve: true, ..Add::path(path) };
        let (added, outcome) = add::add_told(&self.node, request, &self.out).await.expect("an add");
        outcome.expect("all of it");
        added[0].cid.parse().expect("a CID")
    }

    /// The answers so far.
    pub(crate) fn answers(&mut self) -> Vec<Response> {
        let mut answers = Vec::new();
        while let Ok(frame) = self.answers.try_recv() {
            if let Frame::Message(answer) = frame {
                answers.push(answer);
            }
        }
        answers
    }

    /// The data sent so far.
    pub(crate) fn data(&mut self) -> Vec<u8> {
        let mut data = Vec::new();
        while let Ok(frame) = self.answers.try_recv() {
            if let Frame::Data(part) = frame {
                data.extend_from_slice(&part);
            }
        }
        data
    }
}
