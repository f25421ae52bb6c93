//! `mount --background`: the same command again as a process of its own, watched until it answers.
//!
//! Until its drive can be used, the child's talk goes to the parent, which passes it on, and a signal to
//! the parent ends both. Then the child leaves the terminal's session, whose end does not end the drive,
//! and talks to nobody.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    sync::mpsc,
};

use super::{Told, child, interrupted};
use crate::control::protocol::Failure;

/// Tells the child that somebody waits for it to be ready on its standard output.
pub(super) const VARIABLE: &str = "SHOAL_MOUNT_CHILD";

/// What the child writes there.
const READY: u8 = b'r';

/// How long the last lines of a child that is ready are waited for.
const LAST_WORDS_MAX: Duration = Duration::from_millis(500);

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
    let ended = async {
        match ready(&mut child, tell).await {
            Ok(()) => Ok(()),
            Err(words) => {
                let ended = child.wait().await.map_err(failed)?;
                Err(child::told(&words, ended.code()))
            }
        }
    };
    tokio::select! {
        ended = ended => ended,
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
                Ok(1) if byte == [READY] => {
                    last_words(&mut lines, &mut words, &tell).await;
                    return Ok(());
                }
                _ => break,
            },
            line = lines.next_line() => match line {
                Ok(Some(line)) => hear(line, &mut words, &tell).await,
                // A child that is ready lets go of both pipes at once: which end is seen first is chance.
                Ok(None) | Err(_) => {
                    let read = ready.read(&mut byte).await;
                    if matches!(read, Ok(1)) && byte == [READY] {
                        return Ok(());
                    }
                    break;
                }
            },
        }
    }
    // It has ended, or is about to.
    while let Ok(Some(line)) = lines.next_line().await {
        hear(line, &mut words, &tell).await;
    }
    Err(words)
}

/// What the child said before it was ready: its end of the pipe closes then, unless it could not.
async fn last_words(
    lines: &mut Lines<BufReader<ChildStderr>>,
    words: &mut String,
    tell: &mpsc::Sender<Told>,
) {
    while let Ok(Ok(Some(line))) = tokio::time::timeout(LAST_WORDS_MAX, lines.next_line()).await {
        hear(line, words, tell).await;
    }
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
pub(super) async fn tell_ready(tell: &mpsc::Sender<Told>) {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    // Room for everything is there once all of it was written to the parent's pipe.
    let heard = tell.reserve_many(tell.max_capacity());
    drop(tokio::time::timeout(LAST_WORDS_MAX, heard).await);
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
