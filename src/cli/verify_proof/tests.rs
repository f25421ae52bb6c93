//! Tests of what is said of proofs: of a sound one, a changed one, one of a fork, and other files.
//!
//! That every bit of a proof counts is tested where proofs are made, in `shoal-ledger`.

use shoal_dag::{
    Metadata, Profile,
    build::DirectoryBuilder,
    hash::{HashKind, RAW, cid_of},
};
use shoal_ledger::{
    Body, Draft, Epoch, Index, Position, SecretKey,
    chain::{Archive as _, Chain},
    entry::{Genesis, Header, KeySet, Update},
    fraud::conflict,
    tree::EMPTY_ROOT,
};

use super::*;

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

/// A ledger with that many updates; those that begin alike part at `roots[0]`.
fn ledger(roots: &[Vec<u8>]) -> Chain {
    let public = key().public();
    let position = Position { epoch: Epoch::new(0).unwrap(), index: Index::new(0).unwrap() };
    let recovery = vec![SecretKey::from_seed(&[8; 32]).public().commitment()];
    let keys = KeySet { writers: vec![public], recovery, threshold: 1 };
    let header = Header {
        ledger: public.into(),
        position,
        time_ms: 1_769_860_800_000,
        links: None,
        history: EMPTY_ROOT,
        signer: 0,
    };
    let genesis = Genesis { nickname: None, nonce: [0; 16], policy: None, keys };
    let genesis = Draft { header, body: Body::Genesis(genesis) };
    let mut chain = Chain::begin(genesis.sign(&[&key()]).unwrap()).unwrap();
    for root in roots {
        let message = Some("say\x1b".to_owned());
        let body = Body::Update(Update { message, ..Update::of_root(root.clone()) });
        let draft = chain.tip().draft(body, &public, 1_769_860_801_000).unwrap();
        chain.push(draft.sign(&[&key()]).unwrap()).unwrap();
    }
    chain
}

/// A proof of `a/b` in a version that is not the last one, and the CID of what stands there.
fn proof_of_file() -> (Vec<u8>, String) {
    let target = cid_of(HashKind::Blake3, RAW, shoal_dag::Version::V1, b"a file");
    let directory = |name: &[u8], cid| {
        let mut builder = DirectoryBuilder::new(Profile::Shoal, Metadata::NONE);
        builder.insert(name, cid, 6).unwrap();
        builder.finish().unwrap().0
    };
    let inner = directory(b"b", target);
    let outer = directory(b"a", inner.cid);
    let chain = ledger(&[outer.cid.to_bytes(), vec![9; 36]]);
    let segments = vec![b"a".to_vec(), b"b".to_vec()];
    let proof = FileProof::make(&chain, 1, segments, vec![outer.data, inner.data]).unwrap();
    (ProofFile::File(Box::new(proof)).encode(), target.to_string())
}

fn told(bytes: &[u8]) -> Result<Claim, Failure> {
    claim(Path::new("/p"), bytes)
}

#[test]
fn a_sound_proof_says_what_stood_where() {
    let (bytes, target) = proof_of_file();
    let claim = told(&bytes).unwrap();
    assert_eq!(claim.line, format!("a/b {target}"));
    let name = LedgerId::from(key().public());
    let note = format!(
        "the proof holds: #0.1 of {name}, published 2026-01-31T12:00:01Z by its own account, \
         \"say\\x1b\""
    );
    assert_eq!(claim.notes, [note, "it is in the history that #0.2 signed".to_owned()]);
    let Verified::File { position, cid, .. } = claim.fields else { panic!("no file") };
    assert_eq!((position.as_str(), cid), ("#0.1", target));
}

#[test]
fn a_changed_proof_never_holds_and_says_so_by_its_code() {
    let (bytes, _) = proof_of_file();
    let header = b"shoal-proof".len() + 2;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let exit = told(&changed).unwrap_err().exit;
        assert!(exit == Exit::Corrupt || at < header, "byte {at}: {exit:?}");
    }
    let cut = told(&bytes[..bytes.len() - 1]).unwrap_err();
    assert_eq!(cut.exit, Exit::Corrupt);
    assert!(cut.message.starts_with("/p proves nothing: "), "{}", cut.message);
}

#[test]
fn a_proof_of_a_fork_names_who_signed_both() {
    let (one, two) = (ledger(&[vec![1; 36]]), ledger(&[vec![2; 36], vec![3; 36]]));
    assert_eq!(one.len(), 2);
    let (name, fraud) = (key().public().into(), conflict(&one, &two).unwrap());
    let claim = told(&ProofFile::Fraud { name, fraud: Box::new(fraud) }.encode()).unwrap();
    assert_eq!(claim.line, format!("{name} #0.1"));
    let note = format!("the proof holds: two histories were signed at #0.1 of {name}");
    assert_eq!(claim.notes, [note, format!("signed by the key {}", key().public())]);
    let other = SecretKey::from_seed(&[9; 32]).public().into();
    let fraud = conflict(&one, &two).unwrap();
    let failure =
        told(&ProofFile::Fraud { name: other, fraud: Box::new(fraud) }.encode()).unwrap_err();
    assert_eq!(failure.exit, Exit::Corrupt);
}

#[test]
fn other_files_are_no_proofs() {
    for bytes in [&b""[..], b"shoal-recovery-key 1 00", b"shoal-proof\x09\x00"] {
        let failure = told(bytes).unwrap_err();
        assert_eq!(failure.exit, Exit::Failed, "{bytes:?}");
        assert!(failure.message.starts_with("cannot read /p: "), "{}", failure.message);
    }
    assert_eq!(read(Path::new("/no/such/file")).unwrap_err().exit, Exit::Failed);
}
