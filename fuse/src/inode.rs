//! Inode numbers: stable names for paths, kept as long as the kernel remembers them.
//!
//! A number is a keyed hash of the root CID and the path, so the same tree has the same numbers in
//! every mount of it. It is not a hash of the content: one file in two places
//! has its own mode and time in each, and equal numbers would look like hard links. Collisions take
//! the next free number. The kernel uses the number as its node id, so the table is keyed by it.
//!
//! Where the root may be switched, an entry of the root is numbered by its name and its CID instead of
//! the root's: two versions of one path never have one number (`cp` would take them for one file), and
//! what did not change keeps its number over a switch.
//!
//! Invariant: an inode is in the table exactly while the kernel's count of lookups is above zero (the
//! root always), so the table is bounded by the kernel's own memory. The top bit of every number is
//! clear: it is kept for writable trees. Does not know listings or open files.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use parking_lot::RwLock;
use shoal_dag::Cid;
use shoal_dag::hash::HashKind;

use crate::tree::Attributes;

/// The number of the root; FUSE fixes it.
pub(crate) const ROOT: u64 = 1;

/// The numbers given out to read-only trees: the top bit is kept for writable ones.
const NUMBERS: u64 = u64::MAX >> 1;

/// What is known of one inode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The inode of the directory it was looked up in.
    pub(crate) parent: u64,
    /// What it shows.
    pub(crate) cid: Cid,
    /// `None` while the entry is listed but its block could not be had yet.
    pub(crate) attributes: Option<Attributes>,
}

#[derive(Debug)]
struct Inode {
    known: Known,
    name: Box<[u8]>,
    lookups: u64,
}

impl Inode {
    fn is(&self, parent: u64, name: &[u8], cid: &Cid) -> bool {
        self.known.parent == parent && *self.name == *name && self.known.cid == *cid
    }
}

/// All inodes the kernel remembers.
#[derive(Debug)]
pub(crate) struct Inodes {
    table: RwLock<HashMap<u64, Inode>>,
    number: fn(&[u8]) -> u64,
    /// The CID that all numbers depend on; none where the root may be switched.
    root: Option<Cid>,
}

impl Inodes {
    /// A table that knows the root only, which stays.
    pub(crate) fn new(root: Cid, attributes: Attributes) -> Self {
        Self { root: Some(root), ..Self::live(root, attributes) }
    }

    /// A table that knows the root only, which may be replaced.
    pub(crate) fn live(root: Cid, attributes: Attributes) -> Self {
        let known = Known { parent: ROOT, cid: root, attributes: Some(attributes) };
        let inode = Inode { known, name: Box::default(), lookups: 1 };
        Self { table: RwLock::new(HashMap::from([(ROOT, inode)])), number: hashed, root: None }
    }

    /// From now on the root is another directory.
    pub(crate) fn replace_root(&self, cid: Cid, attributes: Attributes) {
        if let Some(root) = self.table.write().get_mut(&ROOT) {
            root.known = Known { parent: ROOT, cid, attributes: Some(attributes) };
        }
    }

    /// What is known of `ino`; `None` when the kernel was never told of it or forgot it.
    pub(crate) fn get(&self, ino: u64) -> Option<Known> {
        self.table.read().get(&ino).map(|inode| inode.known)
    }

    /// Counts one lookup of `name` in `parent` and returns its number.
    pub(crate) fn remember(
        &self,
        parent: u64,
        name: &[u8],
        cid: Cid,
        attributes: Option<Attributes>,
    ) -> u64 {
        let mut table = self.table.write();
        let mut ino = self.first_number(parent, name, &cid);
        loop {
            match table.entry(ino) {
                Slot::Vacant(slot) => {
                    let known = Known { parent, cid, attributes };
                    slot.insert(Inode { known, name: name.into(), lookups: 1 });
                    return ino;
                }
                Slot::Occupied(mut slot) => {
                    let inode = slot.get_mut();
                    if ino != ROOT && inode.is(parent, name, &cid) {
                        inode.lookups += 1;
                        inode.known.attributes = inode.known.attributes.or(attributes);
                        return ino;
                    }
                }
            }
            ino = next_number(ino);
        }
    }

    /// Notes attributes that became known after the inode was given out.
    pub(crate) fn learn(&self, ino: u64, attributes: Attributes) {
        if let Some(inode) = self.table.write().get_mut(&ino) {
            inode.known.attributes = Some(attributes);
        }
    }

    /// The kernel takes back `lookups` lookups of `ino`.
    pub(crate) fn forget(&self, ino: u64, lookups: u64) {
        if ino == ROOT {
            return;
        }
        let mut table = self.table.write();
        if let Slot::Occupied(mut slot) = table.entry(ino) {
            let inode = slot.get_mut();
            inode.lookups = inode.lookups.saturating_sub(lookups);
            if inode.lookups == 0 {
                slot.remove();
            }
        }
    }

    /// The number a name has or would get if nothing collides: for listings without attributes.
    pub(crate) fn first_number(&self, parent: u64, name: &[u8], cid: &Cid) -> u64 {
        match (self.number)(&self.identity(parent, name, cid)) & NUMBERS {
            number @ 0..=ROOT => number + ROOT + 1,
            number => number,
        }
    }

