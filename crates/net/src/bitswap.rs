//! Bitswap, for peers that do not speak the native protocol: kubo, Helia and their like.
//!
//! Both a client and a server of `/ipfs/bitswap/1.2.0` (1.1.0 and 1.0.0 for old peers). A session is
//! begun with every connected peer that names Bitswap and not the native protocol, and with whoever
//! opens a Bitswap stream; a peer that turns out to speak the native protocol is served by that and
//! its session ends. To the engine a session is a peer that knows of single blocks only.
//!
//! ```text
//!  behaviour --(streams of the peer)--> session: one task per peer
//!      ^                                  reader per stream: wants --> engine, blocks --> Blocks
//!      | opens streams                    writer: one stream: wants, presences, blocks
//!  handler, one per connection <--------- opener
//! ```
//!
//! - `proto`, `message`: the codec. `reader`: messages out of a stream in bounded memory.
//! - `session`, `writer`: the task. `wants`: what the peer wants; `seeks`: what it was asked about.
//! - `upgrade`, `handler`, `behaviour`: how streams come out of libp2p.
//!
//! It decides nothing: who is served when is the engine's affair, and a Bitswap peer is served with
//! what others leave. There is no ledger of bytes between peers, as kubo has one without using it.

mod behaviour;
mod handler;
mod message;
mod proto;
mod reader;
mod seeks;
mod session;
mod upgrade;
mod wants;
mod writer;

pub(crate) use behaviour::{Behaviour, SessionEvent};
pub(crate) use upgrade::{Dialect, Upgrade, is_spoken};
