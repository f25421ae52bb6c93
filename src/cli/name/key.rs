//! `shoal name export` and `shoal name import`: secret keys, out and in.
//!
//! A key is a libp2p protobuf of an Ed25519 secret key, which is what `ipfs key export` writes and
//! `ipfs key import` reads; as text it is the base64 of those bytes on one line. What the bytes mean
//! is the node's to judge. A file of a key is new and for its owner alone.

use std::{fs::File, io::Read as _, os::unix::ffi::OsStringExt as _, path::Path};

use multibase::Base;

use super::{NameExportArgs, NameImportArgs, print};
use crate::{
    cli::{
        add::absolute,
        context::Context,
        converse::Ask,
        input::Input,
        json::Details,
        new_file::write_secret,
        report::{End, Report, unexpected},
    },
    control::protocol::{Failure, Outcome, Request, name::NameRequest},
};

/// Most bytes of a key that are read: it has 68, in base64 92, and this leaves room to tell a wrong
/// file from a large one.
const KEY_BYTES_MAX: usize = 4096;

/// What every such protobuf begins with: field 1, a number. No base64 does.
const PROTOBUF_FIRST: u8 = 0x08;

/// Runs `name export`.
pub(super) async fn export(context: &mut Context, args: NameExportArgs) -> Result<Report, End> {
    if args.out.as_deref() == Some(Path::new("-")) {
        let failure = Failure::usage("FILE is a path");
        return Err(failure.hint("without -o the key is printed in base64").into());
    }
    let out = args.out.map(|out| absolute(out.as_os_str())).transpose()?;
    let request = NameRequest::Export { name: args.name.into_vec() };
    let outcome = context.ask(&mut Ask(Request::Name(request))).await?;
    let Outcome::NameKey { name, key } = outcome else {
        return Err(unexpected(&"name export"));
    };
    if let Some(out) = &out {
        write_secret(Path::new(out), &key)?;
        let file = Some(out.as_encoded_bytes().into());
        return Ok(Report::done(Details::NameKey { name, key: None, file }));
    }
    let text = Base::Base64Pad.encode(key);
    print(context, &text).await?;
    Ok(Report::done(Details::NameKey { name, key: Some(text), file: None }))
}

/// Runs `name import`.
pub(super) async fn import(context: &mut Context, args: NameImportArgs) -> Result<Report, End> {
    let given = if args.file == Path::new("-") {
        let reading = Input::standard().whole(KEY_BYTES_MAX);
        context.console.talk.while_waiting("reading standard input", reading).await?
    } else {
        read(&args.file)?
    };
    let key = given.as_deref().and_then(key).ok_or_else(|| not_a_key(&args.file))?;
    let request = NameRequest::Import { petname: args.petname, key };
    let outcome = context.ask(&mut Ask(Request::Name(request))).await?;
    let Outcome::NameMade { name, petname } = outcome else {
        return Err(unexpected(&outcome));
    };
    print(context, &name).await?;
    Ok(Report::done(Details::NameMade { name, petname, recovery: None }))
}

/// The file, when it is small enough to be a key.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error| Failure::io("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(KEY_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok((bytes.len() <= KEY_BYTES_MAX).then_some(bytes))
}

/// The key's bytes, given as they are or in base64.
fn key(given: &[u8]) -> Option<Vec<u8>> {
    if given.first() == Some(&PROTOBUF_FIRST) {
        return Some(given.to_vec());
    }
    let text = str::from_utf8(given).ok()?.trim();
    let bytes = Base::Base64Pad.decode(text).ok()?;
    (bytes.first() == Some(&PROTOBUF_FIRST)).then_some(bytes)
}

fn not_a_key(file: &Path) -> Failure {
    let from =
        if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    Failure::failed(format!("{from} holds no secret key of a name"))
        .hint("keys come from: shoal name export NAME, or: ipfs key export NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_bytes_and_as_text() {
        let bytes = [&[0x08, 1, 0x12, 0x40][..], &[7; 64]].concat();
        assert_eq!(key(&bytes), Some(bytes.clone()));
        let text = format!("{}\n", Base::Base64Pad.encode(&bytes));
        assert!(text.starts_with("CAES"));
        assert_eq!(key(text.as_bytes()), Some(bytes));
    }

    #[test]
    fn what_is_no_key_is_refused_before_the_node_is_asked() {
        for given in [&b""[..], b"\n", b"-----BEGIN PRIVATE KEY-----", b"AAAA", b"\xff\xfe"] {
            assert_eq!(key(given), None, "{given:?}");
        }
    }

    #[test]
    fn a_file_too_large_for_a_key_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, vec![8; KEY_BYTES_MAX + 1]).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        std::fs::write(&path, vec![8; KEY_BYTES_MAX]).unwrap();
        assert!(read(&path).unwrap().is_some());
        assert!(read(&dir.path().join("none")).is_err());
    }
}
