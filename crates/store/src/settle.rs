//! Settling a fetched file: every leaf to its place in the blob, and the blob is whole.
//!
//! Leaves that came from peers are at their place already. What is left are leaves that the store had
//! elsewhere, and leaves that stand in a file twice: they are copied, and verified on the way. The
//! leaves must tile the content from 0 to its end without a gap.

use shoal_dag::hash::RAW;
use shoal_dag::{Bytes, Cid};

use crate::BLOB_BYTES_MIN;
use crate::blob::BlobRecord;
use crate::error::{ReadError, WriteError};
use crate::files::read_at;
use crate::holes::{Hole, Holes};
use crate::index::Whole;
use crate::keep::root_key;
use crate::key::{Entry, Key, Place, inline};
use crate::pack::scan::matches;
use crate::partial::{Leaf, Partial};
use crate::read::Found;
use crate::store::{Shared, Store};

/// Leaves that are looked up at once.
const LEAVES_AT_ONCE: usize = 1024;
/// How often a leaf's place is tried: whoever took it in between is waited for, and has written the same.
const SETTLE_TRIES: u32 = 3;

/// A leaf of a file: its CID, where it begins and how long it is.
type Span = (Cid, u64, u32);

/// How a file is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SettleOptions {
    /// Sync and index everything before returning; else the next checkpoint does.
    pub sync: bool,
    /// The blob is to be relied on by a pin: it will not be moved out.
    pub kept: bool,
    /// It may have holes where it shares much with what the store owns already: then its leaves are all
    /// here to stay, but it is no whole file. For what is kept only.
    pub sparse: bool,
}

impl Store {
    /// Makes a file's blob whole. `leaves` are all leaves of the file in order with their places; those
    /// that are not at their place are copied there, verified, from wherever the store has them. `false`
    /// when something is missing, where the file has been stored by its new leaves, or where its root is in its
    /// CID. Content below [`BLOB_BYTES_MIN`] has no blob: then the answer says only whether all of it is here.
    pub fn settle(
        &self,
        root: &Cid,
        size: u64,
        leaves: &mut dyn Iterator<Item = Span>,
        options: SettleOptions,
    ) -> Result<bool, WriteError> {
        let shared = &self.shared;
        shared.disk.check()?;
        let Some(key) = root_key(root)? else {
            return Ok(size < BLOB_BYTES_MIN && self.has_all(leaves));
        };
        shared.shields.entering().rely(&key);
        let is_settled = if size < BLOB_BYTES_MIN {
            self.has_all(leaves)
        } else {
            let whole = shared.whole(&key).map_err(ReadError::from)?;
            match whole.filter(|(_, record)| record.reference.is_none() || is_intact(record)) {
                Some((id, record)) => !options.kept || record.is_owned() || shared.own_blob(id)?,
                None if shared.is_sparse(&key)? => false,
                None => shared.settle_blob(&key, size, leaves, options)?,
            }
        };
        if is_settled && options.sync {
            shared.checkpoint()?;
        }
        Ok(is_settled)
    }

    /// Hashes every leaf of a whole file at its place: `false` when the file is not whole here, an
    /// error naming the first leaf that is wrong.
    pub fn verify_whole(
        &self,
        root: &Cid,
        leaves: &mut dyn Iterator<Item = Span>,
    ) -> Result<bool, ReadError> {
        let Some(whole) = self.whole_file(root)? else { return Ok(false) };
        let mut position = 0;
        for (cid, offset, len) in leaves {
            let path = whole.path.clone();
            let wrong = |path| {
                if whole.reference {
                    ReadError::changed(cid, path)
                } else {
                    ReadError::Corrupt { cid, path }
                }
            };
            let Some(key) = Key::of(&cid) else { return Err(wrong(path)) };
            let data = read_at(&whole.file, offset, len.min(LEAF_BYTES_MAX) as usize)
                .map_err(|error| ReadError::io(&path, error))?;
            if offset != position || data.len() != len as usize || !matches(&key, &data) {
                return Err(wrong(path));
            }
            position += u64::from(len);
        }
        Ok(position == whole.len)
    }

    fn has_all(&self, leaves: &mut dyn Iterator<Item = Span>) -> bool {
        loop {
            let now: Vec<Cid> = leaves.take(LEAVES_AT_ONCE).map(|leaf| leaf.0).collect();
            self.shared.rely_on(&now);
            if now.is_empty() {
                return true;
            }
            if self.has_many(&now).contains(&false) {
                return false;
            }
        }
    }
}

