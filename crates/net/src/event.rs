//! What the network layer tells the node.
//!
//! Events of one peer come in order: `PeerUp` first, then its swarm events, `PeerDown` last. The
//! channel holds [`EVENTS_MAX`] events; when the node is slower, the streams of the peers wait.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use shoal_dag::Cid;
use shoal_swarm::{PeerNo, Prefix};

use crate::contact::Contact;
use crate::providers::ProviderRecord;

/// Events that wait for the node: at 64 KiB per block, 64 MiB of transfer ahead of it.
pub(crate) const EVENTS_MAX: usize = 1024;

/// Names one provider search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// Names one question: ours to a peer, or a peer's to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(pub u64);

/// Names one gossip message that waits for the node's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GossipId(pub u64);

/// Something that the node must know.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most events are the swarm's; a CID has room for long identities, and 1,024 events half a megabyte"
)]
#[non_exhaustive]
pub enum NetEvent {
    /// Listening here; one event per address, also later when an interface appears.
    Listening(Multiaddr),
    /// The native stream with a peer, or the Bitswap session with one that does not have that, is
    /// up. One per peer, however many connections it has.
    PeerUp {
        /// Its number until `PeerDown`.
        peer: PeerNo,
        /// Its identity.
        id: PeerId,
        /// The address of its connection.
        addr: Multiaddr,
        /// The prefix that accounts are kept by.
        prefix: Prefix,
        /// What it calls itself, if it says so over the stream.
        agent: Option<String>,
        /// What is spoken with it.
        protocol: PeerProtocol,
    },
    /// The native stream or Bitswap session of a peer is gone, with everything that was asked over it.
    PeerDown {
        /// The number, which is not used again.
        peer: PeerNo,
    },
    /// For the engine: `Message`, `Wants`, `Received` or `Sent` of one peer.
    Swarm(shoal_swarm::Event),
    /// A search found providers; it goes on.
    Providers {
        /// The search.
        query: QueryId,
        /// What was searched for.
        cid: Cid,
        /// Providers not told before in this search, with the addresses known now.
        providers: Vec<(PeerId, Vec<Multiaddr>)>,
    },
    /// How a running search fares, about twice a second.
    QueryProgress {
        /// The search.
        query: QueryId,
        /// Peers asked.
        asked: u32,
        /// Peers that answered.
        answered: u32,
        /// Peers that could not be reached or did not answer.
        failed: u32,
    },
    /// A search has ended; the node may begin another.
    QueryDone {
        /// The search.
        query: QueryId,
        /// What was searched for.
        cid: Cid,
        /// Distinct providers found.
        providers_found: usize,
        /// Peers asked.
        asked: u32,
        /// Peers that answered.
        answered: u32,
    },
    /// A provider record was published, or could not be; it is tried again by itself.
    Provided {
        /// What is provided.
        cid: Cid,
        /// Peers that the record was sent to (the protocol has no acknowledgement; all of them
        /// had answered the lookup just before).
        result: Result<usize, ProvideError>,
    },
    /// The provider store changed; the node persists it for [`crate::Config::records`].
    ProviderRecord {
        /// What changed.
        change: RecordChange,
    },
    /// A search for value records found one; it goes on. Each distinct value is told once, valid or
    /// not: the node judges it.
    Value {
        /// The search.
        query: QueryId,
        /// The key that was searched for.
        key: Vec<u8>,
        /// The record.
        value: Vec<u8>,
        /// Who answered with it; none for the record that is kept here.
        from: Option<PeerId>,
    },
    /// A search for value records has ended.
    ValueDone {
        /// The search.
        query: QueryId,
        /// Peers asked.
        asked: u32,
        /// Peers that answered, with or without a record.
        answered: u32,
        /// The peers that answered with an older record, and the closest that answered without
        /// any, to be given the newest ([`crate::Net::put_value_to`]); at most 20.
        without: Vec<PeerId>,
    },
    /// A value record was put to the DHT, or could not be; it is tried again by itself, unless it
    /// has expired.
    ValuePut {
        /// Its key.
        key: Vec<u8>,
        /// Peers that it was put to.
        result: Result<usize, ProvideError>,
    },
    /// A value record of others that is kept here changed; the node persists it for
    /// [`crate::Config::values`].
    ValueRecord {
        /// What changed.
        change: ValueChange,
    },
    /// A peer asks something over `/shoal/ledger/1`; [`crate::Net::answer`] answers it.
    Question {
        /// Who asks.
        from: PeerId,
        /// To answer to.
        question: QuestionId,
        /// What it asks.
        bytes: Vec<u8>,
    },
    /// An answer to [`crate::Net::question`], or why there is none. Exactly one for each.
    Answer {
        /// The question.
        question: QuestionId,
        /// Who was asked.
        from: PeerId,
        /// What it said.
        result: Result<Vec<u8>, AskError>,
    },
    /// A gossip message on a topic that was subscribed to. It is passed on only after
    /// [`crate::Net::judge_gossip`].
    Gossip {
        /// The topic.
        topic: String,
        /// The neighbour that passed it to us.
        from: PeerId,
        /// To be judged by.
        gossip: GossipId,
        /// The message.
        bytes: Vec<u8>,
    },
    /// More is known of where a Shoal peer can be reached than [`crate::Net::reach`] said before; before
    /// its `PeerUp` or after. Left out when the node is behind.
    Reachable {
        /// The peer and its addresses.
        contact: Contact,
    },
    /// The connections of a peer with a native stream were closed, because room was needed and it gave
    /// nothing; its `PeerDown` follows.
    MadeRoom {
        /// The peer.
        id: PeerId,
    },
    /// A dial that the node asked for failed.
    DialFailed {
        /// The peer that was to be dialled.
        id: PeerId,
        /// Why.
        reason: DialFailure,
    },
    /// A peer broke the protocol in a way that the engine does not see.
    Violation {
        /// The peer.
        peer: PeerNo,
        /// What it did.
        kind: Violation,
    },
}

