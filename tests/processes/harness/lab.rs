//! A temporary directory with stores in it, and how a verb is run on one of them.
//!
//! A [`Store`] is a directory plus the options that its processes get. Its environment is made from
//! nothing: `PATH`, a `HOME` inside the laboratory, and `SHOAL_NETWORK=isolated`.

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    eventually,
    process::{Peer, Run, Started},
};

/// Arguments of a verb: strings and paths mixed.
pub(crate) type Arguments<'a> = &'a [&'a dyn AsRef<OsStr>];

/// A directory that ends with the test.
pub(crate) struct Lab {
    dir: TempDir,
}

impl Lab {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("shoal-test-").tempdir().unwrap();
        Self { dir }
    }

    /// A path inside, which need not exist.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A store of its own that is told of nobody.
    pub(crate) fn store(&self, name: &str) -> Store {
        Store { dir: self.path(name), home: self.path(""), options: Vec::new() }
    }
}

/// A store and the options that its processes get.
#[derive(Clone)]
pub(crate) struct Store {
    dir: PathBuf,
    home: PathBuf,
    options: Vec<OsString>,
}

impl Store {
    /// The same, told the address of a peer.
    pub(crate) fn told(&self, address: &str) -> Self {
        self.option("--bootstrap", address)
    }

    /// The same, with one more option.
    pub(crate) fn option(&self, name: &str, value: &str) -> Self {
        let mut store = self.clone();
        store.options.extend([name.into(), value.into()]);
        store
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The command line of a verb, not started.
    pub(crate) fn command(&self, arguments: Arguments<'_>) -> Command {
        let binary = OsStr::new(env!("CARGO_BIN_EXE_shoal"));
        self.command_in(&[&binary], arguments)
    }

    /// The same behind a wrapper such as `strace`: `words` come first, the binary is their last.
    pub(crate) fn command_in(&self, words: Arguments<'_>, arguments: Arguments<'_>) -> Command {
        let mut command = Command::new(words[0].as_ref());
        command.args(words[1..].iter().map(AsRef::as_ref));
        command.env_clear().env("HOME", &self.home).env("SHOAL_NETWORK", "isolated");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("RUST_BACKTRACE", "1");
        command.arg("--dir").arg(&self.dir).args(&self.options);
        command.args(arguments.iter().map(AsRef::as_ref));
        command.process_group(0).stdin(Stdio::null());
        command
    }

    /// Starts a verb, whose end is not waited for.
    pub(crate) fn start(&self, arguments: Arguments<'_>) -> Started {
        Started::new(self.command(arguments))
    }

    /// Runs a verb to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: Arguments<'_>) -> Run {
        self.start(arguments).finish()
    }

    /// Adds one path and gives its CID.
    #[track_caller]
    pub(crate) fn add(&self, path: &Path) -> String {
        self.run(&[&"add", &path]).cid()
    }

    /// Adds one path with modes and times and gives its CID.
    #[track_caller]
    pub(crate) fn add_preserved(&self, path: &Path) -> String {
        self.run(&[&"add", &"--preserve", &path]).cid()
    }

    /// Starts `seed` and waits until it is ready.
    #[track_caller]
    pub(crate) fn seed(&self) -> Peer {
        Peer::new(self.clone(), self.start(&[&"seed"]))
    }

    /// What `status --json` says of the running peer.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.run(&[&"status", &"--json"]).ok().outcome()
    }

    /// Waits until the running peer has announced so many roots.
    #[track_caller]
    pub(crate) fn announced(&self, roots: u64) {
        eventually("its roots are announced", || {
            let status = self.status();
            let done = status["announced"].as_u64()? >= roots;
            (done && status["announce_queue"] == 0).then_some(())
        });
    }

    /// Bytes on disk of all files of the store.
    pub(crate) fn disk_bytes(&self) -> u64 {
        super::tree::disk_bytes(&self.dir)
    }
}
