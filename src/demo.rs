//! `shoal demo`: the main job between real processes, told step by step.
//!
//! Four processes of this binary run on loopback, network `isolated`, below one temporary directory:
//! an introducer that stores nothing and the three peers of the story. The introducer is there so
//! that the third peer can be given an address that is no provider: all it learns about the other two
//! it learns through the DHT. The first two add the same directory; the third fetches it from both;
//! one of them is killed half-way; what arrived is compared with the source, piece by piece, and then
//! once more through a mount where `/dev/fuse` allows. Then the first peer publishes versions under a name and the
//! third follows them ([`named`]). The lines on stdout are the demo's data.
//!
//! Invariants: every wait is bounded; whatever happens, [`Stage::clear`] undoes the mount, ends the
//! processes by their ids and removes the directory (save with `--keep`). What differs is a failure
//! that names the path.

mod compare;
mod fetch;
mod mounted;
mod named;
mod source;
mod stage;
mod tell;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    compare::Snapshot,
    stage::{Peer, Stage},
    tell::Teller,
};
use crate::{control::protocol::Failure, exit::Exit};

/// How long a provider record may take to reach the introducer: a lookup on loopback takes
/// milliseconds, so this is for a machine under load.
const ANNOUNCE_WAIT_MAX: Duration = Duration::from_secs(30);

/// What `shoal demo` is told.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// The directory to add; one of 310 MB is made when there is none.
    pub dir: Option<PathBuf>,
    /// Leave the temporary directory and say where it is.
    pub keep: bool,
}

/// Runs the demo, telling each step on stdout.
///
/// # Errors
/// Exit 1 naming what went wrong or differs, exit 130 when interrupted; the processes, the mount and
/// the temporary directory are gone by then.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let mut stop = Stop::listen().map_err(|e| failed(format!("cannot listen for signals: {e}")))?;
    let mut stage = Stage::new()?;
    let teller = Teller::start();
    let result = tokio::select! {
        result = script(&mut stage, &teller, &options) => result,
        () = stop.received() => Err(interrupted()),
    };
    let begin = Instant::now();
    let cleared = stage.clear(options.keep).await;
    let what = if options.keep { "processes ended, kept" } else { "processes ended, removed" };
    let time = begin.elapsed().as_secs_f64();
    teller.step("end", format!("{what} {} in {time:.2} s", stage.dir().display()));
    result?;
    cleared?;
    teller.step("done", "everything is the same, hash by hash and version by version".to_owned());
    Ok(())
}

/// The story, in order.
async fn script(stage: &mut Stage, teller: &Teller, options: &DemoOptions) -> Result<(), Failure> {
    let (source, expected) = prepare(stage, teller, options).await?;
    let introducer = stage.peer("introducer", &[]);
    let address = stage.seed(&introducer).await?;
    teller.step("introducer", format!("listens on {address}; it stores nothing"));

    let limit = fetch::limit(expected.bytes());
    let first = stage.peer("first", &[&address]).limited(limit);
    let second = stage.peer("second", &[&address]).limited(limit);
    let cid = add(stage, teller, &first, &source, &expected).await?;
    let again = add(stage, teller, &second, &source, &expected).await?;
    if cid != again {
        return Err(failed(format!("the first peer's CID is {cid}, the second's is {again}")));
    }
    for peer in [&first, &second] {
        serve(stage, teller, peer).await?;
    }

    let third = stage.peer("third", &[&address]);
    let out = stage.dir().join("out");
    fetch::half_way_alone(stage, teller, [&first, &second], &third, &cid, &out, expected.bytes())
        .await?;
    compare(stage, teller, &expected, out, "compared").await?;
    let address = stage.seed(&third).await?;
    teller.step("seed", format!("the {third} peer now serves what it fetched on {address}"));
    mounted::compare(stage, teller, &third, &cid, expected).await?;
    named::story(stage, teller, &first, &third).await
}

