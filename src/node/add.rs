//! `add`: files, directories and a stream of bytes become blocks in the store.
//!
//! One pass over the bytes: a file is read, cut, hashed and written at the same time by two threads
//! ([`mod@file`]). Directories are walked depth first ([`tree`]); what cannot be read is named and left
//! out. Everything of one request is one batch of the store: nothing is acknowledged before its data,
//! its names and its index entries are on disk, and then all CIDs are told.
//!
//! What is left out on purpose is decided in [`select`]; files that need not be read again, because they
//! look as they did, are [`known`]. `--only-hash` goes the same way without a store. Which paths were
//! given is written down ([`given`]), so that `rm` takes the same words.
//!
//! What is added is pinned. It is announced and served unless `--local` said otherwise.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use shoal_dag::{Cid, Profile};
use shoal_ledger::LedgerId;
use shoal_store::{Batch, BatchOptions, PinOptions, Store};

use super::{Node, blocking, gc, names::retention, sharing::unshare};
use crate::{
    control::{
        protocol::{Add, Added, Failure, Outcome, Progress, Response, Spared},
        server::{DataFrames, Responder},
    },
    exit::Exit,
};

pub mod file;
pub mod given;
pub mod known;
pub mod select;
pub mod stream;
pub mod tree;

use known::Known;
use select::{LeftOut, Select};

/// A finished file, directory or symlink.
#[derive(Debug, Clone, Copy)]
pub struct Root {
    /// Its CID.
    pub cid: Cid,
    /// Bytes of its DAG, branches included.
    pub dag_size: u64,
    /// Content bytes below it.
    pub size: u64,
    /// Files below it, itself included.
    pub files: u64,
}

/// How one request adds.
#[derive(Debug)]
pub struct Adding<'a> {
    /// Where blocks go; `None` with `--only-hash`.
    pub batch: Option<&'a Batch>,
    /// Choices that decide the CID.
    pub profile: Profile,
    /// Keep mode and mtime exactly.
    pub preserve: bool,
    /// The user's files stay the store's bytes.
    pub reference: bool,
    /// Device and inode of the node's own store, which is left out as every store is.
    pub store: Option<(u64, u64)>,
    /// What of directories is left out on purpose.
    pub select: Select,
    /// Files that were added before; `None` where that counts for nothing.
    pub known: Option<Known<'a>>,
    /// What is known of them is not believed.
    pub read_all: bool,
    /// What was left out on purpose so far.
    pub spared: Spared,
    /// Where progress and left-out sources are told.
    pub out: &'a Responder,
    /// Sources left out so far.
    pub skipped: u64,
    /// What was done so far.
    pub progress: Progress,
    told: std::time::Instant,
}

/// How often progress is told.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

impl<'a> Adding<'a> {
    /// Begins a request; without a store nothing is kept.
    fn new(
        request: &Add,
        store: Option<(&'a Store, &'a Batch)>,
        dir: &Path,
        out: &'a Responder,
    ) -> Result<Self, Failure> {
        let profile = profile_of(&request.profile)?;
        Ok(Self {
            batch: store.map(|(_, batch)| batch),
            profile,
            preserve: request.preserve,
            reference: request.reference,
            store: std::fs::metadata(dir).ok().map(|stat| (stat.dev(), stat.ino())),
            select: Select::new(&request.leaving, profile)?,
            known: store.and_then(|(store, batch)| Known::new(store, batch, request)),
            read_all: request.read_all,
            spared: Spared::default(),
            out,
            skipped: 0,
            progress: Progress::default(),
            told: std::time::Instant::now(),
        })
    }

    /// Counts content bytes that were read.
    ///
    /// # Errors
    /// The client has gone: nobody wants the rest.
    pub fn count(&mut self, bytes: u64) -> Result<(), Failure> {
        self.out.check()?;
        self.progress.bytes += bytes;
        if self.told.elapsed() >= TELL_EVERY {
            self.told = std::time::Instant::now();
            self.out.offer(Response::Progress(self.progress.clone()));
        }
        Ok(())
    }

    /// Counts what is left out on purpose.
    pub const fn leave_out(&mut self, why: LeftOut) {
        match why {
            LeftOut::Hidden => self.spared.hidden += 1,
            LeftOut::Excluded => self.spared.excluded += 1,
        }
    }

    /// Names a source that is left out.
    ///
    /// # Errors
    /// The client has gone.
    pub fn skip(&mut self, path: &Path, why: impl ToString) -> Result<(), Failure> {
        self.skipped += 1;
        let path = path.as_os_str().as_bytes().to_vec();
        Ok(self.out.send_blocking(Response::Skipped { path, why: why.to_string() })?)
    }
}

