//! Tests of the format: every kind comes back, nothing has a second form, limits hold at the edge.
//!
//! A sample of each kind carries every optional key. Signatures are real; what stands before an
//! entry is made up, since the format does not know it.

use super::*;
use crate::key::SecretKey;
use ipld_core::ipld::Ipld;
use proptest::prelude::*;
use shoal_dag::Cid;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn keys(seeds: std::ops::Range<u8>) -> Vec<PublicKey> {
    seeds.map(|seed| key(seed).public()).collect()
}

fn key_set() -> KeySet {
    let recovery = keys(10..12).iter().map(PublicKey::commitment).collect();
    KeySet { writers: keys(1..2), recovery, threshold: 1 }
}

fn genesis() -> Body {
    Body::Genesis(Genesis { nickname: None, nonce: [9; 16], policy: None, keys: key_set() })
}

fn root() -> Bytes {
    let cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    Bytes::from(cid.parse::<Cid>().unwrap().to_bytes())
}

/// A body of each kind but genesis, with every optional key.
fn bodies() -> Vec<Body> {
    let policy = Some(Hash::from_bytes([3; 32]));
    let head = |seed| MergeHead {
        ledger: key(seed).public().into(),
        position: Position::from_sequence(u64::from(seed)).unwrap(),
        entry: EntryId::of(&[seed]),
    };
    let mut heads = vec![head(1), head(2)];
    heads.sort_by_key(|head| head.ledger);
    let mut revealed = keys(10..12);
    revealed.sort();
    vec![
        Body::Update(Update {
            message: Some("second draft".to_owned()),
            files: Some(3),
            policy,
            rolled_back_to: Some(4),
            root: root(),
            size: Some(1 << 40),
        }),
        Body::Update(Update::of_root(root())),
        Body::Writers(Writers { active: 1, added: keys(2..4), policy, removed: 1 }),
        Body::Recover(Recover { revealed, policy, keys: key_set() }),
        Body::Anchor(Anchor {
            size: 6,
            proof: AnchorProof::Inline(Bytes::from_static(b"receipt")),
            kind: AnchorKind::Timestamp,
        }),
        Body::Anchor(Anchor {
            size: 0,
            proof: AnchorProof::Stored(root()),
            kind: AnchorKind::Other(200),
        }),
        Body::Merge(Merge { heads }),
        Body::Tombstone(Tombstone {
            forward: Some(key(5).public().into()),
            message: Some("moved".to_owned()),
        }),
        Body::Tombstone(Tombstone { forward: None, message: None }),
    ]
}

fn draft(body: Body) -> Draft {
    let genesis = matches!(body, Body::Genesis(_));
    let id = |name: &str| EntryId::of(name.as_bytes());
    let links = Links { previous: id("pv"), jump: id("jp"), control: id("ct") };
    let epoch = Epoch::new(u64::from(matches!(body, Body::Recover(_)))).unwrap();
    Draft {
        header: Header {
            ledger: key(1).public().into(),
            position: Position { epoch, index: Index::new(if genesis { 0 } else { 6 }).unwrap() },
            time_ms: 1_795_000_000_000,
            links: (!genesis).then_some(links),
            history: if genesis { tree::EMPTY_ROOT } else { Hash::from_bytes([5; 32]) },
            signer: 0,
        },
        body,
    }
}

fn signers(body: &Body) -> Vec<SecretKey> {
    match body {
        Body::Recover(recover) => {
            let mut found: Vec<_> = (10..12).map(key).collect();
            found.sort_by_key(SecretKey::public);
            found.truncate(recover.revealed.len());
            found
        }
        _ => vec![key(1)],
    }
}

#[track_caller]
fn sign(draft: &Draft) -> Result<Entry, EntryError> {
    let signers = signers(&draft.body);
    draft.sign(&signers.iter().collect::<Vec<_>>())
}

#[track_caller]
fn sample(body: Body) -> Entry {
    sign(&draft(body)).unwrap()
}

