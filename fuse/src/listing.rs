//! Directory listings as the mount keeps them, and the cache of them.
//!
//! A [`Listing`] is a decoded directory plus the attributes learned of its children since; it answers
//! lookups by binary search. [`Listings`] keeps the most recently used ones by CID, so that lookups
//! in known directories are answered from memory.
//!
//! Invariants: entries are sorted bytewise without doubles and every name may exist on a file system
//! (what breaks this is dropped when a listing is taken in); positions never change, so they serve as
//! readdir offsets. Does not fetch anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use shoal_dag::{Cid, name};

use crate::tree::{Attributes, Directory, Entry};

/// Entries kept over all cached listings: about 330 bytes each, so at most about 66 MB. The listings
/// of open directories are held by their handles besides.
pub(crate) const LISTED_ENTRIES_MAX: usize = 200_000;

/// One directory, decoded.
#[derive(Debug)]
pub(crate) struct Listing {
    directory: Arc<Directory>,
    learned: Vec<OnceLock<Attributes>>,
}

impl Listing {
    /// Takes a directory in, dropping entries that no directory may have.
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        let directory = if is_sound(&directory.entries) {
            directory
        } else {
            Arc::new(Directory { entries: sound(&directory.entries) })
        };
        let learned = directory.entries.iter().map(|_| OnceLock::new()).collect();
        Self { directory, learned }
    }

    /// How many entries it has.
    pub(crate) fn len(&self) -> usize {
        self.directory.entries.len()
    }

    /// The entry at a position.
    pub(crate) fn entry(&self, position: usize) -> Option<&Entry> {
        self.directory.entries.get(position)
    }

    /// What the entry at a position stands for. Panics behind the end.
    pub(crate) fn cid(&self, position: usize) -> Cid {
        self.directory.entries[position].cid
    }

    /// The position of a name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        self.directory.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()
    }

    /// What is known of the entry at a position.
    pub(crate) fn attributes(&self, position: usize) -> Option<Attributes> {
        let stored = self.directory.entries.get(position)?.attributes;
        stored.or_else(|| self.learned.get(position)?.get().copied())
    }

    /// Notes the attributes of the entry at a position; the first answer stays.
    pub(crate) fn learn(&self, position: usize, attributes: Attributes) {
        if let Some(slot) = self.learned.get(position) {
            slot.get_or_init(|| attributes);
        }
    }

    /// The positions in a window whose attributes are not known.
    pub(crate) fn unknown(&self, from: usize, count: usize) -> Vec<usize> {
        let end = from.saturating_add(count).min(self.len());
        (from..end).filter(|position| self.attributes(*position).is_none()).collect()
    }

    /// Is everything known that a listing shows?
    pub(crate) fn is_complete(&self) -> bool {
        (0..self.len()).all(|position| self.attributes(position).is_some())
    }
}

fn is_sound(entries: &[Entry]) -> bool {
    entries.iter().all(|entry| name::check(&entry.name).is_ok())
        && entries.is_sorted_by(|one, two| one.name < two.name)
}

fn sound(entries: &[Entry]) -> Vec<Entry> {
    let mut kept: Vec<Entry> =
        entries.iter().filter(|entry| name::check(&entry.name).is_ok()).cloned().collect();
    kept.sort_by(|one, two| one.name.cmp(&two.name));
    kept.dedup_by(|two, one| one.name == two.name);
    kept
}

#[derive(Debug, Default)]
struct Cache {
    by_cid: HashMap<Cid, (Arc<Listing>, u64)>,
    by_use: BTreeMap<u64, Cid>,
    clock: u64,
    entries: usize,
}

/// The most recently used listings.
#[derive(Debug)]
pub(crate) struct Listings {
    cache: Mutex<Cache>,
    entries_max: usize,
}

