//! `checkout`: a version of a name in a directory of the user's, to be worked in.
//!
//! A new directory is written as `get` writes one, with copies: what stands there is the user's to edit, and
//! never the store's bytes. In one that a version was checked out into before, only what differs is
//! changed ([`plan`], [`apply`]); the store remembers which version that was ([`record`]). What the user
//! edited is found out by content, not by times, and never overwritten unasked; what is in no version is
//! his. Which versions are involved is written down before the first change, so that the next checkout
//! goes on where this one was broken off.
//!
//! Symlinks are written and never followed ([`disk`]).

use std::{fs, path::Path, sync::Arc};

use shoal_dag::{Cid, Node as DagNode, name, path::CidPath};

use super::{
    diff::compare::{Link, Refused},
    resolve::{self, How},
    target,
};
use crate::{
    control::{
        protocol::{Failure, Outcome, Response, Target, Wait},
        server::Responder,
    },
    node::{
        Node, blocking,
        export::{self, Export, Exported},
        get,
        read::Reader,
        sessions::Session,
        sharing::{self, Debt},
    },
};

mod apply;
mod content;
mod disk;
mod gather;
mod plan;
mod record;
#[cfg(test)]
mod tests;

use apply::{Apply, Counts, Work};
use disk::Out;
use gather::Collected;
use plan::{EDITED_MAX, Plan};
use record::{Checked, Record};

/// Bytes shown of a path that was edited.
const SHOWN_MAX: usize = 200;

/// What the user asks for.
#[derive(Debug)]
pub struct Checkout {
    /// A name with or without a version and path.
    pub target: Target,
    /// Absolute path of the directory.
    pub out: Vec<u8>,
    /// Overwrite what was edited there.
    pub force: bool,
    /// The asking process's umask.
    pub umask: u32,
    /// Waiting rules.
    pub wait: Wait,
}

/// One request on its way.
struct Task<'a> {
    node: &'a Arc<Node>,
    request: &'a Checkout,
    answers: &'a Responder,
    /// The version and the path in it.
    path: CidPath,
    checked: Checked,
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    counts: Counts,
    bytes_received: u64,
    refused: Vec<String>,
}

/// Writes a version to a directory.
///
/// # Errors
/// Exit 1 for a directory that is no checkout, or in which something was edited that would be overwritten:
/// then nothing is changed. As a fetch otherwise.
pub async fn checkout(
    node: &Arc<Node>,
    request: Checkout,
    answers: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(&request.target)?;
    let found = resolve::find(node, &spelling, How::Fresh, request.wait, answers).await?;
    for note in found.notes() {
        answers.send(Response::Note(note)).await?;
    }
    let path = CidPath { root: found.version.root, segments: spelling.segments.clone() };
    let checked = Checked {
        name: found.state.name(),
        position: found.version.entry.position().to_string(),
        root: found.version.root,
    };
    let (out, wants_directory) = export::target(&request.out);
    let task = Task { node, request: &request, answers, path, checked };
    let done = match fs::metadata(&out) {
        Ok(stat) if stat.is_dir() => task.existing(&out).await?,
        _ => task.fresh(&out, wants_directory).await?,
    };
    let Counts { written, removed, kept } = done.counts;
    Ok(Outcome::CheckedOut {
        resolved: Box::new(found.told(node.store(), &spelling.segments)),
        written,
        removed,
        kept,
        bytes_received: done.bytes_received,
        refused: done.refused,
    })
}

