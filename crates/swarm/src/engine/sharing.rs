//! What the node shares outside sessions: asked of it, told to members, taken back.
//!
//! Only an answer of the node makes a swarm of a root that nothing here fetches, so strangers cannot
//! fill memory with roots. Per root one question is open at a time; when something changes
//! meanwhile, its answer may be from before the change, and it is asked again. Members hear what is
//! new; where something is gone they hear that all of it is, and then what is left. Requests that
//! wait for what is gone are refused, after the members know why.

use shoal_dag::Cid;
use shoal_dag::hash::RAW;

use crate::engine::Engine;
use crate::limits::{QUESTIONS_MAX, REQUEST_CIDS_MAX, SHARED_ROOTS_MAX};
use crate::random::Print;
use crate::swarm::{Open, Sharing};
use crate::{Action, Holding, Holdings, Message, PeerNo, Probe, SessionId, ViolationKind};

/// A join that waits for the node to tell whether the root is shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    holding: Holding,
    /// Something changed since it was asked.
    stale: bool,
}

impl Engine {
    /// A peer joins a root that nothing here fetches: is it shared?
    pub(super) fn ask_about(&mut self, peer: PeerNo, root: Cid, holding: Holding) {
        let key = (peer, self.keys.print(&root));
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if self.questions.contains_key(&key) {
            return;
        }
        if known.questions >= QUESTIONS_MAX {
            return self.violation(peer, ViolationKind::Flooding);
        }
        known.questions += 1;
        self.questions.insert(key, Question { holding, stale: false });
        self.actions.push_back(Action::AskShared { peer, root });
    }

    /// Asks whether the root of a swarm is shared, in the name of any member; without one, when
    /// somebody joins.
    pub(super) fn ask_shared(&mut self, number: u32) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        if swarm.question != Open::No {
            swarm.question = Open::Stale;
        } else if let Some(peer) = swarm.members.keys().next().copied() {
            swarm.question = Open::Yes;
            let root = swarm.root;
            self.actions.push_back(Action::AskShared { peer, root });
        } else {
            swarm.sharing = Sharing::Unknown;
        }
    }

    /// What the node shares changed.
    pub(super) fn sharing_changed(&mut self) {
        for question in self.questions.values_mut() {
            question.stale = true;
        }
        let numbers: Vec<u32> = self.swarms.keys().copied().collect();
        for number in numbers {
            self.ask_shared(number);
        }
    }

    /// The node told whether a root is shared.
    pub(super) fn shared(&mut self, peer: PeerNo, root: Cid, holdings: Holdings) {
        let print = self.keys.print(&root);
        let question = self.take_question(peer, print);
        let stale = question.is_some_and(|question| question.stale);
        match self.roots.get(&print).copied() {
            Some(_) if stale => {}
            Some(number) => self.answered(number, holdings),
            None if question.is_none() => return,
            None if holdings.is_empty() => {}
            None => {
                self.make_room_for_shared();
                let number = self.swarm_of(root);
                self.sharing_known(number, holdings);
            }
        }
        let Some(question) = question else { return };
        if let Some(number) = self.roots.get(&print).copied() {
            self.joined(peer, number, question.holding, false);
            if stale {
                self.ask_shared(number);
            }
            self.drop_if_empty(number);
        } else if stale {
            self.ask_about(peer, root, question.holding);
        } else {
            self.send(peer, Message::Leave { root });
        }
    }

    fn take_question(&mut self, peer: PeerNo, print: Print) -> Option<Question> {
        let question = self.questions.remove(&(peer, print))?;
        if let Some(known) = self.peers.get_mut(&peer) {
            known.questions = known.questions.saturating_sub(1);
        }
        Some(question)
    }

    /// The node answered about the root of a swarm.
    fn answered(&mut self, number: u32, holdings: Holdings) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let stale = std::mem::take(&mut swarm.question) == Open::Stale;
        if !stale || !holdings.is_empty() {
            self.sharing_known(number, holdings);
        }
        if stale {
            self.ask_shared(number);
        }
    }

    fn sharing_known(&mut self, number: u32, holdings: Holdings) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let new = if holdings.is_empty() { Sharing::No } else { Sharing::Yes(holdings) };
        if new == Sharing::No && swarm.sessions.is_empty() {
            return self.drop_swarm(number);
        }
        if swarm.sharing == new {
            return;
        }
        let old = std::mem::replace(&mut swarm.sharing, new);
        match (old, &swarm.sharing) {
            (Sharing::Yes(old), Sharing::Yes(new)) => {
                let less = !new.covers(&old);
                self.tell_sharing(number, less);
            }
            (Sharing::Yes(_), _) => self.tell_sharing(number, true),
            (_, Sharing::Yes(_)) => self.tell_sharing(number, false),
            _ => {}
        }
    }

    /// Asks the store for the links of a branch of a shared root, unless they are known.
    pub(super) fn learn(&mut self, branch: &Cid) {
        if branch.codec() != RAW && self.lineage.ask(self.keys.print(branch)) {
            let (session, cids) = (SessionId::SHARED, vec![(*branch, None)]);
            self.actions.push_back(Action::Probe { session, cids });
        }
    }

    /// The store told the links of branches of shared roots.
    pub(super) fn learnt(&mut self, found: &[(Cid, Probe)]) {
        for (cid, probe) in found {
            let print = self.keys.print(cid);
            let links = match probe {
                Probe::Branch(links) => Some(links),
                _ => None,
            };
            self.lineage.learn(print, links, self.keys);
            let root = self.roots.get(&print).and_then(|number| self.swarms.get_mut(number));
            if let (Some(swarm), Some(links)) = (root, links) {
                swarm.tally.size_hint = links.size();
            }
        }
    }

    /// Tells members what is here, after a change; `less`: that what they know is no longer true.
    fn tell_sharing(&mut self, number: u32, less: bool) {
        let Some(swarm) = self.swarms.get_mut(&number) else { return };
        let (root, holding) = (swarm.root, swarm.holding());
        let less = less && holding != Holding::All;
        let members: Vec<PeerNo> = swarm.members.keys().copied().collect();
        for peer in &members {
            let mut tell = |holding| {
                let message = Message::Join { root, holding, reply: true };
                self.actions.push_back(Action::Send { peer: *peer, message });
            };
            if less {
                tell(Holding::Nothing);
            }
            if !less || holding != Holding::Nothing {
                tell(holding);
            }
            swarm.introduce(*peer, &mut self.actions);
        }
        if less {
            self.refuse_withdrawn(number, &members);
        }
    }

    fn refuse_withdrawn(&mut self, number: u32, members: &[PeerNo]) {
        for peer in members {
            let Some(swarm) = self.swarms.get(&number) else { return };
            let dropped = self.uplink.retain(*peer, |entry| {
                entry.swarm != number || swarm.serves(entry.print, &entry.cid).is_some()
            });
            self.refuse(*peer, &dropped);
        }
    }

    /// Refuses requests that waited.
    pub(super) fn refuse(&mut self, peer: PeerNo, cids: &[Cid]) {
        for part in cids.chunks(REQUEST_CIDS_MAX) {
            self.send(peer, Message::Refuse { cids: part.to_vec() });
        }
    }

    /// Forgets the shared root that has been known longest, when there are too many.
    fn make_room_for_shared(&mut self) {
        let shared = || self.swarms.iter().filter(|(_, swarm)| swarm.sessions.is_empty());
        if shared().count() >= SHARED_ROOTS_MAX
            && let Some(oldest) = shared().map(|(number, _)| *number).next()
        {
            self.drop_swarm(oldest);
        }
    }
}