/// The source directory and what it holds.
async fn prepare(
    stage: &Stage,
    teller: &Teller,
    options: &DemoOptions,
) -> Result<(PathBuf, Snapshot), Failure> {
    let begin = Instant::now();
    let made = options.dir.is_none();
    let source = match &options.dir {
        Some(dir) => std::path::absolute(dir).map_err(|e| at(dir, "read", &e))?,
        None => stage.dir().join("source"),
    };
    if made {
        let dir = source.clone();
        stage.work(move |stop| source::make(&dir, stop)).await?;
    }
    let dir = source.clone();
    let expected = stage.work(move |stop| Snapshot::of(&dir, stop)).await?;
    if expected.is_empty() {
        return Err(failed(format!("{} is empty or not a directory", source.display())));
    }
    let verb = if made { "made and hashed" } else { "hashed" };
    let time = tell::taken(expected.bytes(), begin.elapsed());
    teller.step("source", format!("{}: {expected}, {verb} {time}", source.display()));
    Ok((source, expected))
}

/// `shoal add` on one peer, which is not running.
async fn add(
    stage: &mut Stage,
    teller: &Teller,
    peer: &Peer,
    source: &Path,
    expected: &Snapshot,
) -> Result<String, Failure> {
    let begin = Instant::now();
    let lines = stage.verb(peer, &["add".as_ref(), source.as_os_str()]).await?;
    let cid = lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
    if cid.is_empty() {
        return Err(failed(format!("`shoal add` on the {peer} peer printed no CID")));
    }
    let time = tell::taken(expected.bytes(), begin.elapsed());
    teller.step("add", format!("{cid} on the {peer} peer {time}"));
    Ok(cid)
}

/// `shoal seed` on one peer, until the introducer has its provider record.
async fn serve(stage: &mut Stage, teller: &Teller, peer: &Peer) -> Result<(), Failure> {
    let begin = Instant::now();
    let address = stage.seed(peer).await?;
    let ready = begin.elapsed();
    let mut monitor = stage.monitor(peer).await?;
    let end = Instant::now() + ANNOUNCE_WAIT_MAX;
    loop {
        let status = monitor.status().await?;
        if status.announced > 0 && status.announce_queue == 0 {
            break;
        }
        if Instant::now() >= end {
            let wait = ANNOUNCE_WAIT_MAX.as_secs();
            return Err(failed(format!("the {peer} peer announced nothing within {wait} s")));
        }
        tokio::time::sleep(stage::POLL).await;
    }
    let (ready, announced) = (ready.as_millis(), begin.elapsed().as_millis());
    let text =
        format!("the {peer} peer on {address}: ready in {ready} ms, announced in {announced} ms");
    teller.step("seed", text);
    Ok(())
}

/// Compares what stands below `dir` with the source.
async fn compare(
    stage: &Stage,
    teller: &Teller,
    expected: &Snapshot,
    dir: PathBuf,
    how: &str,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let name = dir.display().to_string();
    let found = stage.work(move |stop| Snapshot::of(&dir, stop)).await?;
    expected.same_as(&found).map_err(|difference| failed(format!("{name}: {difference}")))?;
    let time = tell::taken(found.bytes(), begin.elapsed());
    teller.step(how, format!("{name}: {found}, all the same, hashed {time}"));
    Ok(())
}

/// The signals that end the demo early.
struct Stop([Signal; 3]);

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for any of them. Cancel-safe.
    async fn received(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// A failure of the demo.
fn failed(message: String) -> Failure {
    Failure { exit: Exit::Failed, message, hint: None }
}

/// A failure to do something with a path.
fn at(path: &Path, what: &str, error: &io::Error) -> Failure {
    failed(format!("cannot {what} {}: {error}", path.display()))
}

fn interrupted() -> Failure {
    Failure { exit: Exit::Interrupted, message: "interrupted".to_owned(), hint: None }
}