    /// What a number is the hash of. The parent's number stands for its path. Whoever writes names
    /// cannot choose them to collide where the root's CID takes part, because the names decide the
    /// CID; where it does not, a collision costs one step to the next number.
    fn identity(&self, parent: u64, name: &[u8], cid: &Cid) -> Vec<u8> {
        let mut key = match (&self.root, parent) {
            (Some(root), _) => root.to_bytes(),
            (None, ROOT) => cid.to_bytes(),
            (None, _) => Vec::new(),
        };
        key.extend_from_slice(&parent.to_le_bytes());
        key.extend_from_slice(name);
        key
    }

    /// How many inodes the kernel remembers, the root included.
    pub(crate) fn len(&self) -> usize {
        self.table.read().len()
    }
}

fn next_number(ino: u64) -> u64 {
    if ino >= NUMBERS { ROOT + 1 } else { ino + 1 }
}

fn hashed(identity: &[u8]) -> u64 {
    let digest = HashKind::Blake3.digest(identity);
    u64::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::cid_of_number as cid;
    use crate::tree::Kind;

    fn table() -> Inodes {
        Inodes::new(cid(0), Attributes::plain(Kind::Directory, 0))
    }

    fn crowded() -> Inodes {
        Inodes { number: |_| u64::MAX, ..table() }
    }

    #[test]
    fn numbers_are_the_same_in_every_table() {
        let (one, two) = (table(), table());
        let other = Inodes::new(cid(9), Attributes::plain(Kind::Directory, 0));
        let a = one.remember(ROOT, b"a", cid(1), None);
        let ab = one.remember(a, b"b", cid(2), None);
        assert_eq!(two.remember(ROOT, b"a", cid(1), None), a);
        assert_eq!(two.remember(a, b"b", cid(2), None), ab);
        assert_ne!(other.remember(ROOT, b"a", cid(1), None), a);
        assert!(a > ROOT && ab > ROOT && a <= NUMBERS && ab <= NUMBERS);
    }

    #[test]
    fn an_inode_lives_until_every_lookup_is_taken_back() {
        let inodes = table();
        let ino = inodes.remember(ROOT, b"a", cid(1), None);
        assert_eq!(inodes.remember(ROOT, b"a", cid(1), None), ino);
        inodes.forget(ino, 1);
        assert_eq!(inodes.get(ino).unwrap().cid, cid(1));
        inodes.forget(ino, 1);
        assert!(inodes.get(ino).is_none());
        inodes.forget(ino, 7);
        inodes.forget(ROOT, 99);
        assert_eq!(inodes.len(), 1);
    }

    #[test]
    fn colliding_names_get_numbers_of_their_own() {
        let inodes = crowded();
        let a = inodes.remember(ROOT, b"a", cid(1), None);
        let b = inodes.remember(ROOT, b"b", cid(2), None);
        let c = inodes.remember(ROOT, b"c", cid(3), None);
        assert_eq!((a, b, c), (NUMBERS, ROOT + 1, ROOT + 2));
        assert_eq!(inodes.remember(ROOT, b"b", cid(2), None), b);
        assert_eq!(inodes.get(b).unwrap().cid, cid(2));
    }

    #[test]
    fn attributes_once_known_stay_known() {
        let inodes = table();
        let file = Attributes::plain(Kind::File, 5);
        let ino = inodes.remember(ROOT, b"a", cid(1), None);
        assert_eq!(inodes.get(ino).unwrap().attributes, None);
        inodes.learn(ino, file);
        inodes.remember(ROOT, b"a", cid(1), None);
        assert_eq!(inodes.get(ino).unwrap().attributes, Some(file));
    }
    #[test]
    fn below_a_live_root_a_number_stands_for_name_and_content() {
        let attributes = Attributes::plain(Kind::Directory, 0);
        let inodes = Inodes::live(cid(0), attributes);
        let first = inodes.remember(ROOT, b"a", cid(1), None);
        let below = inodes.remember(first, b"x", cid(5), None);
        inodes.replace_root(cid(9), attributes);
        assert_eq!(inodes.get(ROOT).unwrap().cid, cid(9));
        assert_eq!(inodes.remember(ROOT, b"a", cid(1), None), first, "it did not change");
        let second = inodes.remember(ROOT, b"a", cid(2), None);
        assert_ne!(second, first);
        assert_ne!(inodes.remember(second, b"x", cid(5), None), below, "its directory did");
        assert_ne!(inodes.remember(ROOT, b"b", cid(1), None), first, "another name");
        assert_eq!(inodes.get(first).unwrap().cid, cid(1), "who holds it goes on with it");
        let mounted_later = Inodes::live(cid(9), attributes);
        assert_eq!(mounted_later.remember(ROOT, b"a", cid(2), None), second);
    }

    #[test]
    fn two_versions_never_share_a_number() {
        let inodes = Inodes { root: None, ..crowded() };
        let first = inodes.remember(ROOT, b"a", cid(1), None);
        let second = inodes.remember(ROOT, b"a", cid(2), None);
        assert_ne!(first, second);
        assert_eq!(inodes.remember(ROOT, b"a", cid(2), None), second);
    }
}
