//! What the handle may look at without asking the driver: addresses, connected peers, streams.
//!
//! Written by the driver and by the streams' tasks, read by [`crate::Net`]. No lock is held across
//! an await or while another is taken.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libp2p::{Multiaddr, PeerId};
use parking_lot::RwLock;

use crate::event::PeerInfo;
use crate::native::Registry;

/// State shared by handle, driver and streams.
#[derive(Debug)]
pub(crate) struct Shared {
    /// This node.
    pub(crate) id: PeerId,
    /// Addresses listened on.
    pub(crate) listeners: RwLock<Vec<Multiaddr>>,
    /// Connected peers; bounded by the connection limit.
    pub(crate) connected: RwLock<HashMap<PeerId, PeerInfo>>,
    /// Peers in the routing table.
    pub(crate) known: AtomicUsize,
    /// Live native streams.
    pub(crate) streams: Registry,
    /// The last number given to a search or a question.
    ids: AtomicU64,
}

impl Shared {
    /// Nothing listens, nobody is connected.
    pub(crate) fn new(id: PeerId) -> Self {
        Self {
            id,
            listeners: RwLock::default(),
            connected: RwLock::default(),
            known: AtomicUsize::new(0),
            streams: Registry::default(),
            ids: AtomicU64::new(0),
        }
    }

    /// A number that no search and no question has had.
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }
}
