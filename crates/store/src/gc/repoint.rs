//! Blocks of a blob that loses its root, which a whole blob has too: they are looked for there from now
//! on, so that their old place becomes free.
//!
//! Two whole files with the same leaves happen where versions are stored one beside the other. The
//! walk over the whole files is done only where some blob is about to lose a part of its bytes. Bytes are
//! hashed at the new place before the old one is given up.

use std::collections::HashSet;

use shoal_dag::hash::DAG_PB;
use shoal_dag::{Bytes, Cid, Node};

use super::run::{Run, Stop};
use super::{Progress, account};
use crate::blob::BlobId;
use crate::files::read_at;
use crate::index::{Moved, Whole};
use crate::key::{Digest, Entry, Key, Place};
use crate::pack::scan::matches;

/// Blocks that one collection moves this way; the next one moves more. 100 MB.
const MOVED_MAX: usize = 1 << 20;
/// Blocks that move with one commit.
const MOVED_AT_ONCE: usize = 4096;

/// A block that moves, and its row.
struct Move {
    id: u64,
    moved: Moved,
}

impl Run<'_> {
    /// Moves blocks from blobs that lose a part of their bytes to whole ones.
    pub(super) fn repoint(&mut self) -> Result<(), Stop> {
        let dying = self.homes.blobs.iter().filter(|(_, blob)| blob.is_dying());
        let dying: HashSet<BlobId> = dying.map(|(id, _)| *id).collect();
        if dying.is_empty() {
            return Ok(());
        }
        let mut wholes: Vec<(Digest, Whole)> = Vec::new();
        let blobs = &self.homes.blobs;
        let may = |whole: &Whole| {
            blobs.get(&whole.blob).is_some_and(|blob| blob.is_rooted && blob.is_whole)
        };
        let mut each = |digest, whole: Whole| wholes.extend(may(&whole).then_some((digest, whole)));
        self.shared.each_whole(&mut each)?;
        let mut moves = Vec::new();
        for (root, whole) in wholes {
            self.step(Progress::Counting(self.snapshot.count(), self.snapshot.count()))?;
            self.find_moves(root, whole, &dying, &mut moves)?;
            if moves.len() >= MOVED_AT_ONCE {
                self.commit_moves(&mut moves)?;
            }
            if self.moved.len() >= MOVED_MAX {
                break;
            }
        }
        self.commit_moves(&mut moves)
    }

    /// Finds leaves of a whole file that are looked for in a dying blob.
    fn find_moves(
        &mut self,
        root: Digest,
        whole: Whole,
        dying: &HashSet<BlobId>,
        moves: &mut Vec<Move>,
    ) -> Result<(), Stop> {
        let place = Place::Blob(whole.blob);
        let Ok(file) = self.shared.files.open(&self.shared.layout, place) else { return Ok(()) };
        let mut ahead = vec![(Key { digest: root, hash: whole.hash }, 0, true)];
        let mut seen = HashSet::new();
        while let Some((key, offset, is_branch)) = ahead.pop() {
            if !seen.insert(key.digest) {
                continue;
            }
            let Some((id, entry)) = self.row(&key)? else { continue };
            let is_there = matches!(entry.place, Place::Blob(id) if dying.contains(&id));
            if is_there && !self.moved.contains(&id) {
                let to = Entry { place, offset, ..entry };
                let data = read_at(&file, offset, entry.len as usize).unwrap_or_default();
                if data.len() == entry.len as usize && matches(&key, &data) {
                    let moved = Moved { digest: key.digest, from: entry, to };
                    self.moved.insert(id);
                    moves.push(Move { id, moved });
                }
            } else if is_branch && let Ok(Some(data)) = self.shared.read(&key.cid(DAG_PB), false) {
                ahead.extend(parts(&key.cid(DAG_PB), data, offset));
            }
        }
        Ok(())
    }

    fn commit_moves(&mut self, moves: &mut Vec<Move>) -> Result<(), Stop> {
        if moves.is_empty() {
            return Ok(());
        }
        let moved = moves.iter().map(|one| one.moved).collect();
        self.commit_moved(moved)?;
        for Move { id, moved } in moves.drain(..) {
            let stays = self.marks.stays(id);
            if let Some(life) = self.homes.life(moved.from.place) {
                if stays {
                    life.leave(account::bytes_of(&moved.from));
                } else {
                    life.dead = life.dead.saturating_sub(1);
                }
            }
            self.homes.count(&moved.to, stays);
        }
        self.listen()
    }
}

/// The parts of a branch of a file, where they begin, and whether they are branches; inlined bytes of
/// a branch come before them.
fn parts(cid: &Cid, data: Bytes, offset: u64) -> Vec<(Key, u64, bool)> {
    let Ok(Node::File(file)) = Node::decode(cid, data) else { return Vec::new() };
    let mut at = offset.saturating_add(file.inline.len() as u64);
    let part = |link: &shoal_dag::node::FileLink| {
        let (begin, is_branch) = (at, link.cid.codec() != shoal_dag::hash::RAW);
        at = at.saturating_add(link.size);
        Key::of(&link.cid).map(|key| (key, begin, is_branch))
    };
    file.links.iter().filter_map(part).collect()
}