#[test]
fn every_kind_comes_back_byte_for_byte() {
    for body in bodies().into_iter().chain([genesis()]) {
        let draft = draft(body.clone());
        let entry = sign(&draft).unwrap();
        let read = Entry::decode(entry.block().clone()).unwrap();
        assert_eq!((read.header(), read.body()), (&draft.header, &draft.body));
        assert_eq!(read, entry);
        let publics: Vec<_> = signers(&body).iter().map(SecretKey::public).collect();
        assert!(read.is_signed_by(&publics), "{entry:?}");
        assert!(!read.is_signed_by(&publics[1..]), "{entry:?}");
        assert!(!read.is_signed_by(&vec![key(7).public(); publics.len()]), "{entry:?}");
    }
}

#[test]
fn other_implementations_read_and_write_the_same_bytes() {
    for body in bodies().into_iter().chain([genesis()]) {
        let entry = sample(body);
        let other: Ipld = serde_ipld_dagcbor::from_slice(entry.block()).unwrap();
        assert_eq!(serde_ipld_dagcbor::to_vec(&other).unwrap(), entry.block()[..], "{entry:?}");
    }
}

#[test]
fn sizes_are_those_of_the_design() {
    let size = |body| sample(body).block().len();
    // The report counts 367 for an update and about 314 for a genesis.
    let plain = Update { files: Some(3), size: Some(1 << 20), ..Update::of_root(root()) };
    let full = Update { message: Some("m".repeat(256)), ..plain.clone() };
    let bare = Update::of_root(root());
    let sizes = [Body::Update(bare), Body::Update(plain), Body::Update(full), genesis()];
    assert_eq!(sizes.map(size), [349, 361, 623, 318]);
}

#[test]
fn one_flipped_bit_is_refused_or_breaks_the_signature() {
    for body in bodies().into_iter().chain([genesis()]) {
        let entry = sample(body.clone());
        let publics: Vec<_> = signers(&body).iter().map(SecretKey::public).collect();
        for bit in 0..entry.block().len() * 8 {
            let mut block = entry.block().to_vec();
            block[bit / 8] ^= 1 << (bit % 8);
            // Every bit once through the decoder; the costly check for some of them.
            let Ok(changed) = Entry::decode(block) else { continue };
            assert_ne!(changed.id(), entry.id());
            assert!(bit % 41 != 0 || !changed.is_signed_by(&publics), "{entry:?}: bit {bit}");
        }
    }
}

#[test]
fn every_cut_and_every_tail_is_refused() {
    let block = sample(bodies().remove(0)).block().to_vec();
    for len in 0..block.len() {
        assert!(Entry::decode(block[..len].to_vec()).is_err(), "{len}");
    }
    let mut long = block;
    long.push(0);
    assert_eq!(Entry::decode(long), Err(EntryError::Cbor(CborError::Trailing)));
}

#[test]
fn the_bound_of_one_kib_holds_for_writer_and_reader() {
    let many = Writers { active: 0, added: keys(20..38), policy: None, removed: 0 };
    assert!(sign(&draft(Body::Writers(many.clone()))).is_ok());
    let more = Writers { added: keys(20..52), ..many };
    let error = sign(&draft(Body::Writers(more))).unwrap_err();
    assert!(matches!(error, EntryError::TooLong { bytes } if bytes > ENTRY_BYTES_MAX), "{error}");
    assert_eq!(Entry::decode(vec![0; 1025]), Err(EntryError::TooLong { bytes: 1025 }));
}

#[track_caller]
fn refused(draft: Draft, field: &'static str) {
    assert_eq!(sign(&draft), Err(EntryError::Field(field)), "{draft:?}");
}

#[test]
fn fields_out_of_range_are_refused() {
    let header = |change: fn(&mut Header)| {
        let mut draft = draft(Body::Update(Update::of_root(root())));
        change(&mut draft.header);
        draft
    };
    refused(header(|header| header.links = None), "links");
    refused(header(|header| header.time_ms = TIME_MS_MAX + 1), "ts");
    refused(header(|header| header.signer = 32), "by");
    refused(header(|header| header.position.index = Index::new(0).unwrap()), "kd");
    let mut first = draft(genesis());
    first.header.history = Hash::from_bytes([0; 32]);
    refused(first, "hr");
    let mut first = draft(genesis());
    first.header.position.epoch = Epoch::new(1).unwrap();
    refused(first, "ep");
    let mut recover = draft(bodies().remove(3));
    recover.header.position.epoch = Epoch::new(0).unwrap();
    refused(recover, "ep");
}

