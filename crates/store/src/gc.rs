//! Collecting: what no pin leads to is removed, and its space given back, while everything goes on.
//!
//! ```text
//! mark     from pins, holds and what the caller names, over dense ids of a snapshot of the index
//! count    what lives and what is dead of each blob and pack
//! move     live blocks of dying blobs to whole blobs that have them too
//! remove   whole blobs that are dead, then entries, in steps: gone at once, then committed
//! free     files of dead blobs and packs go, holes are made in the others
//! ```
//!
//! Order, so that no crash and nobody who looks meanwhile finds half of it: a block is said to be
//! relied on before it is looked up ([`shields`]); a removal is visible at once and all of it durable
//! before the first byte is given back; files that are to go are noted in the same commit (`doomed`),
//! so that they go at the next open at the latest. A blob that loses a part of its bytes is first made
//! sparse, with a list of its leaves beside it, so that nobody takes it for whole. Blobs that somebody
//! reads by himself (see `leases`) get no holes, nor do files that have a second name.
//!
//! A full disk is a reason to collect: the commits may use the [`reserve`]. Users' files are forgotten
//! and never touched. What a collection leaves (leased, in use, no room to move it) the next one takes.
//!
//! Only one collection runs at a time. It holds no lock while it reads, and the exclusive one for one
//! step of a removal only.

mod account;
mod blobs;
mod holes;
mod mark;
mod packs;
mod repoint;
mod reserve;
mod run;
mod shields;
mod sweep;

use shoal_dag::Cid;

use crate::error::{OpenError, WriteError};
use crate::key::Place;
use crate::store::{Shared, Store};

pub use shields::Hold;
pub(crate) use shields::{Shield, Shields};

use run::Run;

/// What a collection keeps beside what is pinned or held, and how it goes about it.
#[derive(Debug, Clone, Default)]
pub struct CollectOptions {
    /// Roots whose content stays, as far as it is here.
    pub roots: Vec<Cid>,
    /// Single blocks that stay.
    pub blocks: Vec<Cid>,
    /// Only say what would be removed.
    pub dry_run: bool,
    /// With `dry_run`: what is only held counts as going, so that what stays is what is pinned.
    pub pins_only: bool,
}

/// What a collection has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Blocks that stay.
    pub kept_blocks: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks that were removed, or would be.
    pub removed_blocks: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes of the disk that were given back; an estimate where nothing was removed.
    pub freed_bytes: u64,
    /// Blocks below pins that are not here: the content is damaged.
    pub missing: u64,
    /// Blobs and packs whose dead bytes were left, because they are read, are on their way out, or
    /// there is no room to move what lives in them.
    pub left: u64,
    /// It went to its end; else it was stopped, or too much came in meanwhile, and it should be done
    /// again.
    pub is_complete: bool,
}

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Blocks found to stay so far.
    Marking(u64),
    /// Blocks looked at, of all.
    Counting(u64, u64),
    /// Blocks removed so far.
    Removing(u64),
    /// Blobs and packs that were freed so far.
    Freeing(u64),
}

impl Store {
    /// Removes what no pin, no [`hold`](Self::hold) and no option leads to, and gives its space back.
    /// There is no grace period. `go_on` is asked every few milliseconds; what it stops is left for the
    /// next time.
    ///
    /// # Errors
    /// [`WriteError::Read`] for a branch below a pin that cannot be read: what lies below it is not
    /// known, and nothing was removed. Else as a commit; what was removed so far stays removed.
    pub fn collect(
        &self,
        options: &CollectOptions,
        go_on: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Collected, WriteError> {
        let shared = &self.shared;
        let _one = shared.maintenance.lock();
        let collecting = Collecting::begin(shared);
        let mut run = Run::new(shared, &collecting, go_on)?;
        let done = run.collect(options);
        shared.make_reserve();
        done.map(|()| run.report)
    }
}

/// While it lives, everybody says what he relies on.
struct Collecting<'a> {
    shared: &'a Shared,
    batches: Vec<std::sync::Arc<Shield>>,
    holds: Vec<Cid>,
}

impl<'a> Collecting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let (batches, holds) = shared.shields.begin();
        Self { shared, batches, holds }
    }
}

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        self.shared.shields.end();
    }
}

impl Shared {
    /// At the opening, before anything is found again: files go that a collection was about to remove.
    pub(crate) fn recover_doomed(&self) -> Result<(), OpenError> {
        let of_index = |error: crate::index::IndexError| error.of_open(&self.layout.index());
        let doomed = self.index.doomed().map_err(of_index)?;
        if doomed.is_empty() {
            return Ok(());
        }
        for place in &doomed {
            self.unlink(&self.files_of(*place));
        }
        let doomed = doomed.into_iter().map(|place| (place, false)).collect();
        let mut changes = crate::index::Changes { doomed, ..Default::default() };
        if let Err(error) = self.index.apply(&mut changes) {
            // They are looked for again at the next open.
            tracing::warn!(%error, "cannot note that files are gone");
        }
        Ok(())
    }

    /// The files of a home.
    fn files_of(&self, place: Place) -> Vec<std::path::PathBuf> {
        let layout = &self.layout;
        match place {
            Place::Pack(number) => vec![layout.pack(number)],
            Place::Blob(id) => vec![layout.blob(id), layout.presence(id), layout.moved(id)],
        }
    }
}
