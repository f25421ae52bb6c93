//! What makes a reader accept a head.
//!
//! Each part of a [`HeadProof`] against what is pinned, in an order that costs a liar little of our
//! time: positions, then hashes, then signatures. Every check is by value against the pin; nothing
//! here looks at a clock.

use super::{Checkpoint, Pin, Reader};
use crate::authority::{Authority, AuthorityError};
use crate::head::{Common, HeadProof, Placed, needed};
use crate::tree::proof::{verify_consistency, verify_inclusion};
use crate::tree::{EMPTY_ROOT, Peaks};
use crate::{Entry, EntryKind, jump};

/// Why a head was not accepted. The reader's state is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another name.
    #[error("an entry of another name")]
    Foreign,
    /// It is not newer than what is pinned.
    #[error("not newer than what is known already")]
    Older,
    /// The name is forked; only a recovery, or the user's choice, goes on.
    #[error("the name is forked")]
    Frozen,
    /// A tombstone ended the ledger.
    #[error("the ledger was ended by a tombstone")]
    Ended,
    /// It is not shown to extend the pinned history: a wrong proof, or another history.
    #[error("not shown to extend the known history")]
    NotExtending,
    /// It does not fit the checkpoint that came with the link.
    #[error("not the history of the checkpoint")]
    Checkpoint,
    /// Its peaks are not those of its history.
    #[error("the peaks are not those of its history")]
    Peaks,
    /// A control entry that does not stand in its history, or not in order.
    #[error("a change of keys that is not shown to be in its history")]
    Control,
    /// Its links do not name the entries that they must.
    #[error("a link to another entry than the rules say")]
    Link,
    /// Times that go back.
    #[error("a time before that of an earlier entry")]
    Time,
    /// Signed by someone who may not.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its time has not come; offer it again later.
    #[error("its time, {time_ms}, is in the future")]
    Future {
        /// The time that it claims, Unix milliseconds.
        time_ms: u64,
    },
    /// There is nothing to do that to.
    #[error("nothing to act on")]
    Nothing,
}

impl Reader {
    /// The pin that this proof leads to, and from where the former history is cut off.
    pub(super) fn check(&self, proof: &HeadProof) -> Result<(Pin, Option<u64>), Refusal> {
        let head = &proof.head;
        if head.ledger() != self.name {
            return Err(Refusal::Foreign);
        }
        match &self.pin {
            Some(pin) => self.check_order(pin, head)?,
            None if self
                .freezing()
                .is_some_and(|fraud| fraud.position().epoch >= head.position().epoch) =>
            {
                return Err(Refusal::Frozen);
            }
            None => {}
        }
        let mut peaks = check_peaks(proof)?;
        let cut_off_from = match &self.pin {
            Some(pin) => check_common(pin, proof)?,
            None => self.check_fresh(proof, &peaks).map(|()| None)?,
        };
        let (chain, authority) = check_control(self.pin.as_ref(), proof)?;
        peaks.push(head.leaf());
        Ok((Pin { head: head.clone(), peaks, chain, authority }, cut_off_from))
    }

    fn check_order(&self, pin: &Pin, head: &Entry) -> Result<(), Refusal> {
        let (ours, theirs) = (pin.head.position(), head.position());
        if theirs <= ours {
            return Err(Refusal::Older);
        }
        if theirs.epoch > ours.epoch {
            return Ok(());
        }
        if pin.head.kind() == EntryKind::Tombstone {
            return Err(Refusal::Ended);
        }
        if self.freezing().is_some() { Err(Refusal::Frozen) } else { Ok(()) }
    }

    /// A first head: whatever the name's key signed, but the checkpoint's history if there is one.
    fn check_fresh(&self, proof: &HeadProof, before: &Peaks) -> Result<(), Refusal> {
        let Some(checkpoint) = &self.checkpoint else {
            return extends(&proof.common, proof);
        };
        let Checkpoint { position, .. } = checkpoint;
        let there = proof.head.position();
        if there.epoch > position.epoch {
            return extends(&proof.common, proof);
        }
        if there == *position {
            let mut peaks = before.clone();
            peaks.push(proof.head.leaf());
            return if checkpoint.fits(&peaks.root()) { Ok(()) } else { Err(Refusal::Checkpoint) };
        }
        let size = position.index.as_u64() + 1;
        if there < *position || proof.common.size != size || !checkpoint.fits(&proof.common.root) {
            return Err(Refusal::Checkpoint);
        }
        extends(&proof.common, proof)
    }
}

