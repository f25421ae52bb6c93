//! Runs the binary in an environment that holds nothing but what a test gives it.

use std::process::{Command, Output, Stdio};

/// The binary with arguments separated by blanks, and an empty environment.
pub(crate) fn shoal(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command
        .args(arguments.split_whitespace())
        .env_clear()
        .envs([("HOME", "/nonexistent"), ("SHOAL_NETWORK", "isolated"), ("COLUMNS", "100")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What it printed, as text.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs it to its end. Whatever it prints into a pipe is free of control characters.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
    for stream in [&ran.stdout, &ran.stderr] {
        assert!(!stream.contains(['\x1b', '\r']), "control characters in {stream:?}");
    }
    ran
}
