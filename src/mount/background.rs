//! `mount --background`: the same command again as a process of its own, watched until it answers.
//!
//! Until its drive can be used, the child's talk goes to the parent, which passes it on, and a signal to
//! the parent ends both. Then the child leaves the terminal's session, whose end does not end the drive,
//! and talks to nobody.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

use super::{Told, child, interrupted};
use crate::control::protocol::Failure;

/// Tells the child that somebody waits for it to be ready on its standard output.
pub(super) const VARIABLE: &str = "SHOAL_MOUNT_CHILD";

/// What the child writes there.
const READY: u8 = b'r';

/// What is kept of a failure's words.
const WORDS_BYTES_MAX: usize = 16 << 10;

/// Starts the child and returns when its drive can be used, or at `stop`.
///
/// # Errors
/// What the child said.
pub(super) async fn run(
    dir: &Path,
    tell: mpsc::Sender<Told>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("start the process that mounts", dir, &error);
    let mut child = spawn().map_err(failed)?;
    tokio::select! {
        ready = ready(&mut child, tell) => match ready {
            Ok(()) => Ok(()),
            Err(words) => {
                let ended = child.wait().await.map_err(failed)?;
                Err(child::told(&words, ended.code()))
            }
        },
        () = stop => {
            child::end(&mut child).await;
            Err(interrupted())
        }
    }
}

fn spawn() -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1).filter(|arg| arg != "--background"))
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Resolves when the child is ready, or has ended with these words.
async fn ready(child: &mut Child, tell: mpsc::Sender<Told>) -> Result<(), String> {
    let (Some(mut ready), Some(talk)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("error: the process that mounts has no pipes".to_owned());
    };
    let mut lines = BufReader::new(talk).lines();
    let mut words = String::new();
    let mut byte = [0];
    loop {
        tokio::select! {
            // With --json a failure stands there too.
            read = ready.read(&mut byte) => match read {
                Ok(1) if byte == [READY] => return Ok(()),
                _ => break,
            },
            line = lines.next_line() => match line {
                Ok(Some(line)) => hear(line, &mut words, &tell).await,
                Ok(None) | Err(_) => break,
            },
        }
    }
    // It has ended, or is about to.
    while let Ok(Some(line)) = lines.next_line().await {
        hear(line, &mut words, &tell).await;
    }
    Err(words)
}

async fn hear(line: String, words: &mut String, tell: &mpsc::Sender<Told>) {
    if child::is_failure(&line) && words.len() + line.len() < WORDS_BYTES_MAX {
        words.push_str(&line);
        words.push('\n');
    } else {
        let _ended = tell.send(Told::Line(line)).await;
    }
}

/// In the child: says that the drive can be used, and lets go of the parent's pipes and terminal.
pub(super) fn tell_ready() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let apart = rustix::process::setsid();
    let written = rustix::io::write(rustix::stdio::stdout(), &[READY]);
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    if let (Ok(_), Ok(null)) = (written, null) {
        let moved = [rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null)];
        if apart.is_err() || moved.iter().any(Result::is_err) {
            tracing::debug!("the parent's pipes or session stay");
        }
    }
}
