//! What lies between two nodes: connections, uplinks, downlinks.
//!
//! Blocks leave a node's uplink in the order in which its engine granted them, take the latency of
//! the connection and pass the receiver's downlink in the order of arrival. The kernel takes blocks
//! before they have left, as far as its queue goes, and messages wait behind what it took. What is
//! lost is repeated after a while, and what was sent behind it on the connection waits for it, as
//! TCP does. A connection that breaks loses what is on its way.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::random::Random;
use crate::sim::agenda::Happening;
use crate::sim::catalog::BlockNo;
use crate::sim::world::World;
use crate::{Event, Message, PeerNo, Prefix, Served};

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A lost segment is repeated after this, or after three times the way, if that is longer.
const REPEAT_MIN: u64 = SECOND / 5;

/// Bytes that may be on their way over a connection, beside what the way itself holds: a socket's
/// buffers. Who sends more than the far end takes waits.
const WINDOW_MIN: u64 = 128 << 10;

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
    /// Bytes on their way to each end, and how many may be.
    flying: [u64; 2],
    window: u64,
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

/// A block that waits for an uplink, or leaves by it.
#[derive(Debug)]
pub(crate) struct Leaving {
    conn: u32,
    block: BlockNo,
    wrong: bool,
    /// The kernel has it.
    taken: bool,
}

/// What a node is to send; when it is busy, the first of it is leaving.
#[derive(Debug, Default)]
pub(crate) struct Uplink {
    queue: VecDeque<Leaving>,
    busy: bool,
}

impl Uplink {
    /// Blocks that wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl World {
    /// Makes one connection, showing the given prefixes; both ends hear of it.
    pub(crate) fn open(&mut self, ends: [usize; 2], shown: [u32; 2]) {
        let latency = self.weather.draw(&mut self.random);
        let number = self.conns.len() as u32;
        let [a, b] = ends.map(|node| self.nodes[node].rates);
        let rate = a.0.min(b.1).max(b.0.min(a.1));
        let flight = 4.0 * latency as f64 / SECOND as f64 * rate;
        let window = WINDOW_MIN + flight as u64;
        let ends = ends.map(|node| node as u32);
        self.conns.push(Conn {
            ends,
            shown,
            open: true,
            latency,
            hold: [0; 2],
            flying: [0; 2],
            window,
            told: [(0, 0); 2],
        });
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
        self.drop_waiting(near, conn);
        self.drop_waiting(far, conn);
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
        let held = self.in_kernel(node) as f64;
        let backlog = (held / self.nodes[node].rates.0 * SECOND as f64) as u64;
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

    /// A block waits for the uplink.
    pub(crate) fn transmit(&mut self, node: usize, conn: u32, block: BlockNo, wrong: bool) {
        let leaving = Leaving { conn, block, wrong, taken: false };
        self.nodes[node].uplink.queue.push_back(leaving);
        self.begin_sending(node);
        self.take_into_kernel(node);
    }

    /// Whether a connection has as much on its way as the far end takes.
    fn full(&self, node: usize, conn: u32) -> bool {
        let it = &self.conns[conn as usize];
        it.open && it.flying[1 - it.side(node)] >= it.window
    }

    /// The first block that can leave begins to, if none is leaving.
    pub(crate) fn begin_sending(&mut self, node: usize) {
        let it = &self.nodes[node].uplink;
        if it.busy {
            return;
        }
        let next = it.queue.iter().position(|leaving| !self.full(node, leaving.conn));
        let it = &mut self.nodes[node];
        let Some(first) = next.and_then(|at| it.uplink.queue.remove(at)) else { return };
        let bytes = f64::from(self.catalog.len(first.block));
        it.uplink.queue.push_front(first);
        it.uplink.busy = true;
        let passing = (bytes / it.rates.0 * SECOND as f64) as u64;
        self.agenda.plan(self.now + passing, node, Happening::Left);
    }

    /// Bytes that the kernel holds of connections that can send.
    fn in_kernel(&self, node: usize) -> u64 {
        let held = self.nodes[node].uplink.queue.iter();
        let held = held.filter(|it| it.taken && !self.full(node, it.conn));
        held.map(|it| u64::from(self.catalog.len(it.block))).sum()
    }

    /// The kernel takes what it has room for; the engine hears of it.
    fn take_into_kernel(&mut self, node: usize) {
        let kernel = u64::from(self.weather.kernel);
        let mut bytes = self.in_kernel(node);
        while bytes < kernel {
            let free = |it: &Leaving| !it.taken && !self.full(node, it.conn);
            let Some(at) = self.nodes[node].uplink.queue.iter().position(free) else { return };
            let next = &mut self.nodes[node].uplink.queue[at];
            next.taken = true;
            let (conn, block) = (next.conn, next.block);
            let len = self.catalog.len(block);
            bytes += u64::from(len);
            let (peer, cid, outcome) = (Self::peer(conn), self.catalog.cid(block), Served::Done);
            self.answers.push_back(Event::Sent { peer, cid, len, outcome });
        }
    }

    /// A block has left the uplink.
    pub(crate) fn has_left(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.uplink.busy = false;
        let Some(Leaving { conn, block, wrong, taken }) = it.uplink.queue.pop_front() else {
            return;
        };
        let len = self.catalog.len(block);
        it.figures.sent += u64::from(len);
        if !taken {
            let (peer, cid, outcome) = (Self::peer(conn), self.catalog.cid(block), Served::Done);
            self.answers.push_back(Event::Sent { peer, cid, len, outcome });
        }
        if self.conns[conn as usize].open {
            let it = &mut self.conns[conn as usize];
            let to = 1 - it.side(node);
            it.flying[to] += u64::from(len);
            let arrival = self.arrival(node, conn, self.now);
            let far = self.far(node, conn);
            self.agenda.plan(arrival, far, Happening::Door { conn, block, wrong });
        }
        self.begin_sending(node);
        self.take_into_kernel(node);
    }

    /// A block has come: the far end may send more.
    pub(crate) fn landed(&mut self, node: usize, conn: u32, block: BlockNo) {
        let len = u64::from(self.catalog.len(block));
        let was_full = self.full(self.far(node, conn), conn);
        let it = &mut self.conns[conn as usize];
        let side = it.side(node);
        it.flying[side] = it.flying[side].saturating_sub(len);
        let (far, later) = (it.other(node), self.now + it.latency);
        if was_full {
            self.agenda.plan(later, far, Happening::Resumes);
        }
    }

    /// There is room on a connection again.
    pub(crate) fn resume(&mut self, node: usize) {
        self.begin_sending(node);
        self.take_into_kernel(node);
    }

    /// What waited for a connection that is gone is dropped, but for what is leaving.
    fn drop_waiting(&mut self, node: usize, conn: u32) {
        let it = &mut self.nodes[node].uplink;
        let (mut leaving, busy) = (it.busy, it.busy);
        it.queue.retain(|waiting| std::mem::take(&mut leaving) || waiting.conn != conn);
        if !busy {
            self.agenda.plan(self.now, node, Happening::Resumes);
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
        let here = it.down_free.max(self.now) + passing;
        it.down_free = here;
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
