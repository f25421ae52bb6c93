//! Blobs: those of which nothing stays go, those of which a part stays get holes.
//!
//! A blob's record and the rows that call it the whole of a root go before any entry that leads into
//! it: from then on nobody takes it for complete. The list of leaves that a thinned blob has beside it
//! has those that are about to go too: who builds the index from it hashes every one.

use std::collections::HashMap;

use super::Progress;
use super::holes::{ROWS_GATHERED_MAX, gaps, hole_of, punch, taken};
use super::run::{Run, Stop};
use crate::blob::{BlobId, BlobRecord};
use crate::error::{ReadError, WriteError};
use crate::index::Changes;
use crate::key::{Digest, Place};
use crate::overlay::Known;
use crate::presence::{Header, Presence, Record};

use super::holes::Lodger;

/// Blobs that are removed with one commit.
const BLOBS_AT_ONCE: usize = 512;

type Roots = HashMap<BlobId, Vec<Digest>>;

impl Run<'_> {
    /// Removes the blobs of which nothing stays.
    pub(super) fn doom_blobs(&mut self) -> Result<(), Stop> {
        self.step(Progress::Freeing(0))?;
        let dead = self.homes.blobs.iter().filter(|(_, blob)| blob.is_dead());
        let dead: Vec<BlobId> = dead.map(|(id, _)| *id).collect();
        let roots = self.homes.roots_of(&dead);
        for (n, ids) in dead.chunks(BLOBS_AT_ONCE).enumerate() {
            self.step(Progress::Freeing((n * BLOBS_AT_ONCE) as u64))?;
            let nobody = self.quiet()?;
            let doomed = self.doom_some(ids, &roots)?;
            drop(nobody);
            self.step(Progress::Freeing(doomed.len() as u64))?;
            self.commit(&Changes::default())?;
            self.remove_files(&doomed);
        }
        Ok(())
    }

    fn doom_some(&mut self, ids: &[BlobId], roots: &Roots) -> Result<Vec<Place>, Stop> {
        let shared = self.shared;
        let moving = shared.homes.lock();
        let mut doomed = Vec::new();
        for id in ids {
            if self.homes.blobs.get(id).is_none_or(|blob| !blob.is_dead()) {
                continue;
            }
            if moving.contains(id) {
                self.report.left += 1;
                continue;
            }
            let Some((record, _)) = shared.record(*id).map_err(ReadError::from)? else { continue };
            self.give_up_partial(*id, &record);
            let gone = self.rows_of(*id, roots)?;
            let _pressure = shared.overlay.change(|layer| {
                layer.blobs.insert(*id, None);
                layer.wholes.extend(gone.into_iter().map(|root| (root, None)));
                layer.doomed.push(Place::Blob(*id));
            });
            doomed.push(Place::Blob(*id));
        }
        Ok(doomed)
    }

    /// Nothing is written to a blob that was being fetched any more.
    fn give_up_partial(&self, id: BlobId, record: &BlobRecord) {
        if let Some(root) = record.partial.and_then(|state| state.root) {
            self.shared.partials.give_up(&root.digest, id);
        }
    }

    /// The roots that this blob is still said to be the whole of.
    fn rows_of(&self, id: BlobId, roots: &Roots) -> Result<Vec<Digest>, Stop> {
        let mut rows = Vec::new();
        for root in roots.get(&id).into_iter().flatten() {
            let whole = match self.shared.overlay.whole(root) {
                Known::Is(whole) => Some(whole),
                Known::Gone => None,
                Known::Nothing => self.shared.index.whole(root).map_err(ReadError::from)?,
            };
            rows.extend(whole.filter(|whole| whole.blob == id).map(|_| *root));
        }
        Ok(rows)
    }

    /// Makes the blobs of which only a part stays sparse, so that nobody takes them for whole. Says
    /// which ones may get holes.
    pub(super) fn thin_blobs(&mut self) -> Result<Vec<BlobId>, Stop> {
        let is_thinned = |blob: &super::account::Blob| !blob.is_rooted && blob.life.live > 0;
        let thinned = self.homes.blobs.iter().filter(|(_, blob)| is_thinned(blob));
        let ids: Vec<BlobId> = thinned.map(|(id, _)| *id).collect();
        let roots = self.homes.roots_of(&ids);
        let (mut sparse, mut new) = (Vec::new(), Vec::new());
        for id in ids {
            let blob = self.homes.blobs[&id];
            let is_known = roots.get(&id).is_none_or(Vec::is_empty);
            if blob.is_reference && is_known {
                continue;
            }
            if blob.is_sparse && is_known { sparse.push(id) } else { new.push(Place::Blob(id)) }
        }
        for group in self.groups(new) {
            self.step(Progress::Freeing(sparse.len() as u64))?;
            for (place, lodgers) in self.lodgers(&group)? {
                let Place::Blob(id) = place else { continue };
                if self.thin(id, &lodgers, &roots)? {
                    sparse.push(id);
                }
            }
            self.shared.disk.sync_dir(&self.shared.layout.partials())?;
            self.commit(&Changes::default())?;
        }
        Ok(sparse)
    }

    /// Takes a blob's roots away and makes it sparse; says whether it may get holes.
    fn thin(&mut self, id: BlobId, lodgers: &[Lodger], roots: &Roots) -> Result<bool, Stop> {
        let shared = self.shared;
        let is_reference = self.homes.blobs[&id].is_reference;
        let is_listed = !is_reference && self.write_list(id, lodgers)?;
        let _nobody = self.quiet()?;
        let moving = shared.homes.lock();
        if self.homes.blobs[&id].is_rooted {
            return Ok(false);
        }
        let Some((record, _)) = shared.record(id).map_err(ReadError::from)? else {
            return Ok(false);
        };
        let may = is_listed && record.reference.is_none() && !moving.contains(&id);
        self.report.left += u64::from(!may && !is_reference);
        let gone = self.rows_of(id, roots)?;
        if may {
            self.give_up_partial(id, &record);
            let list = shared.layout.presence(id);
            let named = shared.disk.rename(&new_list(&list), &list);
            named.map_err(|error| WriteError::io(&list, error))?;
        }
        let _pressure = shared.overlay.change(|layer| {
            layer.wholes.extend(gone.into_iter().map(|root| (root, None)));
            if may {
                let record = BlobRecord { sparse: true, partial: None, ..record };
                layer.blobs.insert(id, Some(record));
            }
        });
        Ok(may)
    }

    /// Writes the list of a blob's leaves under the name that it has until it counts; `false` where
    /// there is no room.
    fn write_list(&self, id: BlobId, lodgers: &[Lodger]) -> Result<bool, Stop> {
        let shared = self.shared;
        let path = new_list(&shared.layout.presence(id));
        let size = shared.record(id).map_err(ReadError::from)?.map_or(0, |(record, _)| record.len);
        let boot_id = shared.boot_id.clone();
        let header = Header { root: None, size, boot_id, is_list: true };
        let records: Vec<Record> = lodgers.iter().map(Lodger::record).collect();
        let written = shared.with_reserve(|| {
            let write = || {
                shared.disk.remove(&path)?;
                Presence::write_all(&shared.disk, &path, &header, &records)
            };
            write().map_err(|error| WriteError::io(&path, error))
        });
        match written {
            Err(WriteError::Full { .. }) => {
                shared.unlink(&[path]);
                Ok(false)
            }
            written => Ok(written.map(|()| true)?),
        }
    }

    /// Makes holes where nothing stays.
    pub(super) fn free_blobs(&mut self, sparse: &[BlobId]) -> Result<(), Stop> {
        let worth = sparse.iter().filter(|id| {
            let blob = &self.homes.blobs[id];
            blob.is_dying()
                && super::holes::last_name_bytes(&self.shared.layout.blob(**id))
                    > blob.life.live_bytes
        });
        let worth: Vec<Place> = worth.map(|id| Place::Blob(*id)).collect();
        for (n, group) in self.groups(worth).into_iter().enumerate() {
            self.step(Progress::Freeing(n as u64))?;
            for (place, lodgers) in self.lodgers(&group)? {
                let Place::Blob(id) = place else { continue };
                if !self.punch_blob(id, &lodgers)? {
                    self.report.left += 1;
                }
            }
        }
        Ok(())
    }

    /// `false` where no hole can be made.
    fn punch_blob(&mut self, id: BlobId, lodgers: &[Lodger]) -> Result<bool, Stop> {
        let shared = self.shared;
        let path = shared.layout.blob(id);
        let failed = |error| WriteError::io(&path, error);
        let file = match shared.disk.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if std::os::unix::fs::MetadataExt::nlink(&metadata) != 1
            || !shared.leases.keep_out(id, &file)
        {
            // The user has a name for it too, or somebody reads it.
            return Ok(false);
        }
        let live = lodgers.iter().filter(|lodger| lodger.stays);
        let ranges = live.map(|lodger| lodger.entry.range());
        let holes: Vec<_> = gaps(ranges, metadata.len()).into_iter().filter_map(hole_of).collect();
        let before = taken(&file);
        let can = punch(&file, &holes).map_err(failed)?;
        self.report.freed_bytes += before.saturating_sub(taken(&file));
        Ok(can)
    }

    /// Homes in groups whose rows fit into memory together.
    pub(super) fn groups(&mut self, places: Vec<Place>) -> Vec<Vec<Place>> {
        let (mut groups, mut rows): (Vec<Vec<Place>>, u64) = (Vec::new(), u64::MAX);
        for place in places {
            let more = self.homes.life(place).map_or(0, |life| life.live + life.dead);
            rows = rows.saturating_add(more);
            if let Some(group) = groups.last_mut().filter(|_| rows <= ROWS_GATHERED_MAX) {
                group.push(place);
            } else {
                groups.push(vec![place]);
                rows = more;
            }
        }
        groups
    }
}

/// The name of a list that does not count yet: the next open removes it.
fn new_list(list: &std::path::Path) -> std::path::PathBuf {
    list.with_extension("new")
}

impl Lodger {
    fn record(&self) -> Record {
        let crate::key::Entry { offset, len, hash, public, .. } = self.entry;
        Record { digest: self.digest, hash, offset, len, public }
    }
}
