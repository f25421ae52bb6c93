//! What is kept of names over a real store: that it comes back, and that proofs made of it hold.
//!
//! The history beside it is a chain in memory, which checks every entry; what a branch on the disk proves
//! must be the same. No node and no network.

use shoal_dag::Cid;
use shoal_ledger::{
    SecretKey,
    chain::Chain,
    entry::{Draft, Genesis, Header, KeySet, Tombstone, Update},
    head::{self, Placed},
    tree::prove,
    {Epoch, Position},
};
use shoal_store::Options;
use tempfile::TempDir;

use super::*;
use crate::node::names::{spelling::Point, version};

const SEED: [u8; 32] = [7; 32];

/// A store that can be closed and opened again, with the history of one name in memory.
struct Lab {
    dir: TempDir,
    book: Book,
    chain: Chain,
    state: State,
}

fn open(dir: &TempDir) -> Book {
    Book::new(Store::open(&dir.path().join("store"), Options::default()).expect("a store"))
}

fn genesis() -> Entry {
    let key = SecretKey::from_seed(&SEED);
    let recovery = vec![SecretKey::from_seed(&[8; 32]).public().commitment()];
    let keys = KeySet { writers: vec![key.public()], recovery, threshold: 1 };
    let body = Body::Genesis(Genesis { nickname: None, nonce: [1; 16], policy: None, keys });
    let position =
        Position { epoch: Epoch::default(), index: Index::new(0).expect("0 is an index") };
    let header = Header {
        ledger: key.public().into(),
        position,
        time_ms: 1_000,
        links: None,
        history: shoal_ledger::tree::EMPTY_ROOT,
        signer: 0,
    };
    Draft { header, body }.sign(&[&key]).expect("a genesis")
}

/// A root of its own for each number.
fn root(number: u64) -> Cid {
    let kind = shoal_dag::hash::HashKind::Blake3;
    let raw = shoal_dag::hash::RAW;
    shoal_dag::hash::cid_of(kind, raw, shoal_dag::Version::V1, &number.to_le_bytes())
}

impl Lab {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let book = open(&dir);
        let chain = Chain::begin(genesis()).expect("a chain");
        let name = SecretKey::from_seed(&SEED).public().into();
        let mut lab = Self { dir, book, chain, state: State::new(name, None) };
        lab.state.kept.petname = Some("photos".to_owned());
        lab.take(vec![genesis()]);
        lab
    }

    /// Stores entries that are in the chain already.
    fn take(&mut self, entries: Vec<Entry>) {
        let have = self.state.reader.have();
        let proof = head::prove(&self.chain, have.as_ref()).expect("a proof");
        self.state.reader.accept(&proof, 10_000_000).expect("it extends what is pinned");
        self.book.append(&mut self.state, &entries).expect("the index");
    }

    fn sign(&mut self, body: Body, time_ms: u64) -> Entry {
        let key = SecretKey::from_seed(&SEED);
        let draft = self.chain.tip().draft(body, &key.public(), time_ms).expect("a draft");
        let entry = draft.sign(&[&key]).expect("an entry");
        self.chain.push(entry.clone()).expect("it is the next one");
        entry
    }

    /// Signs and stores that many versions, in one commit.
    fn versions(&mut self, count: u64) {
        let from = self.chain.len();
        let entries = (from..from + count).map(|number| self.sign(update(number), 1_000 * number));
        let entries: Vec<_> = entries.collect();
        self.take(entries);
    }

    /// Closes the store and opens it again.
    fn restart(self) -> Self {
        let Self { dir, book, chain, state } = self;
        drop(book);
        let book = open(&dir);
        let state = book.state(state.name()).expect("the index").expect("it is known");
        Self { dir, book, chain, state }
    }

    fn head(&self) -> Option<head::HeadProof> {
        head::prove(&self.book.branch(&self.state), None)
    }
}

fn update(number: u64) -> Body {
    Body::Update(Update::of_root(root(number).to_bytes()))
}

