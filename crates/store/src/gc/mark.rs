//! Marking: everything that pins, holds and the caller's roots lead to, over the dense ids of a snapshot.
//!
//! Linear in the unique blocks and without recursion: a block is put on the stack when it is first met
//! as a branch. Two bits a row: it stays, and its links were followed. They are two because anybody can
//! link to a branch as to a raw block, and that link is not one to what lies below it. Links are read from
//! dag-pb, whatever the data of a node says, and from dag-cbor.

use std::ops::ControlFlow;

use shoal_dag::hash::{DAG_PB, RAW};
use shoal_dag::{Bytes, Cid, cbor, pb};

use super::run::{Run, Stop};
use super::shields::Said;
use super::{CollectOptions, Progress};
use crate::error::ReadError;
use crate::key::{Digest, Entry, Key, inline};

/// Pins that are read in one look at the index.
const PINS_AT_ONCE: usize = 1000;
/// Branches that are read between two looks at what was said.
const BRANCHES_AT_ONCE: usize = 256;
/// Rows that are counted between two looks at what was said.
const ROWS_AT_ONCE: u64 = 16 * 1024;
/// CIDs that carry their bytes, one within the other: 128 bytes have room for no more.
const INLINE_MAX: usize = 16;

/// One bit for each row.
#[derive(Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    /// Sets a bit; says whether it was not set.
    fn set(&mut self, id: u64) -> bool {
        let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    fn clear(&mut self, id: u64) {
        self.0[(id / 64) as usize] &= !(1 << (id % 64));
    }

    fn has(&self, id: u64) -> bool {
        self.0[(id / 64) as usize] & (1 << (id % 64)) != 0
    }
}

/// What was marked.
#[derive(Debug)]
pub(super) struct Marks {
    stay: Bits,
    followed: Bits,
    /// Branches whose links are to be followed: below pins, and below everything else.
    pinned: Vec<u64>,
    used: Vec<u64>,
    found: u64,
}

impl Marks {
    pub(super) fn new(count: u64) -> Self {
        let (stay, followed) = (Bits::new(count), Bits::new(count));
        Self { stay, followed, pinned: Vec::new(), used: Vec::new(), found: 0 }
    }

    /// Were the links of this row followed, or are they about to be?
    pub(super) fn is_followed(&self, id: u64) -> bool {
        self.followed.has(id)
    }

    /// Does this row stay?
    pub(super) fn stays(&self, id: u64) -> bool {
        self.stay.has(id)
    }

    /// This row stays; says whether that is new.
    pub(super) fn keep(&mut self, id: u64) -> bool {
        let is_new = self.stay.set(id);
        self.found += u64::from(is_new);
        is_new
    }

    fn stack(&mut self, of: Of) -> &mut Vec<u64> {
        match of {
            Of::Pin => &mut self.pinned,
            Of::Use => &mut self.used,
        }
    }
}

/// What a block is marked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A pin: everything below it should be here.
    Pin,
    /// Something that may be here in part.
    Use,
}

