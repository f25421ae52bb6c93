//! Packs: those of which nothing stays go, the others get holes, or what lives in them moves.
//!
//! Only packs that are closed, and into which no batch that lives may have written, are touched. A
//! stretch of dead records becomes one hole record, which a scan steps over, and a hole behind its
//! header. Where the holes would free too little (dead records between live ones, smaller than a page),
//! and where there are too many small packs, the live records move to the newest pack.

use super::Progress;
use super::holes::{Lodger, gaps, hole_of, last_name_bytes, punch, taken};
use super::run::{Run, Stop};
use crate::error::WriteError;
use crate::files::read_at;
use crate::index::{Changes, Moved};
use crate::key::{Entry, Key, Place};
use crate::pack::scan::matches;
use crate::pack::{FILE_MAGIC_BYTES, RECORD_HEADER_BYTES, hole_header};

/// Dead bytes that may stay among the live ones of a pack: this part of a hundred.
const DEAD_PERCENT_MAX: u64 = 3;
/// Dead bytes that are not worth a look.
const DEAD_BYTES_MIN: u64 = 16 * 1024;
/// A closed pack below this size is small.
const SMALL_BYTES: u64 = 16 * 1024 * 1024;
/// With more small packs than this their records move together: every collection closes one.
const SMALL_PACKS_MAX: usize = 16;
/// Records that move with one commit.
const MOVED_AT_ONCE: usize = 4096;
/// Bytes that move with one commit.
const MOVED_BYTES_AT_ONCE: u64 = 32 * 1024 * 1024;

/// A closed pack.
#[derive(Debug, Clone, Copy)]
struct Closed {
    number: u32,
    len: u64,
    live_bytes: u64,
}

impl Closed {
    fn dead_bytes(&self) -> u64 {
        self.len.saturating_sub(FILE_MAGIC_BYTES + self.live_bytes)
    }
}

