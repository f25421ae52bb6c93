//! The folder of public vectors, and the keyed stream that its inputs are made from.
//!
//! The folder lies beside the checkout and is not part of it: a test that finds it absent says so
//! and passes. Values that are frozen of our own formats never come from there.

use std::path::PathBuf;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use shoal_dag::hash::HashKind;

/// The byte stream of the vectors: ChaCha20 with nonce 0 under the SHA-256 of a seed.
pub(crate) struct KeyedStream(ChaCha20);

impl KeyedStream {
    pub(crate) fn new(seed: &str) -> Self {
        let key = HashKind::Sha256.digest(seed.as_bytes());
        Self(ChaCha20::new(&key.into(), &[0; 12].into()))
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.apply_keystream(&mut bytes);
        bytes
    }
}

/// The first `len` bytes of the stream of `seed`.
pub(crate) fn keyed(seed: &str, len: usize) -> Vec<u8> {
    KeyedStream::new(seed).take(len)
}

/// A path in the folder of public vectors beside the checkout; `None`, with a printed reason,
/// where there is none.
pub(crate) fn vectors(path: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("skipped: {} is not there", found.display());
    None
}

/// A JSON file among the vectors.
pub(crate) fn vectors_json(path: &str) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(vectors(path)?).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}
