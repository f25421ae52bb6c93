//! The node's key, by which others know it.
//!
//! Made once, when it is first needed, and kept as a secret of the store. Names have keys of their own
//! ([`crate::node::names::keys`]): this one signs nothing that lasts.

use shoal_net::Keypair;
use shoal_store::Store;

use crate::control::protocol::Failure;

/// The node's key: made once, kept in the store's secrets.
pub(crate) fn keypair(store: &Store) -> Result<Keypair, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the node's key in {} is unusable: {error}", store.dir().display()))
    };
    let fresh = || {
        let key = Keypair::generate_ed25519();
        key.to_protobuf_encoding().expect("an Ed25519 key has a protobuf form")
    };
    let bytes = store.read_or_create_secret("node.key", fresh).map_err(|error| unusable(&error))?;
    Keypair::from_protobuf_encoding(&bytes).map_err(|error| unusable(&error))
}
