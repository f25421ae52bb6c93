//! A scripted node on a control socket, for tests of what a mount asks.
//!
//! It listens where a store's node would and hands every request to the test, which answers or does
//! not; dropping it closes its connections and leaves the socket's file behind, as a killed node does.

use std::time::Duration;

use shoal_dag::{
    Cid, Version,
    hash::{self, HashKind},
};
use shoal_net::Network;
use tempfile::TempDir;
use tokio::{
    io::BufReader,
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    config::Settings,
    control::{
        frame::{self, Frame},
        protocol::{
            Described, Hello, Kind, Meta, Outcome, PROTOCOL_VERSION, Request, Response, Welcome,
            name::{NameRequest, Resolved, Standing},
        },
        socket,
    },
};

/// Longer than anything that a test waits for takes on a loaded machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The name in every script.
pub(super) const NAME: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

/// A request, and where its answer goes; dropping that closes the connection.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    answer: oneshot::Sender<Vec<Response>>,
}

/// A node that says what the test wants.
#[derive(Debug)]
pub(super) struct Scripted {
    asked: mpsc::Receiver<Asked>,
    listening: JoinHandle<()>,
}

/// A store's directory without a store.
pub(super) fn settings(dir: &TempDir) -> Settings {
    Settings {
        dir: dir.path().to_owned(),
        network: Network::Isolated,
        bootstrap: Vec::new(),
        listen: Vec::new(),
        bandwidth: crate::config::bandwidth::Timetable::default(),
        connections_max: shoal_net::CONNECTIONS_DEFAULT,
        quota: None,
        timeout: PATIENCE,
        dns: None,
    }
}

/// A CID that stands for this number.
pub(super) fn cid(number: u8) -> Cid {
    hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, &[number])
}

/// How the name stands when its content is [`cid`] of this number.
pub(super) fn resolved(number: u8, standing: Standing) -> Response {
    let cid = cid(number);
    Response::Done(Outcome::Resolved(Box::new(Resolved {
        name: NAME.into(),
        petname: Some("photos".into()),
        path: format!("/ipfs/{cid}").into(),
        cid: cid.to_string(),
        version: Some(number.into()),
        position: format!("#0.{number}"),
        link: String::new(),
        time_ms: 0,
        standing,
        confirmed_ms: None,
        sources: Vec::new(),
        refused: Vec::new(),
        fork: None,
    })))
}

/// A directory that is [`cid`] of this number.
pub(super) fn directory(number: u8) -> Described {
    Described {
        cid: cid(number).to_string(),
        kind: Kind::Directory,
        size: 0,
        dag_size: 0,
        links: 0,
        sharded: false,
        target: None,
        meta: Meta::default(),
    }
}

/// The answer to `Stat` when it is [`directory`] of this number.
pub(super) fn described(number: u8) -> Response {
    Response::Done(Outcome::Described(directory(number)))
}

impl Scripted {
    /// Listens in a store's directory; `persistent` as a running peer does.
    pub(super) fn start(settings: &Settings, persistent: bool) -> Self {
        let listener = socket::bind(&settings.socket()).unwrap();
        let (ask, asked) = mpsc::channel(16);
        let listening = tokio::spawn(async move {
            // Ended with the listener.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, persistent, ask.clone()));
            }
        });
        Self { asked, listening }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("nothing was asked").unwrap()
    }

    /// The next request, which is `Watch` with this seen.
    pub(super) async fn watched(&mut self, seen: u8) -> Asked {
        let asked = self.next().await;
        let Request::Name(NameRequest::Watch { target, seen: shown, .. }) = &asked.request else {
            panic!("not watched but {:?}", asked.request);
        };
        assert_eq!(String::from_utf8_lossy(target), NAME);
        assert_eq!(*shown, Some(cid(seen).to_string()));
        asked
    }

    /// The next request, which is `Stat` of this.
    pub(super) async fn looked_at(&mut self, path: &str) -> Asked {
        let asked = self.next().await;
        let Request::Stat { target, .. } = &asked.request else {
            panic!("not looked at but {:?}", asked.request);
        };
        assert_eq!(String::from_utf8_lossy(target), path);
        asked
    }

    /// True when nothing is asked for as long as this.
    pub(super) async fn is_left_alone(&mut self, time: Duration) -> bool {
        timeout(time, self.asked.recv()).await.is_err()
    }
}

impl Asked {
    /// Answers.
    pub(super) fn answer(self, response: Response) {
        self.answers(vec![response]);
    }

    /// Answers with several messages, of which the last ends it.
    pub(super) fn answers(self, responses: Vec<Response>) {
        self.answer.send(responses).unwrap();
    }

    /// True once nobody waits for the answer.
    pub(super) async fn is_given_up(&mut self) -> bool {
        timeout(PATIENCE, self.answer.closed()).await.is_ok()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn connection(stream: UnixStream, persistent: bool, ask: mpsc::Sender<Asked>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let Ok(Some(Frame::Message(Hello { .. }))) = frame::read(&mut reader).await else { return };
    let welcome = Welcome { version: PROTOCOL_VERSION, pid: 1, persistent };
    frame::write_message(&mut writer, &welcome).await.unwrap();
    while let Ok(Some(Frame::Message(request))) = frame::read::<_, Request>(&mut reader).await {
        let (answer, answered) = oneshot::channel();
        if ask.send(Asked { request, answer }).await.is_err() {
            return;
        }
        tokio::select! {
            answer = answered => match answer {
                Ok(responses) => {
                    for response in responses {
                        frame::write_message(&mut writer, &response).await.unwrap();
                    }
                }
                Err(_) => return,
            },
            // The asker hangs up.
            _ = frame::read::<_, Request>(&mut reader) => return,
        }
    }
}
