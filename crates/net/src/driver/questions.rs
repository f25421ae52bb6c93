//! Open questions in both directions: who may have how many, and one answer for each of ours.
//!
//! A question of ours ends by its answer, by what libp2p says went wrong, or by its deadline,
//! which counts connecting as well; whatever comes after that is dropped. At the end of the driver
//! all that are open are told as broken. Of others' questions those beyond the bounds are dropped
//! unread by the node, which the asker sees as a stream that ends.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use libp2p::request_response::{
    Event, InboundRequestId, Message, OutboundFailure, OutboundRequestId, ResponseChannel,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Command, Driver};
use crate::event::{AskError, NetEvent, QuestionId};
use crate::questions::{
    ANSWER_BYTES_MAX, OURS_MAX, QUESTION_BYTES_MAX, THEIRS_MAX, THEIRS_PER_PEER_MAX,
};

/// How long the end of the driver waits for a node that does not take its last answers.
const FAREWELL_WAIT: Duration = Duration::from_millis(300);

/// A question of ours.
#[derive(Debug)]
struct Ours {
    question: QuestionId,
    request: OutboundRequestId,
    peer: PeerId,
    until: Instant,
}

/// A question of a peer; open until its answer is written.
#[derive(Debug)]
struct Theirs {
    question: QuestionId,
    request: InboundRequestId,
    peer: PeerId,
    /// Until the node has answered.
    channel: Option<ResponseChannel<Vec<u8>>>,
}

/// All open questions: few, so that looking through them is cheap.
#[derive(Debug)]
pub(super) struct Questions {
    deadline: Duration,
    ours: Vec<Ours>,
    theirs: Vec<Theirs>,
}

impl Questions {
    /// None are open; each has this long.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, ours: Vec::new(), theirs: Vec::new() }
    }

    /// When the next question of ours ends unanswered.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.ours.iter().map(|ours| ours.until).min()
    }

    /// Whether this peer may ask one more.
    fn has_room_for(&self, peer: &PeerId) -> bool {
        let of_peer = self.theirs.iter().filter(|theirs| theirs.peer == *peer).count();
        self.theirs.len() < THEIRS_MAX && of_peer < THEIRS_PER_PEER_MAX
    }
}

impl Driver {
    /// Asks a peer.
    pub(super) fn question(&mut self, question: QuestionId, peer: PeerId, bytes: Vec<u8>) {
        let refused = if peer == self.shared.id {
            Some(AskError::Unreachable)
        } else if bytes.len() > QUESTION_BYTES_MAX {
            Some(AskError::Broken)
        } else if self.questions.ours.len() >= OURS_MAX {
            Some(AskError::TooMany)
        } else {
            None
        };
        if let Some(error) = refused {
            return self.answered(question, peer, Err(error));
        }
        let addrs = self.dials.addrs_of(&peer);
        let asking = &mut self.swarm.behaviour_mut().asking;
        let request = asking.send_request_with_addresses(&peer, bytes, addrs);
        let until = Instant::now() + self.questions.deadline;
        self.questions.ours.push(Ours { question, request, peer, until });
    }

    fn answered(&mut self, question: QuestionId, from: PeerId, result: Result<Vec<u8>, AskError>) {
        self.outbox.push(NetEvent::Answer { question, from, result });
    }

    /// A question of ours has ended; not told if it had before.
    fn ended(&mut self, request: OutboundRequestId, result: Result<Vec<u8>, AskError>) {
        let at = self.questions.ours.iter().position(|ours| ours.request == request);
        if let Some(at) = at {
            let Ours { question, peer, .. } = self.questions.ours.swap_remove(at);
            self.answered(question, peer, result);
        }
    }

    /// Ends questions whose time is over.
    pub(super) fn tick_questions(&mut self, now: Instant) {
        while let Some(at) = self.questions.ours.iter().position(|ours| ours.until <= now) {
            let Ours { question, peer, .. } = self.questions.ours.swap_remove(at);
            self.answered(question, peer, Err(AskError::TimedOut));
        }
    }

    /// What libp2p tells of our questions.
    pub(super) fn asking_event(&mut self, event: Event<Vec<u8>, Vec<u8>>) {
        match event {
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.ended(request_id, Ok(response));
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                tracing::trace!(%peer, %error, "no answer");
                let error = match error {
                    OutboundFailure::DialFailure => AskError::Unreachable,
                    OutboundFailure::Timeout => AskError::TimedOut,
                    OutboundFailure::UnsupportedProtocols => AskError::Unsupported,
                    OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => AskError::Broken,
                };
                self.ended(request_id, Err(error));
            }
            _ => {}
        }
    }

    /// What libp2p tells of the questions of others.
    pub(super) fn answering_event(&mut self, event: Event<Vec<u8>, Vec<u8>>) {
        match event {
            // Where there is no room the channel is dropped, which ends the stream.
            Event::Message {
                peer,
                message: Message::Request { request_id, request, channel },
                ..
            } if self.questions.has_room_for(&peer) && !self.outbox.is_full() => {
                let question = QuestionId(self.shared.next_id());
                let channel = Some(channel);
                self.questions.theirs.push(Theirs { question, request: request_id, peer, channel });
                self.outbox.push(NetEvent::Question { from: peer, question, bytes: request });
            }
            Event::ResponseSent { request_id, .. } | Event::InboundFailure { request_id, .. } => {
                self.questions.theirs.retain(|theirs| theirs.request != request_id);
            }
            _ => {}
        }
    }

    /// The node answers a peer.
    pub(super) fn answer(&mut self, question: QuestionId, bytes: Vec<u8>) {
        let mut theirs = self.questions.theirs.iter_mut();
        let theirs = theirs.find(|theirs| theirs.question == question);
        let Some(channel) = theirs.and_then(|theirs| theirs.channel.take()) else { return };
        if bytes.len() > ANSWER_BYTES_MAX {
            tracing::debug!(bytes = bytes.len(), "answer is too long to be sent");
            return;
        }
        let answering = &mut self.swarm.behaviour_mut().answering;
        if answering.send_response(channel, bytes).is_err() {
            tracing::trace!("nobody waits for the answer any more");
        }
    }

    /// The driver ends: what was asked and not answered is told, to a node that still listens.
    pub(super) async fn farewell(&mut self, sender: mpsc::Sender<NetEvent>) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Question { question, peer, .. } = command {
                self.answered(question, peer, Err(AskError::Broken));
            }
        }
        for Ours { question, peer, .. } in std::mem::take(&mut self.questions.ours) {
            self.answered(question, peer, Err(AskError::Broken));
        }
        let queue = std::mem::take(&mut self.outbox.queue);
        let answers = queue.into_iter().filter(|event| matches!(event, NetEvent::Answer { .. }));
        let told = async {
            for answer in answers {
                if sender.send(answer).await.is_err() {
                    return;
                }
            }
        };
        if timeout(FAREWELL_WAIT, told).await.is_err() {
            tracing::debug!("the node did not take the last answers");
        }
    }
}
