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
use crate::limits::{FRESH_PATIENCE, FRESH_SCAN_MAX, GOOD_STANDING, NEWCOMER_SHARE};
use crate::random::Random;
use crate::uplink::accounts::Standing;
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
        let Some(entry) = requester.queue.front() else { return false };
        self.account(requester).given < entry.allowance
    }

    /// The account of a requester for what it asked first.
    fn account(&self, requester: &Requester) -> Standing {
        let swarm = requester.queue.front().map_or(0, |entry| entry.swarm);
        self.accounts.of((requester.prefix, swarm))
    }

    fn pick_spare(&self, open: &[(PeerNo, &Requester)]) -> Option<PeerNo> {
        open.iter()
            .min_by_key(|(_, requester)| (self.accounts.served(requester.prefix), requester.served))
            .map(|(peer, _)| *peer)
    }

    /// Lowest given / (confirmed + allowance), and who stands alike takes turns, first those who wait
    /// for something that was never sent. Those of which nothing is confirmed get a tenth while others
    /// wait, within the allowance; beyond it, what is left over.
    fn pick_as_seed(&self, open: &[(PeerNo, &Requester)], random: &mut Random) -> Option<PeerNo> {
        let members: Vec<_> =
            open.iter().copied().filter(|(_, requester)| !requester.spare).collect();
        if members.is_empty() {
            return self.pick_spare(open);
        }
        let confirmed = |requester: &Requester| self.account(requester).confirmed > 0;
        let (proven, unproven): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|(_, requester)| confirmed(requester));
        let fresh: Vec<_> =
            unproven.iter().copied().filter(|(_, it)| self.within_allowance(it)).collect();
        let turn = !fresh.is_empty() && random.unit() < NEWCOMER_SHARE;
        match (proven.is_empty(), turn) {
            (true, _) => self.lowest_share(&unproven),
            (false, true) => self.lowest_share(&fresh),
            (false, false) => self.lowest_share(&proven),
        }
    }

    /// Copies sent of the block that this peer would get; none if it was passed over for long.
    fn copies(&self, requester: &Requester) -> u32 {
        let passed_over = self.stamp - requester.served;
        if passed_over > FRESH_PATIENCE * self.waiting.len() as u64 {
            return 0;
        }
        let seen = requester.queue.iter().take(FRESH_SCAN_MAX);
        let mut least = u32::MAX;
        for entry in seen {
            least = least.min(self.sent.times(entry.print));
            if least == 0 {
                break;
            }
        }
        least
    }

    fn lowest_share(&self, open: &[(PeerNo, &Requester)]) -> Option<PeerNo> {
        let key = |requester: &Requester| {
            let account = self.account(requester);
            let allowance = requester.queue.front().map_or(0, |entry| entry.allowance).max(1);
            let proven = account.confirmed.saturating_add(allowance);
            let ratio = (account.given as f64 / proven as f64).max(GOOD_STANDING);
            // A positive float is ordered as its bits are.
            (ratio.to_bits(), self.copies(requester), account.served, requester.served)
        };
        let least = open.iter().min_by_key(|(_, requester)| key(requester));
        least.map(|(peer, _)| *peer)
    }
}
