//! In which versions a path changed.
//!
//! Versions come newest first. One in which the path names the same as in the one before did not change
//! it; so each is told when the next older one is known. A version whose directories nobody has is passed
//! over: what changed in it shows in the next newer one that can be read.

use std::sync::Arc;

use shoal_dag::Cid;

use super::Listed;
use crate::{
    control::{
        protocol::{Failure, Wait, name::VersionLine},
        server::Responder,
    },
    exit::Exit,
    node::{
        Node,
        directory::{self, Found},
        read::Reader,
        sessions::Waiting,
    },
};

/// Versions that are asked of others and do not come before only what is here is looked at: content that
/// old versions had is often nobody's, and each takes a wait.
const FETCHES_FAILED_MAX: u32 = 3;

/// Stretches of versions that could not be read that are named.
const STRETCHES_MAX: usize = 10;

/// What a path names in one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    Is(Cid),
    Nothing,
    /// A block on the way is not to be had.
    Unknown,
}

/// The versions of a path, as far as they were looked at.
pub(super) struct History<'a> {
    node: &'a Arc<Node>,
    segments: Vec<Vec<u8>>,
    waiting: Waiting,
    out: &'a Responder,
    /// The last version that was looked at: its directories on the way, and what came of them.
    trail: Vec<Cid>,
    end: There,
    /// The oldest version so far that could be read, with what the path names in it.
    pending: Option<(VersionLine, Option<Cid>)>,
    failed: u32,
    /// Versions that could not be read, as newest and oldest of each stretch.
    unknown: Vec<(u64, u64)>,
}

impl<'a> History<'a> {
    /// The history of a path; of the versions themselves where it is empty.
    pub(super) fn new(
        node: &'a Arc<Node>,
        segments: Vec<Vec<u8>>,
        wait: Wait,
        out: &'a Responder,
    ) -> Self {
        let waiting = Waiting { impatient: true, ..wait.into() };
        let (trail, end, pending) = (Vec::new(), There::Unknown, None);
        Self { node, segments, waiting, out, trail, end, pending, failed: 0, unknown: Vec::new() }
    }

    /// Takes the next older version; returns the line of the one before it, if that changed the path.
    ///
    /// # Errors
    /// Exit 1 or 6 where a directory is not what it should be.
    pub(super) async fn changed(&mut self, listed: Listed) -> Result<Option<VersionLine>, Failure> {
        let Listed { mut line, root } = listed;
        if self.segments.is_empty() {
            return Ok(Some(line));
        }
        let there = match root {
            Some(root) => self.look(root).await?,
            None => There::Nothing,
        };
        let cid = match there {
            There::Is(cid) => Some(cid),
            There::Nothing => None,
            There::Unknown => {
                self.pass_over(line.version);
                return Ok(None);
            }
        };
        line.cid = cid.map(|cid| cid.to_string());
        let newer = self.pending.replace((line, cid));
        Ok(newer.filter(|(_, newer)| *newer != cid).map(|(line, _)| line))
    }

    /// The line of the oldest version, once all were taken: before it nothing was there.
    pub(super) fn first(&mut self) -> Option<VersionLine> {
        self.pending.take().filter(|(_, cid)| cid.is_some()).map(|(line, _)| line)
    }

    fn pass_over(&mut self, version: u64) {
        match self.unknown.last_mut() {
            Some((_, oldest)) if *oldest == version + 1 => *oldest = version,
            _ => self.unknown.push((version, version)),
        }
    }

    /// Says which versions were passed over.
    pub(super) fn note(&self) -> Option<String> {
        if self.unknown.is_empty() {
            return None;
        }
        let stretch = |(newest, oldest): &(u64, u64)| {
            if newest == oldest { newest.to_string() } else { format!("{oldest}-{newest}") }
        };
        let shown: Vec<String> = self.unknown.iter().take(STRETCHES_MAX).map(stretch).collect();
        let more = if self.unknown.len() > STRETCHES_MAX { " and more" } else { "" };
        let shown = shown.join(", ");
        Some(format!("content of versions that nobody has any more is left out: {shown}{more}"))
    }

    /// What the path names below a root. Where a directory on the way is the one that the version before
    /// had there, the rest is known.
    async fn look(&mut self, root: Cid) -> Result<There, Failure> {
        let mut reader = Reader::new(self.node, root, self.waiting, Some(self.out));
        let (mut trail, mut cid) = (vec![root], root);
        let mut end = There::Unknown;
        for (at, segment) in self.segments.iter().enumerate() {
            if self.end != There::Unknown && self.trail.get(at) == Some(&cid) {
                trail.extend_from_slice(&self.trail[at + 1..]);
                end = self.end;
                break;
            }
            let under = at.checked_sub(1).map(|before| trail[before]);
            let looked = entry(self.node, &mut reader, &cid, under, segment, self.failed);
            let below = match looked.await {
                Ok(below) => below,
                Err(failure) if is_absent(&failure) => {
                    self.failed += 1;
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let Some(below) = below else {
                end = There::Nothing;
                break;
            };
            cid = below;
            trail.push(below);
            if at + 1 == self.segments.len() {
                end = There::Is(below);
            }
        }
        (self.trail, self.end) = (trail, end);
        Ok(end)
    }
}

/// What a name stands for in a directory on the way; `None` in anything else.
async fn entry(
    node: &Arc<Node>,
    reader: &mut Reader<'_>,
    cid: &Cid,
    under: Option<Cid>,
    name: &[u8],
    failed: u32,
) -> Result<Option<Cid>, Failure> {
    if !directory::may_be_directory(cid) {
        return Ok(None);
    }
    if failed >= FETCHES_FAILED_MAX && !node.store().has(cid) {
        return Err(Failure::new(Exit::NotFound, format!("{cid} is not here")));
    }
    match directory::find(reader, cid, under, name).await? {
        Found::Entry { cid, .. } => Ok(Some(cid)),
        Found::Absent | Found::NoDirectory => Ok(None),
    }
}

/// Nobody gave a block, in time or at all.
fn is_absent(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::NotFound | Exit::TryAgain)
}
