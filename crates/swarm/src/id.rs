//! The names that the engine and its surroundings call each other by.
//!
//! Both are plain numbers chosen by the caller: a [`PeerNo`] by the network for one connected
//! peer, a [`SessionId`] by the node for one fetch. Neither is reused while the engine may still
//! answer for it. They are ordered, so that nothing the engine decides hangs on a hash order.

/// One connected peer; the network maps it to a peer identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerNo(pub u32);

/// One fetch: the wants of one verb, one reader or one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl SessionId {
    /// No fetch: in this name the engine asks the store about what is shared without a session.
    pub const SHARED: Self = Self(u64::MAX);
}
