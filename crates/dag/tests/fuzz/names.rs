//! Paths that people type, and names of entries: what passes is harmless and comes back.
//!
//! The rules for names are written out a second time; an escaped name is read back.

use shoal_dag::{name, path};

use crate::mutate;

#[test]
fn fuzz_path() {
    let cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    let corpus = [
        cid.to_owned(),
        format!("{cid}/a/b"),
        format!("/ipfs/{cid}/x y"),
        format!("ipfs://{cid}/%41%2e"),
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn/a".to_owned(),
        format!("{cid}/../a//./b"),
    ];
    let corpus = corpus.map(String::into_bytes);
    mutate::run("path", &corpus, 20_000, |bytes| {
        let Ok(path) = path::parse(bytes) else { return };
        let mut again = path.root.to_string().into_bytes();
        for segment in &path.segments {
            assert_eq!(name::check(segment), Ok(()));
            again.push(b'/');
            again.extend(segment);
        }
        assert_eq!(path::parse(&again), Ok(path));
    });
}

#[test]
fn fuzz_name() {
    let corpus: Vec<Vec<u8>> = [
        &b"plain"[..],
        b"..",
        b"a/b",
        b"nul\0",
        b"\x1b[31m\\x1b",
        "\u{202e}gpj.\u{e9}\u{9b}".as_bytes(),
        b"\xff\xfe\xed\xa0\x80",
        &[b'x'; 255],
        &[b'x'; 256],
    ]
    .map(<[u8]>::to_vec)
    .into();
    mutate::run("name", &corpus, 20_000, |bytes| {
        let is_good = !bytes.is_empty()
            && bytes.len() <= 255
            && !bytes.contains(&b'/')
            && !bytes.contains(&0)
            && bytes != b"."
            && bytes != b"..";
        assert_eq!(name::check(bytes).is_ok(), is_good);
        let shown = name::escape(bytes);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(unescaped(&shown), bytes, "{shown:?}");
    });
}

/// The name that was escaped.
fn unescaped(shown: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), shown);
    while let Some(at) = rest.find('\\') {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let code = rest.chars().next().unwrap();
        rest = &rest[1..];
        match code {
            '\\' => out.push(b'\\'),
            'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            'u' => {
                let end = rest.find('}').unwrap();
                let code = u32::from_str_radix(&rest[1..end], 16).unwrap();
                out.extend(char::from_u32(code).unwrap().to_string().bytes());
                rest = &rest[end + 1..];
            }
            other => panic!("an escape {other:?}"),
        }
    }
    out.extend(rest.as_bytes());
    out
}
