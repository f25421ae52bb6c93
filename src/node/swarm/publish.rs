//! Which roots the DHT is told about.
//!
//! Wanted are the roots that the node shares (pins, seeds, what is seeded on) and those of sessions that
//! announce. The network publishes and republishes each by itself; here only the difference between
//! what is wanted and what was asked for is kept, so that a root that several things want is
//! published once and withdrawn with the last of them.

use std::collections::{BTreeMap, BTreeSet};

use shoal_dag::Cid;
use shoal_net::Net;

/// What is announced.
#[derive(Debug, Default)]
pub(super) struct Published {
    shared: BTreeSet<Cid>,
    fetched: BTreeMap<Cid, u32>,
    /// What the network was asked to provide, and whether a record was published since.
    asked: BTreeMap<Cid, bool>,
}

impl Published {
    /// Sets the roots that the node shares.
    pub(super) async fn share(&mut self, roots: Vec<Cid>, net: Option<&Net>) {
        self.shared = roots.into_iter().collect();
        self.reconcile(net).await;
    }

    /// A session of this root begins to announce.
    pub(super) async fn fetch_begins(&mut self, root: Cid, net: Option<&Net>) {
        *self.fetched.entry(root).or_default() += 1;
        self.reconcile(net).await;
    }

    /// It ended.
    pub(super) async fn fetch_ends(&mut self, root: &Cid, net: Option<&Net>) {
        if let Some(count) = self.fetched.get_mut(root) {
            *count -= 1;
            if *count == 0 {
                self.fetched.remove(root);
            }
        }
        self.reconcile(net).await;
    }

    /// Asks the network for what it was not asked yet, and withdraws the rest.
    pub(super) async fn reconcile(&mut self, net: Option<&Net>) {
        let Some(net) = net else {
            return;
        };
        let wanted = |cid: &Cid| self.shared.contains(cid) || self.fetched.contains_key(cid);
        let gone: Vec<Cid> = self.asked.keys().filter(|cid| !wanted(cid)).copied().collect();
        for cid in gone {
            self.asked.remove(&cid);
            net.unprovide(cid).await;
        }
        for cid in self.shared.iter().chain(self.fetched.keys()) {
            if !self.asked.contains_key(cid) {
                self.asked.insert(*cid, false);
                net.provide(*cid).await;
            }
        }
    }

    /// A record was published.
    pub(super) fn published(&mut self, cid: &Cid) {
        if let Some(done) = self.asked.get_mut(cid) {
            *done = true;
        }
    }

    /// Roots published, and roots still to be.
    pub(super) fn counts(&self) -> (u64, u64) {
        let done = self.asked.values().filter(|done| **done).count() as u64;
        let unasked = self.shared.iter().filter(|cid| !self.asked.contains_key(*cid)).count();
        (done, self.asked.len() as u64 - done + unasked as u64)
    }
}
