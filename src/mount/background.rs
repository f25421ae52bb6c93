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
    tokio::select! {
        settled = settled(&mut child, tell) => settled.map_err(failed)?,
        () = stop => {
            child::end(&mut child).await;
            Err(interrupted())
        }
    }
}

/// Waits until the child is ready, or has ended.
async fn settled(
    child: &mut Child,
    tell: mpsc::Sender<Told>,
) -> std::io::Result<Result<(), Failure>> {
    match ready(child, tell).await {
        Ok(()) => Ok(Ok(())),
        Err(words) => Ok(Err(child::told(&words, child.wait().await?.code()))),
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
    let mut talks = true;
    loop {
        tokio::select! {
            // A child that is ready lets go of both pipes at once.
            biased;
            // With --json a failure stands there too.
            read = ready.read(&mut byte) => match read {
                Ok(1) if byte == [READY] => {
                    last_words(&mut lines, &mut words, &tell).await;
                    return Ok(());
                }
                _ => break,
            },
            line = lines.next_line(), if talks => match line {
                Ok(Some(line)) => hear(line, &mut words, &tell).await,
                Ok(None) | Err(_) => talks = false,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than a shell takes on a loaded machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// A shell in the place of the child, and what became of it.
    async fn settle(script: &str) -> (Result<(), Failure>, Vec<String>) {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (tell, mut told) = mpsc::channel(16);
        let settled = tokio::time::timeout(PATIENCE, settled(&mut child, tell)).await;
        let mut lines = Vec::new();
        while let Ok(Told::Line(line)) = told.try_recv() {
            lines.push(line);
        }
        (settled.expect("it waits for ever").unwrap(), lines)
    }

    #[tokio::test]
    async fn a_child_that_lets_go_of_its_pipes_before_it_is_heard_is_ready() {
        let scripts = [
            "echo mounted >&2; printf r; exec >/dev/null 2>&1 sleep 60",
            "echo mounted >&2; exec 2>/dev/null; sleep 0.1; printf r; exec sleep 60 >/dev/null",
            "printf r; echo mounted >&2; exec >/dev/null 2>&1 sleep 60",
        ];
        for script in scripts {
            assert_eq!(settle(script).await, (Ok(()), vec!["mounted".to_owned()]), "{script}");
        }
    }

    #[tokio::test]
    async fn a_child_that_ends_is_no_ready_one() {
        let said = "echo looking >&2; echo error: nobody has it >&2; exit 4";
        let failure = Failure::new(crate::exit::Exit::NotFound, "nobody has it");
        assert_eq!(settle(said).await, (Err(failure), vec!["looking".to_owned()]));
        let json = "echo error: nobody has it >&2; echo '{}'; exit 1";
        assert!(settle(json).await.0.is_err());
        assert!(settle("exit 0").await.0.is_err(), "it never was ready");
    }
}