/// Adds paths.
///
/// # Errors
/// As told to the user: exit 1 when nothing could be added. Sources that cannot be read are counted in
/// the outcome.
pub async fn add(node: &Arc<Node>, request: Add, out: Responder) -> Result<Outcome, Failure> {
    let (told, stored) = (out.clone(), !request.only_hash);
    let (added, outcome) = add_told(node, request, &out).await?;
    if stored {
        claim(node, &added).await?;
        given::note(node, &added).await?;
    }
    for added in added {
        told.send(Response::Added(added)).await?;
    }
    outcome
}

/// Makes the pins of what was added the user's own, where a name keeps the same content.
///
/// # Errors
/// The store.
pub async fn claim(node: &Arc<Node>, added: &[Added]) -> Result<(), Failure> {
    let roots: Vec<Cid> = added.iter().filter_map(|added| added.cid.parse().ok()).collect();
    let claim =
        move |store: &Store| roots.iter().try_for_each(|root| retention::claim(store, root));
    Ok(node.with_store(claim).await?)
}

/// Adds paths and returns what was added, to be told, with the outcome that follows.
///
/// # Errors
/// What ends the whole request before anything is durable.
pub async fn add_told(
    node: &Arc<Node>,
    request: Add,
    out: &Responder,
) -> Result<Finished, Failure> {
    let (to, out) = (To::of(node, &request), out.clone());
    let adding = move || add_all(&to, &request, None, &out, &mut Vec::new());
    let finished = blocking(adding).await;
    node.swarm().pins_changed();
    finished
}

/// Adds one path in order to publish it: its pin is the name's, unless the user had pinned the same before.
///
/// # Errors
/// As [`add`].
pub async fn add_for(
    node: &Arc<Node>,
    request: Add,
    name: LedgerId,
    out: &Responder,
) -> Result<Added, Failure> {
    let (to, out) = (To::of(node, &request), out.clone());
    let adding = move || {
        let mut fresh = Vec::new();
        let (added, outcome) = add_all(&to, &request, None, &out, &mut fresh)?;
        for root in fresh {
            retention::adopt(&to.store, name, &root)?;
        }
        // What was left out is named; the rest is there, and is what is published.
        outcome?;
        added.into_iter().next().ok_or_else(|| Failure::failed("nothing was added"))
    };
    let added = blocking(adding).await;
    node.swarm().pins_changed();
    added
}

/// What was added, durable by now, and the outcome of the request.
pub type Finished = (Vec<Added>, Result<Outcome, Failure>);

/// Adds paths and, in place of its `None`, the bytes that the client sends.
///
/// # Errors
/// As [`add`]; a client that goes away in the middle leaves nothing behind.
pub async fn add_with_data(
    node: &Arc<Node>,
    request: Add,
    data: DataFrames<'_>,
    out: Responder,
) -> Result<Outcome, Failure> {
    let to = To::of(node, &request);
    let (feed, bytes) = stream::channel();
    let (told, stored) = (out.clone(), !request.only_hash);
    let adding = blocking(move || add_all(&to, &request, Some(bytes), &out, &mut Vec::new()));
    let (finished, ()) = tokio::join!(adding, feed.run(data));
    node.swarm().pins_changed();
    let (added, outcome) = finished?;
    if stored {
        claim(node, &added).await?;
        given::note(node, &added).await?;
    }
    for added in added {
        told.send(Response::Added(added)).await?;
    }
    outcome
}

/// Says what the CIDs of paths and of `input` would be, without a store; `dir` is where ours would be.
///
/// # Errors
/// As [`add`].
pub fn only_hash(
    request: &Add,
    dir: &Path,
    input: impl Read + Send,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let mut adding = Adding::new(request, None, dir, out)?;
    let roots = add_sources(&mut adding, request, Some(input))?;
    let (added, outcome) = finished(roots, &adding, false);
    for added in added {
        out.send_blocking(Response::Added(added))?;
    }
    outcome
}

/// Where things are added.
struct To {
    store: Store,
    quota: Option<u64>,
    /// A running peer will serve them.
    served: bool,
}

impl To {
    fn of(node: &Node, request: &Add) -> Self {
        let quota = node.settings().quota.filter(|_| !request.only_hash && !request.reference);
        let served = node.is_persistent() && !request.local;
        Self { store: node.store().clone(), quota, served }
    }

    /// Is there room for the files that are named themselves? Of the rest the size is not known yet.
    fn check_files(&self, sources: &[Option<Vec<u8>>]) -> Result<(), Failure> {
        let paths = sources.iter().flatten().map(|path| Path::new(OsStr::from_bytes(path)));
        let files =
            paths.filter_map(|path| path.metadata().ok()).filter(std::fs::Metadata::is_file);
        gc::check_room(&self.store, self.quota, files.map(|file| file.len()).sum())
    }
}

