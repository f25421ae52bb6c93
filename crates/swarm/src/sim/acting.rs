//! Carrying out what an engine wants: the node and the network around it, without bytes.
//!
//! Questions to the store and to the node are answered at once; blocks and messages go to the wire.

use shoal_dag::Cid;

use crate::sim::catalog::BlockNo;
use crate::sim::node::{After, Manner};
use crate::sim::world::{SESSION, World};
use crate::{Action, Ask, Event, Holdings, Message, Probe, Served, SessionId};

impl World {
    /// Carries out one action.
    pub(crate) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Send { peer, message } => {
                if let Message::Cancel { cids } = &message {
                    self.cancel(node, peer.0, cids);
                }
                if let Some(message) = self.bend(node, message) {
                    self.send(node, peer.0, message);
                }
            }
            Action::Ask { peer, root, asks, deadline } => {
                let cids = self.await_all(node, peer.0, &asks);
                let now = std::time::Duration::from_nanos(self.now);
                let left = deadline.map(|at| at.saturating_sub(now).as_millis() as u32);
                let deadline_ms = left.map_or(0, |ms| ms.max(1));
                self.send(node, peer.0, Message::Request { root, cids, deadline_ms });
            }
            Action::Serve { peer, cids, cached_ok } => {
                for cid in cids {
                    self.serve(node, peer.0, cid, cached_ok);
                }
            }
            Action::Probe { session, cids } => {
                self.nodes[node].probed += cids.len() as u64;
                let found = cids.iter().map(|(cid, _)| (*cid, self.probe(node, cid))).collect();
                self.answers.push_back(Event::Probed { session, found });
            }
            Action::AskShared { peer, root } => {
                let holdings = self.nodes[node].shares.get(&root).cloned().unwrap_or_default();
                self.answers.push_back(Event::Shared { peer, root, holdings });
            }
            Action::Got { cid, .. } | Action::TreeDone { cid, .. } => self.satisfied(node, cid),
            Action::NoProvider { cid, .. } => {
                let now = self.now();
                self.nodes[node].lonely.push((cid, now));
                self.plan_search(node);
            }
            Action::Provider { cid, .. } => {
                let now = self.now();
                self.nodes[node].found.push((cid, now));
            }
            Action::Violation { peer, kind } => {
                let far = self.far(node, peer.0);
                self.judge(node, far, kind);
                self.nodes[node].violations.push((far as u32, kind));
            }
            // All peers are native, and who knows whom is the scenario's.
            Action::Seek { .. } | Action::Affirm { .. } | Action::Told { .. } => {}
            Action::Disconnect { peer } => self.close(peer.0, node),
        }
    }

    fn cancel(&mut self, node: usize, conn: u32, cids: &[Cid]) {
        for cid in cids {
            if let Some(block) = self.catalog.number(cid) {
                self.nodes[node].awaited.remove(&(conn, block));
            }
        }
    }

    fn await_all(&mut self, node: usize, conn: u32, asks: &[Ask]) -> Vec<Cid> {
        for ask in asks {
            if let Some(block) = self.catalog.number(&ask.cid) {
                self.nodes[node].awaited.insert((conn, block));
            }
        }
        asks.iter().map(|ask| ask.cid).collect()
    }

    fn probe(&self, node: usize, cid: &Cid) -> Probe {
        let here = self.catalog.number(cid).filter(|block| self.nodes[node].has(*block));
        let Some(block) = here else { return Probe::Missing };
        self.catalog.links(block).cloned().map_or(Probe::Leaf, Probe::Branch)
    }

    fn serve(&mut self, node: usize, conn: u32, cid: Cid, cached_ok: bool) {
        let public = self.nodes[node].shares.values().any(|holdings| !holdings.is_empty());
        let here = self.catalog.number(&cid).filter(|block| self.nodes[node].has(*block));
        let Some(block) = here.filter(|_| cached_ok || public) else {
            let (peer, len, outcome) = (Self::peer(conn), 0, Served::Absent);
            return self.answers.push_back(Event::Sent { peer, cid, len, outcome });
        };
        let manner = self.nodes[node].manner;
        if !manner.gives_nothing() {
            self.transmit(node, conn, block, manner == Manner::Liar);
        }
    }

    /// A want is satisfied; perhaps it was the last.
    fn satisfied(&mut self, node: usize, cid: Cid) {
        self.check_satisfied(node, &cid);
        let now = self.now();
        let it = &mut self.nodes[node];
        it.got.insert(cid, now);
        let complete =
            !it.wanted.is_empty() && it.wanted.iter().all(|root| it.got.contains_key(root));
        if complete && it.fetching() {
            it.figures.done = Some(self.now);
            self.finish(node);
        }
    }

    fn finish(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        match it.after {
            After::Open => {}
            After::Leave => {
                let again = false;
                let what = crate::sim::agenda::Happening::Leaves { again };
                self.agenda.plan(self.now, node, what);
            }
            After::Stay => {
                for root in &it.wanted {
                    it.shares.insert(*root, Holdings { all: true, ..Holdings::default() });
                }
                self.answers.push_back(Event::SharingChanged);
                for number in 0..it.wanted.len() as u64 {
                    let session = SessionId(SESSION.0 + number);
                    self.answers.push_back(Event::Close { session });
                }
            }
        }
    }

    /// Blocks below a root that a node lacks.
    pub fn missing(&self, node: usize, root: &Cid) -> Vec<BlockNo> {
        let all = self.catalog.below(root);
        all.into_iter().filter(|block| !self.nodes[node].has(*block)).collect()
    }
}
