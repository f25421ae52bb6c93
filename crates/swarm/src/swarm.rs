//! One swarm: a root, the sessions that fetch it, and the peers that take part.
//!
//! A [`Swarm`] knows blocks ([`Table`]), branches, who holds what ([`Member`]) and what is wanted.
//! It decides nothing about peers' capacity: the engine asks it for the next block to get from a
//! given peer and tells it what came of that.
//!
//! - `walk` follows trees: probes the store, maps branches, drops what is complete;
//! - `branches` maps and unmaps the children of a branch;
//! - `members` keeps who holds what;
//! - `announce` tells members what is here, `exchange` of whom they were not told yet;
//! - `wants` satisfies, and finds wants that nobody can;
//! - `tally` counts.
//!
//! A swarm without a session exists only for a shared root: it has members and no slots.

mod announce;
mod branches;
mod exchange;
mod member;
mod members;
mod tally;
mod walk;
mod wants;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shoal_dag::Cid;

pub(crate) use branches::Branch;
pub(crate) use member::Member;
pub(crate) use members::{View, bit};
pub(crate) use tally::Tally;
pub(crate) use wants::Wanted;

use crate::bits::BitSet;
use crate::filter::Filter;
use crate::random::{Keys, Print};
use crate::table::{State, Table};
use crate::{Action, Holding, Holdings, PeerNo, Place, SessionId};

/// What the engine wants done, in order.
pub(crate) type Out = VecDeque<Action>;

/// What is known about the node sharing the root outside sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Never told.
    Unknown,
    /// Not shared when last asked.
    No,
    /// Shared.
    Yes(Holdings),
}

/// Whether the node is being asked what it shares.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    /// No.
    #[default]
    No,
    /// It is.
    Yes,
    /// It is, and something changed meanwhile.
    Stale,
}

/// A want that is not satisfied.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) session: SessionId,
    pub(crate) tree: bool,
    /// `NoProvider` has been told and nobody has appeared since.
    pub(crate) told: bool,
}

/// A root and everything about it.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) root: Cid,
    root_print: Print,
    keys: Keys,
    /// Sessions, and the figures as they were when each began.
    pub(crate) sessions: BTreeMap<SessionId, Tally>,
    pub(crate) sharing: Sharing,
    pub(crate) question: Open,
    pub(crate) members: BTreeMap<PeerNo, Member>,
    /// Address prefixes that members come from.
    pub(crate) prefixes: u32,
    /// Peers that were sent a join and have not answered.
    pub(crate) asked_to_join: BTreeMap<PeerNo, Duration>,
    /// When connected peers were last invited.
    invited: BTreeMap<PeerNo, Duration>,
    /// Peers that are to be invited again when some time has passed.
    pub(crate) to_invite: BTreeSet<PeerNo>,
    pub(crate) table: Table,
    branches: BTreeMap<u32, Branch>,
    branch_next: u32,
    /// Slot by alias target.
    aliases: BTreeMap<u32, Vec<u32>>,
    /// Slots of which it is not known where they hang below the root.
    pub(crate) orphans: BitSet,
    wants: BTreeMap<u32, Vec<Want>>,
    /// Places told by single wants.
    places: BTreeMap<u32, Place>,
    /// Slots with a deadline that are not here yet, earliest first.
    pub(crate) urgent: BTreeSet<(Duration, u32)>,
    deadlines: BTreeMap<u32, Duration>,
    walk: walk::Walk,
    /// What became present since the last announcement.
    dirty: BTreeSet<u32>,
    /// Blocks that are or were here.
    held: Filter,
    /// Members have been told that something is here.
    part_told: bool,
    /// Something changed that may leave a want without provider.
    pub(crate) check_providers: bool,
    pub(crate) tally: Tally,
    /// Members that others may be told of have been numbered up to here.
    numbered: u64,
    /// When somebody is to be told of others.
    pub(crate) exchange_at: Option<Duration>,
}

