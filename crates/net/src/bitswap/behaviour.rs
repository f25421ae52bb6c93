//! The behaviour that makes a session of every peer that speaks Bitswap and nothing better.
//!
//! Who does is told by the driver (from identify) or shown by the first Bitswap stream that the peer
//! opens. A session lives on one connection, whose handler opens its streams; streams that the peer
//! opens on any connection go to it. When that connection ends the session is begun anew on another
//! one, if there is any. The [`Registry`](crate::native) decides between protocols: there is one
//! session or native stream per peer, and the native one has precedence.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use shoal_swarm::PeerNo;
use tokio::sync::mpsc;

use super::handler::{Handler, Opened, Opener};
use super::session;
use crate::native::{Activity, Remote, Surroundings, gone, prefix_of};

/// Ended sessions that wait for the behaviour; a task waits when there are more.
const ENDED_MAX: usize = 64;
/// Streams of a peer that wait for a reader; what is beyond is closed.
const INBOUND_MAX: usize = 64;
/// Sessions that are begun on one connection because the peer opens streams. A peer that cannot be
/// written to ends each of them.
const SESSIONS_PER_CONNECTION_MAX: u32 = 4;

/// What the driver must know of sessions.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// A session with this peer has begun.
    Begun(PeerId),
}

/// A connection.
#[derive(Debug)]
struct Connection {
    peer: PeerId,
    addr: Multiaddr,
    opener: Opener,
    activity: Arc<Activity>,
    sessions: u32,
}

/// A session, which may have ended meanwhile.
#[derive(Debug)]
struct Session {
    number: PeerNo,
    connection: ConnectionId,
    inbound: mpsc::Sender<Opened>,
}

/// Turns connections into sessions.
pub(crate) struct Behaviour {
    surroundings: Surroundings,
    /// In order, so that the oldest connection of a peer is taken first.
    connections: BTreeMap<ConnectionId, Connection>,
    sessions: HashMap<PeerId, Session>,
    /// Peers whose connections are to be closed.
    ended: mpsc::Receiver<PeerId>,
    ended_sender: mpsc::Sender<PeerId>,
    /// At most one per session begun, taken at the next poll.
    events: VecDeque<SessionEvent>,
}

impl Behaviour {
    /// No sessions yet.
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        let (ended_sender, ended) = mpsc::channel(ENDED_MAX);
        Self {
            surroundings,
            connections: BTreeMap::new(),
            sessions: HashMap::new(),
            ended,
            ended_sender,
            events: VecDeque::new(),
        }
    }

    /// A connected peer speaks Bitswap, and nothing better that we do.
    pub(crate) fn begin(&mut self, peer: PeerId) {
        if !self.surroundings.shared.streams.has(&peer)
            && let Some(connection) = self.connection_of(&peer)
        {
            self.start(connection);
        }
    }

    fn connection_of(&self, peer: &PeerId) -> Option<ConnectionId> {
        let of_peer = self.connections.iter().find(|(_, connection)| connection.peer == *peer);
        of_peer.map(|(id, _)| *id)
    }

    /// Begins a session on a connection, in place of one that is there.
    fn start(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.sessions >= SESSIONS_PER_CONNECTION_MAX {
            return;
        }
        let Surroundings { shared, blocks, events, token, tasks } = &self.surroundings;
        let (peer, activity) = (connection.peer, &connection.activity);
        let Some(mut admission) = shared.streams.admit_bitswap(peer, activity, token) else {
            return;
        };
        connection.sessions += 1;
        self.events.push_back(SessionEvent::Begun(peer));
        let (inbound, streams) = mpsc::channel(INBOUND_MAX);
        let session = Session { number: admission.peer, connection: id, inbound };
        self.sessions.insert(peer, session);
        let context = session::Context::new(
            admission.peer,
            Arc::clone(blocks),
            events.clone(),
            Arc::clone(activity),
        );
        let addr = connection.addr.clone();
        let remote = Remote { id: peer, prefix: prefix_of(&addr), addr };
        let (shared, ended) = (Arc::clone(shared), self.ended_sender.clone());
        let opener = connection.opener.clone();
        tasks.spawn(async move {
            let violation = session::run(remote, context, opener, streams, &mut admission).await;
            if shared.streams.finish(peer, &admission, violation) && ended.send(peer).await.is_err()
            {
                tracing::trace!("the driver is gone");
            }
        });
    }

    /// The session of a peer, if it lives.
    fn session(&self, peer: &PeerId) -> Option<&Session> {
        let number = self.surroundings.shared.streams.number_of(peer)?;
        self.sessions.get(peer).filter(|session| session.number == number)
    }

    /// The peer has opened a stream.
    fn opened(&mut self, peer: PeerId, connection: ConnectionId, opened: Opened) {
        if self.session(&peer).is_none() {
            // Over the native stream it gets all it wants; else it has shown that it speaks this.
            self.start(connection);
        }
        if let Some(session) = self.session(&peer)
            && session.inbound.try_send(opened).is_err()
        {
            tracing::debug!(%peer, "more Bitswap streams than are read");
        }
    }

    fn connection_gone(&mut self, id: ConnectionId) {
        let Some(Connection { peer, .. }) = self.connections.remove(&id) else { return };
        let Some(session) = self.session(&peer).filter(|session| session.connection == id) else {
            return;
        };
        let number = session.number;
        if let Some(other) = self.connection_of(&peer) {
            self.start(other);
        } else {
            self.surroundings.shared.streams.close(number);
            self.sessions.remove(&peer);
        }
    }

    fn connected(&mut self, id: ConnectionId, peer: PeerId, addr: &Multiaddr) -> Handler {
        let activity = Arc::<Activity>::default();
        let (handler, opener) = Handler::new(Arc::clone(&activity));
        let connection = Connection { peer, addr: addr.clone(), opener, activity, sessions: 0 };
        self.connections.insert(id, connection);
        handler
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = SessionEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote_addr: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.connected(connection, peer, remote_addr))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.connected(connection, peer, addr))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let Some(connection) = gone(&event) {
            self.connection_gone(connection);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        opened: Opened,
    ) {
        self.opened(peer, connection, opened);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<SessionEvent, THandlerInEvent<Self>>> {
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