/// No leaf is longer than a block.
const LEAF_BYTES_MAX: u32 = shoal_dag::BLOCK_BYTES_MAX as u32;

/// Is the user's file still the one that was looked at?
fn is_intact(record: &BlobRecord) -> bool {
    record.reference.as_ref().is_some_and(|reference| reference.open().is_some())
}

/// A leaf that may stay where it is, since a pin may rely on that.
fn hole_at(partial: &Partial, &(cid, offset, len): &Span, found: &Found) -> Option<Hole> {
    let Entry { place, offset: at, .. } = found.entry;
    let key = Key::of(&cid)?;
    let may_stay = found.is_owned() && found.entry.len == len && place != Place::Blob(partial.id);
    (may_stay && !partial.covers(offset, len)).then_some(Hole {
        key,
        offset,
        len,
        home: (place, at),
    })
}

impl Shared {
    fn settle_blob(
        &self,
        root: &Key,
        size: u64,
        leaves: &mut dyn Iterator<Item = Span>,
        options: SettleOptions,
    ) -> Result<bool, WriteError> {
        let kept = options.kept;
        let Some(partial) = self.partial(root, size)? else {
            // Another thread made it whole just now, unless it was begun with another size.
            let whole = self.whole(root).map_err(ReadError::from)?;
            let whole = whole.filter(|(_, record)| record.len == size);
            return whole
                .map_or(Ok(false), |(id, _)| if kept { self.own_blob(id) } else { Ok(true) });
        };
        let mut position = 0;
        let mut is_complete = true;
        let mut holes = Holes::default();
        loop {
            let spans: Vec<Span> = leaves.take(LEAVES_AT_ONCE).collect();
            if spans.is_empty() {
                break;
            }
            let cids: Vec<Cid> = spans.iter().map(|span| span.0).collect();
            self.rely_on(&cids);
            let found = self.find_many(&cids).map_err(ReadError::from)?;
            for (span, found) in spans.iter().zip(found) {
                if span.1 != position {
                    return Ok(false);
                }
                position += u64::from(span.2);
                let hole = found.as_ref().filter(|_| kept && options.sparse);
                if let Some(hole) = hole.and_then(|found| hole_at(&partial, span, found)) {
                    if holes.push(hole, false) {
                        is_complete &= self.settle_holes(&partial, holes.decide(position))?;
                    }
                } else {
                    is_complete &= self.settle_leaf(&partial, span, found)?;
                }
            }
        }
        is_complete &= self.settle_holes(&partial, holes.decide(size))?;
        if is_complete && position == size {
            return self.make_whole(&partial, kept, holes.stay());
        }
        Ok(false)
    }

    /// These blocks are relied on from now on.
    fn rely_on(&self, cids: &[Cid]) {
        let entering = self.shields.entering();
        for key in cids.iter().filter_map(Key::of) {
            entering.rely(&key);
        }
    }

    /// Brings leaves to their places after all.
    fn settle_holes(&self, partial: &Partial, holes: Vec<Hole>) -> Result<bool, WriteError> {
        let mut is_complete = true;
        for hole in holes {
            let found = self.find(&hole.key).map_err(ReadError::from)?;
            let span = (hole.key.cid(RAW), hole.offset, hole.len);
            is_complete &= self.settle_leaf(partial, &span, found)?;
        }
        Ok(is_complete)
    }

    /// Has this root a blob with holes?
    fn is_sparse(&self, root: &Key) -> Result<bool, WriteError> {
        let known = self.blob_of(root).map_err(ReadError::from)?;
        Ok(known.is_some_and(|(_, record)| record.sparse && record.is_owned()))
    }