/// The peaks over the entries before the head.
fn check_peaks(proof: &HeadProof) -> Result<Peaks, Refusal> {
    let peaks = Peaks::from_parts(proof.head.index(), proof.peaks.clone()).ok_or(Refusal::Peaks)?;
    if peaks.root() == proof.head.header().history { Ok(peaks) } else { Err(Refusal::Peaks) }
}

/// The common beginning is one of the head's history.
fn extends(common: &Common, proof: &HeadProof) -> Result<(), Refusal> {
    let (size, root) = (proof.head.index(), &proof.head.header().history);
    if (common.size == 0) != (common.root == EMPTY_ROOT) {
        return Err(Refusal::NotExtending);
    }
    let holds = verify_consistency(common.size, &common.root, size, root, &common.to_head);
    if holds { Ok(()) } else { Err(Refusal::NotExtending) }
}

/// The head extends the pin, or a recovery cut the pin back to a beginning of both.
fn check_common(pin: &Pin, proof: &HeadProof) -> Result<Option<u64>, Refusal> {
    let (have, common) = (pin.have(), &proof.common);
    let same_epoch = proof.head.position().epoch == have.position.epoch;
    let shorter = common.size < have.size();
    if shorter && (same_epoch || common.size == 0) {
        return Err(Refusal::NotExtending);
    }
    let holds =
        verify_consistency(common.size, &common.root, have.size(), &have.root, &common.to_have);
    if !holds {
        return Err(Refusal::NotExtending);
    }
    extends(common, proof)?;
    if !shorter {
        let first = proof.control.first().map_or(&proof.head, |placed| &placed.entry);
        check_after(&pin.head, first)?;
        check_after(&pin.head, &proof.head)?;
    }
    Ok(shorter.then_some(common.size))
}

/// What an entry must be that stands somewhere after another one in one history: no earlier by its
/// time, not after the end, and linking it if the other one is where its links must lead.
fn check_after(earlier: &Entry, entry: &Entry) -> Result<(), Refusal> {
    if earlier.kind() == EntryKind::Tombstone {
        return Err(Refusal::Ended);
    }
    if entry.header().time_ms < earlier.header().time_ms {
        return Err(Refusal::Time);
    }
    let links = entry.header().links.ok_or(Refusal::Link)?;
    let previous = earlier.index() + 1 == entry.index();
    let jump = jump::target(entry.index()) == Some(earlier.index());
    let misses =
        (previous && links.previous != earlier.id()) || (jump && links.jump != earlier.id());
    if misses { Err(Refusal::Link) } else { Ok(()) }
}

/// The changes of keys, each in the head's history and under the authority before it; then the head.
fn check_control(pin: Option<&Pin>, proof: &HeadProof) -> Result<(Vec<Entry>, Authority), Refusal> {
    let head = &proof.head;
    let mut known = pin.map_or(Vec::new(), |pin| pin.chain.clone());
    let mut authority = pin.map(|pin| pin.authority.clone());
    let mut last: Option<&Entry> = None;
    for Placed { entry, path } in &proof.control {
        let in_order = last.map_or(entry.index() >= proof.common.size || pin.is_none(), |last| {
            last.index() < entry.index()
        });
        let root = &head.header().history;
        let there = verify_inclusion(&entry.leaf(), entry.index(), head.index(), root, path);
        if !in_order || !there || !entry.kind().is_control() {
            return Err(Refusal::Control);
        }
        last.map_or(Ok(()), |last| check_after(last, entry))?;
        authority = Some(admit(authority.as_ref(), entry)?);
        known.push(entry.clone());
        last = Some(entry);
    }
    last.map_or(Ok(()), |last| check_after(last, head))?;
    let authority = admit(authority.as_ref(), head)?;
    if head.kind().is_control() {
        known.push(head.clone());
    }
    needed(&mut known, head);
    Ok((known, authority))
}

fn admit(authority: Option<&Authority>, entry: &Entry) -> Result<Authority, AuthorityError> {
    match authority {
        None => Authority::begin(entry),
        Some(authority) => authority.admit(entry),
    }
}