#[test]
fn a_branch_proves_what_the_chain_proves() {
    let mut lab = Lab::new();
    // In commits of many sizes, with entries among them that are no version.
    for count in [1, 1, 2, 5, 30, 64, 90] {
        lab.versions(count);
    }
    let anchor = shoal_ledger::entry::Anchor {
        size: 3,
        kind: shoal_ledger::entry::AnchorKind::from_code(0),
        proof: shoal_ledger::entry::AnchorProof::Inline(Bytes::from_static(b"proof")),
    };
    for _ in 0..6 {
        let time = 1_000 * lab.chain.len();
        let entry = lab.sign(Body::Anchor(anchor.clone()), time);
        lab.take(vec![entry]);
    }
    let lab = lab.restart();
    let (branch, chain) = (lab.book.branch(&lab.state), &lab.chain);
    assert_eq!((branch.len(), lab.state.kept.versions), (200, 193));
    for size in 1..=200 {
        assert_eq!(prove::root(&branch, size), prove::root(chain, size), "{size}");
        for index in [0, size / 3, size - 1] {
            let placed = Placed::prove(&branch, index, size).expect("it is stored");
            assert_eq!(Some(placed), Placed::prove(chain, index, size), "{index} of {size}");
        }
        let shorter = branch.clone().up_to(size);
        assert_eq!(shorter.len(), size);
        assert_eq!(
            prove::consistency(&shorter, size / 2, size),
            prove::consistency(chain, size / 2, size)
        );
    }
    assert_eq!(head::prove(&branch, None), head::prove(chain, None));
    assert_eq!(branch.control_before(200), chain.control_before(200));
    assert_eq!(branch.entry(200), None);
}

#[test]
fn versions_are_found_by_number_index_and_time() {
    let mut lab = Lab::new();
    lab.versions(4);
    let find = |point| {
        let found = version::find(&lab.book, &lab.state, point).expect("the index");
        found.map(|found| (found.number.expect("it is stored"), found.root))
    };
    assert_eq!(find(Point::Newest), Some((4, root(4))));
    assert_eq!(find(Point::Version(2)), Some((2, root(2))));
    assert_eq!(find(Point::Version(5)), None);
    assert_eq!(find(Point::Time(3_999)), Some((3, root(3))));
    assert_eq!(find(Point::Time(1_000)), Some((1, root(1))));
    assert_eq!(find(Point::Time(999)), None);
    assert_eq!(lab.book.version_at(&lab.state, 0).expect("the index"), None);
    assert_eq!(lab.book.version_at(&lab.state, 3).expect("the index"), Some(3));
    assert_eq!(lab.book.index_of(lab.state.name(), 3).expect("the index"), Some(3));
}

#[test]
fn what_is_kept_comes_back_and_never_goes_back() {
    let mut lab = Lab::new();
    lab.versions(3);
    let before = lab.state.kept.clone();
    let head = lab.state.reader.pin().expect("a pin").head().clone();
    let mut lab = lab.restart();
    assert_eq!(lab.state.kept, before);
    assert_eq!(lab.state.reader.pin().expect("a pin").head(), &head);
    let older = head::prove(&lab.chain.up_to(2).expect("a chain"), None).expect("a proof");
    assert!(lab.state.reader.accept(&older, 10_000_000).is_err(), "an older head was accepted");
    // It goes on where it was.
    lab.versions(1);
    assert_eq!(lab.head(), head::prove(&lab.chain, None));
}

#[test]
fn a_restart_between_signing_and_storing_leaves_the_old_end() {
    let mut lab = Lab::new();
    lab.versions(2);
    let unstored = lab.sign(update(99), 90_000);
    let mut lab = lab.restart();
    assert_eq!((lab.state.kept.len, lab.state.kept.versions), (3, 2));
    let stored = lab.book.branch(&lab.state);
    assert_eq!(stored.entry(unstored.index()), None);
    assert_eq!(prove::root(&stored, 3), prove::root(&lab.chain, 3));
    drop(stored);
    lab.take(vec![unstored]);
    let lab = lab.restart();
    assert_eq!((lab.state.kept.len, lab.state.kept.versions), (4, 3));
    assert_eq!(lab.head(), head::prove(&lab.chain, None));
}

