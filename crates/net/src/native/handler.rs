//! Gets the native stream of one connection out of libp2p.
//!
//! The dialer's handler asks for the stream at once (who lacks the protocol refuses it, and is not
//! a Shoal peer); the other side waits for it. A stream is handed to the behaviour and never seen
//! again here. One stream per connection and direction is taken, whatever a peer opens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::Stream;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, StreamProtocol, SubstreamProtocol};

use super::PROTOCOL;
use super::activity::Activity;

/// What the handler of a connection tells.
#[derive(Debug)]
pub(crate) enum HandlerEvent {
    /// A stream came up.
    Opened(Opened),
    /// The peer does not speak the native protocol.
    Unsupported,
}

/// A stream that came up.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// Whether we opened it.
    pub(crate) by_us: bool,
    /// To be touched by the stream, to keep the connection.
    pub(crate) activity: Arc<Activity>,
}

/// The handler of one connection.
#[derive(Debug)]
pub(crate) struct Handler {
    /// Whether the stream is still to be asked for.
    ask: bool,
    /// Whether the peer has opened its stream.
    accepted: bool,
    activity: Arc<Activity>,
    /// At most two: one stream per direction, or that ours was refused.
    events: VecDeque<HandlerEvent>,
}

impl Handler {
    /// The handler of a new connection; `ask` for the stream if we dialled it.
    pub(crate) fn new(ask: bool) -> Self {
        Self { ask, accepted: false, activity: Arc::default(), events: VecDeque::new() }
    }

    fn hand_over(&mut self, mut stream: Stream, by_us: bool) {
        stream.ignore_for_keep_alive();
        let activity = Arc::clone(&self.activity);
        let opened = Opened { stream, by_us, activity };
        self.events.push_back(HandlerEvent::Opened(opened));
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = std::convert::Infallible;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.activity.is_recent()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), HandlerEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if std::mem::take(&mut self.ask) {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => {
                if std::mem::replace(&mut self.accepted, true) {
                    drop(stream);
                } else {
                    self.hand_over(stream, false);
                }
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                ..
            }) => self.hand_over(stream, true),
            ConnectionEvent::DialUpgradeError(failure) => {
                tracing::trace!(error = %failure.error, "no native stream with this peer");
                self.events.push_back(HandlerEvent::Unsupported);
            }
            _ => {}
        }
    }
}
