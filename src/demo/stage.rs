//! The demo's processes, its temporary directory, and the end of both.
//!
//! The stage owns everything that must not outlive the demo: each process started (by its id), the
//! mount, the directory, and the blocking work that reads or writes below it. [`Stage::clear`] ends
//! them in the order work, mount, processes, directory; the script that runs on the stage may be
//! dropped at any await before. Processes get a process group of their own, so that Ctrl-C at a
//! terminal reaches the demo alone, which then ends them itself; their stderr goes to a file each,
//! quoted when one fails.

mod process;

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::process::Process;
use super::{at, failed, mounted};
use crate::control::{
    client::{Answer, Client},
    protocol::{Failure, Outcome, Request, Response, Status, Wait, name::NameRequest},
};

/// Pause between two looks at something that cannot be awaited: a counter of another process.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How long a peer may take to be ready; the design allows 2 s, a loaded machine some more.
const READY_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a verb without waiting of its own may take: an add of some gigabytes on a slow disk.
const VERB_WAIT_MAX: Duration = Duration::from_mins(5);

/// How long one answer of a running peer may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long blocking work may take to notice that it should end: one piece of 1 MiB on a slow disk.
const WORK_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long `umount` may take while the stage is cleared.
const UNMOUNT_WAIT_MAX: Duration = Duration::from_secs(10);

/// One of the demo's peers: a store and the options that its processes get.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    name: &'static str,
    dir: PathBuf,
    options: Vec<OsString>,
}

