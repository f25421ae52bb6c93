//! The control socket: how a verb speaks to the node that owns the store.
//!
//! One code path for every verb: it sends a [`protocol::Request`] and prints what comes back, whether
//! the node is the same process (over a socket pair) or a running peer (over the store's Unix socket,
//! mode 0600). [`client::Client`] is the verb's end, [`server`] the node's.

pub mod client;
pub mod frame;
pub mod protocol;
pub mod server;
pub mod socket;