impl Run<'_> {
    /// Frees what is dead in packs.
    pub(super) fn free_packs(&mut self) -> Result<(), Stop> {
        let packs = self.shared.index.packs().map_err(Self::unread)?;
        let closed = packs.into_iter().filter(|(number, _)| *number < self.pack_end);
        let (mut empty, mut work) = (Vec::new(), Vec::new());
        for (number, len) in closed {
            let life = self.homes.packs.get(&number).copied().unwrap_or_default();
            let pack = Closed { number, len, live_bytes: life.live_bytes };
            if life.live == 0 { empty.push(number) } else { work.push(pack) }
        }
        self.drop_packs(&empty)?;
        let small = work.iter().filter(|pack| pack.len < SMALL_BYTES).count();
        let moves = |pack: &Closed| small > SMALL_PACKS_MAX && pack.len < SMALL_BYTES;
        work.retain(|pack| moves(pack) || self.is_worth_a_look(pack));
        let places = work.iter().map(|pack| Place::Pack(pack.number)).collect();
        for (n, group) in self.groups(places).into_iter().enumerate() {
            self.step(Progress::Freeing(n as u64))?;
            for (place, lodgers) in self.lodgers(&group)? {
                let pack = work.iter().find(|pack| Place::Pack(pack.number) == place);
                if let Some(pack) = pack {
                    let live: Vec<_> = lodgers.into_iter().filter(|lodger| lodger.stays).collect();
                    self.free_pack(*pack, &live, moves(pack))?;
                }
            }
        }
        Ok(())
    }

    fn is_worth_a_look(&self, pack: &Closed) -> bool {
        let taken = last_name_bytes(&self.shared.layout.pack(pack.number)).min(pack.len);
        let most = pack.live_bytes + pack.live_bytes * DEAD_PERCENT_MAX / 100 + DEAD_BYTES_MIN;
        pack.dead_bytes() > 0 && taken > most
    }

    /// Removes packs to which no entry leads.
    fn drop_packs(&mut self, numbers: &[u32]) -> Result<(), Stop> {
        if numbers.is_empty() {
            return Ok(());
        }
        let places: Vec<Place> = numbers.iter().map(|number| Place::Pack(*number)).collect();
        let doomed = places.iter().map(|place| (*place, true)).collect();
        let packs_gone = numbers.to_vec();
        self.commit(&Changes { packs_gone, doomed, ..Changes::default() })?;
        self.remove_files(&places);
        Ok(())
    }

    fn free_pack(&mut self, pack: Closed, live: &[Lodger], moves: bool) -> Result<(), Stop> {
        let ranges = live.iter().map(|lodger| {
            let (start, end) = lodger.entry.range();
            (start.saturating_sub(RECORD_HEADER_BYTES), end)
        });
        let magic = std::iter::once((0, FILE_MAGIC_BYTES));
        let gaps: Vec<_> = gaps(magic.chain(ranges), pack.len);
        let holes: Vec<_> = gaps.iter().filter_map(hole_in).collect();
        let dead: u64 = gaps.iter().map(|gap| gap.1 - gap.0).sum();
        let freed: u64 = holes.iter().map(|hole| hole.1).sum();
        let most = pack.live_bytes * DEAD_PERCENT_MAX / 100 + DEAD_BYTES_MIN;
        if (moves || dead - freed > most) && self.move_pack(pack, live)? {
            return Ok(());
        }
        if !self.punch_pack(pack, &gaps, &holes)? && !self.move_pack(pack, live)? {
            self.report.left += 1;
        }
        Ok(())
    }

    /// Makes holes; `false` where the file system cannot.
    fn punch_pack(
        &mut self,
        pack: Closed,
        gaps: &[(u64, u64)],
        holes: &[(u64, u64)],
    ) -> Result<bool, Stop> {
        let path = self.shared.layout.pack(pack.number);
        let failed = |error| WriteError::io(&path, error);
        let file = match self.shared.disk.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            file => file.map_err(failed)?,
        };
        for (start, end) in gaps {
            if let Some(len) = (end - start).checked_sub(RECORD_HEADER_BYTES) {
                file.write_all_at(&hole_header(len as u32), *start).map_err(failed)?;
            }
        }
        file.sync(&path)?;
        let before = taken(&file);
        let can = punch(&file, holes).map_err(failed)?;
        self.report.freed_bytes += before.saturating_sub(taken(&file));
        Ok(can)
    }

    /// Moves what lives in a pack to the newest one and removes the pack; `false` where a record is
    /// corrupt or there is no room.
    fn move_pack(&mut self, pack: Closed, live: &[Lodger]) -> Result<bool, Stop> {
        let Ok(file) = self.shared.files.open(&self.shared.layout, Place::Pack(pack.number)) else {
            return Ok(false);
        };
        let (mut moved, mut bytes) = (Vec::new(), 0);
        for (n, lodger) in live.iter().enumerate() {
            match self.move_record(&file, lodger) {
                Ok(Some(to)) => moved.push(to),
                Ok(None) | Err(WriteError::Full { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            bytes += super::account::bytes_of(&lodger.entry);
            let is_last = n + 1 == live.len();
            if is_last || moved.len() >= MOVED_AT_ONCE || bytes >= MOVED_BYTES_AT_ONCE {
                self.step(Progress::Freeing(u64::from(pack.number)))?;
                let now = std::mem::take(&mut moved);
                self.commit_moved(now)?;
                bytes = 0;
            }
        }
        let taken = pack.live_bytes;
        self.drop_packs(&[pack.number])?;
        self.report.freed_bytes = self.report.freed_bytes.saturating_sub(taken);
        Ok(true)
    }

    fn move_record(
        &self,
        file: &std::fs::File,
        lodger: &Lodger,
    ) -> Result<Option<Moved>, WriteError> {
        let (shared, from) = (self.shared, lodger.entry);
        let Entry { offset, len, hash, public, .. } = from;
        let key = Key { digest: lodger.digest, hash };
        let path = shared.layout.place(from.place);
        let data = read_at(file, offset, len as usize);
        let data = data.map_err(|error| WriteError::io(path, error))?;
        if data.len() < len as usize || !matches(&key, &data) {
            return Ok(None);
        }
        let moved = |to| Moved { digest: key.digest, from, to };
        shared.packs.append(&shared.layout, key, public, &data, moved).map(Some)
    }
}

/// The hole behind the header that a gap gets.
fn hole_in((start, end): &(u64, u64)) -> Option<(u64, u64)> {
    hole_of((start + RECORD_HEADER_BYTES, *end))
}
