//! Decides what to ask of whom, and whom to serve.
//!
//! The package is one sans-IO machine, [`Engine`]: [`Event`]s go in, [`Action`]s come out, the time
//! is an argument (a [`Duration`](std::time::Duration) since an arbitrary start) and every random
//! choice comes from the seed given to [`Engine::new`]. The same seed and the same events give the
//! same actions, bit for bit, which is what makes it possible to simulate a crowd.
//!
//! ```text
//!  node: sessions, store ----Event---->  +--------+  ----Action--> node: Probe, Got, TreeDone
//!  net:  messages, blocks ---Event---->  | Engine |  ----Action--> net:  Send, Ask, Serve
//!                                        +--------+
//!   walk (what is wanted)   members (who has it)   asking (from whom)   serving (to whom)
//! ```
//!
//! It never sees the bytes of a block: the connection's task verifies, stores and reports
//! [`Event::Received`]. It never ends in an error: what a peer does wrong is a counted
//! [`Action::Violation`]. Every queue and map has a bound in [`limits`].

#![forbid(unsafe_code)]

mod action;
mod bits;
mod bucket;
mod config;
mod engine;
mod event;
mod filter;
mod id;
pub mod limits;
mod lineage;
mod links;
mod message;
mod peer;
mod prefix;
mod random;
pub mod sim;
mod stats;
mod swarm;
mod table;
mod uplink;

pub use action::{Action, Ask, ViolationKind};
pub use config::Config;
pub use engine::Engine;
pub use event::{Event, Holdings, Probe, Receipt, Served, Want};
pub use id::{PeerNo, SessionId};
pub use links::{Child, Links, LinksKind, Place};
pub use message::{Holding, Message};
pub use prefix::Prefix;
pub use stats::{PeerStats, Stats};
