//! Fuzz targets of the package, run for a bounded number of cases; `scripts/fuzz` runs them for longer.
//!
//! What strangers send is decoded here: entries, IPNS records, questions, answers and proofs. The oracles: what is
//! accepted has one form in bytes, `serde_ipld_dagcbor` reads it too, and nobody makes a record or an
//! entry of a name without its key.
#![expect(clippy::unwrap_used, reason = "this is a test as a whole")]
#![expect(clippy::disallowed_methods, reason = "targets may be run for a time")]

#[path = "../../dag/tests/fuzz/mutate.rs"]
mod mutate;

use std::sync::LazyLock;
use std::time::Duration;

use ipld_core::ipld::Ipld;
use shoal_dag::Bytes;
use shoal_ledger::entry::{Genesis, Header, KeySet, Update};
use shoal_ledger::ipns::{self, Instant, SignedRecord};
use shoal_ledger::{
    Body, Draft, Entry, Epoch, Index, LedgerId, Position, ProofFile, Question, SecretKey, Tip, tree,
};

/// The key of the name that records and entries are of.
fn key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn name() -> LedgerId {
    key().public().into()
}

/// A genesis and two updates.
static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(entries);

fn entries() -> Vec<Entry> {
    let recovery = vec![SecretKey::from_seed(&[8; 32]).public().commitment()];
    let keys = KeySet { writers: vec![key().public()], recovery, threshold: 1 };
    let header = Header {
        ledger: name(),
        position: Position { epoch: Epoch::new(0).unwrap(), index: Index::new(0).unwrap() },
        time_ms: 1_000,
        links: None,
        history: tree::EMPTY_ROOT,
        signer: 0,
    };
    let body = Body::Genesis(Genesis { nickname: None, nonce: [0; 16], policy: None, keys });
    let mut entries = vec![Draft { header, body }.sign(&[&key()]).unwrap()];
    let mut tip = Tip::begin(entries[0].clone()).unwrap();
    for message in [None, Some("second".to_owned())] {
        let update =
            Update { message, files: Some(3), ..Update::of_root(Bytes::from_static(ROOT)) };
        let draft = tip.draft(Body::Update(update), &key().public(), 2_000).unwrap();
        let entry = draft.sign(&[&key()]).unwrap();
        tip.extend(entry.clone()).unwrap();
        entries.push(entry);
    }
    entries
}

/// A CIDv1: raw, the identity of "root".
const ROOT: &[u8] = b"\x01\x55\x00\x04root";

/// The bytes are the only encoding of what another decoder reads.
#[track_caller]
fn is_canonical(bytes: &[u8]) {
    let value: Ipld = serde_ipld_dagcbor::from_slice(bytes).expect("another decoder reads it too");
    assert_eq!(serde_ipld_dagcbor::to_vec(&value).unwrap(), bytes);
}

#[test]
fn fuzz_entry() {
    let corpus: Vec<_> = ENTRIES.iter().map(|entry| entry.block().to_vec()).collect();
    mutate::run("entry", &corpus, 10_000, |bytes| {
        let Ok(entry) = Entry::decode(Bytes::copy_from_slice(bytes)) else { return };
        assert_eq!(entry.block()[..], *bytes);
        is_canonical(bytes);
        // Without the key nobody makes an entry that was not made with it.
        if entry.is_signed_by(&[key().public()]) {
            assert!(ENTRIES.iter().any(|made| made.block() == entry.block()));
        }
    });
}

/// What a record may say: something, or a head.
static DRAFTS: LazyLock<Vec<ipns::Draft>> = LazyLock::new(drafts);

fn drafts() -> Vec<ipns::Draft> {
    let end = Instant::since_1970(Duration::from_secs(1_800_000_000));
    let plain = ipns::Draft {
        value: Bytes::from_static(b"/ipfs/bafkqaaa"),
        sequence: 7,
        end,
        ttl_ns: 1 << 40,
        shoal: None,
    };
    let head = ENTRIES.last().unwrap();
    let root = shoal_dag::hash::cid_from_bytes(ROOT).unwrap();
    vec![plain, ipns::Draft::of_head(head, &root, end)]
}

#[test]
fn fuzz_ipns_record() {
    let signed = |draft: &ipns::Draft, v1| draft.sign(&key(), v1).unwrap().bytes().to_vec();
    let corpus: Vec<_> =
        DRAFTS.iter().flat_map(|draft| [signed(draft, true), signed(draft, false)]).collect();
    mutate::run("ipns_record", &corpus, 5_000, |bytes| {
        let Ok(record) = SignedRecord::read(Bytes::copy_from_slice(bytes), name()) else { return };
        assert_eq!(record.bytes()[..], *bytes);
        // Whatever was done to it, it says what was signed.
        let said =
            |draft: &ipns::Draft| (draft.value.clone(), draft.sequence, draft.end, draft.ttl_ns);
        let found = (record.value().clone(), record.sequence(), record.end(), record.ttl_ns());
        assert!(DRAFTS.iter().any(|draft| said(draft) == found), "{found:?}");
        drop(record.head(name()));
    });
}

/// The same with a signature on whatever was made of the draft: what is behind it is read too.
#[test]
fn fuzz_ipns_draft() {
    let corpus: Vec<_> = ENTRIES.iter().map(|entry| entry.block().to_vec()).collect();
    mutate::run("ipns_draft", &corpus, 1_000, |bytes| {
        let end = DRAFTS[0].end;
        let (value, shoal) = (Bytes::from_static(b"/ipfs/bafkqaaa"), Bytes::copy_from_slice(bytes));
        let draft = ipns::Draft { value, sequence: 1, end, ttl_ns: 1, shoal: Some(shoal) };
        let Ok(record) = draft.sign(&key(), false) else { return };
        let again = SignedRecord::read(record.bytes().clone(), name()).unwrap();
        assert_eq!(again, record);
        if let Ok(Some(head)) = record.head(name()) {
            assert_eq!(head.ledger(), name());
        }
    });
}

#[test]
fn fuzz_question() {
    let questions = [
        Question::Head { name: name(), have: None },
        Question::HeadAfter { name: name(), index: 3 },
        Question::Get { name: name(), index: 1, size: 3 },
    ];
    let mut corpus: Vec<_> = questions.iter().map(Question::encode).collect();
    corpus.extend(ENTRIES.iter().map(|entry| entry.block().to_vec()));
    mutate::run("question", &corpus, 10_000, |bytes| {
        if let Ok(question) = Question::decode(bytes) {
            assert_eq!(question.encode(), bytes);
        }
        if let Ok(answer) = shoal_ledger::Answer::decode(bytes) {
            assert_eq!(answer.encode(), bytes);
        }
    });
}

#[test]
fn fuzz_proof_file() {
    let body = |kind: u8| [&shoal_ledger::proof_file::MAGIC[..], &[1, kind]].concat();
    let mut corpus = vec![body(0), body(1)];
    corpus.extend(ENTRIES.iter().map(|entry| [body(0), entry.block().to_vec()].concat()));
    mutate::run("proof_file", &corpus, 10_000, |bytes| {
        if let Ok(proof) = ProofFile::decode(bytes) {
            assert_eq!(proof.encode(), bytes);
        }
    });
}
