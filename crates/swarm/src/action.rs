//! What the engine wants done.
//!
//! The caller drains [`Engine::poll_action`](crate::Engine::poll_action) after every event and
//! carries the actions out in order. None of them can fail towards the engine: what did not work
//! comes back as an event (`Received`, `Sent`, `PeerDisconnected`) or not at all, and what does not
//! come back in time is asked of somebody else.

use std::time::Duration;

use shoal_dag::Cid;

use crate::{Message, PeerNo, Place, SessionId};

/// One block to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which block.
    pub cid: Cid,
    /// Where its bytes go, for a leaf whose place is known.
    pub place: Option<Place>,
}

/// What a peer did that it must not do. Counted per peer; enough of them end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ViolationKind {
    /// Sent bytes that are not those of the CID.
    Corrupt,
    /// Sent a block that it was not asked for.
    Unrequested,
    /// Sent a message beyond its bounds, or one that makes no sense.
    Garbage,
    /// Sent more requests, joins or announcements than the bounds allow.
    Flooding,
    /// Refused a block that it had announced.
    RefusedAnnounced,
    /// Asked for blocks of a root that it had not joined.
    NotJoined,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message.
    Send {
        /// To whom.
        peer: PeerNo,
        /// What.
        message: Message,
    },
    /// Ask for blocks: becomes one [`Message::Request`] on the wire; the network remembers what is
    /// outstanding and where it goes.
    Ask {
        /// Whom.
        peer: PeerNo,
        /// Under which root.
        root: Cid,
        /// At most [`REQUEST_CIDS_MAX`](crate::limits::REQUEST_CIDS_MAX).
        asks: Vec<Ask>,
        /// Engine time by which they are needed, if somebody waits.
        deadline: Option<Duration>,
    },
    /// Write these blocks to that peer now, in this order; one
    /// [`Event::Sent`](crate::Event::Sent) per CID comes back.
    Serve {
        /// To whom.
        peer: PeerNo,
        /// Which blocks.
        cids: Vec<Cid>,
        /// Whether blocks may be given that are only cached: true for what a session here
        /// fetched, false for shared roots (the store then gives only public blocks).
        cached_ok: bool,
    },
    /// Ask a peer of single blocks whether it has any of these, the root first: it takes part if it
    /// does. Answered in its name by [`Message::Join`] with `reply`, or by [`Message::Leave`].
    Seek {
        /// Whom.
        peer: PeerNo,
        /// The root whose swarm is meant.
        root: Cid,
        /// At most [`SEEK_MAX`](crate::limits::SEEK_MAX).
        cids: Vec<Cid>,
    },
    /// Tell a peer of single blocks that these are here.
    Affirm {
        /// Whom.
        peer: PeerNo,
        /// What it asked about.
        cids: Vec<Cid>,
    },
    /// Are these blocks in the store? Answered by [`Event::Probed`](crate::Event::Probed).
    Probe {
        /// The session that walks, or [`SessionId::SHARED`]; to be echoed.
        session: SessionId,
        /// At most [`PROBE_MAX`](crate::limits::PROBE_MAX) blocks and their places.
        cids: Vec<(Cid, Option<Place>)>,
    },
    /// Do we share this root? Asked when a peer joins it, when its last session ends, and after
    /// [`Event::SharingChanged`](crate::Event::SharingChanged). Answered by
    /// [`Event::Shared`](crate::Event::Shared), always: until then it is not asked again.
    AskShared {
        /// The peer that joined, else any that takes part; to be echoed.
        peer: PeerNo,
        /// The root.
        root: Cid,
    },
    /// The wanted single block is there.
    Got {
        /// Whose want.
        session: SessionId,
        /// Which block.
        cid: Cid,
    },
    /// Everything below the wanted block is there.
    TreeDone {
        /// Whose want.
        session: SessionId,
        /// The top of the tree.
        cid: Cid,
    },
    /// Nobody connected holds something that this want still needs. Told once when it becomes so;
    /// the want stays and goes on when a peer appears, which [`Action::Provider`] tells. A want
    /// that was not taken is told it too, at once and for good: beyond
    /// [`WANTS_MAX`](crate::limits::WANTS_MAX), or of a session that is not open.
    NoProvider {
        /// Whose want.
        session: SessionId,
        /// The block of the want (for a tree: its top, whichever block is missing).
        cid: Cid,
    },
    /// The opposite of [`Action::NoProvider`]: somebody connected can provide again. Told once for
    /// each of those; not when the want ends meanwhile ([`Action::Got`], [`Action::TreeDone`] and
    /// taking it back say enough).
    Provider {
        /// Whose want.
        session: SessionId,
        /// The block of the want.
        cid: Cid,
    },
    /// A member of a swarm that is being fetched told of others: candidates to connect to.
    Told {
        /// Who told.
        by: PeerNo,
        /// The root whose swarm they take part in, as it says.
        root: Cid,
        /// At most [`PEERS_MAX`](crate::limits::PEERS_MAX) entries, unread.
        peers: Vec<Vec<u8>>,
    },
    /// A peer broke a rule.
    Violation {
        /// Who.
        peer: PeerNo,
        /// Which.
        kind: ViolationKind,
    },
    /// End the connection: too many violations.
    Disconnect {
        /// Whose.
        peer: PeerNo,
    },
}
