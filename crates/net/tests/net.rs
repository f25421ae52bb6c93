//! Nodes of this package against each other, in one process, on 127.0.0.1 with ports of the
//! system's choice. Nothing waits for a time to pass, only for events, with an upper bound.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

#[path = "net/bare.rs"]
mod bare;
#[path = "net/bitswap.rs"]
mod bitswap;
#[path = "net/bitswap_stranger.rs"]
mod bitswap_stranger;
#[path = "net/blocks.rs"]
mod blocks;
#[path = "net/contacts.rs"]
mod contacts;
#[path = "net/dht.rs"]
mod dht;
#[path = "net/gossip.rs"]
mod gossip;
#[path = "net/life.rs"]
mod life;
#[path = "net/node.rs"]
mod node;
#[path = "net/questions.rs"]
mod questions;
#[path = "net/room.rs"]
mod room;
#[path = "net/stranger.rs"]
mod stranger;
#[path = "net/values.rs"]
mod values;
