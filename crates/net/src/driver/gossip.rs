//! Gossip between the node and libp2p: topics, messages out, messages in and their verdicts.
//!
//! A message waits for its verdict [`VERDICT_WAIT`] at most, and [`VERDICTS_MAX`] messages wait at
//! once; what is not judged is ignored. Nothing that cannot be sent is an error to the node: with
//! nobody subscribed there is nobody to tell.

use std::collections::VecDeque;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageId, PublishError};

use super::Driver;
use crate::event::{GossipId, NetEvent};
use crate::gossip::{Door, GOSSIP_BYTES_MAX, VERDICT_WAIT, VERDICTS_MAX, is_record_topic};
use crate::net::GossipVerdict;

/// A message that waits for its verdict.
#[derive(Debug)]
struct Waiting {
    gossip: GossipId,
    id: MessageId,
    from: PeerId,
    until: Instant,
}

/// The messages that wait, oldest first, and the door that they came through.
#[derive(Debug)]
pub(super) struct Verdicts {
    waiting: VecDeque<Waiting>,
    door: Door,
}

impl Verdicts {
    /// Nothing waits.
    pub(super) fn new(door: Door) -> Self {
        Self { waiting: VecDeque::new(), door }
    }

    /// When the next message is ignored.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|waiting| waiting.until)
    }
}

impl Driver {
    /// Takes part in a topic.
    pub(super) fn subscribe(&mut self, topic: String) {
        if !is_record_topic(&topic) || !self.verdicts.door.open(&topic) {
            return tracing::debug!(topic, "not a topic of records, or too many");
        }
        let topic = IdentTopic::new(topic);
        if let Err(error) = self.swarm.behaviour_mut().gossip.0.subscribe(&topic) {
            tracing::debug!(%topic, %error, "not subscribed");
        }
    }

    /// Leaves a topic.
    pub(super) fn unsubscribe(&mut self, topic: String) {
        self.verdicts.door.close(&topic);
        self.swarm.behaviour_mut().gossip.0.unsubscribe(&IdentTopic::new(topic));
    }

    /// Sends a message to the subscribers of a topic.
    pub(super) fn gossip(&mut self, topic: String, bytes: Vec<u8>) {
        if !is_record_topic(&topic) || bytes.len() > GOSSIP_BYTES_MAX {
            return tracing::debug!(topic, bytes = bytes.len(), "nothing to be gossiped");
        }
        match self.swarm.behaviour_mut().gossip.0.publish(IdentTopic::new(topic), bytes) {
            Ok(_) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => tracing::debug!(%error, "not gossiped"),
        }
    }

    /// What libp2p tells of gossip.
    pub(super) fn gossip_event(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source: from, message_id: id, message } = event
        else {
            return;
        };
        if self.verdicts.waiting.len() >= VERDICTS_MAX {
            self.ignore_oldest();
        }
        let gossip = GossipId(self.shared.next_id());
        let until = Instant::now() + VERDICT_WAIT;
        self.verdicts.waiting.push_back(Waiting { gossip, id, from, until });
        let (topic, bytes) = (message.topic.into_string(), message.data);
        self.outbox.push(NetEvent::Gossip { topic, from, gossip, bytes });
    }

    /// The node has judged a message.
    pub(super) fn judge_gossip(&mut self, gossip: GossipId, verdict: GossipVerdict) {
        let at = self.verdicts.waiting.iter().position(|waiting| waiting.gossip == gossip);
        let Some(waiting) = at.and_then(|at| self.verdicts.waiting.remove(at)) else { return };
        self.report(
            &waiting,
            match verdict {
                GossipVerdict::Accept => MessageAcceptance::Accept,
                GossipVerdict::Ignore => MessageAcceptance::Ignore,
                GossipVerdict::Reject => MessageAcceptance::Reject,
            },
        );
    }

    fn report(&mut self, waiting: &Waiting, acceptance: MessageAcceptance) {
        let Waiting { id, from, .. } = waiting;
        let gossip = &mut self.swarm.behaviour_mut().gossip.0;
        if !gossip.report_message_validation_result(id, from, acceptance) {
            tracing::trace!(%id, "the message is not kept any more");
        }
    }

    fn ignore_oldest(&mut self) {
        if let Some(waiting) = self.verdicts.waiting.pop_front() {
            self.report(&waiting, MessageAcceptance::Ignore);
        }
    }

    /// Ignores messages that were not judged in time.
    pub(super) fn tick_verdicts(&mut self, now: Instant) {
        while self.verdicts.next_due().is_some_and(|due| due <= now) {
            self.ignore_oldest();
        }
    }
}
