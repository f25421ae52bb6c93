//! A started process: what it prints, when, and how it ends.
//!
//! Two threads read stdout and stderr line by line into one channel with the time of each line, so
//! that a test can await a line. A [`Started`] that is dropped is killed with its process group, which
//! is its own, and waited for.

use std::{
    fmt,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::{POLL, Store, WAIT_MAX, within};

/// How long the pipes of an ended process are read on: whoever inherited them may hold them open.
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(2);

/// Which stream a line came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// One line with its end, and when it was read.
#[derive(Debug)]
struct Line {
    stream: Stream,
    at: Instant,
    bytes: Vec<u8>,
}

/// A process of the test.
pub(crate) struct Started {
    child: Child,
    what: String,
    begin: Instant,
    lines: Receiver<Line>,
    seen: Vec<Line>,
    ended: Option<ExitStatus>,
}

impl Started {
    /// Starts it. A stdout that `command` sets elsewhere is not read.
    #[track_caller]
    pub(crate) fn new(command: Command) -> Self {
        Self::with_stdout(command, Stdio::piped())
    }

    /// Starts it with another stdout.
    #[track_caller]
    pub(crate) fn with_stdout(mut command: Command, stdout: impl Into<Stdio>) -> Self {
        let what = format!("{command:?}");
        let begin = Instant::now();
        let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            read_lines(stdout, Stream::Out, send.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            read_lines(stderr, Stream::Err, send);
        }
        Self { child, what, begin, lines, seen: Vec::new(), ended: None }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that holds `part` and gives it with the time since the start.
    pub(crate) fn line(
        &mut self,
        stream: Stream,
        part: &str,
        wait: Duration,
    ) -> Option<(String, Duration)> {
        let end = Instant::now() + wait;
        let mut looked_at = 0;
        loop {
            for line in &self.seen[looked_at..] {
                let text = String::from_utf8_lossy(&line.bytes);
                if line.stream == stream && text.contains(part) {
                    return Some((text.trim_end().to_owned(), line.at - self.begin));
                }
            }
            looked_at = self.seen.len();
            let left = end.saturating_duration_since(Instant::now());
            self.seen.push(self.lines.recv_timeout(left).ok()?);
        }
    }

    /// True while it runs.
    pub(crate) fn runs(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended.is_none()
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.runs() {
            let id = Pid::from_child(&self.child);
            // It may have ended since, but it was not waited for: the id is still its own.
            kill_process(id, signal).ok();
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn finish(self) -> Run {
        self.finish_within(WAIT_MAX)
    }

    /// Waits for its end for so long.
    #[track_caller]
    pub(crate) fn finish_within(mut self, wait: Duration) -> Run {
        let what = self.what.clone();
        if within(wait, || (!self.runs()).then_some(())).is_none() {
            self.drain(POLL);
            let run = self.collect(ExitStatus::default());
            panic!("{what} does not end within {wait:?}\n{run}");
        }
        let status = self.ended.unwrap_or_default();
        self.drain(DRAIN_WAIT_MAX);
        self.collect(status)
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(mut self) -> Run {
        self.signal(Signal::KILL);
        self.finish()
    }

    fn drain(&mut self, wait: Duration) {
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn collect(&mut self, status: ExitStatus) -> Run {
        let bytes = |stream| -> Vec<u8> {
            let lines = self.seen.iter().filter(|line| line.stream == stream);
            lines.flat_map(|line| line.bytes.iter().copied()).collect()
        };
        Run {
            what: self.what.clone(),
            status,
            stdout: bytes(Stream::Out),
            stderr: String::from_utf8_lossy(&bytes(Stream::Err)).into_owned(),
            took: self.begin.elapsed(),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.runs() {
            // Its group is its own and still exists, since it was not waited for.
            kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
            self.child.wait().ok();
        }
    }
}

/// How a process ended and what it printed.
#[must_use]
pub(crate) struct Run {
    what: String,
    status: ExitStatus,
    /// Its stdout.
    pub(crate) stdout: Vec<u8>,
    /// Its stderr.
    pub(crate) stderr: String,
    /// Time from start to end.
    pub(crate) took: Duration,
}

impl Run {
    /// Its exit code; a signal is none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "wrong exit code of {self}");
        self
    }

    /// Asserts exit 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts that stderr names something.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "{part:?} is not said by {self}");
        self
    }

    /// The lines of its stdout.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.stdout).lines().map(str::to_owned).collect()
    }

    /// The one CID that a successful `add` of one thing prints: the first word of its only line.
    #[track_caller]
    pub(crate) fn cid(self) -> String {
        let run = self.ok();
        let lines = run.lines();
        assert_eq!(lines.len(), 1, "one line on stdout expected of {run}");
        lines[0].split(' ').next().unwrap_or_default().to_owned()
    }

    /// The last object of `--json`.
    #[track_caller]
    pub(crate) fn outcome(&self) -> Value {
        let lines = self.lines();
        let last = lines.last().unwrap_or_else(|| panic!("no outcome from {self}"));
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e} in the outcome of {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdout = &self.stdout[..self.stdout.len().min(4000)];
        write!(out, "{}\n{} after {:?}\n", self.what, self.status, self.took)?;
        write!(out, "stdout:\n{}\nstderr:\n{}", stdout.escape_ascii(), self.stderr)
    }
}

/// A running peer.
pub(crate) struct Peer {
    store: Store,
    process: Started,
    addresses: Vec<String>,
}

impl Peer {
    /// Waits for the `ready` line of a started `seed`.
    #[track_caller]
    pub(crate) fn new(store: Store, mut process: Started) -> Self {
        let Some((line, _)) = process.line(Stream::Out, "ready ", WAIT_MAX) else {
            panic!("no ready line from {}", process.kill());
        };
        let addresses = vec![line.trim_start_matches("ready ").to_owned()];
        Self { store, process, addresses }
    }

    /// A multiaddress of it, with its peer id.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// Its peer id.
    pub(crate) fn peer_id(&self) -> &str {
        self.address().rsplit('/').next().unwrap_or_default()
    }

    /// Its store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Started {
        &mut self.process
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        drop(self.process.kill());
    }

    /// SIGTERM; gives how it ended.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Run {
        self.process.signal(Signal::TERM);
        self.process.finish()
    }
}

fn read_lines(pipe: impl Read + Send + 'static, stream: Stream, send: Sender<Line>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut bytes = Vec::new();
            match pipe.read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if send.send(Line { stream, at: Instant::now(), bytes }).is_err() {
                return;
            }
        }
    });
}
