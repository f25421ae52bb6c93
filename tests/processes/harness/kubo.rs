//! A kubo of its own for a test: a repository and a daemon that speaks to nobody but whom it is told.
//!
//! Loopback only, without routing, bootstrap, mDNS or anything that looks further. The daemon ends with
//! the test.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Lab, Run, Started, WAIT_MAX, process::Stream, require};

/// Settings that keep it to itself, besides those of its profile `test`.
const SETTINGS: &[(&str, &str)] = &[
    ("Routing.Type", "\"none\""),
    ("Swarm.RelayClient.Enabled", "false"),
    ("Swarm.EnableHolePunching", "false"),
    ("Swarm.RelayService.Enabled", "false"),
    ("AutoNAT", "{\"ServiceMode\":\"disabled\"}"),
    ("HTTPRetrieval.Enabled", "false"),
    ("Version.SwarmCheckEnabled", "false"),
];

/// A running kubo.
pub(crate) struct Kubo {
    binary: PathBuf,
    repository: PathBuf,
    address: String,
    _daemon: Started,
}

impl Kubo {
    /// A fresh one, or none where no kubo was built.
    pub(crate) fn new(lab: &Lab, name: &str) -> Option<Self> {
        let (binary, repository) = (require::kubo()?, lab.path(name));
        let command = |arguments: &[&str]| command(&binary, &repository, arguments);
        drop(Started::new(command(&["init", "--profile=test,unixfs-v1-2025"])).finish().ok());
        for (name, value) in SETTINGS {
            drop(Started::new(command(&["config", "--json", name, value])).finish().ok());
        }
        let mut daemon = Started::new(command(&["daemon", "--migrate=false"]));
        let ready = daemon.line(Stream::Out, "Daemon is ready", WAIT_MAX);
        assert!(ready.is_some(), "kubo does not start");
        let told = Started::new(command(&["id", "--format=<addrs>"])).finish().ok();
        let is_plain = |line: &String| line.contains("/127.0.0.1/tcp/") && !line.contains("/ws");
        let address = told.lines().into_iter().find(is_plain).expect("it listens on loopback");
        Some(Self { address, repository, binary, _daemon: daemon })
    }

    /// Where it listens, with its peer id.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its peer id.
    pub(crate) fn peer_id(&self) -> &str {
        self.address.rsplit('/').next().expect("an address ends in an id")
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Started::new(command(&self.binary, &self.repository, arguments)).finish()
    }

    /// Adds a path and gives its CID.
    #[track_caller]
    pub(crate) fn add(&self, path: &Path) -> String {
        let path = path.to_str().expect("paths of tests are text");
        self.run(&["add", "-Q", "-r", "-H", path]).cid()
    }

    /// Connects to a peer.
    #[track_caller]
    pub(crate) fn connect(&self, address: &str) {
        drop(self.run(&["swarm", "connect", address]).ok());
    }
}

fn command(binary: &Path, repository: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("IPFS_PATH", repository).env("HOME", repository);
    command.env("IPFS_TELEMETRY", "off").args(arguments).stdin(Stdio::null()).process_group(0);
    command
}
