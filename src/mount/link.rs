//! The mount's connections to the node.
//!
//! A pool of control connections, one request on each at a time, so that many reads wait side by side.
//! When the node is gone a call connects again until its deadline; with no node there, one is started
//! as a child process, and again if it dies. The child ends with the mount.

use std::{
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{process::Child, time::Instant};

use crate::{
    config::Settings,
    control::{
        client::{Answer, Client, ClientError},
        protocol::{Failure, Listed, Outcome, Request, Response},
    },
    exit::Exit,
};

/// Idle connections kept: as many as the mount has workers that wait for the node.
const IDLE_MAX: usize = 32;

/// How long a call tries to reach a node that is gone: a peer that is started again by a supervisor
/// needs a few seconds, and an application should not be told EIO for it.
const REACH_MAX: Duration = Duration::from_secs(10);

/// Pause between two tries to connect.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Least time between two starts of a child.
const START_EVERY: Duration = Duration::from_secs(2);

/// A way to the node.
#[derive(Debug)]
pub struct Link {
    settings: Settings,
    idle: Mutex<Vec<Client>>,
    node: tokio::sync::Mutex<Started>,
}

#[derive(Debug, Default)]
struct Started {
    child: Option<Child>,
    at: Option<Instant>,
}

/// Everything that came before the end of an answer.
#[derive(Debug, Default)]
pub struct Answered {
    /// Directory entries.
    pub listed: Vec<Listed>,
    /// Data frames, joined.
    pub data: Bytes,
    /// The end.
    pub outcome: Option<Outcome>,
}

impl Link {
    /// Not connected yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, idle: Mutex::default(), node: tokio::sync::Mutex::default() }
    }

    /// Asks and returns the outcome alone.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn ask(&self, request: &Request) -> Result<Outcome, Failure> {
        self.call(request).await?.outcome.ok_or_else(|| Failure::failed("the node said nothing"))
    }

    /// Asks; a node that goes away in the middle is asked again when it is back.
    ///
    /// # Errors
    /// The node's failure; exit 10 when no node can be reached.
    pub async fn call(&self, request: &Request) -> Result<Answered, Failure> {
        let until = Instant::now() + REACH_MAX;
        loop {
            let mut client = match self.take() {
                Some(client) => client,
                None => self.connect(until).await?,
            };
            match exchange(&mut client, request).await {
                Ok(answer) => {
                    self.put_back(client);
                    return answer;
                }
                Err(ClientError::Gone(error)) if Instant::now() < until => {
                    tracing::debug!(%error, "the node is gone; connecting again");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&self) -> Option<Client> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, client: Client) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }

    async fn connect(&self, until: Instant) -> Result<Client, Failure> {
        loop {
            let error = match Client::connect(&self.settings.socket()).await {
                Ok(client) => return Ok(client),
                Err(ClientError::Gone(error)) => error,
                Err(error) => return Err(error.into()),
            };
            self.start_node().await?;
            if Instant::now() >= until {
                let text = format!("no node answers on {}: {error}", self.settings.dir.display());
                return Err(Failure::new(Exit::NoPeer, text));
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Starts a node as a child, if none that this mount started is running.
    async fn start_node(&self) -> Result<(), Failure> {
        let mut started = self.node.lock().await;
        if let Some(child) = &mut started.child
            && matches!(child.try_wait(), Ok(None))
        {
            return Ok(());
        }
        if started.at.is_some_and(|at| at.elapsed() < START_EVERY) {
            return Ok(());
        }
        started.at = Some(Instant::now());
        started.child = Some(spawn_node(&self.settings)?);
        Ok(())
    }

    /// Ends the node that this mount started, if it did.
    pub async fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let child = self.node.lock().await.child.take();
        if let Some(mut child) = child
            && let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if ended.is_ok() {
                let _waited = tokio::time::timeout(Duration::from_secs(3), child.wait()).await;
            }
        }
    }
}

fn spawn_node(settings: &Settings) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start a node: {error}"));
    let network = format!("{:?}", settings.network).to_lowercase();
    let mut command = tokio::process::Command::new(std::env::current_exe().map_err(failed)?);
    command.arg("--dir").arg(&settings.dir).arg("--network").arg(network).arg("-q");
    for address in &settings.bootstrap {
        command.arg("--bootstrap").arg(address);
    }
    for address in &settings.listen {
        command.arg("--listen").arg(address);
    }
    let limit = |limit: Option<u64>| limit.map_or("off".to_owned(), |limit| limit.to_string());
    command
        .arg("--bwlimit")
        .arg(format!("{}:{}", limit(settings.up_max), limit(settings.down_max)))
        .arg("seed")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

async fn exchange(
    client: &mut Client,
    request: &Request,
) -> Result<Result<Answered, Failure>, ClientError> {
    client.send(request).await?;
    let mut answered = Answered::default();
    let mut parts: Vec<Bytes> = Vec::new();
    loop {
        match client.next().await? {
            Answer::Data(data) => parts.push(data),
            Answer::Response(Response::Listed(listed)) => answered.listed.extend(listed),
            Answer::Response(Response::Done(outcome)) => {
                answered.outcome = Some(outcome);
                answered.data = join(parts);
                return Ok(Ok(answered));
            }
            Answer::Response(Response::Failed(failure)) => return Ok(Err(failure)),
            Answer::Response(_) => {}
        }
    }
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        1 => parts.remove(0),
        _ => {
            let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            for part in parts {
                all.extend_from_slice(&part);
            }
            all.freeze()
        }
    }
}
