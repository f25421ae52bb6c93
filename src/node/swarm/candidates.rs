//! Whom members of a swarm told of, and who of them is dialled next.
//!
//! What a member tells is a stranger's word, so dials cost budgets: each teller may cause only so many
//! that lead nowhere, and so may each address prefix that is told of; what connects is given back. The
//! tellers take turns, so that one who names a thousand keeps nobody else's from being tried. Everything
//! is forgotten after [`PARDON_AFTER`], since peers come back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use shoal_net::{Multiaddr, PeerId};
use shoal_swarm::Prefix;

/// Peers told of that are remembered per session: eight full messages' worth.
const KNOWN_MAX: usize = 512;

/// Peers of one teller that wait.
const WAITING_MAX: usize = 128;

/// Dials that one teller may cause without a connection: honest ones tell of who is connected to them,
/// and nearly all of that can be reached.
const TELLER_DIALS_MAX: u32 = 16;

/// Dials into one prefix without a connection, where prefixes count: a third party is not worn out.
const PREFIX_DIALS_MAX: u32 = 4;

/// Dials at once per session.
const DIALS_AT_ONCE: usize = 8;

/// When what was tried in vain may be tried again.
const PARDON_AFTER: Duration = Duration::from_mins(10);

/// How long a dial counts as going on: what ends in a connection without our protocol may be told late.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// An address and what it counts for.
type Address = (Multiaddr, Prefix);

#[derive(Debug, Default)]
struct Teller {
    waiting: VecDeque<(PeerId, Vec<Address>)>,
    spent: u32,
}

#[derive(Debug)]
struct Dial {
    teller: PeerId,
    prefixes: BTreeSet<Prefix>,
    began: Instant,
}

/// Those of one session.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Whether prefixes have a budget: not among peers that share one machine.
    by_prefix: bool,
    began: Instant,
    known: BTreeSet<PeerId>,
    tellers: BTreeMap<PeerId, Teller>,
    /// Whose turn it was.
    turn: Option<PeerId>,
    prefixes: BTreeMap<Prefix, u32>,
    dials: BTreeMap<PeerId, Dial>,
}

impl Candidates {
    /// Nobody was told of.
    pub(super) fn new(by_prefix: bool, now: Instant) -> Self {
        Self {
            by_prefix,
            began: now,
            known: BTreeSet::new(),
            tellers: BTreeMap::new(),
            turn: None,
            prefixes: BTreeMap::new(),
            dials: BTreeMap::new(),
        }
    }

    /// A member told of a peer with these addresses.
    pub(super) fn told(&mut self, teller: PeerId, peer: PeerId, addresses: Vec<Address>) {
        if addresses.is_empty() || self.known.len() >= KNOWN_MAX {
            return;
        }
        let waiting = &mut self.tellers.entry(teller).or_default().waiting;
        if waiting.len() < WAITING_MAX && self.known.insert(peer) {
            waiting.push_back((peer, addresses));
        }
    }

    /// The next one to dial, if there is one within the budgets.
    pub(super) fn next(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        self.pardon(now);
        self.dials.retain(|_, dial| now.saturating_duration_since(dial.began) < DIAL_MAX);
        if self.dials.len() >= DIALS_AT_ONCE {
            return None;
        }
        loop {
            let teller = self.next_teller()?;
            let (peer, mut addresses) = self.tellers.get_mut(&teller)?.waiting.pop_front()?;
            let spent = |prefix: &Prefix| self.prefixes.get(prefix).copied().unwrap_or_default();
            addresses.retain(|(_, prefix)| !self.by_prefix || spent(prefix) < PREFIX_DIALS_MAX);
            if addresses.is_empty() {
                continue;
            }
            let prefixes: BTreeSet<Prefix> = addresses.iter().map(|(_, prefix)| *prefix).collect();
            for prefix in &prefixes {
                *self.prefixes.entry(*prefix).or_default() += 1;
            }
            self.tellers.entry(teller).or_default().spent += 1;
            self.dials.insert(peer, Dial { teller, prefixes, began: now });
            return Some((peer, addresses.into_iter().map(|(address, _)| address).collect()));
        }
    }

    /// The teller after the last one of whom somebody waits and whose budget lasts.
    fn next_teller(&mut self) -> Option<PeerId> {
        let able = |teller: &Teller| !teller.waiting.is_empty() && teller.spent < TELLER_DIALS_MAX;
        let able = |(id, teller): (&PeerId, &Teller)| able(teller).then_some(*id);
        let after = self.turn.and_then(|turn| {
            self.tellers.range(turn..).filter(|(id, _)| **id != turn).find_map(able)
        });
        self.turn = after.or_else(|| self.tellers.iter().find_map(able));
        self.turn
    }

