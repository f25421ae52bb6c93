//! Whose turn it is.
//!
//! A node that receives, or has received, serves in three classes (rule book section 1): *credit*,
//! a lottery weighted by what each contributor gave lately; *newcomer*, a tenth while there are
//! contributors, for peers that never delivered and whose prefix is below its allowance, oldest
//! request first; *spare*, when the other two are empty, prefix served longest ago first. A seed
//! serves the prefix with the lowest given / (confirmed + allowance); prefixes of which nothing is
//! confirmed share a tenth while others wait and take turns. Who takes no part in swarms is served in
//! the spare class, or by its credit, and by a seed when no other waits.

use crate::PeerNo;
use crate::limits::NEWCOMER_SHARE;
use crate::random::Random;
use crate::uplink::{Requester, Uplink};

impl Uplink {
    /// The peer to serve next; `None` when nobody that waits can take more.
    pub(super) fn pick_peer(&self, downloading: bool, random: &mut Random) -> Option<PeerNo> {
        let alone = self.waiting.len() == 1;
        let open: Vec<(PeerNo, &Requester)> = self
            .waiting
            .iter()
            .filter_map(|peer| Some((*peer, self.requesters.get(peer)?)))
            .filter(|(_, requester)| Self::open(requester, alone))
            .collect();
        match open.as_slice() {
            [] => None,
            [(peer, _)] => Some(*peer),
            several => {
                let credit = several.iter().any(|(_, requester)| requester.contributed);
                if downloading || credit {
                    self.pick_by_class(several, random)
                } else {
                    self.pick_as_seed(several, random)
                }
            }
        }
    }

    fn pick_by_class(&self, open: &[(PeerNo, &Requester)], random: &mut Random) -> Option<PeerNo> {
        let newcomer = open
            .iter()
            .filter(|(_, requester)| !requester.contributed && self.within_allowance(requester))
            .min_by_key(|(_, requester)| requester.queue.front().map(|entry| entry.at))
            .map(|(peer, _)| *peer);
        let total: f64 = open.iter().map(|(_, requester)| requester.credit).sum();
        let contributors = total > 0.0;
        if newcomer.is_some() && (!contributors || random.unit() < NEWCOMER_SHARE) {
            return newcomer;
        }
        if contributors {
            let mut ticket = random.unit() * total;
            for (peer, requester) in open.iter().filter(|(_, requester)| requester.credit > 0.0) {
                ticket -= requester.credit;
                if ticket <= 0.0 {
                    return Some(*peer);
                }
            }
        }
        self.pick_spare(open)
    }

    fn within_allowance(&self, requester: &Requester) -> bool {
        requester.queue.front().is_some_and(|entry| {
            self.accounts.given(requester.prefix, entry.swarm) < entry.allowance
        })
    }

    fn pick_spare(&self, open: &[(PeerNo, &Requester)]) -> Option<PeerNo> {
        open.iter()
            .min_by_key(|(_, requester)| {
                (self.accounts.of(requester.prefix).served, requester.served)
            })
            .map(|(peer, _)| *peer)
    }

    fn pick_as_seed(&self, open: &[(PeerNo, &Requester)], random: &mut Random) -> Option<PeerNo> {
        let confirmed = |requester: &Requester| self.accounts.of(requester.prefix).confirmed > 0.0;
        let members: Vec<_> =
            open.iter().copied().filter(|(_, requester)| !requester.spare).collect();
        if members.is_empty() {
            return self.pick_spare(open);
        }
        let (proven, unproven): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(_, requester)| confirmed(requester));
        let turn = !unproven.is_empty() && random.unit() < NEWCOMER_SHARE;
        if proven.is_empty() || turn {
            return self.pick_spare(&unproven);
        }
        let ratio = |requester: &Requester| {
            let account = self.accounts.of(requester.prefix);
            let allowance = requester.queue.front().map_or(0, |entry| entry.allowance);
            account.given / (account.confirmed + allowance as f64)
        };
        proven
            .iter()
            .min_by(|(_, a), (_, b)| ratio(a).total_cmp(&ratio(b)).then(a.served.cmp(&b.served)))
            .map(|(peer, _)| *peer)
    }
}