impl Peer {
    /// The same peer, sending at most so many bytes per second.
    pub(super) fn limited(mut self, up_max: u64) -> Self {
        self.options.extend(["--bwlimit".into(), format!("{up_max}:off").into()]);
        self
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

/// Which process of the stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessNo(usize);

/// Everything that must not outlive the demo.
#[derive(Debug)]
pub(super) struct Stage {
    binary: PathBuf,
    dir: PathBuf,
    processes: Vec<Process>,
    mount: Option<(Peer, PathBuf)>,
    work: TaskTracker,
    stop: CancellationToken,
}

impl Stage {
    /// Makes the temporary directory, readable by this user only.
    pub(super) fn new() -> Result<Self, Failure> {
        let binary = std::env::current_exe()
            .map_err(|e| failed(format!("cannot find the running binary: {e}")))?;
        let temporary = std::env::temp_dir();
        let temporary = std::path::absolute(&temporary).unwrap_or(temporary);
        let dir = temporary.join(format!("shoal-demo-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|e| at(&dir, "make", &e))?;
        let (work, stop) = (TaskTracker::new(), CancellationToken::new());
        Ok(Self { binary, dir, processes: Vec::new(), mount: None, work, stop })
    }

    /// The temporary directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A peer with a store of its own that is told the addresses `bootstrap` and nothing else.
    pub(super) fn peer(&self, name: &'static str, bootstrap: &[&str]) -> Peer {
        let dir = self.dir.join(name);
        let mut options: Vec<OsString> = vec!["--dir".into(), dir.clone().into()];
        for option in ["--network", "isolated", "--listen", "/ip4/127.0.0.1/tcp/0"] {
            options.push(option.into());
        }
        for address in bootstrap {
            options.extend(["--bootstrap".into(), address.into()]);
        }
        Peer { name, dir, options }
    }

    /// Runs blocking work, which the end of the stage tells to stop and waits for.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let stop = self.stop.clone();
        let task = self.work.spawn_blocking(move || work(&stop));
        task.await.unwrap_or_else(|e| Err(failed(format!("a step of the demo broke off: {e}"))))
    }

    /// Starts a verb.
    pub(super) fn start<S: AsRef<OsStr>>(
        &mut self,
        peer: &Peer,
        arguments: &[S],
    ) -> Result<ProcessNo, Failure> {
        let number = self.processes.len();
        let verb = arguments.first().map(AsRef::as_ref).unwrap_or_default().to_string_lossy();
        let log = self.dir.join(format!("{number}-{}-{verb}.log", peer.name));
        let name = format!("`shoal {verb}` on the {peer} peer");
        let options = peer.options.iter().map(OsString::as_os_str);
        let arguments = options.chain(arguments.iter().map(AsRef::as_ref));
        self.processes.push(Process::start(name, &self.binary, arguments, log)?);
        Ok(ProcessNo(number))
    }

    /// Runs a verb to its end and gives its lines; anything but exit 0 is a failure that quotes it.
    pub(super) async fn verb<S: AsRef<OsStr>>(
        &mut self,
        peer: &Peer,
        arguments: &[S],
    ) -> Result<Vec<String>, Failure> {
        let process = self.start(peer, arguments)?;
        self.finish(process, VERB_WAIT_MAX).await
    }

    /// Waits for a process to end with exit 0 and gives its last lines.
    pub(super) async fn finish(
        &mut self,
        process: ProcessNo,
        wait_max: Duration,
    ) -> Result<Vec<String>, Failure> {
        self.processes[process.0].finish(wait_max).await
    }

    /// True once a process has ended.
    pub(super) fn ended(&mut self, process: ProcessNo) -> Result<bool, Failure> {
        self.processes[process.0].ended()
    }

    /// Starts a running peer and gives the address that it is ready on.
    pub(super) async fn seed(&mut self, peer: &Peer) -> Result<String, Failure> {
        let process = self.start(peer, &["seed"])?;
        let line = self.processes[process.0].line("ready ", READY_WAIT_MAX).await?;
        Ok(line.trim_start_matches("ready ").trim().to_owned())
    }

    /// Kills the running peer of `peer` with SIGKILL and waits for it.
    pub(super) async fn kill(&mut self, peer: &Peer) -> Result<(), Failure> {
        let name = format!("`shoal seed` on the {peer} peer");
        match self.processes.iter_mut().find(|process| process.name() == name) {
            Some(process) => process.kill().await,
            None => Err(failed(format!("{name} was never started"))),
        }
    }

    /// Asks the running peer of `peer` for its counters.
    pub(super) async fn monitor(&self, peer: &Peer) -> Result<Monitor, Failure> {
        let socket = peer.dir.join("control.sock");
        let client = timeout(ANSWER_WAIT_MAX, Client::connect(&socket)).await;
        let what = format!("`shoal seed` on the {peer} peer");
        match client {
            Ok(Ok(client)) => Ok(Monitor { client, what }),
            Ok(Err(error)) => Err(failed(format!("cannot ask {what}: {error}"))),
            Err(_) => Err(failed(format!("{what} does not answer on {}", socket.display()))),
        }
    }

    /// Waits until the running peer of `peer` shows another version of a name than `seen`; its CID.
    pub(super) async fn watch(
        &self,
        peer: &Peer,
        name: &str,
        seen: &str,
        wait_max: Duration,
    ) -> Result<String, Failure> {
        let Monitor { mut client, what } = self.monitor(peer).await?;
        let request = Request::Name(NameRequest::Watch {
            target: name.as_bytes().to_vec(),
            seen: Some(seen.to_owned()),
            wait: Wait { idle_ms: wait_max.as_millis() as u64 },
        });
        let asked = async {
            match ask(&mut client, &request).await? {
                Outcome::Resolved(resolved) => Ok(resolved.cid),
                _ => Err("no version in its answer".to_owned()),
            }
        };
        match timeout(wait_max + ANSWER_WAIT_MAX, asked).await {
            Ok(result) => result.map_err(|why| failed(format!("{what}: {why}"))),
            Err(_) => Err(failed(format!("{what} does not answer"))),
        }
    }

    /// Remembers a mount, to be undone at the end.
    pub(super) fn mounted(&mut self, mount: Option<(&Peer, &Path)>) {
        self.mount = mount.map(|(peer, dir)| (peer.clone(), dir.to_owned()));
    }

    /// Ends everything; the first thing that could not be ended is told.
    pub(super) async fn clear(&mut self, keep: bool) -> Result<(), Failure> {
        self.stop.cancel();
        self.work.close();
        // Work that reads through the mount ends by itself now, unless the mount hangs: then it ends
        // with the mount.
        let ended = timeout(WORK_WAIT_MAX, self.work.wait()).await.is_ok();
        let unmounted = self.unmount().await;
        let mut result = Ok(());
        for process in &mut self.processes {
            result = result.and(process.stop().await);
        }
        // Once more where the mount's own process stood in the way.
        let unmounted = if unmounted.is_ok() { unmounted } else { self.unmount().await };
        result = result.and(unmounted);
        if !ended && timeout(WORK_WAIT_MAX, self.work.wait()).await.is_err() {
            let dir = self.dir.display();
            return Err(failed(format!("a read or write below {dir} does not end; it is left")));
        }
        if keep || self.mount.as_ref().is_some_and(|(_, dir)| mounted::stands(dir)) {
            return result;
        }
        result.and(fs::remove_dir_all(&self.dir).map_err(|e| at(&self.dir, "remove", &e)))
    }

    /// Undoes the mount, if it stands.
    async fn unmount(&mut self) -> Result<(), Failure> {
        let Some((peer, dir)) = self.mount.clone().filter(|(_, dir)| mounted::stands(dir)) else {
            return Ok(());
        };
        let process = self.start(&peer, &["umount".as_ref(), dir.as_os_str()])?;
        self.finish(process, UNMOUNT_WAIT_MAX).await.map(drop)
    }
}

/// A connection to a running peer that reads its counters.
#[derive(Debug)]
pub(super) struct Monitor {
    client: Client,
    what: String,
}

impl Monitor {
    /// The counters now.
    pub(super) async fn status(&mut self) -> Result<Status, Failure> {
        let asked = async {
            match ask(&mut self.client, &Request::Status).await? {
                Outcome::Status(status) => Ok(status),
                _ => Err("no status in its answer".to_owned()),
            }
        };
        match timeout(ANSWER_WAIT_MAX, asked).await {
            Ok(result) => result.map_err(|why| failed(format!("{}: {why}", self.what))),
            Err(_) => Err(failed(format!("{} does not answer", self.what))),
        }
    }
}

async fn ask(client: &mut Client, request: &Request) -> Result<Outcome, String> {
    client.send(request).await.map_err(|e| e.to_string())?;
    loop {
        match client.next().await.map_err(|e| e.to_string())? {
            Answer::Response(Response::Done(outcome)) => return Ok(outcome),
            Answer::Response(Response::Failed(failure)) => return Err(failure.message),
            Answer::Response(_) | Answer::Data(_) => {}
        }
    }
}
