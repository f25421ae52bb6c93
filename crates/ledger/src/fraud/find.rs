//! Finding the proof: what a keeper of entries can show against who signed them.
//!
//! [`conflict`] takes two branches, each valid by itself, to the proof that they cannot both be;
//! [`accuse`] takes a valid branch and an entry that its signer put on top of it against the rules.
//! Both answer none rather than a proof that would not verify: an entry that nobody can be held to,
//! since no authorised key signed it, is garbage and no fraud.

use super::{Evidence, Fraud, Leaf, LinkFault, LinkName, Usurpation};
use crate::chain::{Archive, Chain};
use crate::head::{Bisect, Placed};
use crate::tip::Invalid;
use crate::tree::prove;
use crate::{AuthorityError, Entry, EntryId, jump};

/// The proof that two branches of one name contradict each other: in the epoch of their heads, the
/// first place where they differ, or the two recoveries that opened it. None if one continues the
/// other, or if one is of an earlier epoch: then it was superseded.
pub fn conflict(a: &(impl Archive + ?Sized), b: &(impl Archive + ?Sized)) -> Option<Fraud> {
    let shorter = a.len().min(b.len());
    if prove::root(a, shorter)? == prove::root(b, shorter)? {
        return None;
    }
    let (a_opens, b_opens) = (opening(a)?, opening(b)?);
    if a.entry(a_opens)?.position().epoch != b.entry(b_opens)?.position().epoch {
        return None;
    }
    let mut places = (a_opens, b_opens);
    if a.entry(a_opens) == b.entry(b_opens) {
        let mut search = Bisect::new(a_opens + 1, shorter);
        while let Some(size) = search.ask() {
            search.answer(size, prove::root(a, size)? == prove::root(b, size)?);
        }
        places = (search.first_difference(), search.first_difference());
    }
    let of_a = Evidence::from_archive(a, places.0)?;
    Fraud::equivocation(of_a, Evidence::from_archive(b, places.1)?)
}

/// The index of the entry that opened the head's epoch: a recovery, or the genesis.
fn opening(branch: &(impl Archive + ?Sized)) -> Option<u64> {
    let head = branch.entry(branch.len().checked_sub(1)?)?;
    let mut opens = head.index();
    let mut before = branch.len();
    while let Some(control) = branch.control_before(before) {
        if branch.entry(control)?.position().epoch < head.position().epoch {
            break;
        }
        opens = control;
        before = control;
    }
    Some(opens)
}

/// The proof against whoever signed that entry as the next one of that branch, where it is not
/// valid. None if it is valid, if it is of another place, or if no rule shows who did it.
pub fn accuse(branch: &Chain, entry: &Entry) -> Option<Fraud> {
    let why = branch.tip().clone().extend(entry.clone()).err()?;
    let links = entry.header().links?;
    if entry.index() != branch.len() {
        return None;
    }
    let evidence = evidence_by_link(branch, entry, links.control);
    let fraud = match why {
        Invalid::Ended => Fraud::Unauthorised {
            entry: evidence,
            by: Usurpation::AfterEnd(leaf(branch, branch.len() - 1)?),
        },
        Invalid::History => Fraud::BadHistory {
            entry: evidence,
            previous: branch.tip().head().block().clone(),
            peaks: prove::peaks(branch, branch.len() - 1)?.hashes().to_vec(),
        },
        Invalid::Time => {
            Fraud::TimeRegress { entry: evidence, earlier: leaf(branch, branch.len() - 1)? }
        }
        Invalid::Link("pv") => {
            misses(evidence, LinkName::Previous, leaf(branch, branch.len() - 1)?)
        }
        Invalid::Link("jp") => {
            misses(evidence, LinkName::Jump, leaf(branch, jump::target(entry.index())?)?)
        }
        Invalid::Link(_) | Invalid::Authority(AuthorityError::Control) => {
            let named = branch.entries().iter().find(|named| named.id() == links.control)?;
            let fault = if named.kind().is_control() {
                let newer = leaf(branch, branch.control_before(branch.len())?)?;
                LinkFault::Outdated { named: named.block().clone(), newer }
            } else {
                LinkFault::Names(named.block().clone())
            };
            Fraud::BadLink { entry: evidence, link: LinkName::Control, fault }
        }
        _ => return None,
    };
    fraud.verify(entry.ledger()).is_ok().then_some(fraud)
}

fn misses(entry: Evidence, link: LinkName, leaf: Leaf) -> Fraud {
    Fraud::BadLink { entry, link, fault: LinkFault::Misses(leaf) }
}

fn leaf(branch: &Chain, index: u64) -> Option<Leaf> {
    let Placed { entry, path } = Placed::prove(branch, index, branch.len())?;
    Some(Leaf { index, block: entry.block().clone(), path })
}

/// Evidence by the control entry that the entry itself links, right or wrong.
fn evidence_by_link(branch: &Chain, entry: &Entry, control: EntryId) -> Evidence {
    let linked = branch.entries().iter().position(|known| known.id() == control);
    let mut chain = Vec::new();
    if let Some(linked) = linked {
        let until = branch.entries()[..=linked].iter();
        chain.extend(until.filter(|known| known.kind().is_control()).cloned());
    }
    Evidence::of(entry.clone(), &chain)
}
