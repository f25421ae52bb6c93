//! What peers say to each other about a swarm.
//!
//! These are the meanings; the byte codec is in `shoal-net`, and block bytes travel as frames that
//! it handles by itself. Everything that arrives here was written by a stranger: the bounds in
//! [`limits`](crate::limits) are checked by the codec and again by the engine, and a message
//! beyond them is a violation, never an error.

use shoal_dag::Cid;

/// How much of a root a peer holds when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holding {
    /// Every block below the root, itself included.
    All,
    /// Some blocks, the root block among them or not; `Have` and `HaveAll` tell which.
    Part,
    /// Nothing yet.
    Nothing,
}

/// One message of the native protocol, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// "I take part in the swarm of this root." Answered once with `reply: true`, or with
    /// [`Message::Leave`] by a peer that does not take part.
    Join {
        /// The root whose swarm is meant.
        root: Cid,
        /// What the sender holds of it.
        holding: Holding,
        /// Whether this answers a join, and wants no answer itself.
        reply: bool,
    },
    /// "I take no part in this swarm (any more)."
    Leave {
        /// The root whose swarm is meant.
        root: Cid,
    },
    /// "I hold the own blocks of these children of `branch`."
    Have {
        /// The root whose swarm is meant.
        root: Cid,
        /// The branch whose links are counted.
        branch: Cid,
        /// Link index of the first bit.
        first: u32,
        /// Bit `i` (lowest first within each byte) stands for link `first + i`. At most
        /// [`HAVE_BYTES_MAX`](crate::limits::HAVE_BYTES_MAX).
        bits: Vec<u8>,
    },
    /// "I hold everything below `branch`, itself included."
    HaveAll {
        /// The root whose swarm is meant.
        root: Cid,
        /// The top of the sub-tree; the root itself for everything.
        branch: Cid,
    },
    /// "Send me these blocks."
    Request {
        /// The root under which they are asked for.
        root: Cid,
        /// At most [`REQUEST_CIDS_MAX`](crate::limits::REQUEST_CIDS_MAX), best first.
        cids: Vec<Cid>,
        /// In how many milliseconds they are needed; 0 when nobody waits for them.
        deadline_ms: u32,
    },
    /// "I no longer want these."
    Cancel {
        /// At most [`REQUEST_CIDS_MAX`](crate::limits::REQUEST_CIDS_MAX).
        cids: Vec<Cid>,
    },
    /// "You will not get these from me."
    Refuse {
        /// At most [`REQUEST_CIDS_MAX`](crate::limits::REQUEST_CIDS_MAX).
        cids: Vec<Cid>,
    },
    /// "Others who take part, and hold something." What an entry says is the network's business.
    Peers {
        /// The root whose swarm is meant.
        root: Cid,
        /// At most [`PEERS_MAX`](crate::limits::PEERS_MAX) encoded peers of at most
        /// [`CONTACT_BYTES_MAX`](crate::limits::CONTACT_BYTES_MAX) each.
        peers: Vec<Vec<u8>>,
    },
}