/// What blocks are exchanged by with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerProtocol {
    /// Shoal's own, `/shoal/swarm/1`.
    Native,
    /// Bitswap: the peer knows of single blocks, not of swarms.
    Bitswap,
}

/// A change of the provider store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// A record is new or has a new expiry.
    Put(ProviderRecord),
    /// A record expired or made room.
    Remove {
        /// The multihash.
        key: Vec<u8>,
        /// The provider.
        provider: PeerId,
    },
}

/// A change of the value records of others that are kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueChange {
    /// A record is new or replaced an older one.
    Put {
        /// Its key.
        key: Vec<u8>,
        /// The record.
        value: Vec<u8>,
    },
    /// A record expired or made room.
    Remove {
        /// Its key.
        key: Vec<u8>,
    },
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The peer could not be reached.
    #[error("could not be reached")]
    Unreachable,
    /// The peer does not speak the protocol.
    #[error("does not answer such questions")]
    Unsupported,
    /// No answer within the deadline.
    #[error("did not answer in time")]
    TimedOut,
    /// The stream broke, or its bytes were none of the protocol.
    #[error("broke off")]
    Broken,
    /// Too many questions of ours are open.
    #[error("too many questions are open")]
    TooMany,
}

/// Ways to break the native protocol or Bitswap; each closes the stream.
///
/// Blocks that were not asked for or do not match their CID are told as receipts
/// ([`shoal_swarm::Receipt`]) and counted by the engine; only a flood of them ends up here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame that cannot be decoded.
    #[error("sent a malformed frame")]
    Malformed,
    /// A frame longer than its kind may be.
    #[error("sent an oversized frame")]
    Oversized,
    /// A frame was begun and did not arrive in time.
    #[error("stopped in the middle of a frame")]
    Stalled,
    /// More unrequested blocks than can be explained by cancelled requests, or again and again more
    /// wants than are looked at.
    #[error("sent blocks that nobody asked for, or wants without end")]
    Flood,
}

/// Why a provider or value record was not published this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvideError {
    /// Nobody could be reached; it is published when a peer appears.
    #[error("no peer could be reached")]
    NoPeers,
    /// The lookup took too long; it is tried again.
    #[error("the lookup took too long")]
    TimedOut,
    /// It cannot be a DHT record: the CID carries its bytes itself, its multihash is longer than 80
    /// bytes, or a value is longer than 10 KiB or its key than 128 bytes.
    #[error("this cannot be announced")]
    BadKey,
    /// More keys than this node may provide.
    #[error("too many keys are provided")]
    TooMany,
    /// The value record has run out or is not valid; it is not put any more.
    #[error("the record has run out or is not valid")]
    Expired,
}

/// Why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// No address is known.
    #[error("no address is known")]
    NoAddress,
    /// Nothing answered at its addresses.
    #[error("could not be reached: {0}")]
    Unreachable(String),
    /// Someone else answered.
    #[error("another peer answered: {0}")]
    WrongPeer(PeerId),
    /// It speaks neither the native protocol nor Bitswap.
    #[error("it is not a peer that blocks can be had from")]
    NotShoal,
    /// It closed the connection at once, most often because it has too many; worth another try.
    #[error("it closed the connection")]
    Refused,
    /// A limit of ours stood in the way; worth another try.
    #[error("a connection limit stood in the way")]
    Limited,
}

/// One connected peer, for listings.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Its identity.
    pub id: PeerId,
    /// The address of its first connection.
    pub addr: Multiaddr,
    /// Whether we dialled it.
    pub dialled: bool,
    /// What it calls itself, once told.
    pub agent: Option<String>,
    /// Its number if its native stream or Bitswap session is up.
    pub peer: Option<PeerNo>,
    /// Which of the two that is.
    pub protocol: Option<PeerProtocol>,
    /// Its last ping.
    pub rtt: Option<Duration>,
    /// Whether it answers DHT lookups.
    pub server: bool,
    /// Where others can reach it, as far as it was seen: where it was dialled and, of a Shoal peer, what
    /// identify adds.
    pub reach: Vec<Multiaddr>,
}
