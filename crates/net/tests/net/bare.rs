//! Streams of one protocol and nothing on them: whoever takes them says what no node of ours would.
//!
//! Of the tests and of the examples that speak to a node byte by byte.

use std::convert::Infallible;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, StreamProtocol, SubstreamProtocol, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;

/// A stream that is up.
pub(crate) struct BareStream {
    /// It was opened here.
    pub(crate) is_ours: bool,
    pub(crate) stream: Stream,
}

/// Opens one stream on connections, and hands over all that there are. Those that nobody takes are
/// dropped.
#[derive(Clone)]
pub(crate) struct BareStreams {
    protocol: StreamProtocol,
    /// Also on connections that others dialled.
    on_all: bool,
    streams: mpsc::Sender<BareStream>,
}

impl BareStreams {
    pub(crate) fn new(
        protocol: StreamProtocol,
        on_all: bool,
        streams: mpsc::Sender<BareStream>,
    ) -> Self {
        Self { protocol, on_all, streams }
    }
}

impl NetworkBehaviour for BareStreams {
    type ConnectionHandler = BareHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<BareHandler, ConnectionDenied> {
        Ok(BareHandler { asks: self.on_all, streams: self.clone() })
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<BareHandler, ConnectionDenied> {
        Ok(BareHandler { asks: true, streams: self.clone() })
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, Infallible>> {
        Poll::Pending
    }
}

/// The streams of one connection.
pub(crate) struct BareHandler {
    streams: BareStreams,
    asks: bool,
}

impl BareHandler {
    fn protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.streams.protocol.clone()), ())
    }
}

impl ConnectionHandler for BareHandler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Infallible>> {
        if std::mem::take(&mut self.asks) {
            let protocol = self.protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        let (is_ours, stream) = match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => (true, protocol),
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => (false, protocol),
            _ => return,
        };
        // Who has seen enough takes no more.
        let _taken = self.streams.streams.try_send(BareStream { is_ours, stream });
    }
}