impl Swarm {
    pub(crate) fn new(root: Cid, keys: Keys) -> Self {
        Self {
            root,
            root_print: keys.print(&root),
            keys,
            sessions: BTreeMap::new(),
            sharing: Sharing::Unknown,
            question: Open::No,
            members: BTreeMap::new(),
            prefixes: 0,
            asked_to_join: BTreeMap::new(),
            invited: BTreeMap::new(),
            to_invite: BTreeSet::new(),
            table: Table::default(),
            branches: BTreeMap::new(),
            branch_next: 0,
            aliases: BTreeMap::new(),
            orphans: BitSet::default(),
            wants: BTreeMap::new(),
            places: BTreeMap::new(),
            urgent: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            walk: walk::Walk::default(),
            dirty: BTreeSet::new(),
            held: Filter::default(),
            part_told: false,
            check_providers: false,
            tally: Tally::default(),
            numbered: 0,
            exchange_at: None,
        }
    }

    /// Forgets blocks, wants and figures; keeps root and its size, members and what is shared.
    pub(crate) fn forget_blocks(&mut self) {
        let fresh = Self::new(self.root, self.keys);
        let old = std::mem::replace(self, fresh);
        self.sharing = old.sharing;
        self.question = old.question;
        self.members = old.members;
        self.prefixes = old.prefixes;
        self.asked_to_join = old.asked_to_join;
        self.invited = old.invited;
        (self.numbered, self.exchange_at) = (old.numbered, old.exchange_at);
        self.tally.size_hint = old.tally.size_hint;
        for member in self.members.values_mut() {
            member.forget_slots();
        }
    }

    /// What this node tells about itself when it joins.
    pub(crate) fn holding(&self) -> Holding {
        let complete = self.root_slot().is_some_and(|slot| slot.state == State::Complete);
        match &self.sharing {
            Sharing::Yes(holdings) if holdings.all => Holding::All,
            _ if complete => Holding::All,
            Sharing::Yes(_) => Holding::Part,
            _ if self.holds_something() => Holding::Part,
            _ => Holding::Nothing,
        }
    }

    fn holds_something(&self) -> bool {
        self.tally.blocks_received + self.tally.blocks_present > 0
    }

    fn root_slot(&self) -> Option<&crate::table::Slot> {
        self.table.find(self.root_print, &self.root).map(|at| self.table.slot(at))
    }

    /// Whether a block asked for may be given: `Some(true)` as one that a session here fetched,
    /// `Some(false)` as one of a shared root.
    pub(crate) fn serves(&self, print: Print, cid: &Cid) -> Option<bool> {
        let slot = self.table.find(print, cid).map(|at| self.table.slot(at));
        let held = match slot {
            Some(slot) if slot.present() => true,
            _ => !self.sessions.is_empty() && self.held.contains(print),
        };
        match (held, &self.sharing) {
            (true, _) => Some(true),
            (false, Sharing::Yes(_)) => Some(false),
            _ => None,
        }
    }

    /// The place of a slot, as far as it is known.
    pub(crate) fn place(&self, at: u32) -> Option<Place> {
        if let Some(place) = self.places.get(&at) {
            return Some(*place);
        }
        let slot = self.table.slot(at);
        self.branches.get(&slot.parent).and_then(|branch| branch.place_of(slot))
    }

    /// When a slot is needed, if somebody waits.
    pub(crate) fn deadline(&self, at: u32) -> Option<Duration> {
        self.deadlines.get(&at).copied()
    }

    /// Whether there is still something to receive.
    pub(crate) fn downloading(&self) -> bool {
        self.table.pool + self.table.asked > 0 || self.walk.busy()
    }

    /// Whether members wait to be told something.
    pub(crate) fn has_news(&self) -> bool {
        let waits = self.members.values().any(Member::is_being_told);
        waits || (!self.dirty.is_empty() && !self.members.is_empty())
    }
}
