//! The rate limit on dials: a token bucket, and the behaviour that every dial must pass.
//!
//! The driver asks [`DialGate::ready`] first and queues what it wants to dial itself; what a DHT
//! lookup dials is refused when the bucket is empty, and the lookup goes on with other peers.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// A bucket that fills at a constant rate up to a burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second: f64::from(per_second.max(1)), burst, tokens: burst, at: now }
    }

    /// Takes one token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let ready = self.ready(now);
        if ready {
            self.tokens -= 1.0;
        }
        ready
    }

    /// Whether a token could be taken.
    pub(crate) fn ready(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
        self.tokens >= 1.0
    }

    /// The time in which one token comes.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// A dial was refused by the rate limit.
#[derive(Debug, thiserror::Error)]
#[error("too many dials in a short time")]
pub(crate) struct TooManyDials;

/// Lets dials through at the rate of its bucket.
#[derive(Debug)]
pub(crate) struct DialGate {
    bucket: TokenBucket,
}

impl DialGate {
    /// A gate over a full bucket.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self { bucket: TokenBucket::new(per_second, burst, Instant::now()) }
    }

    /// Whether a dial would pass now.
    pub(crate) fn ready(&mut self) -> bool {
        self.bucket.ready(Instant::now())
    }

    /// How long one dial takes to become possible.
    pub(crate) fn interval(&self) -> Duration {
        self.bucket.interval()
    }
}

impl NetworkBehaviour for DialGate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.bucket.take(Instant::now()) {
            Ok(Vec::new())
        } else {
            Err(ConnectionDenied::new(TooManyDials))
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 3, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(100);
        assert_eq!((0..5).filter(|_| bucket.take(much_later)).count(), 3, "never above the burst");
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1, 1, start);
        assert!(bucket.take(start));
        assert!(!bucket.ready(start));
        assert_eq!(bucket.interval(), Duration::from_secs(1));
    }
}
