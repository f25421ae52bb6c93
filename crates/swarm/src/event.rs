//! What the engine is told.
//!
//! Events come from the network (peers, messages, blocks that arrived or left), from the node
//! (sessions, wants, answers about the store, limits) and from nowhere else. No order between
//! them is assumed: an event about a peer, session or block that the engine does not know is
//! dropped, counted where it is a peer's fault. Only a want is never dropped in silence: one of a
//! session that is not open is told to have no provider.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shoal_dag::Cid;

use crate::{Links, Message, PeerNo, Place, Prefix, SessionId, ViolationKind};

/// What became of a block that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Verified and kept; a branch comes with its links, a leaf with `None`.
    Stored {
        /// The links of a branch.
        links: Option<Links>,
    },
    /// The bytes were not those of the CID.
    Corrupt,
    /// Nobody had asked this peer for it.
    Unrequested,
    /// Verified, but the store could not keep it: asking again at once would not help.
    NotKept,
}

/// What became of a block that was to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Written to the connection.
    Done,
    /// Not in the store, or not to be given away; the engine tells the peer.
    Absent,
}

/// What the store knows of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Not there.
    Missing,
    /// There, without links.
    Leaf,
    /// There, with these links.
    Branch(Links),
}

/// A block that a peer of single blocks wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which block.
    pub cid: Cid,
    /// Its bytes; else only whether it is here.
    pub block: bool,
    /// Its length, if it is here and was given to the network.
    pub public: Option<u32>,
}

/// What the node shares of a root, whether or not a session fetches it. Empty: not shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Everything below the root.
    pub all: bool,
    /// Tops of sub-trees that are complete; at most
    /// [`HOLDINGS_MAX`](crate::limits::HOLDINGS_MAX) are told on.
    pub complete: Vec<Cid>,
    /// Branches of which some children are there: branch, first link index, bits as in
    /// [`Message::Have`].
    pub have: Vec<(Cid, u32, Vec<u8>)>,
}

impl Holdings {
    /// Whether nothing of the root is shared.
    pub fn is_empty(&self) -> bool {
        !self.all && self.complete.is_empty() && self.have.is_empty()
    }