#[test]
fn what_a_recovery_cut_off_is_gone_from_the_branch() {
    let mut lab = Lab::new();
    lab.versions(6);
    lab.book.cut(&mut lab.state, 3).expect("the index");
    lab.chain = lab.chain.up_to(2).expect("a chain");
    let mut lab = lab.restart();
    assert_eq!((lab.state.kept.len, lab.state.kept.versions), (3, 2));
    assert_eq!(lab.book.index_of(lab.state.name(), 3).expect("the index"), None);
    let (branch, whole) = (lab.book.branch(&lab.state), &lab.chain);
    assert_eq!(branch.entry(3), None);
    assert_eq!(head::prove(&branch, None), head::prove(whole, None));
    // Other entries take their place: the hashes of the old ones must not be found any more.
    for number in 20..25 {
        let entry = lab.sign(update(number), 1_000 * number);
        lab.book.append(&mut lab.state, &[entry]).expect("the index");
    }
    let branch = lab.book.branch(&lab.state);
    assert_eq!(head::prove(&branch, None), head::prove(&lab.chain, None));
    for index in 0..8 {
        assert_eq!(
            Placed::prove(&branch, index, 8),
            Placed::prove(&lab.chain, index, 8),
            "{index}"
        );
    }
    let set_aside = lab.book.store.records(NAMESPACE, &key(b'x', lab.state.name(), &[]), 10);
    assert_eq!(set_aside.expect("the index").iter().filter(|row| row.0[0] == b'x').count(), 4);
}

#[test]
fn cutting_nothing_off_changes_nothing() {
    let mut lab = Lab::new();
    lab.versions(2);
    let before = lab.state.kept.clone();
    let len = before.len;
    lab.book.cut(&mut lab.state, len).expect("the index");
    assert_eq!(lab.state.kept, before);
    assert_eq!(lab.head(), head::prove(&lab.chain, None));
}

#[test]
fn a_petname_moves_with_its_name() {
    let mut lab = Lab::new();
    let name = lab.state.name();
    assert_eq!(lab.book.named("photos").expect("the index"), Some(name));
    lab.state.kept.petname = Some("pictures".to_owned());
    lab.book.put_state(&lab.state).expect("the index");
    assert_eq!(lab.book.named("photos").expect("the index"), None);
    assert_eq!(lab.book.named("pictures").expect("the index"), Some(name));
    lab.state.kept.petname = None;
    lab.book.put_state(&lab.state).expect("the index");
    assert_eq!(lab.book.named("pictures").expect("the index"), None);
    assert_eq!(lab.book.names().expect("the index"), [name]);
}

#[test]
fn a_removed_name_leaves_nothing() {
    let mut lab = Lab::new();
    lab.versions(5);
    lab.book.cut(&mut lab.state, 4).expect("the index");
    let other = LedgerId::from(SecretKey::from_seed(&[9; 32]).public());
    let mut kept = State::new(other, None);
    kept.kept.petname = Some("other".to_owned());
    lab.book.put_state(&kept).expect("the index");
    lab.book.remove(&lab.state).expect("the index");
    assert!(lab.book.state(lab.state.name()).expect("the index").is_none());
    assert_eq!(lab.book.named("photos").expect("the index"), None);
    assert_eq!(lab.book.names().expect("the index"), [other]);
    let rows = lab.book.store.records(NAMESPACE, &[], 1_000).expect("the index");
    let of_it = |key: &[u8]| key.get(1..33) == Some(lab.state.name().key_bytes().as_slice());
    assert!(!rows.iter().any(|(key, _)| of_it(key)), "something of it is left");
}

#[test]
fn an_ended_name_keeps_its_versions() {
    let mut lab = Lab::new();
    lab.versions(2);
    let end = lab.sign(Body::Tombstone(Tombstone { forward: None, message: None }), 90_000);
    lab.take(vec![end]);
    let lab = lab.restart();
    let newest = version::find(&lab.book, &lab.state, Point::Newest).expect("the index");
    assert_eq!(newest.expect("a version").number, Some(2));
    assert_eq!(lab.state.kept.len, 4);
}