    /// Brings one leaf to its place; `false` when the store does not have it.
    fn settle_leaf(
        &self,
        partial: &Partial,
        span: &Span,
        found: Option<Found>,
    ) -> Result<bool, WriteError> {
        let &(cid, offset, len) = span;
        let is_at_place = |found: &Found| {
            let place = Place::Blob(partial.id);
            let entry = found.entry;
            (entry.place, entry.offset, entry.len) == (place, offset, len)
        };
        if found.as_ref().is_some_and(is_at_place) {
            return Ok(true);
        }
        for _ in 0..SETTLE_TRIES {
            partial.wait_written(offset, len);
            if partial.covers(offset, len) {
                // A leaf that stands here twice, or that has a better home elsewhere.
                if self.is_right_there(partial, span, found.as_ref())? {
                    return Ok(true);
                }
                partial.release(offset, len);
            }
            let Some(data) = self.leaf_bytes(&cid, found.as_ref())? else { return Ok(false) };
            if data.len() != len as usize {
                return Ok(false);
            }
            if self.put_there(partial, span, &data, found.as_ref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Are the bytes at this place of the blob the leaf's? Then it is pointed there.
    fn is_right_there(
        &self,
        partial: &Partial,
        &(cid, offset, len): &Span,
        found: Option<&Found>,
    ) -> Result<bool, WriteError> {
        let data = read_at(&partial.file, offset, len.min(LEAF_BYTES_MAX) as usize)
            .map_err(|error| WriteError::io(&partial.path, error))?;
        if let Some(inlined) = inline(&cid) {
            return Ok(inlined == data);
        }
        let Some(key) = Key::of(&cid).filter(|key| matches(key, &data)) else { return Ok(false) };
        let place = Place::Blob(partial.id);
        let entry = Entry { place, offset, len, hash: key.hash, public: false };
        self.rely(&key, entry, found)?;
        Ok(true)
    }

    /// A leaf's bytes from wherever they are, verified.
    fn leaf_bytes(&self, cid: &Cid, found: Option<&Found>) -> Result<Option<Bytes>, WriteError> {
        if let Some(data) = inline(cid) {
            return Ok(Some(Bytes::copy_from_slice(data)));
        }
        let (Some(key), Some(found)) = (Key::of(cid), found) else { return Ok(None) };
        match self.read_found(cid, &key, found) {
            // It may have another home since it was looked up.
            Err(ReadError::Corrupt { .. } | ReadError::Changed { .. }) => {
                match self.read(cid, false) {
                    Err(ReadError::Corrupt { .. } | ReadError::Changed { .. }) => Ok(None),
                    data => Ok(data?),
                }
            }
            data => Ok(Some(data?)),
        }
    }

    /// Writes a leaf to its place; `false` where that is not free.
    fn put_there(
        &self,
        partial: &Partial,
        &(cid, offset, _): &Span,
        data: &Bytes,
        found: Option<&Found>,
    ) -> Result<bool, WriteError> {
        let Some(key) = Key::of(&cid) else {
            // Bytes that a CID carries itself have no entry, and need none.
            return partial.write_plain(offset, data, &self.partials);
        };
        let leaf = Leaf { key, offset, data, public: false };
        let mut made = None;
        let is_written = partial.write(leaf, &self.partials, |_, entry| made = Some(entry))?;
        if let Some(entry) = made {
            self.rely(&key, entry, found)?;
        }
        Ok(is_written)
    }

    /// Points a leaf to its place in the blob, unless it has a home that pins may rely on.
    fn rely(&self, key: &Key, entry: Entry, found: Option<&Found>) -> Result<(), WriteError> {
        if found.is_some_and(Found::is_owned) {
            return Ok(());
        }
        let public = found.is_some_and(|found| found.entry.public);
        self.relieve(self.overlay.insert(key.digest, Entry { public, ..entry }))
    }

    /// All leaves are at their places, or elsewhere for good: the blob is complete. The presence record stays until the index
    /// says so too. `false` when it was whole and forgotten already.
    fn make_whole(&self, partial: &Partial, kept: bool, sparse: bool) -> Result<bool, WriteError> {
        let homes = self.homes.lock();
        let known = self.record(partial.id).map_err(ReadError::from)?;
        let Some((record, _)) = known else { return Ok(false) };
        if record.partial.is_none() {
            // Another thread settled it, and it may be the user's file by now.
            drop(homes);
            return if kept { self.own_blob(partial.id) } else { Ok(true) };
        }
        partial.seal();
        let kept = kept || record.kept;
        let record = BlobRecord {
            len: partial.size,
            kept,
            damaged: false,
            sparse,
            partial: None,
            reference: None,
        };
        let whole = Whole { blob: partial.id, hash: partial.root.hash };
        let pressure = self.overlay.change(|layer| {
            layer.blobs.insert(partial.id, Some(record));
            layer.wholes.insert(partial.root.digest, Some(whole));
            layer.unlink.push(partial.presence_path().to_owned());
        });
        drop(homes);
        self.partials.remove(&partial.root.digest);
        self.relieve(pressure)?;
        Ok(true)
    }
}