impl Task<'_> {
    /// Writes everything, where nothing stands. A version that is a file is written as `get` does.
    async fn fresh(mut self, out: &Path, wants_directory: bool) -> Result<Done, Failure> {
        export::check_target(out, self.request.force)?;
        let fit = |top: &DagNode| export::check_kind(out, wants_directory, top);
        let waiting = self.request.wait.into();
        let fetched =
            get::fetch_fitting(self.node, &self.path, waiting, self.answers, &fit).await?;
        let export = Export {
            store: self.node.store().clone(),
            root: fetched.resolved.cid,
            target: out.to_owned(),
            force: self.request.force,
            copy: true,
            sync: true,
            umask: self.request.umask,
            size_max: None,
            out: self.answers.clone(),
        };
        let Exported { files, refused, .. } = blocking(move || export.run()).await?;
        self.checked.root = fetched.resolved.cid;
        let (out, checked) = (out.to_owned(), self.checked.clone());
        let remembered = self.node.with_store(move |store| {
            if !fs::symlink_metadata(&out).is_ok_and(|stat| stat.is_dir()) {
                return Ok(());
            }
            let out = Out::open(&out)?;
            let record = Record::whole(&out.path, out.identity()?, &checked, files);
            Ok::<_, Failure>(record.write(store)?)
        });
        remembered.await?;
        let counts = Counts { written: files, ..Counts::default() };
        let bytes_received = self.settle(fetched.session, &fetched.resolved.trail).await?;
        Ok(Done { counts, bytes_received, refused })
    }

    /// Changes what differs.
    async fn existing(mut self, given: &Path) -> Result<Done, Failure> {
        let path = self.path.clone();
        let wait = self.request.wait;
        let mut reader = Reader::new(self.node, path.root, wait.into(), Some(self.answers));
        let resolved = reader.resolve(&path).await?;
        let top = reader.node(&resolved.cid, resolved.under()).await?;
        if !top.is_directory() {
            let text = format!("{} is a directory, and the version is none", given.display());
            return Err(Failure::failed(text).hint("choose another path with -o"));
        }
        self.checked.root = resolved.cid;
        let to = Link { cid: resolved.cid, under: resolved.under() };
        let (out, standing) = self.open(given).await?;
        let out = Arc::new(out);
        let collected = self.collect(reader, &to, &standing).await?;
        let Collected { changes, mut reader, refused, files } = collected;
        let changes = Arc::new(changes);
        self.prefetch(&mut reader, &out, &changes).await;
        let (asked, looked, force) = (Arc::clone(&changes), Arc::clone(&out), self.request.force);
        let plan =
            self.node.with_store(move |store| plan::decide(store, &looked, &asked, force)).await?;
        refuse_edited(&plan, force)?;
        self.fetch(&mut reader, &plan).await?;
        let mut counts = self.apply(out, plan, standing, files).await?;
        if !force {
            counts.kept = files.saturating_sub(counts.written);
        }
        let bytes_received = self.settle(reader.session().cloned(), &resolved.trail).await?;
        Ok(Done { counts, bytes_received, refused: self.tell_refused(refused).await? })
    }

    /// The directory, and what may stand in it.
    async fn open(&self, given: &Path) -> Result<(Out, Standing), Failure> {
        let (given, force) = (given.to_owned(), self.request.force);
        let opened = self.node.with_store(move |store| {
            let out = Out::open(&given)?;
            let record = Record::read(store, &out.path, out.identity()?)?;
            if let Some(staging) = record.as_ref().and_then(|record| record.staging.as_ref()) {
                apply::remove_staging(&out, staging);
            }
            let standing = match record {
                _ if out.names(b"")?.is_empty() => Standing { bases: vec![None], files: 0 },
                Some(record) => Standing { bases: record.bases(), files: record.files },
                None if force => Standing { bases: Vec::new(), files: 0 },
                None => {
                    let text = format!("{} exists and is no checkout", out.path.display());
                    let hint = "make it one with --force, which replaces what differs from the \
                                version, or choose another path with -o";
                    return Err(Failure::failed(text).hint(hint));
                }
            };
            Ok((out, standing))
        });
        opened.await
    }

    /// Does what was planned, between two notes of what stands there.
    async fn apply(
        &self,
        out: Arc<Out>,
        plan: Plan,
        standing: Standing,
        files: u64,
    ) -> Result<Counts, Failure> {
        let (checked, version) = (self.checked.clone(), self.path.clone());
        let (umask, force) = (self.request.umask, self.request.force);
        let answers = self.answers.clone();
        let applied = self.node.with_store(move |store| {
            answers.check()?;
            let identity = out.identity()?;
            let whole = Record::whole(&out.path, identity, &checked, files);
            let staging = format!(".shoal-checkout-{:016x}", rand::random::<u64>()).into_bytes();
            whole.clone().going(&standing.bases, standing.files, staging.clone()).write(store)?;
            let apply = Apply {
                store,
                out: &out,
                version: &version,
                umask,
                force,
                staging: &staging,
                answers: &answers,
                work: Work::default(),
            };
            let counts = apply.run(&plan.acts)?;
            whole.write(store)?;
            Ok(counts)
        });
        applied.await
    }

    /// What was received, which is owed to the swarm where all of it is here to be given.
    async fn settle(
        &self,
        session: Option<Arc<Session>>,
        trail: &[(Cid, usize)],
    ) -> Result<u64, Failure> {
        let Some(session) = session else { return Ok(0) };
        let received = session.settled_view().await.bytes_received;
        let debt = Debt::new(&self.path.root, &self.checked.root, trail, received);
        let root = self.checked.root;
        let owed = self.node.with_store(move |store| {
            let owed = received > 0 && sharing::is_all_here(store, &root);
            if owed { debt.record(store) } else { Ok(()) }
        });
        owed.await?;
        self.node.swarm().pins_changed();
        Ok(received)
    }

    /// Names what was left out, as `get` does.
    async fn tell_refused(&self, refused: Refused) -> Result<Vec<String>, Failure> {
        let unnamed = refused.count - refused.paths.len() as u64;
        let mut shown = Vec::new();
        for path in refused.paths {
            shown.push(name::escape(&path));
            let why = "its name is none that a file system may have".to_owned();
            self.answers.send(Response::Skipped { path, why }).await?;
        }
        if unnamed > 0 {
            let text = format!("left out {unnamed} more entries for their names");
            self.answers.send(Response::Note(text)).await?;
        }
        Ok(shown)
    }
}

/// What may stand in a directory.
#[derive(Debug)]
struct Standing {
    /// Versions, the one that was whole first; `None` is nothing.
    bases: Vec<Option<Cid>>,
    /// Files and symlinks of the first.
    files: u64,
}

/// Names what was edited.
fn refuse_edited(plan: &Plan, force: bool) -> Result<(), Failure> {
    if force || plan.edited_count == 0 {
        return Ok(());
    }
    let shown = plan.edited.iter().map(|path| name::escape(&path[..path.len().min(SHOWN_MAX)]));
    let mut shown: Vec<String> = shown.collect();
    let more = plan.edited_count.saturating_sub(EDITED_MAX as u64);
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    let text = format!("edited here and other in the version: {}", shown.join(", "));
    Err(Failure::failed(text).hint("nothing was changed; --force overwrites what was edited"))
}
