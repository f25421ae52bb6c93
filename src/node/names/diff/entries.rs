//! The entries in which two directories differ.
//!
//! Where both are sharded alike only the shards that differ are read, so that the cost is that of the
//! change in a directory of any size. Otherwise all entries of both are gone through: a directory in one
//! block has few, and one that grew beyond it is rewritten once.

use std::collections::BTreeMap;

use shoal_dag::{
    Cid, Node as DagNode,
    hamt::{Place, Shard, ShardLink},
    walk::PENDING_MAX,
};

use super::compare::{AHEAD_MAX, Link, want_ahead};
use crate::{control::protocol::Failure, node::read::Reader};

/// What a name stands for on both sides.
pub(super) type Both = (Option<Link>, Option<Link>);

/// Entries by name, those that are the same on both sides left out.
pub(super) type Differing = BTreeMap<Vec<u8>, Both>;

/// A directory that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top<'n> {
    /// Its first block.
    pub(super) cid: Cid,
    /// What that is; anything but a directory has no entries.
    pub(super) node: &'n DagNode,
}

/// A shard that is yet to be read, on one side or both.
struct Fork {
    from: Option<Link>,
    to: Option<Link>,
    place: Place,
}

/// A shard that was read and checked.
struct Read {
    cid: Cid,
    shard: Shard,
}

/// What was found so far, and what is yet to be read.
#[derive(Default)]
struct Gather {
    found: Differing,
    forks: Vec<Fork>,
}

/// The entries in which two directories differ; `None` has none.
///
/// # Errors
/// As [`Reader::node`]; exit 1 for shards that contradict each other, or too many entries.
pub(super) async fn differing(
    from: &mut Reader<'_>,
    to: &mut Reader<'_>,
    a: Option<Top<'_>>,
    b: Option<Top<'_>>,
) -> Result<Differing, Failure> {
    let mut gather = Gather::default();
    gather.tops(a, b)?;
    gather.want_ahead(from, to).await?;
    while let Some(Fork { from: a, to: b, place }) = gather.forks.pop() {
        let (a, b) = (read(from, a.as_ref(), place).await?, read(to, b.as_ref(), place).await?);
        let before = gather.forks.len();
        gather.shards(a.as_ref(), b.as_ref(), place)?;
        if gather.forks.len() > before {
            gather.want_ahead(from, to).await?;
        }
    }
    let cid = |link: &Option<Link>| link.map(|link| link.cid);
    gather.found.retain(|_, (from, to)| cid(from) != cid(to));
    Ok(gather.found)
}

/// Reads a shard, which must be one that can stand there.
async fn read(
    reader: &mut Reader<'_>,
    link: Option<&Link>,
    place: Place,
) -> Result<Option<Read>, Failure> {
    let Some(&Link { cid, under }) = link else { return Ok(None) };
    match reader.node(&cid, under).await? {
        DagNode::Shard(shard) => checked(cid, shard, place).map(Some),
        _ => Err(Failure::bad_dag(&cid, "it stands among shards and is none")),
    }
}

fn checked(cid: Cid, shard: Shard, place: Place) -> Result<Read, Failure> {
    place.check(&shard).map_err(|what| Failure::bad_dag(&cid, what))?;
    Ok(Read { cid, shard })
}

impl Gather {
    /// The first blocks of both.
    fn tops(&mut self, a: Option<Top<'_>>, b: Option<Top<'_>>) -> Result<(), Failure> {
        let shard = |top: Option<Top<'_>>| match top.map(|top| (top.cid, top.node)) {
            Some((cid, DagNode::Shard(shard))) => {
                checked(cid, shard.clone(), Place::ROOT).map(Some)
            }
            _ => Ok(None),
        };
        for (name, link) in a.iter().flat_map(Top::entries) {
            self.found.entry(name.to_vec()).or_default().0.get_or_insert(link);
        }
        for (name, link) in b.iter().flat_map(Top::entries) {
            self.found.entry(name.to_vec()).or_default().1.get_or_insert(link);
        }
        let (a, b) = (shard(a)?, shard(b)?);
        let alike = |a: &Read, b: &Read| a.shard.fanout == b.shard.fanout;
        match (&a, &b) {
            (Some(from), Some(to)) if !alike(from, to) => {
                self.shards(Some(from), None, Place::ROOT)?;
                self.shards(None, Some(to), Place::ROOT)
            }
            (from, to) => self.shards(from.as_ref(), to.as_ref(), Place::ROOT),
        }
    }

    /// Two shards that stand in the same place; of each slot what differs.
    fn shards(&mut self, a: Option<&Read>, b: Option<&Read>, place: Place) -> Result<(), Failure> {
        let Some(fanout) = a.or(b).map(|read| read.shard.fanout) else { return Ok(()) };
        let mut slots: BTreeMap<u16, (Option<&ShardLink>, Option<&ShardLink>)> = BTreeMap::new();
        for link in a.iter().flat_map(|read| &read.shard.links) {
            slots.entry(link.slot).or_default().0 = Some(link);
        }
        for link in b.iter().flat_map(|read| &read.shard.links) {
            slots.entry(link.slot).or_default().1 = Some(link);
        }
        let same = |a: &ShardLink, b: &ShardLink| a.cid == b.cid && a.name == b.name;
        slots.retain(|_, (a, b)| !a.zip(*b).is_some_and(|(a, b)| same(a, b)));
        let under = (a.map(|read| read.cid), b.map(|read| read.cid));
        for (slot, (a, b)) in slots {
            let mut fork = Fork { from: None, to: None, place: place.below(fanout, slot) };
            for (link, under, is_from) in [(a, under.0, true), (b, under.1, false)] {
                let Some(link) = link else { continue };
                let here = Some(Link { cid: link.cid, under });
                let both = if link.is_shard() {
                    (&mut fork.from, &mut fork.to)
                } else {
                    let (from, to) = self.found.entry(link.name.clone()).or_default();
                    (from, to)
                };
                *(if is_from { both.0 } else { both.1 }) = here;
            }
            if fork.from.or(fork.to).is_some() {
                self.forks.push(fork);
            }
        }
        if self.found.len() > PENDING_MAX {
            let cid = under.1.or(under.0).unwrap_or_default();
            return Err(Failure::bad_dag(&cid, "too many entries of it differ to be compared"));
        }
        Ok(())
    }

    /// Asks for the shards that are read next, so that they come side by side.
    async fn want_ahead(&self, from: &mut Reader<'_>, to: &mut Reader<'_>) -> Result<(), Failure> {
        let next = || self.forks.iter().rev().take(AHEAD_MAX);
        let links: Vec<Link> = next().filter_map(|fork| fork.from).collect();
        want_ahead(from, &links).await?;
        let links: Vec<Link> = next().filter_map(|fork| fork.to).collect();
        want_ahead(to, &links).await
    }
}

impl<'n> Top<'n> {
    /// The entries of a directory in one block.
    fn entries(&self) -> impl Iterator<Item = (&'n [u8], Link)> + use<'n> {
        let entries = match self.node {
            DagNode::Directory { entries, .. } => &entries[..],
            _ => &[],
        };
        let under = Some(self.cid);
        entries.iter().map(move |entry| (&entry.name[..], Link { cid: entry.cid, under }))
    }
}