/// Adds everything of one request; roots that were not pinned before are told in `fresh`.
fn add_all(
    to: &To,
    request: &Add,
    bytes: Option<stream::Incoming>,
    out: &Responder,
    fresh: &mut Vec<Cid>,
) -> Result<Finished, Failure> {
    let To { store, quota, served } = to;
    to.check_files(&request.sources)?;
    let batch = store.batch(BatchOptions { public: !request.local });
    let kept = (!request.only_hash).then_some((store, &batch));
    let mut adding = Adding::new(request, kept, &store.dir(), out)?;
    let roots = add_sources(&mut adding, request, bytes)?;
    // The last moment at which a cancelled request leaves nothing behind.
    out.check()?;
    let known = adding.known.take();
    let finished = finished(roots, &adding, *served);
    let bytes = adding.progress.bytes;
    drop(adding);
    if request.only_hash {
        return Ok(finished);
    }
    gc::check_room(store, *quota, bytes)?;
    let roots: Vec<Cid> = finished.0.iter().filter_map(|added| added.cid.parse().ok()).collect();
    let notes = match known {
        Some(known) => {
            known.check(roots.iter())?;
            known.into_notes()
        }
        None => Vec::new(),
    };
    pin(store, &batch, request, &roots, fresh)?;
    batch.commit()?;
    store.remember(notes);
    Ok(finished)
}

/// As a request of a client does, for the tests of others.
#[cfg(test)]
pub fn add_for_tests(store: &Store, request: &Add, out: &Responder) -> Finished {
    let to = To { store: store.clone(), quota: None, served: false };
    add_all(&to, request, None, out, &mut Vec::new()).expect("an add")
}

/// Adds one source after another; what could be added of them, with its path.
fn add_sources(
    adding: &mut Adding<'_>,
    request: &Add,
    mut input: Option<impl Read + Send>,
) -> Result<Vec<(Vec<u8>, Root)>, Failure> {
    let mut roots = Vec::new();
    for source in &request.sources {
        let (path, root) = if let Some(path) = source {
            let path = Path::new(OsStr::from_bytes(path));
            (path.as_os_str().as_bytes().to_vec(), tree::add(adding, path)?)
        } else {
            let Some(input) = input.take() else {
                return Err(Failure::usage("standard input can be added once only"));
            };
            (b"-".to_vec(), Some(stream::add(adding, input)?))
        };
        roots.extend(root.map(|root| (path, root)));
    }
    adding.spared.unchanged = adding.known.as_ref().map_or(0, |known| known.unchanged);
    for (count, what) in [
        (adding.spared.excluded, "by --exclude or .shoalignore"),
        (adding.spared.hidden, "as hidden; --hidden adds what is"),
    ] {
        if count > 0 {
            adding.out.send_blocking(Response::Note(format!("{count} left out {what}")))?;
        }
    }
    Ok(roots)
}

/// Pins the roots with the batch's commit.
fn pin(
    store: &Store,
    batch: &Batch,
    request: &Add,
    roots: &[Cid],
    fresh: &mut Vec<Cid>,
) -> Result<(), Failure> {
    for root in roots {
        if request.local && store.is_public(root) {
            // It was shared before: from now on it is not.
            unshare::unshare(store, root)?;
        }
        if !store.is_pinned(root) {
            fresh.push(*root);
        }
        batch.pin(root, PinOptions { local: request.local, ..PinOptions::default() })?;
    }
    Ok(())
}

/// An outcome in which nothing was left out.
///
/// # Errors
/// Exit 3 when something was.
pub fn whole(outcome: Outcome) -> Result<Outcome, Failure> {
    let Outcome::Added { skipped: skipped @ 1.., .. } = outcome else { return Ok(outcome) };
    let sources = if skipped == 1 { "source" } else { "sources" };
    let text = format!("{skipped} {sources} could not be added");
    Err(Failure::new(Exit::Partial, text)
        .hint("each is named above; the rest is added and durable"))
}

/// The CIDs, now that they are durable. What was left out is counted in the outcome, which is that of the
/// rest; nothing else tells who asked whether that is served.
fn finished(roots: Vec<(Vec<u8>, Root)>, adding: &Adding<'_>, served: bool) -> Finished {
    let told = |(path, root): (Vec<u8>, Root)| Added {
        cid: root.cid.to_string(),
        path,
        size: root.size,
        files: root.files,
    };
    let added: Vec<Added> = roots.into_iter().map(told).collect();
    let (skipped, counts, spared) = (adding.skipped, &adding.progress, adding.spared);
    if skipped > 0 && added.is_empty() {
        return (added, Err(Failure::failed("nothing could be added")));
    }
    let (count, bytes, files) = (added.len() as u64, counts.bytes, counts.files);
    (added, Ok(Outcome::Added { added: count, skipped, bytes, files, spared, served }))
}

/// Parses the name of a profile.
///
/// # Errors
/// A usage failure that names the profiles.
pub fn profile_of(name: &str) -> Result<Profile, Failure> {
    name.parse().map_err(|_| {
        Failure::usage(format!("{name:?} is not a profile"))
            .hint("profiles: shoal, unixfs-v1-2025, unixfs-v0-2015")
    })
}

#[cfg(test)]
mod tests;
