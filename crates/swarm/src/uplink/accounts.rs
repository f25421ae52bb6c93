//! What was given to whom, and what came back.
//!
//! Credit decays with a half-life of 3 s. Instead of decaying every peer's number at every look,
//! new bytes are weighted by 2^(age of the landmark / half-life): ratios are the same, and all
//! numbers are scaled down together before they grow too large. A seed's accounts are per prefix and
//! root: bytes given, and bytes confirmed, which count when a block of which we gave one copy only is
//! announced by another prefix. Who took much of one root, and had nobody to pass it on to, is
//! nobody's debtor under another.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Prefix;
use crate::limits::{ACCOUNTS_MAX, CONFIRMER_SHARE, CONFIRMERS_MAX, CREDIT_HALF_LIFE};
use crate::uplink::Requester;

/// Whose account: a prefix under one root, by the number of its swarm.
pub(crate) type Holder = (Prefix, u32);

/// How an account stands.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) given: u64,
    pub(crate) confirmed: u64,
    /// Order of service.
    pub(crate) served: u64,
}

/// An account at a seed.
#[derive(Debug, Default)]
struct Account {
    standing: Standing,
    /// Bytes that each other prefix confirmed for it, what was taken back included.
    by: BTreeMap<Prefix, u64>,
}

/// All accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    landmark: Duration,
    holders: BTreeMap<Holder, Account>,
    /// Order of service of prefixes.
    served: BTreeMap<Prefix, u64>,
}

impl Accounts {
    pub(crate) fn new(now: Duration) -> Self {
        Self { landmark: now, holders: BTreeMap::new(), served: BTreeMap::new() }
    }

    /// What a byte received now weighs.
    pub(super) fn weight<'a>(
        &mut self,
        now: Duration,
        all: impl Iterator<Item = &'a mut Requester>,
    ) -> f64 {
        /// Weights stay below 2^200.
        const HALF_LIVES_MAX: f64 = 200.0;
        let halvings = |from: Duration| {
            now.saturating_sub(from).as_secs_f64() / CREDIT_HALF_LIFE.as_secs_f64()
        };
        let age = halvings(self.landmark);
        if age <= HALF_LIVES_MAX {
            return age.exp2();
        }
        for requester in all {
            requester.credit *= (-age).exp2();
        }
        self.landmark = now;
        1.0
    }

    pub(crate) fn of(&self, holder: Holder) -> Standing {
        self.holders.get(&holder).map(|account| account.standing).unwrap_or_default()
    }

    /// When a prefix was last served, in order of service.
    pub(crate) fn served(&self, prefix: Prefix) -> u64 {
        self.served.get(&prefix).copied().unwrap_or_default()
    }

    /// Notes bytes granted.
    pub(crate) fn give(&mut self, holder: Holder, bytes: u32, stamp: u64) {
        make_room(&mut self.served, &holder.0, |served| *served);
        self.served.insert(holder.0, stamp);
        make_room(&mut self.holders, &holder, |account| account.standing.served);
        let account = &mut self.holders.entry(holder).or_default().standing;
        account.given = account.given.saturating_add(u64::from(bytes));
        account.served = stamp;
    }

    /// A prefix confirms bytes for an account; whether they count. Of what an account was given no
    /// prefix confirms more than [`CONFIRMER_SHARE`] times its part among `prefixes` that take part:
    /// a few accomplices cannot confirm all, and what passes through a crowd has many witnesses.
    pub(crate) fn confirm(
        &mut self,
        holder: Holder,
        by: Prefix,
        bytes: u32,
        prefixes: u32,
    ) -> bool {
        let Some(account) = self.holders.get_mut(&holder) else { return false };
        if account.by.len() >= CONFIRMERS_MAX && !account.by.contains_key(&by) {
            return false;
        }
        let others = f64::from(prefixes.saturating_sub(1).max(1));
        let most = account.standing.given as f64 * (CONFIRMER_SHARE / others).min(1.0);
        let witnessed = account.by.entry(by).or_default();
        if *witnessed as f64 > most {
            return false;
        }
        *witnessed = witnessed.saturating_add(u64::from(bytes));
        let confirmed = &mut account.standing.confirmed;
        *confirmed = confirmed.saturating_add(u64::from(bytes));
        true
    }

    pub(crate) fn take_back(&mut self, holder: Holder, bytes: u32) {
        if let Some(account) = self.holders.get_mut(&holder) {
            let account = &mut account.standing;
            account.confirmed = account.confirmed.saturating_sub(u64::from(bytes));
        }
    }
}

/// Drops the entry served longest ago when a new one would be too many.
fn make_room<K: Ord + Copy, V>(map: &mut BTreeMap<K, V>, key: &K, last: impl Fn(&V) -> u64) {
    if map.len() < ACCOUNTS_MAX || map.contains_key(key) {
        return;
    }
    let oldest = map.iter().min_by_key(|(_, value)| last(value)).map(|(key, _)| *key);
    if let Some(oldest) = oldest {
        map.remove(&oldest);
    }
}
