//! The native protocol `/shoal/swarm/1`: one long-lived stream per peer.

mod registry;

pub(crate) use registry::{Registry, StreamCommand};
