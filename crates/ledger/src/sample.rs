//! Ledgers for tests: keys from small numbers, and chains grown in one call.
//!
//! Compiled for tests only. What it makes is valid unless a test says otherwise.

use shoal_dag::Bytes;

use crate::chain::{Archive, Chain};
use crate::entry::{Body, Draft, Entry, Genesis, Header, KeySet, Recover, Update, Writers};
use crate::key::{PublicKey, SecretKey};
use crate::{Epoch, Index, LedgerId, Position, tree};

/// The key that grows from that number.
pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// The key that names the ledger of most tests, and writes it.
pub(crate) const OWNER: u8 = 1;
/// The seeds of its recovery keys; any one recovers.
pub(crate) const RECOVERY: [u8; 2] = [100, 101];

pub(crate) fn name() -> LedgerId {
    key(OWNER).public().into()
}

pub(crate) fn keys_of(writers: &[u8]) -> KeySet {
    KeySet {
        writers: writers.iter().map(|seed| key(*seed).public()).collect(),
        recovery: RECOVERY.iter().map(|seed| key(*seed).public().commitment()).collect(),
        threshold: 1,
    }
}

pub(crate) fn update(root: u64) -> Body {
    Body::Update(Update::of_root(Bytes::copy_from_slice(&root.to_be_bytes())))
}

pub(crate) fn genesis_draft(owner: u8, writers: &[u8], nonce: u8) -> Draft {
    let zero = Position { epoch: Epoch::new(0).unwrap(), index: Index::new(0).unwrap() };
    Draft {
        header: Header {
            ledger: key(owner).public().into(),
            position: zero,
            time_ms: 1_000,
            links: None,
            history: tree::EMPTY_ROOT,
            signer: 0,
        },
        body: Body::Genesis(Genesis {
            nickname: None,
            nonce: [nonce; 16],
            policy: None,
            keys: keys_of(writers),
        }),
    }
}

/// A ledger of one entry, written by those keys.
pub(crate) fn begin(writers: &[u8]) -> Chain {
    Chain::begin(genesis_draft(OWNER, writers, 0).sign(&[&key(OWNER)]).unwrap()).unwrap()
}

/// The next entry, signed by that writer; its time is a second later than the head's.
#[track_caller]
pub(crate) fn next(chain: &Chain, writer: u8, body: Body) -> Entry {
    let time = chain.tip().head().header().time_ms + 1_000;
    let draft = chain.tip().draft(body, &key(writer).public(), time).unwrap();
    draft.sign(&[&key(writer)]).unwrap()
}

/// Appends it too.
#[track_caller]
pub(crate) fn push(chain: &mut Chain, writer: u8, body: Body) -> Entry {
    let entry = next(chain, writer, body);
    chain.push(entry.clone()).unwrap();
    entry
}

/// A ledger of the owner's with that many entries in all. `root` goes into every update, so that
/// chains of different roots differ from index 1 on.
pub(crate) fn chain(len: u64, root: u64) -> Chain {
    let mut chain = begin(&[OWNER]);
    grow(&mut chain, len, root);
    chain
}

/// Appends the owner's updates until there are that many entries.
pub(crate) fn grow(chain: &mut Chain, len: u64, root: u64) {
    while chain.len() < len {
        push(chain, OWNER, update(root + chain.len()));
    }
}

/// A change of writers.
pub(crate) fn writers(active: u8, added: &[u8], removed: u32) -> Body {
    let added = added.iter().map(|seed| key(*seed).public()).collect();
    Body::Writers(Writers { active, added, policy: None, removed })
}

/// The branch that a recovery opens on the entry at `base`, for those writers.
pub(crate) fn recover(chain: &Chain, base: u64, with: u8, writers: &[u8]) -> Chain {
    let mut branch = chain.up_to(base).unwrap();
    let entry = recovery(&branch, with, writers);
    branch.push(entry).unwrap();
    branch
}

/// A recovery at the end of that branch.
pub(crate) fn recovery(branch: &Chain, with: u8, writers: &[u8]) -> Entry {
    let revealed: Vec<PublicKey> = vec![key(with).public()];
    let body = Body::Recover(Recover { revealed, policy: None, keys: keys_of(writers) });
    next(branch, with, body)
}
