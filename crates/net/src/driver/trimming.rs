//! Which connections are closed when room is needed for newcomers.
//!
//! Those of which we have least go first: idle ones, most of them a lookup's; then, nearly full,
//! those whose streams carry messages and no blocks; then, full by our own dials, those that only
//! take. A peer that gave a block within the last minute is never closed for room. Within a class
//! the oldest go first.

use std::time::{Duration, Instant};

use libp2p::PeerId;

use super::Driver;
use crate::event::NetEvent;
use crate::native::Standing;

/// Above three fifths of the connections allowed, idle ones older than this are closed.
const GRACE: Duration = Duration::from_secs(10);
/// The same where the next newcomers would be refused: a lookup's request takes less.
const GRACE_FULL: Duration = Duration::from_secs(1);

/// One connected peer.
#[derive(Debug, Clone, Copy)]
struct Connection {
    id: PeerId,
    standing: Standing,
    age: Duration,
}

/// What is closed of these connections where `max` are allowed.
fn to_close(connections: &[Connection], max: usize) -> Vec<Connection> {
    let tenths = |part: usize| max * part / 10;
    let mut count = connections.len();
    let grace = if count <= tenths(7) { GRACE } else { GRACE_FULL };
    // Class, above how many connections it is looked at, down to how many, and from which age on.
    let rules = [
        (Standing::Idle, tenths(6), tenths(4), grace),
        // Three quarters is where strangers that connect are refused.
        (Standing::Talks, tenths(7), tenths(7), GRACE),
        (Standing::Takes, max.saturating_sub(1), tenths(9), GRACE),
    ];
    let mut closed = Vec::new();
    for (standing, above, down_to, grace) in rules {
        if count <= above {
            continue;
        }
        let able = |one: &&Connection| one.standing == standing && one.age >= grace;
        let mut of_class: Vec<Connection> = connections.iter().filter(able).copied().collect();
        of_class.sort_unstable_by_key(|one| std::cmp::Reverse(one.age));
        of_class.truncate(count.saturating_sub(down_to));
        count -= of_class.len();
        closed.extend(of_class);
    }
    closed
}

impl Driver {
    /// Makes room before newcomers must be refused.
    pub(super) fn trim_connections(&mut self, now: Instant) {
        if self.dials.since.len() <= self.connections_max * 6 / 10 {
            return;
        }
        let connections = self.dials.since.iter().map(|(id, since)| Connection {
            id: *id,
            standing: self.shared.streams.standing(id),
            age: now.saturating_duration_since(*since),
        });
        let connections: Vec<Connection> = connections.collect();
        for Connection { id, standing, .. } in to_close(&connections, self.connections_max) {
            if self.swarm.disconnect_peer_id(id).is_err() {
                tracing::trace!(%id, "already gone");
            } else if standing > Standing::Idle {
                self.outbox.push(NetEvent::MadeRoom { id });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(parts: &[(usize, Standing, u64)]) -> Vec<Connection> {
        let part = |&(count, standing, seconds): &(usize, Standing, u64)| {
            let age = Duration::from_secs(seconds);
            (0..count).map(move |_| Connection { id: PeerId::random(), standing, age })
        };
        parts.iter().flat_map(part).collect()
    }

    #[track_caller]
    fn closes(parts: &[(usize, Standing, u64)], expected: [usize; 4]) {
        let closed = to_close(&crowd(parts), 100);
        let classes = [Standing::Idle, Standing::Talks, Standing::Takes, Standing::Gives];
        let count = |class| closed.iter().filter(|one| one.standing == class).count();
        assert_eq!(classes.map(count), expected);
    }

    #[test]
    fn nobody_goes_while_there_is_room() {
        closes(&[(60, Standing::Idle, 100)], [0; 4]);
        closes(&[(70, Standing::Talks, 100)], [0; 4]);
        closes(&[(99, Standing::Takes, 100)], [0; 4]);
        closes(&[(100, Standing::Gives, 100)], [0; 4]);
    }

    #[test]
    fn idle_ones_go_first_and_are_enough() {
        closes(&[(30, Standing::Idle, 100), (45, Standing::Talks, 100)], [30, 0, 0, 0]);
        closes(&[(65, Standing::Idle, 20), (10, Standing::Talks, 100)], [35, 0, 0, 0]);
    }

    #[test]
    fn young_ones_have_their_time() {
        closes(&[(65, Standing::Idle, 5)], [0; 4]);
        closes(&[(75, Standing::Idle, 5)], [35, 0, 0, 0]);
        closes(&[(75, Standing::Idle, 0)], [0; 4]);
        closes(&[(90, Standing::Talks, 5)], [0; 4]);
    }

    #[test]
    fn members_that_deliver_stay_whatever_comes() {
        let full =
            [(60, Standing::Gives, 100), (20, Standing::Takes, 100), (20, Standing::Talks, 100)];
        closes(&full, [0, 20, 0, 0]);
        let full = [(60, Standing::Gives, 100), (40, Standing::Takes, 100)];
        closes(&full, [0, 0, 10, 0]);
    }

    #[test]
    fn the_oldest_of_a_class_go_first() {
        let crowd = crowd(&[(1, Standing::Talks, 100), (70, Standing::Talks, 50)]);
        let closed = to_close(&crowd, 100);
        assert_eq!(closed.iter().map(|one| one.id).collect::<Vec<_>>(), [crowd[0].id]);
    }
}
