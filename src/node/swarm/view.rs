//! What those who wait for a session see of it.
//!
//! A plain copy, published a few times a second and at every turn (a provider found, a search ended).
//! Waiting rules are decided from it by [`crate::node::sessions`], so that the swarm task itself has no
//! deadlines of users.

use std::{collections::BTreeSet, time::Instant};

use shoal_dag::Cid;

use crate::control::protocol::Failure;

/// Peers to start from that are named when they are not connected; one line is to hold them.
pub(super) const UNCONNECTED_MAX: usize = 3;

/// How the search for providers in the DHT stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Search {
    /// A search is running now.
    pub running: bool,
    /// Searches that ended.
    pub rounds: u32,
    /// Peers of the DHT asked in the newest search that asked any.
    pub asked: u32,
    /// Peers that answered in it.
    pub answered: u32,
    /// Distinct providers found in all searches.
    pub found: u32,
    /// Providers that could not be reached.
    pub unreachable: u32,
    /// Peers remembered from earlier fetches that were dialled.
    pub remembered: u32,
    /// Dials of providers, and of peers remembered or told of, still going on.
    pub dialling: u32,
    /// Nothing about providers has changed for a while: who is connected by now has said what it has.
    pub settled: bool,
}

impl Search {
    /// Whether a search has ended, nothing runs, and no provider is being dialled.
    pub const fn tried(&self) -> bool {
        self.rounds > 0 && !self.running && self.dialling == 0
    }
}

/// A session from outside.
#[derive(Debug, Clone)]
pub struct View {
    /// Bytes of verified blocks that arrived.
    pub bytes_received: u64,
    /// Blocks that arrived.
    pub blocks_received: u64,
    /// Blocks that were here already, as far as the walk came.
    pub blocks_present: u64,
    /// Bytes sent to others of this swarm.
    pub bytes_sent: u64,
    /// Peers that take part in the swarm.
    pub joined: u32,
    /// Who gave how many bytes, by peer id.
    pub sources: Vec<(String, u64)>,
    /// Distinct peers connected since the session began.
    pub peers_connected: u64,
    /// Peers connected now.
    pub connected: u32,
    /// Peers that were asked directly whether they take part, gone ones too.
    pub asked_directly: u32,
    /// Peers to start from that are not connected; at most [`UNCONNECTED_MAX`].
    pub unconnected: Vec<String>,
    /// The search for providers.
    pub search: Search,
    /// What somebody waits for and nobody connected can be asked for.
    pub starving: BTreeSet<Cid>,
    /// There is nobody to ask: no bootstrap, no mDNS, nobody connected, and of those who are known
    /// nobody could be reached.
    pub nobody: bool,
    /// The network could not be started.
    pub network_error: Option<String>,
    /// The store cannot keep what arrives.
    pub store_error: Option<Failure>,
    /// When a byte arrived last, or the first want came.
    pub moved: Instant,
}

impl View {
    /// A session that has just begun.
    pub fn new() -> Self {
        Self {
            bytes_received: 0,
            blocks_received: 0,
            blocks_present: 0,
            bytes_sent: 0,
            joined: 0,
            sources: Vec::new(),
            peers_connected: 0,
            connected: 0,
            asked_directly: 0,
            unconnected: Vec::new(),
            search: Search::default(),
            starving: BTreeSet::new(),
            nobody: false,
            network_error: None,
            store_error: None,
            moved: Instant::now(),
        }
    }

    /// True when every way to a provider of this block has been tried in this moment and led to nobody:
    /// a reader need not wait on. A new search or a new peer changes it.
    pub fn exhausted(&self, cid: &Cid) -> bool {
        self.search.tried() && self.search.settled && self.starving.contains(cid)
    }

    /// What is waited for, in words.
    pub fn waiting_for(&self) -> String {
        let search = self.search;
        if let Some(error) = &self.network_error {
            return format!("the network does not start: {error}");
        }
        if search.dialling > 0 && self.joined == 0 {
            let all = search.found + search.remembered;
            return format!(
                "dialling {} of {} providers",
                search.dialling,
                all.max(search.dialling)
            );
        }
        if !self.starving.is_empty() || self.joined == 0 {
            return self.looking_for();
        }
        format!("waiting for {}", counted(self.joined, "peer"))
    }

    /// Who was tried, while nobody connected can be asked for what is missing.
    fn looking_for(&self) -> String {
        let Search { asked, answered, found, unreachable, .. } = self.search;
        let mut parts = vec![format!(
            "looking for providers: {} connected, {} asked directly",
            counted(self.connected, "peer"),
            self.asked_directly
        )];
        if self.joined > 0 {
            parts[0] += ", ";
            parts[0] += &counted(self.joined, "member");
            parts[0] += " without what is missing";
        }
        parts.push(format!(
            "in the DHT {asked} asked, {answered} answered, {} found, {unreachable} of them unreachable",
            counted(found, "provider")
        ));
        if self.search.remembered > 0 {
            parts.push(format!(
                "{} remembered from earlier",
                counted(self.search.remembered, "peer")
            ));
        }
        let unconnected = self.unconnected.iter();
        parts.extend(unconnected.map(|address| format!("no connection to {address}")));
        parts.join("; ")
    }
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let mut view = View { connected: 1, ..View::new() };
        let text = view.waiting_for();
        assert!(
            text.contains(" 1 peer connected, ") && text.contains(" 0 providers found"),
            "{text}"
        );
        view.joined = 1;
        assert_eq!(view.waiting_for(), "waiting for 1 peer");
        view.joined = 2;
        assert_eq!(view.waiting_for(), "waiting for 2 peers");
    }
}
