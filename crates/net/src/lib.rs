//! Speaks libp2p, Kademlia, Bitswap and the native protocol, and turns them into swarm events.
//!
//! Alone in the workspace to name libp2p. It owns the connections, the DHT and the streams; it
//! decides nothing about who is asked or served (that is `shoal-swarm`) and keeps nothing
//! (blocks go through [`Blocks`], records leave as [`NetEvent::ProviderRecord`] and
//! [`NetEvent::ValueRecord`], and the node stores all of them).
//!
//! For names it carries three things without knowing what they say: value records in the DHT, which
//! the node judges ([`Records`]); questions to one peer over `/shoal/ledger/1`; gossip of records.
//!
//! ```text
//!  Net (handle) --commands--> driver task: libp2p swarm, searches, publishing, dialling,
//!      |                         |         questions, gossip
//!      |                         | native stream of a new peer
//!      +--per peer queue--> stream task: one per peer, reads, verifies, keeps, serves;
//!                                |           native, or a Bitswap session where there is none
//!                                | NetEvent (bounded: a slow node slows the peers)
//! ```
//!
//! Everything a peer can do wrong is a counted [`Violation`] or a receipt, never an error of ours.
//! Every queue has a named bound; memory is never allocated from a length that a peer declared.
#![forbid(unsafe_code)]

mod bitswap;
mod native;
mod transport;

mod blocks;
mod config;
mod contact;
mod driver;
mod event;
mod gate;
mod gossip;
mod net;
mod providers;
mod publish;
mod questions;
mod quiet;
mod records;
mod shared;
mod values;

pub use libp2p::identity::Keypair;
pub use libp2p::{Multiaddr, PeerId};

pub use blocks::{BlockRead, Blocks, KeepError};
pub use config::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX, Config, Limits, NetError, Network};
pub use contact::{CONTACT_ADDRS_MAX, Contact, ContactError};
pub use event::{
    AskError, DialFailure, GossipId, NetEvent, PeerInfo, PeerProtocol, ProvideError, QueryId,
    QuestionId, RecordChange, ValueChange, Violation,
};
pub use net::{GossipVerdict, Net, start};
pub use providers::ProviderRecord;
pub use records::{Judgement, NoRecords, Records};
