//! The node that a mount starts when none is running: `shoal seed` as a child process.
//!
//! It holds a pipe to its standard input whose end tells it to stop, so that it does not outlive a mount
//! that was killed. What it says on standard error is kept for the one who asks why it ended.

use std::process::Stdio;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    task::JoinHandle,
};

use super::child;
use crate::{config::Settings, control::protocol::Failure};

/// What is kept of its words: an error and a hint are far shorter.
const WORDS_BYTES_MAX: u64 = 16 << 10;

/// A node that this process started.
#[derive(Debug)]
pub(super) struct ChildNode {
    child: Child,
    words: JoinHandle<String>,
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum State {
    /// It runs.
    Runs,
    /// It was killed, or ended because it was told to.
    Ended,
    /// It could not go on.
    Failed(Failure),
}

impl ChildNode {
    /// Starts it. Where a short-lived verb owns the store, it waits for its end and takes over.
    pub(super) fn start(settings: &Settings) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::failed(format!("cannot start a node: {error}"));
        let mut child =
            command(settings).and_then(|mut command| command.spawn()).map_err(failed)?;
        let stderr = child.stderr.take();
        Ok(Self { child, words: tokio::spawn(words(stderr)) })
    }

    /// What has become of it.
    pub(super) async fn state(&mut self) -> State {
        match self.child.try_wait() {
            Ok(None) => State::Runs,
            Ok(Some(status)) if status.code().is_some_and(|code| code != 0) => {
                let words = (&mut self.words).await.unwrap_or_default();
                State::Failed(child::told(&words, status.code()))
            }
            Ok(Some(_)) | Err(_) => State::Ended,
        }
    }

    /// Ends it in order.
    pub(super) async fn end(mut self) {
        child::end(&mut self.child).await;
    }
}

fn command(settings: &Settings) -> std::io::Result<Command> {
    let network = format!("{:?}", settings.network).to_lowercase();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--dir").arg(&settings.dir).arg("--network").arg(network).arg("-q");
    for address in &settings.bootstrap {
        command.arg("--bootstrap").arg(address);
    }
    for address in &settings.listen {
        command.arg("--listen").arg(address);
    }
    command
        .arg("--bwlimit")
        .arg(settings.bandwidth.to_string())
        .arg("--connections")
        .arg(settings.connections_max.to_string())
        .args(["seed", "--until-eof"])
        .env_remove(super::background::VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Reads to the end, keeping the beginning.
async fn words(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let mut kept = Vec::new();
    // What cannot be read is not known; it ends all the same.
    let _partial = (&mut from).take(WORDS_BYTES_MAX).read_to_end(&mut kept).await;
    let _rest = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