impl Listings {
    /// An empty cache that keeps listings of up to `entries_max` entries together.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { cache: Mutex::default(), entries_max }
    }

    /// The listing of a directory if it is here, which counts as a use.
    pub(crate) fn get(&self, cid: &Cid) -> Option<Arc<Listing>> {
        let mut cache = self.cache.lock();
        cache.clock += 1;
        let now = cache.clock;
        let (listing, used) = cache.by_cid.get_mut(cid)?;
        let (listing, before) = (Arc::clone(listing), std::mem::replace(used, now));
        cache.by_use.remove(&before);
        cache.by_use.insert(now, *cid);
        Some(listing)
    }

    /// Keeps a listing and returns the one that is kept: when another thread was faster, its.
    pub(crate) fn keep(&self, cid: Cid, listing: Listing) -> Arc<Listing> {
        if let Some(there) = self.get(&cid) {
            return there;
        }
        let listing = Arc::new(listing);
        let mut cache = self.cache.lock();
        cache.clock += 1;
        let now = cache.clock;
        if let Some((_, before)) = cache.by_cid.insert(cid, (Arc::clone(&listing), now)) {
            cache.by_use.remove(&before);
        } else {
            cache.entries += weight(&listing);
        }
        cache.by_use.insert(now, cid);
        while cache.entries > self.entries_max && cache.by_cid.len() > 1 {
            let Some((_, oldest)) = cache.by_use.pop_first() else {
                break;
            };
            if let Some((dropped, _)) = cache.by_cid.remove(&oldest) {
                cache.entries -= weight(&dropped);
            }
        }
        listing
    }
}

/// An empty directory counts too.
fn weight(listing: &Listing) -> usize {
    listing.len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::cid_of_number as cid;
    use crate::tree::Kind;

    fn entry(name: &[u8]) -> Entry {
        Entry { name: name.to_vec(), cid: cid(1), attributes: None }
    }

    fn listing(names: &[&[u8]]) -> Listing {
        let entries = names.iter().map(|name| entry(name)).collect();
        Listing::new(Arc::new(Directory { entries }))
    }

    #[test]
    fn names_no_file_system_has_are_dropped_and_the_rest_is_sorted() {
        let long = [b'x'; 256];
        let listing =
            listing(&[b"b", b"", b".", b"..", b"a/b", b"a\0", &long, &long[..255], b"a", b"a"]);
        let names: Vec<_> = (0..listing.len()).map(|at| &listing.entry(at).unwrap().name).collect();
        assert_eq!(names, [&b"a"[..], b"b", &long[..255]]);
        assert_eq!(listing.find(b"b"), Some(1));
        assert_eq!(listing.find(b".."), None);
    }

    #[test]
    fn what_is_learned_is_known_afterwards() {
        let listing = listing(&[b"a", b"b", b"c"]);
        listing.learn(1, Attributes::plain(Kind::File, 7));
        listing.learn(1, Attributes::plain(Kind::File, 8));
        assert_eq!(listing.attributes(1).unwrap().size, 7);
        assert_eq!(listing.unknown(0, 2), [0]);
        assert_eq!(listing.unknown(1, usize::MAX), [2]);
        assert!(!listing.is_complete());
    }

    #[test]
    fn the_least_recently_used_listing_goes_first() {
        let listings = Listings::new(6);
        for number in 0..3 {
            listings.keep(cid(number), listing(&[b"a"]));
        }
        assert!(listings.get(&cid(0)).is_some());
        listings.keep(cid(3), listing(&[b"a"]));
        assert!(listings.get(&cid(1)).is_none());
        assert!(listings.get(&cid(0)).is_some());
        assert_eq!(listings.cache.lock().entries, 6);
    }

    #[test]
    fn a_listing_larger_than_the_cache_is_kept_alone() {
        let listings = Listings::new(2);
        listings.keep(cid(0), listing(&[b"a"]));
        listings.keep(cid(1), listing(&[b"a", b"b", b"c"]));
        assert!(listings.get(&cid(0)).is_none());
        assert_eq!(listings.get(&cid(1)).unwrap().len(), 3);
    }
}
