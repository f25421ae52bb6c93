//! Bitswap streams of one connection, in both directions.
//!
//! What a peer opens is handed to the behaviour as it comes. A session asks for streams of its own
//! by [`Opener`]; one at a time, for it holds on to what it gets. Whether the connection is kept is
//! decided by what moves over the streams ([`Activity`]), not by their being there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::Stream;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol};
use tokio::sync::{mpsc, oneshot};

use super::{Dialect, Upgrade};
use crate::native::Activity;

/// Streams that a peer may have open towards us before the behaviour has taken them: kubo has eight
/// workers that send. What is beyond is closed.
const OPENED_MAX: usize = 64;

/// A stream and what is spoken over it.
pub(crate) type Opened = (Stream, Dialect);

/// A session's way to new streams; the answer is dropped when there will be none.
pub(crate) type Opener = mpsc::Sender<oneshot::Sender<Opened>>;

/// The handler of one connection.
#[derive(Debug)]
pub(crate) struct Handler {
    wanted: mpsc::Receiver<oneshot::Sender<Opened>>,
    /// Who waits for the stream that is being opened.
    opening: Option<oneshot::Sender<Opened>>,
    opened: VecDeque<Opened>,
    activity: Arc<Activity>,
}

impl Handler {
    /// The handler of a new connection, and the way to have it open streams.
    pub(crate) fn new(activity: Arc<Activity>) -> (Self, Opener) {
        let (opener, wanted) = mpsc::channel(1);
        (Self { wanted, opening: None, opened: VecDeque::new(), activity }, opener)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = std::convert::Infallible;
    type ToBehaviour = Opened;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(Upgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.activity.is_recent()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Upgrade, (), Opened>> {
        if let Some(opened) = self.opened.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(opened));
        }
        if self.opening.is_none()
            && let Poll::Ready(Some(answer)) = self.wanted.poll_recv(cx)
        {
            self.opening = Some(answer);
            let protocol = SubstreamProtocol::new(Upgrade, ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: opened,
                ..
            }) if self.opened.len() < OPENED_MAX => self.opened.push_back(opened),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: opened,
                ..
            }) => {
                let waiting = self.opening.take().map(|answer| answer.send(opened));
                if !matches!(waiting, Some(Ok(()))) {
                    tracing::trace!("nobody waits for this stream any more");
                }
            }
            ConnectionEvent::DialUpgradeError(failure) => {
                tracing::trace!(error = %failure.error, "no Bitswap stream with this peer");
                self.opening = None;
            }
            _ => {}
        }
    }
}
