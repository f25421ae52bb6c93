//! What was given to whom, and what came back.
//!
//! Credit decays with a half-life of 3 s. Instead of decaying every peer's number at every look,
//! new bytes are weighted by 2^(age of the landmark / half-life): ratios are the same, and all
//! numbers are scaled down together before they grow too large. A seed's accounts are per prefix:
//! bytes given, and bytes confirmed, which count when a block of which we gave one copy only is
//! announced by another prefix.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Prefix;
use crate::limits::{ACCOUNTS_MAX, CREDIT_HALF_LIFE};
use crate::uplink::Requester;

/// A prefix's account at a seed.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) given: f64,
    pub(crate) confirmed: f64,
    pub(crate) served: u64,
}

/// All accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    landmark: Duration,
    prefixes: BTreeMap<Prefix, Account>,
    /// Bytes given per prefix and swarm, against the newcomer's allowance; and when last.
    newcomers: BTreeMap<(Prefix, u32), (u64, u64)>,
}

impl Accounts {
    pub(crate) fn new(now: Duration) -> Self {
        Self { landmark: now, prefixes: BTreeMap::new(), newcomers: BTreeMap::new() }
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

    pub(crate) fn of(&self, prefix: Prefix) -> Account {
        self.prefixes.get(&prefix).copied().unwrap_or_default()
    }

    /// Notes bytes granted.
    pub(crate) fn give(&mut self, prefix: Prefix, swarm: u32, bytes: u32, stamp: u64) {
        make_room(&mut self.prefixes, &prefix, |account| account.served);
        let account = self.prefixes.entry(prefix).or_default();
        account.given += f64::from(bytes);
        account.served = stamp;
        make_room(&mut self.newcomers, &(prefix, swarm), |(_, last)| *last);
        let newcomer = self.newcomers.entry((prefix, swarm)).or_default();
        newcomer.0 = newcomer.0.saturating_add(u64::from(bytes));
        newcomer.1 = stamp;
    }

    /// Bytes given to a prefix of one swarm.
    pub(crate) fn given(&self, prefix: Prefix, swarm: u32) -> u64 {
        self.newcomers.get(&(prefix, swarm)).map_or(0, |(given, _)| *given)
    }

    pub(crate) fn confirm(&mut self, prefix: Prefix, bytes: u32) {
        if let Some(account) = self.prefixes.get_mut(&prefix) {
            account.confirmed += f64::from(bytes);
        }
    }

    pub(crate) fn take_back(&mut self, prefix: Prefix, bytes: u32) {
        if let Some(account) = self.prefixes.get_mut(&prefix) {
            account.confirmed = (account.confirmed - f64::from(bytes)).max(0.0);
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
