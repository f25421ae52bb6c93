//! `shoal prove` and `shoal verify-proof`: a file that is whole or not there, and its check offline.
//!
//! The node is scripted; what is verified is made by `shoal-ledger`.

use std::fs;

use shoal::control::protocol::{Failure, Outcome, name::NameRequest};
use shoal_dag::hash::{DAG_PB, HashKind, cid_of};
use shoal_ledger::{
    Body, Draft, Epoch, FileProof, Index, Position, ProofFile, SecretKey,
    chain::Chain,
    entry::{Genesis, Header, KeySet, Update},
    tree::EMPTY_ROOT,
};

use super::{
    run::{run, shoal},
    script::{Say, Store, done, failed, forked, objects, resolved},
};

fn proved(bytes: u64) -> Say {
    done(Outcome::Proved { resolved: Box::new(resolved()), cid: "bafka".into(), bytes })
}

fn entries(store: &Store) -> usize {
    fs::read_dir(store.path("proofs")).unwrap().count()
}

fn store() -> Store {
    let store = Store::new();
    fs::create_dir(store.path("proofs")).unwrap();
    store
}

#[test]
fn a_proof_gathers_and_appears_whole() {
    let store = store();
    let script = vec![Say::Data(b"one "), Say::Data(b"two"), proved(7)];
    let node = store.answer(true, script);
    let ran = run(&mut store.shoal("prove notes@3/a -o proofs/p"));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("p: 7 bytes that prove bafka in notes@3 (#0.4)\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(
        (fs::read(store.path("proofs/p")).unwrap().as_slice(), entries(&store)),
        (&b"one two"[..], 1)
    );
    let request = node.asked().remove(0);
    assert!(matches!(request, NameRequest::Prove { target, .. } if target == b"notes@3/a"));
}

#[test]
fn a_proof_of_a_node_that_died_is_begun_anew() {
    let store = store();
    let script = vec![Say::Data(b"one "), Say::Die, Say::Data(b"one two"), proved(7)];
    let node = store.answer(false, script);
    let ran = run(&mut store.shoal("prove notes/a -o proofs/p --json"));
    assert_eq!(node.asked().len(), 2);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(fs::read(store.path("proofs/p")).unwrap(), b"one two");
    let outcome = objects(&ran).remove(0);
    assert_eq!((&outcome["target"], &outcome["proof_bytes"]), (&"bafka".into(), &7.into()));
}

#[test]
fn what_fails_leaves_nothing() {
    let failure = Failure::failed("a part of the history is not here");
    for (script, expected) in [
        (vec![Say::Data(b"one"), failed(failure)], "a part of the history is not here"),
        (vec![Say::Data(b"one"), proved(4)], "the node sent another proof than it says"),
    ] {
        let store = store();
        let node = store.answer(true, script);
        let ran = run(&mut store.shoal("prove notes/a -o proofs/p"));
        node.asked();
        assert_eq!((ran.code, entries(&store)), (Some(1), 0), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}

#[test]
fn what_stands_there_is_replaced_only_with_force() {
    let store = store();
    fs::write(store.path("proofs/p"), "old").unwrap();
    let ran = run(&mut store.shoal("prove notes/a -o proofs/p"));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("exists already\nhint: say --force"), "{}", ran.stderr);
    let node = store.answer(true, vec![Say::Data(b"new"), proved(3)]);
    let ran = run(&mut store.shoal("prove notes/a -o proofs/p --force"));
    node.asked();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        (fs::read(store.path("proofs/p")).unwrap().as_slice(), entries(&store)),
        (&b"new"[..], 1)
    );
}

#[test]
fn a_proof_of_a_forked_name_is_there_and_says_so() {
    for (arguments, code) in [("prove notes/a -o proofs/p", 8), ("prove notes@3/a -o proofs/p", 0)]
    {
        let store = store();
        let outcome =
            Outcome::Proved { resolved: Box::new(forked()), cid: "bafka".into(), bytes: 1 };
        let node = store.answer(true, vec![Say::Data(b"1"), done(outcome)]);
        let ran = run(&mut store.shoal(arguments));
        node.asked();
        assert_eq!((ran.code, entries(&store)), (Some(code), 1), "{arguments}: {}", ran.stderr);
        assert!(ran.stderr.contains("  proof: /store/proofs/1\n"), "{}", ran.stderr);
    }
}

/// A proof of the version that a ledger of two entries has, and the version's CID.
fn proof() -> (Vec<u8>, String) {
    let key = SecretKey::from_seed(&[7; 32]);
    let public = key.public();
    let keys = KeySet { writers: vec![public], recovery: vec![public.commitment()], threshold: 1 };
    let header = Header {
        ledger: public.into(),
        position: Position { epoch: Epoch::new(0).unwrap(), index: Index::new(0).unwrap() },
        time_ms: 1_769_860_800_000,
        links: None,
        history: EMPTY_ROOT,
        signer: 0,
    };
    let genesis = Genesis { nickname: None, nonce: [0; 16], policy: None, keys };
    let genesis = Draft { header, body: Body::Genesis(genesis) };
    let mut chain = Chain::begin(genesis.sign(&[&key]).unwrap()).unwrap();
    let root = cid_of(HashKind::Blake3, DAG_PB, shoal_dag::Version::V1, b"");
    let body = Body::Update(Update::of_root(root.to_bytes()));
    let draft = chain.tip().draft(body, &public, 1_769_860_800_000).unwrap();
    chain.push(draft.sign(&[&key]).unwrap()).unwrap();
    let proof = FileProof::make(&chain, 1, Vec::new(), Vec::new()).unwrap();
    (ProofFile::File(Box::new(proof)).encode(), root.to_string())
}

/// Runs `verify-proof` on those bytes where there is neither a store nor a home.
fn verify(bytes: &[u8], options: &str) -> super::run::Ran {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p"), bytes).unwrap();
    let mut command = shoal(&format!("verify-proof p {options}"));
    let ran = run(command.current_dir(dir.path()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    ran
}

#[test]
fn a_proof_is_checked_without_store_and_node() {
    let (bytes, root) = proof();
    let ran = verify(&bytes, "");
    assert_eq!((ran.code, ran.stdout), (Some(0), format!(". {root}\n")), "{}", ran.stderr);
    let claim = ran.stderr.strip_prefix("the proof holds: #0.1 of k51").unwrap();
    assert!(claim.ends_with(", published 2026-01-31T12:00:00Z by its own account\n"), "{claim}");
    let ran = verify(&bytes, "--json");
    let outcome = objects(&ran).remove(0);
    assert_eq!((&outcome["exit"], &outcome["proves"]), (&0.into(), &"file".into()));
    assert_eq!((&outcome["cid"], &outcome["position"]), (&root.into(), &"#0.1".into()));
    let quiet = verify(&bytes, "-q");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_changed_proof_and_no_proof_have_codes_of_their_own() {
    let (mut bytes, _) = proof();
    let last = bytes.len() / 2;
    bytes[last] ^= 1;
    let ran = verify(&bytes, "--json");
    assert_eq!((ran.code, objects(&ran)[0]["exit"].as_u64()), (Some(6), Some(6)));
    assert!(ran.stderr.starts_with("error: p proves nothing: "), "{}", ran.stderr);
    let ran = verify(b"some other file", "");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(ran.stderr, "error: cannot read p: not a proof file\n");
    let ran = run(&mut shoal("verify-proof /no/such/file"));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
}
