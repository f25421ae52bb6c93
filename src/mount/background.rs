//! `mount --background`: the same command again as a process of its own, watched until it answers.
//!
//! The child is in a session of its own, so that the end of the terminal does not end the drive. Until
//! it can be used its talk goes to the parent, which passes a failure on; afterwards to nobody.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::io::AsyncReadExt;

use crate::control::protocol::Failure;

/// Tells the child that somebody waits for it to be ready on its standard output.
const VARIABLE: &str = "SHOAL_MOUNT_CHILD";

/// Longest wait for the child: a root block from far away takes its time, and the child has deadlines.
const READY_MAX: Duration = Duration::from_secs(180);

/// Starts the child and returns when its drive can be used.
///
/// # Errors
/// What the child said.
pub async fn run(dir: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("start the process that mounts", dir, &error);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .args(std::env::args_os().skip(1).filter(|arg| arg != "--background"))
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = tokio::process::Command::from(command).spawn().map_err(failed)?;
    let (Some(mut ready), Some(mut talk)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::failed("the process that mounts has no pipes"));
    };
    let until = Instant::now() + READY_MAX;
    let mut byte = [0];
    match tokio::time::timeout_at(until.into(), ready.read(&mut byte)).await {
        Ok(Ok(1)) => Ok(()),
        Ok(_) => {
            let mut text = String::new();
            // It has ended, or is about to: what it said is all there is.
            let _partial = talk.read_to_string(&mut text).await;
            let ended = child.wait().await.map_err(failed)?;
            Err(told(&text, ended.code()))
        }
        Err(_) => {
            child.kill().await.map_err(failed)?;
            Err(Failure::failed(format!("{} did not answer in time", dir.display())))
        }
    }
}

/// The child's own failure, as it told it.
fn told(text: &str, code: Option<i32>) -> Failure {
    let line = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix));
    let message = line("error: ").unwrap_or("the process that mounts ended").to_owned();
    let exit = crate::exit::Exit::ALL
        .iter()
        .find(|(exit, _)| Some(i32::from(exit.code())) == code)
        .map_or(crate::exit::Exit::Failed, |(exit, _)| *exit);
    let failure = Failure::new(exit, message);
    match line("hint: ") {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// In the child: says that the drive can be used, and lets go of the parent's pipes.
pub fn tell_ready() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let written = rustix::io::write(rustix::stdio::stdout(), b"r");
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    if let (Ok(_), Ok(null)) = (written, null) {
        let moved = [rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null)];
        if moved.iter().any(Result::is_err) {
            tracing::debug!("the parent's pipes stay open");
        }
    }
}
