//! Keys of names: secrets of the store, a file of mode 0600 each.
//!
//! A file holds the 32 bytes of the seed. To travel they become what kubo's `ipfs key export` writes: libp2p's protobuf
//! with the seed and the public key (libp2p peer-ids specification, "Keys"), so that keys go both ways.

use shoal_ledger::{LedgerId, SecretKey};
use shoal_store::Store;

use crate::{control::protocol::Failure, exit::Exit};

/// The protobuf before the seed: field 1 is 1 (Ed25519), field 2 has 64 bytes.
const PROTOBUF_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x40];

/// Seed and public key in the protobuf.
const KEY_BYTES: usize = 64;

fn file(name: LedgerId) -> String {
    format!("name-{name}.key")
}

/// Keeps a key; it is synced when this returns.
///
/// # Errors
/// The disk.
pub fn keep(store: &Store, seed: &[u8; 32]) -> Result<LedgerId, Failure> {
    let name = LedgerId::from(SecretKey::from_seed(seed).public());
    let kept = store.read_or_create_secret(&file(name), || seed.to_vec());
    let kept = kept.map_err(|error| Failure::failed(format!("cannot keep the key: {error}")))?;
    if kept != seed {
        return Err(Failure::failed(format!("another key is kept for {name}")));
    }
    Ok(name)
}

/// The seed of a name's key.
///
/// # Errors
/// Exit 12 when it is not here.
pub fn seed(store: &Store, name: LedgerId) -> Result<[u8; 32], Failure> {
    let absent = || {
        Failure::new(Exit::NotAllowed, format!("the key of {name} is not here"))
            .hint("import it with: shoal name import PETNAME FILE")
    };
    let bytes = store
        .secret(&file(name))
        .map_err(|error| Failure::failed(format!("the key of {name} cannot be read: {error}")))?;
    let seed: [u8; 32] = bytes.ok_or_else(absent)?.try_into().map_err(|_| absent())?;
    if LedgerId::from(SecretKey::from_seed(&seed).public()) != name {
        return Err(Failure::failed(format!("the key kept for {name} is another one")));
    }
    Ok(seed)
}

/// Deletes a name's key, durably.
///
/// # Errors
/// The disk.
pub fn delete(store: &Store, name: LedgerId) -> Result<(), Failure> {
    store
        .remove_secret(&file(name))
        .map_err(|error| Failure::failed(format!("cannot delete the key of {name}: {error}")))
}

/// A key as it travels.
pub fn to_protobuf(seed: &[u8; 32]) -> Vec<u8> {
    let public = SecretKey::from_seed(seed).public();
    [&PROTOBUF_PREFIX, seed.as_slice(), public.as_bytes()].concat()
}

/// Reads a key that travelled.
///
/// # Errors
/// Exit 2 for bytes that are none.
pub fn from_protobuf(bytes: &[u8]) -> Result<[u8; 32], Failure> {
    let wrong = || {
        Failure::usage("this is no Ed25519 key")
            .hint("shoal name export and ipfs key export write such files")
    };
    let key = bytes.strip_prefix(&PROTOBUF_PREFIX).filter(|key| key.len() == KEY_BYTES);
    let (seed, public) = key.and_then(|key| key.split_first_chunk::<32>()).ok_or_else(wrong)?;
    if SecretKey::from_seed(seed).public().as_bytes() == public { Ok(*seed) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_travel_and_changed_ones_do_not() {
        let bytes = to_protobuf(&[7; 32]);
        assert_eq!(bytes.len(), 68);
        assert_eq!(from_protobuf(&bytes).unwrap(), [7; 32]);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(from_protobuf(&changed).is_err(), "{at}");
        }
        assert!(from_protobuf(&bytes[..67]).is_err());
    }
}
