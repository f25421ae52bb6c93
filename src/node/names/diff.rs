//! What differs between two versions, or between any two trees.
//!
//! [`compare`] walks both trees side by side and descends only where CIDs differ, so that the cost is that
//! of the change. Blocks that are missing are fetched, each from its own tree's swarm; content of files
//! is never read: a file has the same bytes when both roots have the same leaves.

use std::sync::Arc;

use super::target;
use crate::{
    control::{
        protocol::{
            Failure, LISTED_BATCH_MAX, Outcome, Response, Wait,
            name::{Change, ChangeLine},
        },
        server::Responder,
    },
    node::{Node, read::Reader},
};

pub mod compare;
mod entries;
#[cfg(test)]
mod tests;

use compare::{Compare, Difference, Link};

/// Bytes of paths in one message: far below what a frame may hold.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Tells what differs between two targets.
///
/// # Errors
/// As a read of either; exit 1 for trees beyond the budgets of walks.
pub async fn diff(
    node: &Arc<Node>,
    from: &[u8],
    to: &[u8],
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let (from, from_reader) = open(node, from, wait, out).await?;
    let (to, to_reader) = open(node, to, wait, out).await?;
    let mut compare = Compare::new(from_reader, to_reader, Some(from), Some(to));
    let mut batch = Batch { lines: Vec::new(), bytes: 0, out };
    let (mut added, mut removed, mut changed) = (0, 0, 0);
    while let Some(difference) = compare.next().await? {
        match difference.change {
            Change::Added => added += 1,
            Change::Removed => removed += 1,
            Change::Changed | Change::Metadata => changed += 1,
        }
        batch.push(difference).await?;
    }
    batch.send().await?;
    Ok(Outcome::Compared { added, removed, changed })
}

/// What a target names, with a reader of the tree that it hangs in.
async fn open<'a>(
    node: &'a Arc<Node>,
    text: &[u8],
    wait: Wait,
    out: &'a Responder,
) -> Result<(Link, Reader<'a>), Failure> {
    let path = target::follow(node, text, wait, out).await?;
    let mut reader = Reader::new(node, path.root, wait.into(), Some(out));
    let resolved = reader.resolve(&path).await?;
    Ok((Link { cid: resolved.cid, under: resolved.under() }, reader))
}

/// Lines on their way to the asking process.
struct Batch<'a> {
    lines: Vec<ChangeLine>,
    bytes: usize,
    out: &'a Responder,
}

impl Batch<'_> {
    async fn push(&mut self, difference: Difference) -> Result<(), Failure> {
        self.bytes += difference.path.len();
        self.lines.extend(line(difference));
        if self.lines.len() >= LISTED_BATCH_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        if self.lines.is_empty() {
            return Ok(());
        }
        Ok(self.out.send(Response::Changes(std::mem::take(&mut self.lines))).await?)
    }
}

fn line(difference: Difference) -> Option<ChangeLine> {
    let Difference { change, path, from, to } = difference;
    Some(ChangeLine {
        change,
        path,
        kind: to.or(from)?.kind,
        from: from.map(|side| side.cid.to_string()),
        to: to.map(|side| side.cid.to_string()),
    })
}
