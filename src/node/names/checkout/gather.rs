//! What a checkout needs from the store and from others, before it may begin.
//!
//! Which paths differ ([`Task::collect`]), the branches of files that are to be compared with what is there
//! ([`Task::prefetch`]), and the files that are to be written ([`Task::fetch`]): nothing else is fetched.

use std::sync::Arc;

use shoal_dag::{
    Cid, hash,
    walk::{Budget, FileWalk, PENDING_MAX, Step},
};

use super::{
    Standing, Task,
    disk::{self, Out},
    plan::{Act, Changes, Plan},
};
use crate::{
    control::protocol::{Failure, Kind, Progress, Response},
    node::{
        names::diff::compare::{Compare, Difference, Link, Refused, Side},
        read::{Reader, tell},
        sessions::Session,
        sharing,
        swarm::{View, Want},
    },
};

/// Files fetched side by side.
const FETCHES_MAX: usize = 32;

/// What differs.
pub(super) struct Collected<'a> {
    pub(super) changes: Changes,
    /// The reader of the new version.
    pub(super) reader: Reader<'a>,
    pub(super) refused: Refused,
    /// Files and symlinks of the new version.
    pub(super) files: u64,
}

impl Task<'_> {
    /// Every path at which the version differs from what may stand there; by force every path.
    pub(super) async fn collect<'r>(
        &'r self,
        reader: Reader<'r>,
        to: &Link,
        standing: &Standing,
    ) -> Result<Collected<'r>, Failure> {
        let (changes, files) = (Changes::new(), standing.files);
        let mut collected = Collected { changes, reader, refused: Refused::default(), files };
        let force = self.request.force;
        let all = force.then_some(None);
        for (at, base) in standing.bases.iter().copied().chain(all).enumerate() {
            let root = base.unwrap_or(to.cid);
            let wait = self.request.wait.into();
            let from = Reader::new(self.node, root, wait, Some(self.answers));
            let link = base.map(|cid| Link { cid, under: None });
            let mut compare = Compare::new(from, collected.reader, link, Some(*to)).checked();
            let added = add(&mut compare, &mut collected.changes, &mut collected.files, at == 0);
            let failed = added.await.err();
            collected.refused = compare.refused();
            collected.reader = compare.into_readers().1;
            match failed {
                // What stood there is compared with the new version alone.
                Some(failure) if force && base.is_some() => {
                    let text = format!("{}; what only that had stays", failure.message);
                    self.answers.send(Response::Note(text)).await?;
                }
                Some(failure) => return Err(not_comparable(failure)),
                None => {}
            }
        }
        Ok(collected)
    }

    /// Fetches the branches of files that are to be compared with what is there. What nobody has cannot be
    /// compared, and counts as edited.
    pub(super) async fn prefetch(
        &self,
        reader: &mut Reader<'_>,
        out: &Arc<Out>,
        changes: &Arc<Changes>,
    ) {
        let (out, changes) = (Arc::clone(out), Arc::clone(changes));
        let compared = self.node.with_store(move |_| {
            let is_file = |path: &Vec<u8>| matches!(out.look(path), Ok(disk::Found::File(_)));
            let there = changes.iter().filter(|(path, _)| is_file(path));
            let sides = there.flat_map(|(_, wanted)| wanted.accepted.iter().chain([&wanted.to]));
            let files = sides.flatten().filter(|side| side.kind == Kind::File);
            files.map(|side| side.cid).filter(|cid| cid.codec() != hash::RAW).collect::<Vec<Cid>>()
        });
        for cid in compared.await {
            if let Err(failure) = branches(reader, cid).await {
                tracing::debug!(reason = failure.message, "a file cannot be compared");
                return;
            }
        }
    }

    /// Fetches the files that are to be written.
    pub(super) async fn fetch(&self, reader: &mut Reader<'_>, plan: &Plan) -> Result<(), Failure> {
        let written = plan.acts.iter().filter_map(|(_, act)| match act {
            Act::Write { side, .. } => Some(side.cid),
            _ => None,
        });
        let mut written: Vec<Cid> = written.collect();
        written.sort_unstable();
        written.dedup();
        let absent = self.node.with_store(move |store| {
            written.retain(|cid| !sharing::is_all_here(store, cid));
            written
        });
        let absent = absent.await;
        if absent.is_empty() {
            return Ok(());
        }
        let session = reader.ensure_session().await?;
        for part in absent.chunks(FETCHES_MAX) {
            let fetching = part.iter().map(|cid| self.fetch_one(&session, *cid));
            let fetched = futures::future::join_all(fetching).await;
            fetched.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    async fn fetch_one(&self, session: &Session, cid: Cid) -> Result<(), Failure> {
        let want = Want { cid, under: None, place: None, within: None, tree: true };
        let mut told = |view: &View| {
            tell(Some(self.answers), view);
            let bytes_received = view.bytes_received;
            let peers = view.joined;
            let progress = Progress { bytes_received, peers, ..Progress::default() };
            self.answers.offer(Response::Progress(progress));
        };
        session.fetch(want, self.request.wait.into(), &mut told).await
    }
}

/// Takes what two trees differ in; of the first pair the files are counted.
async fn add(
    compare: &mut Compare<'_>,
    changes: &mut Changes,
    files: &mut u64,
    counted: bool,
) -> Result<(), Failure> {
    while let Some(difference) = compare.next().await? {
        if counted {
            *files = recount(*files, &difference);
        }
        let wanted = changes.entry(difference.path).or_default();
        wanted.to = difference.to;
        wanted.accepted.push(difference.from);
        if changes.len() > PENDING_MAX {
            return Err(Failure::failed(format!("more than {PENDING_MAX} entries differ")));
        }
    }
    Ok(())
}

fn not_comparable(mut failure: Failure) -> Failure {
    failure.hint.get_or_insert_with(|| {
        "what stood there before is needed too; where nobody has it any more, --force does without"
            .into()
    });
    failure
}

fn recount(files: u64, difference: &Difference) -> u64 {
    let one = |side: Option<Side>| u64::from(side.is_some_and(|s| s.kind != Kind::Directory));
    (files + one(difference.to)).saturating_sub(one(difference.from))
}

/// Brings the branches of a file into the store, without its leaves.
async fn branches(reader: &mut Reader<'_>, cid: Cid) -> Result<(), Failure> {
    let mut walk = FileWalk::places(cid, 0..u64::MAX, Budget::FILE);
    loop {
        let step = walk.poll().map_err(|error| Failure::bad_dag(&cid, error))?;
        match step {
            Step::Done => return Ok(()),
            Step::Need(block) => {
                let data = reader.block(&block, None, None).await?;
                let handled = walk.handle_block(&block, data);
                handled.map_err(|error| Failure::bad_dag(&cid, error))?;
            }
            Step::Place { .. } | Step::Leaf { .. } => {}
        }
    }
}