    /// Whether everything that `other` names is surely here too.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let complete: BTreeSet<&Cid> = self.complete.iter().collect();
        let have: BTreeMap<(&Cid, u32), &[u8]> =
            self.have.iter().map(|(branch, first, bits)| ((branch, *first), &**bits)).collect();
        let kept = |(branch, first, bits): &(Cid, u32, Vec<u8>)| {
            let now = have.get(&(branch, *first)).copied().unwrap_or_default();
            let within = |(at, bits): (usize, &u8)| bits & !now.get(at).unwrap_or(&0) == 0;
            complete.contains(branch) || bits.iter().enumerate().all(within)
        };
        let parts = other.complete.iter().all(|branch| complete.contains(branch));
        self.all || (!other.all && parts && other.have.iter().all(kept))
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The native stream to a peer is up.
    PeerConnected {
        /// A number not used by another connected peer.
        peer: PeerNo,
        /// Where it comes from.
        prefix: Prefix,
    },
    /// A peer is up that speaks only of single blocks (Bitswap). It is asked by
    /// [`Action::Seek`](crate::Action::Seek) whether it takes part in a swarm; who does counts as one
    /// that holds everything until it refuses a block. It is told nothing of what is here, and it is
    /// served when nobody else of the swarms waits.
    CidPeerConnected {
        /// A number not used by another connected peer.
        peer: PeerNo,
        /// Where it comes from.
        prefix: Prefix,
    },
    /// A peer of single blocks wants these, best first. What it may not have is refused; what it
    /// only asked about is told by [`Action::Affirm`](crate::Action::Affirm). A
    /// [`Message::Cancel`] takes wants back.
    Wants {
        /// Who.
        peer: PeerNo,
        /// What; at most [`WANTS_AT_ONCE`](crate::limits::WANTS_AT_ONCE) are looked at.
        wants: Vec<Want>,
    },
    /// The peer is gone; what was asked of it returns to the pool.
    PeerDisconnected {
        /// Who.
        peer: PeerNo,
    },
    /// How others can reach a peer, as far as the network has seen it for itself: what members of its
    /// swarms are told of it. Without it nobody is told. The newest holds.
    Contact {
        /// Who.
        peer: PeerNo,
        /// Opaque here; at most [`CONTACT_BYTES_MAX`](crate::limits::CONTACT_BYTES_MAX).
        contact: Vec<u8>,
    },
    /// A peer broke a rule that only the surroundings can check: counted like any other.
    Misbehaved {
        /// Who.
        peer: PeerNo,
        /// Which.
        kind: ViolationKind,
    },
    /// A peer said something.
    Message {
        /// Who.
        peer: PeerNo,
        /// What.
        message: Message,
    },
    /// A block arrived from a peer.
    Received {
        /// From whom.
        peer: PeerNo,
        /// Which block.
        cid: Cid,
        /// Bytes of the block.
        len: u32,
        /// What became of it.
        receipt: Receipt,
    },
    /// One block of an [`Action::Serve`](crate::Action::Serve) is done with; one event per CID.
    Sent {
        /// To whom.
        peer: PeerNo,
        /// Which block.
        cid: Cid,
        /// Bytes written; 0 when absent.
        len: u32,
        /// What became of it.
        outcome: Served,
    },
    /// A session begins: the swarm of `root` is joined. Beyond
    /// [`SESSIONS_MAX`](crate::limits::SESSIONS_MAX) it is not opened.
    Open {
        /// A number not used by another open session.
        session: SessionId,
        /// The root whose swarm is asked. What is wanted may be any part of it.
        root: Cid,
    },
    /// A session ends. When it was the last one of its root, the swarm is left, unless the root
    /// is shared.
    Close {
        /// Which.
        session: SessionId,
    },
    /// A session wants a block, or everything below one.
    Want {
        /// Which session.
        session: SessionId,
        /// Which block.
        cid: Cid,
        /// The branch it hangs under, if that is known: only then can partial holders be found.
        under: Option<Cid>,
        /// Where its bytes lie, for a leaf.
        place: Option<Place>,
        /// When somebody waits for it: the engine time by which it is needed.
        deadline: Option<Duration>,
        /// Everything below too; the engine then walks by itself. Either way the store is probed
        /// before anybody is asked.
        tree: bool,
    },
    /// A want is taken back.
    Unwant {
        /// Which session.
        session: SessionId,
        /// The block of the want.
        cid: Cid,
    },
    /// The store's answer to [`Action::Probe`](crate::Action::Probe).
    Probed {
        /// The session of the action.
        session: SessionId,
        /// The blocks of the action, in any order.
        found: Vec<(Cid, Probe)>,
    },
    /// A search found a peer that is connected, or a search round begins: the peer is asked to
    /// take part in the session's swarm again, unless it does. It may have answered that it takes
    /// no part before it had the content. At most one invitation per
    /// [`INVITE_EVERY`](crate::limits::INVITE_EVERY) goes to a peer of a swarm; an earlier one
    /// waits.
    Invite {
        /// The session whose swarm is meant.
        session: SessionId,
        /// Who.
        peer: PeerNo,
    },
    /// Something of what this node shares changed: there is more, or less, or it is another root.
    /// Every swarm with members is asked about again with
    /// [`Action::AskShared`](crate::Action::AskShared).
    SharingChanged,
    /// The node's answer to [`Action::AskShared`](crate::Action::AskShared). It replaces the one
    /// before: members are told what there is more, and what there no longer is; a swarm without
    /// session of which nothing is shared any more is left.
    Shared {
        /// The peer of the action.
        peer: PeerNo,
        /// The root of the action.
        root: Cid,
        /// What is shared of it; empty when nothing is, or no longer.
        holdings: Holdings,
    },
    /// Bandwidth limits in bytes per second; `None` lifts one.
    Limits {
        /// What this node may send.
        up: Option<u64>,
        /// What this node may ask for.
        down: Option<u64>,
    },
}
