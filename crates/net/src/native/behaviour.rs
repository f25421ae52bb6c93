//! The behaviour that makes a task of every native stream.
//!
//! It lets a stream in by the [`Registry`](super::Registry)'s rule, starts the task that owns it,
//! and closes the connections of a peer whose stream was ended by us or by a violation. Everything
//! else happens between the node and the stream's task.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use parking_lot::Mutex;
use shoal_swarm::Prefix;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handler::{Handler, HandlerEvent, Opened};
use super::outstanding::Outstanding;
use super::reader::Patience;
use super::registry::Admission;
use super::stream::{self, Remote};
use crate::blocks::Blocks;
use crate::event::NetEvent;
use crate::shared::Shared;

/// Ended streams that wait for the behaviour; a task waits when there are more.
const ENDED_MAX: usize = 64;

/// What streams are given to work with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) shared: Arc<Shared>,
    pub(crate) blocks: Arc<dyn Blocks>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) token: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What the driver must know of streams.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// A stream with this peer has begun.
    Begun(PeerId),
    /// This peer does not speak the native protocol.
    Unsupported(PeerId),
}

/// Turns connections into streams' tasks.
pub(crate) struct Behaviour {
    surroundings: Surroundings,
    addrs: HashMap<ConnectionId, Multiaddr>,
    /// Peers whose connections are to be closed.
    ended: mpsc::Receiver<PeerId>,
    ended_sender: mpsc::Sender<PeerId>,
    /// At most a few per connection, taken at the next poll.
    events: VecDeque<StreamEvent>,
}

impl Behaviour {
    /// No streams yet.
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        let (ended_sender, ended) = mpsc::channel(ENDED_MAX);
        Self { surroundings, addrs: HashMap::new(), ended, ended_sender, events: VecDeque::new() }
    }

    fn start(&mut self, id: PeerId, addr: Multiaddr, opened: Opened) {
        let Surroundings { shared, blocks, events, token, tasks } = &self.surroundings;
        let opener = if opened.by_us { shared.id } else { id };
        let Some(admission) = shared.streams.admit(id, opener, &opened.activity, token) else {
            return;
        };
        self.events.push_back(StreamEvent::Begun(id));
        let context = stream::Context {
            peer: admission.peer,
            blocks: Arc::clone(blocks),
            events: events.clone(),
            activity: opened.activity,
            outstanding: Mutex::new(Outstanding::default()),
            patience: Patience::default(),
        };
        let remote = Remote { id, prefix: prefix_of(&addr), addr };
        let (shared, ended) = (Arc::clone(shared), self.ended_sender.clone());
        tasks.spawn(own(opened.stream, remote, context, admission, shared, ended));
    }
}

/// Runs a stream and cleans up after it.
async fn own(
    stream: libp2p::Stream,
    remote: Remote,
    context: stream::Context,
    mut admission: Admission,
    shared: Arc<Shared>,
    ended: mpsc::Sender<PeerId>,
) {
    let id = remote.id;
    let violation = stream::run(stream, remote, context, &mut admission).await;
    if shared.streams.finish(id, &admission, violation) && ended.send(id).await.is_err() {
        tracing::trace!("the driver is gone");
    }
}

/// The prefix of the address at the other end of a connection.
pub(crate) fn prefix_of(addr: &Multiaddr) -> Prefix {
    let ip = addr.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::from(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::from(ip)),
        _ => None,
    });
    // Only TCP over IP is spoken, so there is always one.
    Prefix::of(ip.unwrap_or(IpAddr::from([0, 0, 0, 0])))
}

/// The connection that an event ends. Another behaviour may have refused it after ours took it.
pub(crate) fn gone(event: &FromSwarm<'_>) -> Option<ConnectionId> {
    match event {
        FromSwarm::ConnectionClosed(closed) => Some(closed.connection_id),
        FromSwarm::DialFailure(failure) => Some(failure.connection_id),
        FromSwarm::ListenFailure(failure) => Some(failure.connection_id),
        _ => None,
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.addrs.insert(connection, remote_addr.clone());
        Ok(Handler::new(false))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.addrs.insert(connection, addr.clone());
        Ok(Handler::new(!self.surroundings.shared.streams.has_native(&peer)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let Some(connection) = gone(&event) {
            self.addrs.remove(&connection);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: HandlerEvent,
    ) {
        match (event, self.addrs.get(&connection).cloned()) {
            (HandlerEvent::Opened(opened), Some(addr)) => self.start(peer, addr, opened),
            (HandlerEvent::Opened(_), None) => {}
            (HandlerEvent::Unsupported, _) => {
                self.events.push_back(StreamEvent::Unsupported(peer));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<StreamEvent, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        match self.ended.poll_recv(cx) {
            Poll::Ready(Some(peer_id)) => {
                Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All })
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
