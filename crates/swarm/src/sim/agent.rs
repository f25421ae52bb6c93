//! Those who do not play by the rules.
//!
//! An agent runs the real engine for what it asks; here its messages are bent, its requests heard
//! or not, and its blocks held back or spoilt. It knows more than a real one could (who a seed is,
//! what its accomplices got): what it gains here is a bound.

use std::collections::BTreeMap;

use crate::limits::HAVE_BYTES_MAX;
use crate::sim::agenda::Happening;
use crate::sim::catalog::BlockNo;
use crate::sim::node::Manner;
use crate::sim::wire::SECOND;
use crate::sim::world::World;
use crate::{Event, Holding, Message};

/// How often an agent looks around.
const ACTS_EVERY: u64 = SECOND;

/// What a favourite's gifts are worth after a second.
const FADING: f64 = 0.9;

/// Those whom the strategist serves.
const FAVOURITES: usize = 4;

/// Requests that a strategist lets wait per peer.
const PARKED_MAX: usize = 256;

/// Blocks that a flooder sends at once.
const FLOOD_BLOCKS: usize = 16;

/// What an agent remembers.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    /// Bytes that came by each connection lately.
    returns: BTreeMap<u32, f64>,
    /// Requests of those who are no favourites.
    parked: BTreeMap<u32, Vec<Message>>,
}

impl Agent {
    fn favourite(&self, conn: u32) -> bool {
        let own = self.returns.get(&conn).copied().unwrap_or(0.0);
        let better = self.returns.values().filter(|bytes| **bytes > own).count();
        better < FAVOURITES && (own > 0.0 || self.returns.len() < FAVOURITES)
    }
}

impl World {
    /// An agent comes to life.
    pub(crate) fn plan_acts(&mut self, node: usize) {
        let busy = matches!(
            self.nodes[node].manner,
            Manner::TopFour | Manner::Garbage | Manner::Flooder | Manner::Forger
        );
        if busy {
            self.nodes[node].agent = Some(Box::default());
            self.agenda.plan(self.now + ACTS_EVERY, node, Happening::Acts);
        }
    }

    /// A message as the node sends it, after its manner.
    pub(crate) fn bend(&self, node: usize, message: Message) -> Option<Message> {
        let told = match self.nodes[node].manner {
            Manner::Rider | Manner::Forger => Holding::Nothing,
            Manner::ClaimAll => Holding::All,
            _ => return Some(message),
        };
        match message {
            Message::Join { root, reply, .. } => Some(Message::Join { root, holding: told, reply }),
            Message::Have { .. } | Message::HaveAll { .. } => None,
            other => Some(other),
        }
    }

    /// A message as the node's engine hears it.
    pub(crate) fn heard(&mut self, node: usize, conn: u32, message: Message) -> Option<Message> {
        if self.nodes[node].manner != Manner::TopFour {
            return Some(message);
        }
        let agent = self.nodes[node].agent.as_mut()?;
        match &message {
            Message::Request { .. } if !agent.favourite(conn) => {
                let parked = agent.parked.entry(conn).or_default();
                if parked.len() < PARKED_MAX {
                    parked.push(message);
                }
                None
            }
            Message::Cancel { cids } => {
                for parked in agent.parked.get_mut(&conn).into_iter().flatten() {
                    if let Message::Request { cids: waiting, .. } = parked {
                        waiting.retain(|cid| !cids.contains(cid));
                    }
                }
                Some(message)
            }
            _ => Some(message),
        }
    }

    /// A block has been stored that came by a connection.
    pub(crate) fn gained(&mut self, node: usize, conn: u32, block: BlockNo) {
        let bytes = f64::from(self.catalog.len(block));
        match self.nodes[node].manner {
            Manner::TopFour => {
                if let Some(agent) = &mut self.nodes[node].agent {
                    *agent.returns.entry(conn).or_default() += bytes;
                }
            }
            Manner::Forger if self.nodes[self.far(node, conn)].seed => self.forge(node, block),
            _ => {}
        }
    }

    /// The accomplices tell seeds that they have what a seed gave to this one.
    fn forge(&mut self, node: usize, block: BlockNo) {
        let Some((branch, first)) = self.catalog.parent(block) else { return };
        let Some(root) = self.nodes[node].wanted.first().copied() else { return };
        let branch = self.catalog.cid(branch);
        let friends: Vec<usize> = (0..self.nodes.len())
            .filter(|other| *other != node && self.nodes[*other].manner == Manner::Forger)
            .collect();
        for friend in friends {
            let conns = self.nodes[friend].conns.iter().copied();
            let to_seeds: Vec<u32> =
                conns.filter(|conn| self.nodes[self.far(friend, *conn)].seed).collect();
            for conn in to_seeds {
                let bits = vec![1];
                self.send(friend, conn, Message::Have { root, branch, first, bits });
            }
        }
    }

    /// An agent does what it does from time to time.
    pub(crate) fn act_up(&mut self, node: usize) {
        match self.nodes[node].manner {
            Manner::TopFour => self.change_favourites(node),
            Manner::Garbage => self.send_garbage(node),
            Manner::Flooder => self.flood(node),
            _ => {}
        }
        self.agenda.plan(self.now + ACTS_EVERY, node, Happening::Acts);
    }

    fn change_favourites(&mut self, node: usize) {
        let Some(agent) = &mut self.nodes[node].agent else { return };
        for bytes in agent.returns.values_mut() {
            *bytes *= FADING;
        }
        let freed: Vec<u32> =
            agent.parked.keys().copied().filter(|conn| agent.favourite(*conn)).collect();
        for conn in freed {
            let Some(agent) = &mut self.nodes[node].agent else { return };
            for message in agent.parked.remove(&conn).unwrap_or_default() {
                let event = Event::Message { peer: Self::peer(conn), message };
                self.answers.push_back(event);
            }
        }
    }

    fn send_garbage(&mut self, node: usize) {
        let Some(root) = self.nodes[node].wanted.first().copied() else { return };
        let conns: Vec<u32> = self.nodes[node].conns.iter().copied().collect();
        for conn in conns {
            let bits = vec![255; HAVE_BYTES_MAX + 1];
            self.send(node, conn, Message::Have { root, branch: root, first: 0, bits });
        }
    }

    fn flood(&mut self, node: usize) {
        let Some(root) = self.nodes[node].wanted.first().copied() else { return };
        let blocks: Vec<BlockNo> = self.catalog.below(&root);
        let conns: Vec<u32> = self.nodes[node].conns.iter().copied().collect();
        if self.nodes[node].uplink.len() > FLOOD_BLOCKS {
            return;
        }
        for (conn, block) in conns.iter().cycle().zip(blocks.iter().rev()).take(FLOOD_BLOCKS) {
            self.transmit(node, *conn, *block, false);
        }
    }
}