impl Run<'_> {
    /// Marks from everything that stays.
    pub(super) fn mark(&mut self, options: &CollectOptions) -> Result<(), Stop> {
        self.step(Progress::Marking(0))?;
        self.mark_pins()?;
        self.step(Progress::Marking(self.marks.found))?;
        let collecting = self.collecting;
        let held = if options.dry_run && options.pins_only { &[] } else { &collecting.holds[..] };
        for root in held.iter().chain(&options.roots) {
            self.mark_cid(root, true, Of::Use)?;
        }
        for block in &options.blocks {
            self.mark_cid(block, false, Of::Use)?;
        }
        self.walk(Of::Use)?;
        self.listen()
    }

    fn mark_pins(&mut self) -> Result<(), Stop> {
        let mut after: Option<Cid> = None;
        loop {
            let pins = self.shared.pins(after.as_ref(), PINS_AT_ONCE)?;
            let Some((last, _)) = pins.last() else { return Ok(()) };
            after = Some(*last);
            for (cid, pin) in &pins {
                self.mark_cid(cid, !pin.direct, Of::Pin)?;
            }
            self.walk(Of::Pin)?;
        }
    }

    /// Marks a block; with `below`, what lies below it comes with the next [`walk`](Self::walk).
    fn mark_cid(&mut self, cid: &Cid, below: bool, of: Of) -> Result<(), Stop> {
        let mut ahead = vec![*cid];
        let mut inlined = 0;
        while let Some(cid) = ahead.pop() {
            if let Some(data) = inline(&cid) {
                inlined += 1;
                if below && cid.codec() != RAW && inlined <= INLINE_MAX {
                    ahead.extend(links(data));
                }
            } else if let Some(key) = Key::of(&cid) {
                self.mark_key(&key, below && cid.codec() != RAW, of)?;
            }
        }
        Ok(())
    }

    fn mark_key(&mut self, key: &Key, below: bool, of: Of) -> Result<(), Stop> {
        let Some((id, entry)) = self.row(key)? else {
            self.report.missing += u64::from(of == Of::Pin);
            // What it is the root of stays all the same: it may come again.
            self.late.insert(key.digest);
            self.homes.rescue(&key.digest);
            return Ok(());
        };
        self.keep_row(id, &key.digest, &entry);
        if below && self.marks.followed.set(id) {
            self.marks.stack(of).push(id);
        }
        Ok(())
    }

    /// A row stays, perhaps after its home was thought to be dead.
    fn keep_row(&mut self, id: u64, digest: &Digest, entry: &Entry) {
        if self.marks.keep(id) {
            self.homes.rescue(digest);
            if self.homes.revive(id, entry) {
                self.report.kept_blocks += 1;
                self.report.kept_bytes += u64::from(entry.len);
            }
        }
    }

    /// The row of a block in the snapshot.
    pub(super) fn row(&self, key: &Key) -> Result<Option<(u64, Entry)>, Stop> {
        let found = self.snapshot.find(&key.digest).map_err(ReadError::from)?;
        Ok(found.filter(|(_, entry)| entry.hash == key.hash))
    }

    /// Follows the links of all branches that wait for it.
    pub(super) fn walk(&mut self, of: Of) -> Result<(), Stop> {
        let mut read = 0;
        while let Some(id) = self.marks.stack(of).pop() {
            if let Some(data) = self.branch(id, of)? {
                for link in links(&data) {
                    self.mark_cid(&link, true, of)?;
                }
            }
            read += 1;
            if read % BRANCHES_AT_ONCE == 0 {
                self.step(Progress::Marking(self.marks.found))?;
                if of == Of::Pin {
                    self.listen()?;
                } else {
                    self.hear()?;
                }
            }
        }
        Ok(())
    }

    /// The bytes of a branch; none where it is gone since. One that cannot be read below a pin is an
    /// error: what lies below it is not known.
    fn branch(&mut self, id: u64, of: Of) -> Result<Option<Bytes>, Stop> {
        let digest = self.snapshot.digest_of(id).map_err(ReadError::from)?;
        let Some(digest) = digest else { return Ok(None) };
        let Some((_, entry)) = self.snapshot.find(&digest).map_err(ReadError::from)? else {
            return Ok(None);
        };
        let key = Key { digest, hash: entry.hash };
        match self.shared.read(&key.cid(DAG_PB), false) {
            Ok(data) => {
                self.report.missing += u64::from(of == Of::Pin && data.is_none());
                Ok(data)
            }
            // Nobody promised that it is here; below a pin it is met again.
            Err(ReadError::Corrupt { .. } | ReadError::Changed { .. }) if of == Of::Use => {
                self.marks.followed.clear(id);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Marks what somebody relies on.
    pub(super) fn mark_said(&mut self, said: Said) -> Result<(), Stop> {
        let key = said.key;
        self.homes.rescue(&key.digest);
        let is_new = self.late.insert(key.digest);
        if self.row(&key)?.is_some() {
            return self.mark_key(&key, said.below, Of::Use);
        }
        // It came after the snapshot, and what it links to may have been here before.
        if is_new
            && said.below
            && let Ok(Some(data)) = self.shared.read(&key.cid(DAG_PB), false)
        {
            for link in links(&data) {
                self.mark_cid(&link, true, Of::Use)?;
            }
        }
        Ok(())
    }

    /// Looks at every row once: what batches rely on stays too, and each home learns what lives in it.
    pub(super) fn count(&mut self) -> Result<(), Stop> {
        let mut from = 0;
        while from < self.snapshot.count() {
            self.step(Progress::Counting(from, self.snapshot.count()))?;
            from = self.count_some(from)?;
            self.homes.counted_to = from;
            self.listen()?;
        }
        Ok(())
    }

    fn count_some(&mut self, from: u64) -> Result<u64, Stop> {
        let (marks, homes, report) = (&mut self.marks, &mut self.homes, &mut self.report);
        let batches = &self.collecting.batches;
        let last = from + ROWS_AT_ONCE;
        let end = self.snapshot.each(from, |row| {
            if row.is_newest {
                let is_relied_on = || batches.iter().any(|batch| batch.covers(&row.digest));
                if !marks.stays(row.id) && is_relied_on() {
                    marks.keep(row.id);
                }
                let stays = marks.stays(row.id);
                homes.count(&row.entry, stays);
                let len = u64::from(row.entry.len);
                if stays {
                    report.kept_blocks += 1;
                    report.kept_bytes += len;
                } else {
                    report.removed_blocks += 1;
                    report.removed_bytes += len;
                }
            }
            if row.id >= last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        Ok(end.map_err(ReadError::from)?)
    }
}

/// The links of a block whose codec is not raw, whatever it is said to be, as dag-pb and as dag-cbor: a
/// block may be linked to as one thing first and as what it is later.
pub(super) fn links(data: &[u8]) -> Vec<Cid> {
    let mut links = cbor::links(data).unwrap_or_default();
    if let Ok(node) = pb::decode(data) {
        links.extend(node.links.iter().map(|link| link.hash));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_those_of_either_format() {
        let cid = Cid::try_from(&b"\x01\x55\0\x01x"[..]).unwrap();
        let node = pb::PbNode {
            links: vec![pb::PbLink { hash: cid, name: None, tsize: None }],
            data: None,
        };
        assert_eq!(links(&node.encode().unwrap()), [cid]);
        assert_eq!(links(b"\x81\xd8\x2a\x46\0\x01\x55\0\x01x"), [cid]);
        assert_eq!(links(b"neither"), []);
    }

    #[test]
    fn bits_are_set_once() {
        let mut bits = Bits::new(130);
        assert!(bits.set(129) && !bits.set(129) && bits.has(129) && !bits.has(128));
        bits.clear(129);
        assert!(!bits.has(129));
    }
}
