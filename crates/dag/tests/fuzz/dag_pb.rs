//! dag-pb and UnixFS: against a second reader of protobuf, and back to the same message.
//!
//! Nodes that are accepted keep what walks rely on: sizes add up, and leaves have no links.

use shoal_dag::build::{self, FileBuilder};
use shoal_dag::hash::{self, DAG_PB, HashKind};
use shoal_dag::pb::{self, PbLink, PbNode};
use shoal_dag::unixfs::{Kind, UnixFs};
use shoal_dag::{Bytes, Metadata, Mtime, Node, Profile, Version};

use crate::mutate;

fn messages() -> Vec<UnixFs<'static>> {
    let kinds = [Kind::Raw, Kind::Directory, Kind::File, Kind::Symlink, Kind::HamtShard];
    let mut messages: Vec<_> = kinds.into_iter().map(UnixFs::new).collect();
    let meta = Metadata { mode: Some(0o755), mtime: Some(Mtime { seconds: -7, nanos: 5 }) };
    messages.push(UnixFs {
        data: Some(b"content"),
        file_size: Some(7),
        meta,
        ..messages[2].clone()
    });
    messages.push(UnixFs {
        block_sizes: vec![4, 1 << 40],
        file_size: Some(4 + (1 << 40)),
        ..messages[2].clone()
    });
    messages.push(UnixFs {
        data: Some(&[0xff; 32]),
        fanout: Some(256),
        hash_type: Some(0x22),
        ..messages[4].clone()
    });
    messages
}

pub(crate) fn nodes() -> Vec<Vec<u8>> {
    let leaf = build::leaf(Profile::Shoal, b"leaf");
    let mut nodes = Vec::new();
    for message in messages() {
        let data = message.encode();
        let names: [&[u8]; 2] =
            if message.kind == Kind::File { [b"", b""] } else { [b"00a", b"01b"] };
        let links = names.map(|name| PbLink { hash: leaf.cid, name: Some(name), tsize: Some(4) });
        for links in [Vec::new(), links[..1].to_vec(), links.to_vec()] {
            nodes.push(PbNode { links, data: Some(&data) }.encode().unwrap());
        }
    }
    let (mut builder, mut out) =
        (FileBuilder::new(Profile::UnixfsV0_2015, Metadata::NONE), Vec::new());
    for _ in 0..3 {
        builder.push(leaf.link(), &mut out);
    }
    builder.finish(&mut out);
    nodes.extend(out.into_iter().map(|block| block.data.to_vec()));
    nodes.push(PbNode { links: Vec::new(), data: None }.encode().unwrap());
    nodes
}

/// A protobuf field: its number, and its bytes where it has some.
type Field<'a> = (u64, Option<&'a [u8]>);

/// A second reader of the wire format, as short as it goes.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let value = match key & 7 {
            0 => number(&mut bytes).map(|_| None)?,
            2 => {
                let len = usize::try_from(number(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(len)?;
                bytes = rest;
                Some(value)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (own, rest) = bytes.split_at(len);
    *bytes = rest;
    let mut parts = own.iter().rev();
    parts.try_fold(0_u64, |value, byte| value.checked_mul(128)?.checked_add(u64::from(byte & 0x7f)))
}

#[test]
fn fuzz_dag_pb() {
    mutate::run("dag_pb", &nodes(), 20_000, |bytes| {
        let Ok(node) = pb::decode(bytes) else { return };
        let seen = fields(bytes).expect("a second reader reads it too");
        assert_eq!(seen.iter().filter(|field| field.0 == 2).count(), node.links.len());
        assert_eq!(seen.iter().find(|field| field.0 == 1).and_then(|field| field.1), node.data);
        let Ok(again) = node.encode() else { return };
        assert_eq!(again.len(), node.encoded_len());
        assert_eq!(pb::decode(&again).unwrap(), node);
        // Canonical bytes come back as they were; others have links after data.
        if seen.is_sorted_by_key(|field| std::cmp::Reverse(field.0)) {
            let links_are_canonical = again == bytes;
            assert!(links_are_canonical || again.len() <= bytes.len());
        }
    });
}

#[test]
fn fuzz_unixfs() {
    let corpus: Vec<_> = messages().iter().map(UnixFs::encode).collect();
    mutate::run("unixfs", &corpus, 20_000, |bytes| {
        let Ok(message) = UnixFs::decode(bytes) else { return };
        let again = message.encode();
        assert_eq!(UnixFs::decode(&again).as_ref(), Ok(&message));
    });
}

#[test]
fn fuzz_node() {
    mutate::run("node", &nodes(), 20_000, |bytes| {
        let block = Bytes::copy_from_slice(bytes);
        let cid = hash::cid_of(HashKind::Sha256, DAG_PB, Version::V1, &block);
        let Ok(node) = Node::decode(&cid, block) else { return };
        let links = pb::decode(bytes).expect("it is dag-pb").links.len();
        assert!(node.links().count() <= links);
        if let Node::File(file) = &node {
            let parts = file.links.iter().map(|link| u128::from(link.size)).sum::<u128>();
            assert_eq!(parts + file.inline.len() as u128, u128::from(file.size));
            assert_eq!(file.links.len(), links);
        }
        if let Node::Leaf { data, .. } | Node::Symlink { target: data, .. } = &node {
            assert!(data.len() <= bytes.len() && links == 0);
        }
    });
}