    /// A peer is connected: what its dial cost is given back.
    pub(super) fn connected(&mut self, peer: &PeerId) {
        let Some(dial) = self.dials.remove(peer) else { return };
        if let Some(teller) = self.tellers.get_mut(&dial.teller) {
            teller.spent = teller.spent.saturating_sub(1);
        }
        for prefix in dial.prefixes {
            if let Some(spent) = self.prefixes.get_mut(&prefix) {
                *spent = spent.saturating_sub(1);
            }
        }
    }

    /// A dial led nowhere.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        self.dials.remove(peer);
    }

    /// Dials going on.
    pub(super) fn dialling(&self) -> usize {
        self.dials.len()
    }

    fn pardon(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= PARDON_AFTER {
            *self = Self::new(self.by_prefix, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(network: u8) -> Vec<Address> {
        let prefix = Prefix::of([8, 8, network, 1].into());
        vec![(format!("/ip4/8.8.{network}.1/tcp/4001").parse().expect("an address"), prefix)]
    }

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    /// Dials whatever may be dialled; every one ends as `connects` says.
    fn dial_all(candidates: &mut Candidates, now: Instant, connects: bool) -> Vec<PeerId> {
        let mut dialled = Vec::new();
        while let Some((peer, _)) = candidates.next(now) {
            if connects {
                candidates.connected(&peer);
            } else {
                candidates.failed(&peer);
            }
            dialled.push(peer);
        }
        dialled
    }

    #[test]
    fn everybody_is_dialled_once_and_few_at_a_time() {
        let now = Instant::now();
        let mut candidates = Candidates::new(false, now);
        let (tellers, told) = (peers(2), peers(20));
        for teller in &tellers {
            for peer in &told {
                candidates.told(*teller, *peer, addresses(1));
            }
        }
        let first: Vec<_> = std::iter::from_fn(|| candidates.next(now)).collect();
        assert_eq!((first.len(), candidates.dialling()), (DIALS_AT_ONCE, DIALS_AT_ONCE));
        for (peer, _) in &first {
            candidates.connected(peer);
        }
        assert_eq!(dial_all(&mut candidates, now, true).len(), 12);
        assert!(candidates.next(now).is_none());
    }

    #[test]
    fn one_who_tells_of_nobody_real_is_no_longer_believed() {
        let now = Instant::now();
        let mut candidates = Candidates::new(false, now);
        let (liar, honest) = (PeerId::random(), PeerId::random());
        for peer in peers(1000) {
            candidates.told(liar, peer, addresses(1));
        }
        let real = peers(3);
        for peer in &real {
            candidates.told(honest, *peer, addresses(2));
        }
        // They take turns: the real ones are not at the end.
        let first: Vec<PeerId> =
            std::iter::from_fn(|| candidates.next(now)).map(|(peer, _)| peer).collect();
        assert_eq!(real.iter().filter(|peer| first.contains(peer)).count(), 3);
        for peer in &first {
            candidates.failed(peer);
        }
        let rest = dial_all(&mut candidates, now, false);
        assert_eq!(first.len() - 3 + rest.len(), TELLER_DIALS_MAX as usize);
        let later = now + PARDON_AFTER;
        assert!(candidates.next(later).is_none(), "what was told then is forgotten too");
        candidates.told(liar, real[0], addresses(1));
        assert!(candidates.next(later).is_some());
    }

    #[test]
    fn a_prefix_is_not_worn_out_whoever_tells() {
        let now = Instant::now();
        for (by_prefix, expected) in [(true, PREFIX_DIALS_MAX as usize), (false, 30)] {
            let mut candidates = Candidates::new(by_prefix, now);
            for (teller, peer) in peers(30).into_iter().zip(peers(30)) {
                candidates.told(teller, peer, addresses(1));
            }
            assert_eq!(dial_all(&mut candidates, now, false).len(), expected);
        }
        let mut candidates = Candidates::new(true, now);
        let teller = PeerId::random();
        for peer in peers(30) {
            candidates.told(teller, peer, addresses(1));
        }
        assert_eq!(dial_all(&mut candidates, now, true).len(), 30, "what connects costs nothing");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let now = Instant::now();
        let mut candidates = Candidates::new(true, now);
        for teller in peers(10) {
            for peer in peers(200) {
                candidates.told(teller, peer, addresses(1));
            }
        }
        let waiting = candidates.tellers.values().map(|teller| teller.waiting.len());
        assert_eq!(waiting.clone().max(), Some(WAITING_MAX));
        assert_eq!((waiting.sum::<usize>(), candidates.known.len()), (KNOWN_MAX, KNOWN_MAX));
        candidates.told(PeerId::random(), PeerId::random(), Vec::new());
        assert_eq!(candidates.tellers.len(), 4, "who tells nothing is not remembered");
    }

    #[test]
    fn a_dial_of_which_nothing_is_heard_ends() {
        let now = Instant::now();
        let mut candidates = Candidates::new(false, now);
        let teller = PeerId::random();
        for peer in peers(10) {
            candidates.told(teller, peer, addresses(1));
        }
        while candidates.next(now).is_some() {}
        assert!(candidates.next(now + DIAL_MAX).is_some());
    }
}