#[test]
fn bodies_out_of_range_are_refused() {
    let update = Update::of_root(root());
    let cases = [
        (Body::Update(Update { message: Some("m".repeat(257)), ..update.clone() }), "ms"),
        (Body::Update(Update { message: Some(String::new()), ..update.clone() }), "ms"),
        (Body::Update(Update { rolled_back_to: Some(6), ..update.clone() }), "bd"),
        (Body::Update(Update::of_root(vec![1; 101])), "rt"),
        (Body::Update(Update::of_root(vec![1])), "rt"),
        (Body::Writers(Writers { active: 32, added: vec![], policy: None, removed: 0 }), "ac"),
        (
            Body::Writers(Writers {
                active: 0,
                added: vec![key(1).public(); 2],
                policy: None,
                removed: 0,
            }),
            "ad",
        ),
        (
            Body::Writers(Writers {
                active: 0,
                added: vec![PublicKey::from_bytes([0; 32])],
                policy: None,
                removed: 0,
            }),
            "ad",
        ),
        (Body::Merge(Merge { heads: vec![] }), "hd"),
        (
            Body::Anchor(Anchor {
                size: 7,
                proof: AnchorProof::Inline(Bytes::from_static(b"x")),
                kind: AnchorKind::Beacon,
            }),
            "bd",
        ),
    ];
    for (body, field) in cases {
        refused(draft(body), field);
    }
}

#[test]
fn key_sets_out_of_range_are_refused() {
    let with = |change: fn(&mut KeySet)| {
        let mut keys = key_set();
        change(&mut keys);
        draft(Body::Genesis(Genesis { nickname: None, nonce: [0; 16], policy: None, keys }))
    };
    refused(with(|keys| keys.writers.clear()), "wr");
    refused(with(|keys| keys.writers = vec![keys.writers[0]; 2]), "wr");
    refused(with(|keys| keys.threshold = 0), "th");
    refused(with(|keys| keys.threshold = 3), "th");
    refused(with(|keys| keys.recovery.clear()), "th");
    refused(with(|keys| keys.recovery = vec![Hash::from_bytes([1; 32]); 2]), "rk");
    let six = |keys: &mut KeySet| {
        keys.recovery = (0..6).map(|i| Hash::from_bytes([i; 32])).collect();
    };
    refused(with(six), "rk");
    let mut unsorted = bodies().remove(3);
    if let Body::Recover(recover) = &mut unsorted {
        recover.revealed.reverse();
    }
    refused(draft(unsorted), "ks");
}

#[test]
fn newer_formats_and_kinds_say_so() {
    let entry = sample(Body::Update(Update::of_root(root())));
    let change = |key: &[u8], value: u8| {
        let mut block = entry.block().to_vec();
        let at = block.windows(key.len()).position(|window| window == key).unwrap() + key.len();
        block[at] = value;
        Entry::decode(block).unwrap_err()
    };
    assert_eq!(change(b"\x61v", 2), EntryError::Version(2));
    assert_eq!(change(b"\x62kd", 9), EntryError::Kind(UnknownKind(9)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Splices that keep most of an entry reach deep into the decoder: whatever it takes is
    /// canonical by another implementation's rules too, and re-encodes to the same bytes.
    #[test]
    fn what_is_accepted_has_one_form(
        which in 0..9_usize, at in any::<prop::sample::Index>(), removed in 0..3_usize,
        inserted in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let mut block = sample(bodies().remove(which)).block().to_vec();
        let at = at.index(block.len());
        let end = (at + removed).min(block.len());
        block.splice(at..end, inserted);
        if let Ok(entry) = Entry::decode(block.clone()) {
            let other: Ipld = serde_ipld_dagcbor::from_slice(&block).unwrap();
            prop_assert_eq!(serde_ipld_dagcbor::to_vec(&other).unwrap(), block);
            let draft = Draft { header: entry.header().clone(), body: entry.body().clone() };
            prop_assert_eq!(&draft.encode_map()[..], &entry.block()[1..entry.map_end]);
        }
    }
}
