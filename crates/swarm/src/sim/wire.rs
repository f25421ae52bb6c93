//! What lies between two nodes: connections, uplinks, downlinks.
//!
//! Blocks leave a node's uplink in the order in which its engine granted them, take the latency of
//! the connection and pass the receiver's downlink in the order of arrival. The kernel takes blocks
//! before they have left, as far as its queue goes, and messages wait behind what it took. What is
//! lost is repeated after a while, and what was sent behind it on the connection waits for it, as
//! TCP does. A connection that breaks loses what is on its way.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::random::Random;
use crate::sim::agenda::Happening;
use crate::sim::catalog::BlockNo;
use crate::sim::world::World;
use crate::{Message, PeerNo, Prefix};

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A lost segment is repeated after this, or after three times the way, if that is longer.
const REPEAT_MIN: u64 = SECOND / 5;

/// What the links are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Least and most latency of a connection, one way; each draws its own.
    pub latency: (Duration, Duration),
    /// Share of messages and blocks that are lost and repeated.
    pub loss: f64,
    /// Bytes that the kernel takes before they have left.
    pub kernel: u32,
}

impl Default for Weather {
    fn default() -> Self {
        let latency = Duration::from_millis(10);
        Self { latency: (latency, latency), loss: 0.0, kernel: 64 << 10 }
    }
}

impl Weather {
    fn draw(&self, random: &mut Random) -> u64 {
        let (least, most) = (self.latency.0.as_nanos() as u64, self.latency.1.as_nanos() as u64);
        least + (most.saturating_sub(least) as f64 * random.unit()) as u64
    }
}

/// A connection; its number is the [`PeerNo`] of either end for the other.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) ends: [u32; 2],
    /// The prefixes that the ends show.
    pub(crate) shown: [u32; 2],
    pub(crate) open: bool,
    latency: u64,
    /// Nothing arrives at an end before: something lost is being repeated.
    hold: [u64; 2],
    /// When an end was last told what is there, and how often in that instant.
    told: [(u64, u16); 2],
}

impl Conn {
    /// Which end a node is.
    fn side(&self, node: usize) -> usize {
        usize::from(self.ends[0] as usize != node)
    }

    /// The node at the other end.
    pub(crate) fn other(&self, node: usize) -> usize {
        self.ends[1 - self.side(node)] as usize
    }
}

impl World {
    /// Makes one connection, showing the given prefixes; both ends hear of it.
    pub(crate) fn open(&mut self, ends: [usize; 2], shown: [u32; 2]) {
        let latency = self.weather.draw(&mut self.random);
        let number = self.conns.len() as u32;
        let ends = ends.map(|node| node as u32);
        let told = [(0, 0); 2];
        self.conns.push(Conn { ends, shown, open: true, latency, hold: [0; 2], told });
        for node in ends {
            self.nodes[node as usize].conns.insert(number);
            self.agenda.plan(self.now, node as usize, Happening::Opens { conn: number });
        }
    }

    /// Ends a connection: what is on its way is lost; the far end hears of it later.
    pub(crate) fn close(&mut self, conn: u32, near: usize) {
        let it = &mut self.conns[conn as usize];
        if !it.open {
            return;
        }
        it.open = false;
        let (far, later) = (it.other(near), self.now + it.latency);
        self.nodes[near].conns.remove(&conn);
        self.nodes[far].conns.remove(&conn);
        self.agenda.plan(self.now, near, Happening::Closes { conn });
        self.agenda.plan(later, far, Happening::Closes { conn });
    }

    /// The node at the other end of a connection.
    pub(crate) fn far(&self, node: usize, conn: u32) -> usize {
        self.conns[conn as usize].other(node)
    }

    /// When something that leaves at `at` reaches the other end.
    fn arrival(&mut self, node: usize, conn: u32, at: u64) -> u64 {
        let lost = self.weather.loss > 0.0 && self.random.unit() < self.weather.loss;
        let it = &mut self.conns[conn as usize];
        let to = 1 - it.side(node);
        let arrival = (at + it.latency).max(it.hold[to]);
        if lost {
            it.hold[to] = arrival + REPEAT_MIN.max(3 * it.latency);
        }
        arrival.max(it.hold[to])
    }

    /// A message leaves, behind what the kernel took before.
    pub(crate) fn send(&mut self, node: usize, conn: u32, message: Message) {
        if !self.conns[conn as usize].open {
            return;
        }
        self.count_told(node, conn, &message);
        let it = &self.nodes[node];
        let kernel = (f64::from(self.weather.kernel) / it.rates.0 * SECOND as f64) as u64;
        let backlog = it.free.0.saturating_sub(self.now).min(kernel);
        let arrival = self.arrival(node, conn, self.now + backlog);
        let far = self.far(node, conn);
        let message = Box::new(message);
        self.agenda.plan(arrival, far, Happening::Message { conn, message });
    }

    fn count_told(&mut self, node: usize, conn: u32, message: &Message) {
        if !matches!(message, Message::Join { .. } | Message::Have { .. } | Message::HaveAll { .. })
        {
            return;
        }
        let it = &mut self.conns[conn as usize];
        let side = it.side(node);
        let told = &mut it.told[side];
        *told = if told.0 == self.now { (told.0, told.1.saturating_add(1)) } else { (self.now, 1) };
        self.nodes[node].told_most = self.nodes[node].told_most.max(told.1);
    }

    /// A block leaves by the uplink; `Sent` comes when the kernel has taken it.
    pub(crate) fn transmit(&mut self, node: usize, conn: u32, block: BlockNo, wrong: bool) {
        let len = self.catalog.len(block);
        let kernel = f64::from(self.weather.kernel);
        let it = &mut self.nodes[node];
        it.figures.sent += u64::from(len);
        let passing = |bytes: f64, rate: f64| (bytes / rate * SECOND as f64) as u64;
        let left = it.free.0.max(self.now) + passing(f64::from(len), it.rates.0);
        it.free.0 = left;
        let taken = left.saturating_sub(passing(kernel, it.rates.0)).max(self.now);
        self.agenda.plan(taken, node, Happening::Sent { conn, block });
        if self.conns[conn as usize].open {
            let arrival = self.arrival(node, conn, left);
            let far = self.far(node, conn);
            self.agenda.plan(arrival, far, Happening::Door { conn, block, wrong });
        }
    }

    /// A block passes the downlink, in order of arrival.
    pub(crate) fn enter(&mut self, node: usize, conn: u32, block: BlockNo, wrong: bool) {
        if !self.conns[conn as usize].open {
            return;
        }
        let len = f64::from(self.catalog.len(block));
        let it = &mut self.nodes[node];
        let passing = (len / it.rates.1 * SECOND as f64) as u64;
        let here = it.free.1.max(self.now) + passing;
        it.free.1 = here;
        self.agenda.plan(here, node, Happening::Arrives { conn, block, wrong });
    }

    /// The prefix that a number stands for: a /24 of its own.
    pub(crate) fn prefix(number: u32) -> Prefix {
        Prefix::of(IpAddr::V4(Ipv4Addr::from(0x0100_0000 + (number << 8))))
    }

    /// The peer number of a connection.
    pub(crate) fn peer(conn: u32) -> PeerNo {
        PeerNo(conn)
    }
}
