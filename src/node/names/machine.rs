//! Which machine and store this is: what tells a copy of a store from the store itself.
//!
//! A store that was copied, restored or cloned has the same keys and an old history; signing with it
//! would fork the name. Its marker differs: another machine, another start of the machine, or another
//! inode of the store's directory (`cp -a` on the same machine). A marker that differs proves nothing,
//! since a machine that was started anew differs as well; it asks for somebody else's word before the
//! next signature ([`super::publish`]).

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use shoal_dag::{
    Version,
    hash::{self, HashKind},
};

/// What says which machine it is, and which start of it (Linux).
const IDENTITY_FILES: [&str; 2] = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"];

/// The marker of this machine with that store.
pub fn marker(store: &Path) -> [u8; 32] {
    let mut told = Vec::new();
    for file in IDENTITY_FILES {
        let text = fs::read(file).unwrap_or_default();
        told.extend_from_slice(&(text.len() as u64).to_le_bytes());
        told.extend_from_slice(&text);
    }
    if let Ok(meta) = fs::metadata(store) {
        told.extend_from_slice(&meta.dev().to_le_bytes());
        told.extend_from_slice(&meta.ino().to_le_bytes());
    }
    let cid = hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, &told);
    cid.hash().digest().try_into().expect("BLAKE3 digests have 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_directory_is_another_store() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(marker(one.path()), marker(one.path()));
        assert_ne!(marker(one.path()), marker(other.path()));
    }
}
