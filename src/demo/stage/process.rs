//! One process of the demo.
//!
//! Its stdout is read line by line and the last [`LINES_KEPT_MAX`] lines are kept; its stderr goes to
//! a file. It is only ever signalled through its own handle, so never after it was waited for.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::timeout,
};

use super::super::{at, failed};
use crate::control::protocol::Failure;

/// Lines of stdout kept: an add prints one, a fetch with `--json` its outcome last.
const LINES_KEPT_MAX: usize = 64;

/// Lines of stderr quoted when a process fails.
const LINES_QUOTED_MAX: usize = 6;

/// How long a process may take to end after SIGTERM before it is killed; the design allows 2 s.
const TERM_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long a killed process may take to be gone.
const KILL_WAIT_MAX: Duration = Duration::from_secs(10);

/// A started process.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    log: PathBuf,
}

impl Process {
    /// Starts `binary`, without any `SHOAL_*` variable of this process.
    pub(super) fn start<'a>(
        name: String,
        binary: &Path,
        arguments: impl Iterator<Item = &'a OsStr>,
        log: PathBuf,
    ) -> Result<Self, Failure> {
        let stderr = File::create(&log).map_err(|e| at(&log, "write", &e))?;
        let mut command = Command::new(binary);
        command.args(arguments).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"SHOAL_") {
                command.env_remove(variable);
            }
        }
        let mut child = command.spawn().map_err(|e| at(binary, "start", &e))?;
        let (send, lines) = watch::channel(Vec::new());
        if let Some(stdout) = child.stdout.take() {
            // Ends with the process, whose end of the pipe it reads.
            drop(tokio::spawn(read_lines(stdout, send)));
        }
        Ok(Self { name, child, lines, log })
    }

    /// What it is, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a line that begins with `start`.
    pub(super) async fn line(
        &mut self,
        start: &str,
        wait_max: Duration,
    ) -> Result<String, Failure> {
        let find = |lines: &[String]| lines.iter().find(|line| line.starts_with(start)).cloned();
        let there = self.lines.wait_for(|lines| find(lines).is_some());
        let what = match timeout(wait_max, there).await {
            Ok(Ok(lines)) => return Ok(find(&lines).unwrap_or_default()),
            Ok(Err(_)) => "ended too early".to_owned(),
            Err(_) => format!("was not ready within {} s", wait_max.as_secs()),
        };
        Err(self.failed(&what))
    }

    /// Waits for exit 0 and gives the last lines.
    pub(super) async fn finish(&mut self, wait_max: Duration) -> Result<Vec<String>, Failure> {
        let Ok(ended) = timeout(wait_max, self.child.wait()).await else {
            return Err(self.failed(&format!("did not end within {} s", wait_max.as_secs())));
        };
        let status = ended.map_err(|e| self.failed(&format!("cannot be waited for: {e}")))?;
        if !status.success() {
            return Err(self.failed(&format!("ended with {status}")));
        }
        // The reader drops its end once it has read all that the process wrote.
        let all_read = async { while self.lines.changed().await.is_ok() {} };
        if timeout(KILL_WAIT_MAX, all_read).await.is_err() {
            return Err(self.failed("left its stdout open"));
        }
        Ok(self.lines.borrow().clone())
    }

    /// True once it has ended.
    pub(super) fn ended(&mut self) -> Result<bool, Failure> {
        let ended = self.child.try_wait();
        ended.map(|s| s.is_some()).map_err(|e| self.failed(&format!("cannot be waited for: {e}")))
    }

    /// SIGKILL, and waits for the end.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        match timeout(KILL_WAIT_MAX, self.child.kill()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&format!("cannot be killed: {error}"))),
            Err(_) => Err(self.failed("is not gone after SIGKILL")),
        }
    }

    /// SIGTERM, then SIGKILL for one who does not heed it; nothing for one who has ended.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let Some(id) = id.and_then(rustix::process::Pid::from_raw) else {
            return Ok(());
        };
        // Not yet waited for, so the id is still this process's.
        if rustix::process::kill_process(id, rustix::process::Signal::TERM).is_ok()
            && timeout(TERM_WAIT_MAX, self.child.wait()).await.is_ok()
        {
            return Ok(());
        }
        self.kill().await
    }

    /// A failure that quotes the end of its stderr.
    fn failed(&self, what: &str) -> Failure {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let quoted = lines[lines.len().saturating_sub(LINES_QUOTED_MAX)..].join("; ");
        let quoted = if quoted.is_empty() { "nothing".to_owned() } else { quoted };
        failed(format!("{} {what}; it said: {quoted}", self.name))
    }
}

/// Reads lines until the end and keeps the last ones.
async fn read_lines(stdout: ChildStdout, kept: watch::Sender<Vec<String>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        kept.send_modify(|kept| {
            if kept.len() == LINES_KEPT_MAX {
                kept.remove(0);
            }
            kept.push(line);
        });
    }
}
