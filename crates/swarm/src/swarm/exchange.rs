//! Who of a swarm's members has been told of which others.
//!
//! A member that holds something and can be reached gets the next number; each member knows up to
//! which number it was told. So what is remembered per member is two figures, whatever the crowd,
//! and everybody is told of everybody once. One that holds everything is told of nobody: it has
//! nothing to ask for.

use std::time::Duration;

use crate::limits::{PEERS_BURST, PEERS_EVERY, PEERS_MAX};
use crate::swarm::Swarm;
use crate::{Holding, PeerNo};

/// A member's part in it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Its number, once others may be told of it.
    number: Option<u64>,
    /// It was told of everybody up to this number.
    told: u64,
    /// When it was told last.
    told_at: Option<Duration>,
    /// Messages that may still come from it, and as of when.
    credit: (f64, Duration),
}

impl Default for Exchange {
    fn default() -> Self {
        Self { number: None, told: 0, told_at: None, credit: (PEERS_BURST, Duration::ZERO) }
    }
}

impl Exchange {
    /// Whether a message of its own comes within its rate.
    pub(crate) fn may_tell(&mut self, now: Duration) -> bool {
        let (credit, at) = &mut self.credit;
        let passed = now.saturating_sub(*at).as_secs_f64() / PEERS_EVERY.as_secs_f64();
        *credit = (*credit + 2.0 * passed).min(PEERS_BURST);
        *at = now;
        let within = *credit >= 1.0;
        if within {
            *credit -= 1.0;
        }
        within
    }

    /// When it may be told again.
    fn due(&self) -> Duration {
        self.told_at.map_or(Duration::ZERO, |at| at + PEERS_EVERY)
    }
}

impl Swarm {
    /// Numbers the members that others may be told of from now on; `reachable` says of whom it is
    /// known how. When somebody is to be told next.
    pub(crate) fn number_members(
        &mut self,
        reachable: impl Fn(&PeerNo) -> bool,
    ) -> Option<Duration> {
        for (peer, member) in &mut self.members {
            let holds = member.holding != Holding::Nothing;
            if member.exchange.number.is_none() && holds && reachable(peer) {
                self.numbered += 1;
                member.exchange.number = Some(self.numbered);
            }
        }
        let asking = self.members.values().filter(|member| !member.all());
        let behind = asking.filter(|member| member.exchange.told < self.numbered);
        behind.map(|member| member.exchange.due()).min()
    }

    /// Who is to be told now, and of whom, in the order of their numbers; at most [`PEERS_MAX`] each.
    pub(crate) fn exchange(&mut self, now: Duration) -> Vec<(PeerNo, Vec<PeerNo>)> {
        let number = |(peer, member): (&PeerNo, &super::Member)| {
            member.exchange.number.map(|number| (number, *peer))
        };
        let mut numbered: Vec<(u64, PeerNo)> = self.members.iter().filter_map(number).collect();
        numbered.sort_unstable();
        let mut out = Vec::new();
        for (peer, member) in &mut self.members {
            let exchange = &mut member.exchange;
            if member.holding == Holding::All || exchange.due() > now {
                continue;
            }
            let first = numbered.partition_point(|(number, _)| *number <= exchange.told);
            let news = numbered[first..].iter().filter(|(_, other)| other != peer);
            let news: Vec<(u64, PeerNo)> = news.take(PEERS_MAX).copied().collect();
            let full = news.len() == PEERS_MAX;
            let last = news.last().filter(|_| full).map(|(number, _)| *number);
            exchange.told = last.unwrap_or(self.numbered);
            if !news.is_empty() {
                exchange.told_at = Some(now);
                out.push((*peer, news.into_iter().map(|(_, other)| other).collect()));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bunches_up_is_within_the_rate_and_a_flood_is_not() {
        let mut exchange = Exchange::default();
        assert_eq!((0..10).filter(|_| exchange.may_tell(Duration::ZERO)).count(), 4);
        // An honest one sends twelve a minute.
        let seconds = |at: u64| Duration::from_secs(at);
        assert!((1..=12).all(|n| exchange.may_tell(seconds(n * 5))));
        let flood = (600..1200).filter(|n| exchange.may_tell(Duration::from_millis(n * 100)));
        assert!((24..=29).contains(&flood.count()));
    }
}
