//! Becoming part of the DHT: when this node looks up itself.
//!
//! kad would walk over every bucket half a second after each new peer while its table is small: in
//! a network of a hundred that connects everybody to everybody. Here the first peer starts one
//! lookup of our own id, which finds the neighbours that matter and makes us known to them; it is
//! repeated at [`STAGES`] while the table grows, and every [`REFRESH_INTERVAL`] all buckets are
//! walked. A short-lived node does none of it.
//!
//! kad cannot be told to leave its own walk out; [`Driver::hush_bootstrap`] ends it before it asks
//! anybody. Spec: kad-dht, "Bootstrap process".

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p::kad;

use super::Driver;

/// After the first peer, when our own id is looked up, and how many neighbours are to answer; from
/// the second on only if the table has grown since the one before. Few at first: a hundred nodes
/// that start together would otherwise all connect to all (5,000 handshakes) at once.
const STAGES: [(Duration, usize); 3] =
    [(Duration::from_millis(100), 8), (Duration::from_secs(5), 8), (Duration::from_mins(1), 20)];
/// How often all buckets are walked by a node that runs for long; spread by half of it, so that
/// nodes that started together do not do it together.
const REFRESH_INTERVAL: Duration = Duration::from_mins(5);

/// The state of joining.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// When the first peer came, and when something is due next.
    first: Option<(Instant, Instant)>,
    stage: usize,
    /// Peers that entered the table since the last lookup.
    grown: usize,
    /// Walks that are to be ended.
    hushed: HashSet<kad::QueryId>,
}

impl Joining {
    /// A peer entered the table.
    pub(super) fn table_grew(&mut self, now: Instant) {
        self.grown += 1;
        self.first.get_or_insert((now, now + STAGES[0].0));
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.first.map(|(_, due)| due)
    }
}

fn refresh_interval() -> Duration {
    REFRESH_INTERVAL.mul_f64(rand::random_range(0.75..1.25))
}

impl Driver {
    /// Looks up what is due.
    pub(super) fn pump_joining(&mut self, now: Instant) {
        let Some((first, due)) = self.joining.first.filter(|(_, due)| *due <= now) else {
            return;
        };
        let kad = &mut self.swarm.behaviour_mut().kad;
        let next = if let Some((_, count)) = STAGES.get(self.joining.stage) {
            if let Some(count) = NonZeroUsize::new(*count).filter(|_| self.joining.grown > 0) {
                kad.get_n_closest_peers(self.shared.id, count);
            }
            self.joining.stage += 1;
            let next = STAGES.get(self.joining.stage);
            next.map_or(due + refresh_interval(), |(after, _)| first + *after)
        } else {
            if let Err(error) = kad.bootstrap() {
                tracing::debug!(%error, "buckets not refreshed");
            }
            now + refresh_interval()
        };
        self.joining.grown = 0;
        self.joining.first = Some((first, next));
    }

    /// Starts the walk that kad would start by itself in a moment, and ends it before it has asked
    /// anybody: that resets kad's timer.
    pub(super) fn hush_bootstrap(&mut self) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        if let Ok(id) = kad.bootstrap()
            && let Some(mut walk) = kad.query_mut(&id)
        {
            walk.finish();
            self.joining.hushed.insert(id);
        }
    }

    /// A walk goes on to its next bucket, or has ended.
    pub(super) fn walk_progressed(&mut self, id: kad::QueryId, last: bool) {
        if last {
            self.joining.hushed.remove(&id);
        } else if self.joining.hushed.contains(&id)
            && let Some(mut walk) = self.swarm.behaviour_mut().kad.query_mut(&id)
        {
            walk.finish();
        }
    }
}
