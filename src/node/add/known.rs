//! Files that look as they did when they were last added need not be read again.
//!
//! What is remembered lies in the store's stat cache, a row for each file of each directory that was
//! added with the same choices; which files may be remembered at all is decided there. Here is decided
//! when a row is believed: when nothing was lost from the store since it was written, and else when
//! every block below it is found owned, as adding it again would find it. It is never asked with
//! `--ref`, since a reference is looked at each time, nor with `--only-hash`, which has no store.
//!
//! Invariants: rows are written after what they speak of was committed. Memory is bounded by
//! [`LOADED_BYTES_MAX`] and [`NOTED_BYTES_MAX`], beyond which directories are read anew, and rows are
//! written early, after a commit of what they speak of.

use std::{fs::Metadata as Stat, path::Path, time::SystemTime};

use shoal_dag::{
    Cid, hash,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{Batch, Memory, Note, Remembered, StatPrint, Store, Trust};

use super::Root;
use crate::control::protocol::{Add, Failure};

/// Of all directories that are open, one in another.
const LOADED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows of about 100,000 files.
const NOTED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What one request knows of files that were added before.
#[derive(Debug)]
pub struct Known<'a> {
    store: &'a Store,
    batch: &'a Batch,
    options: Vec<u8>,
    generation: u64,
    trust: Trust,
    loaded: usize,
    notes: Vec<Note>,
    noted: usize,
    /// Files that were not read.
    pub unchanged: u64,
}

impl<'a> Known<'a> {
    /// For one request; `None` where nothing may be believed or remembered.
    pub fn new(store: &'a Store, batch: &'a Batch, request: &Add) -> Option<Self> {
        if request.reference || request.only_hash {
            return None;
        }
        // What was added for nobody else is not marked as public.
        let options = format!("{} {} {}", request.profile, request.preserve, request.local);
        Some(Self {
            store,
            batch,
            options: options.into_bytes(),
            generation: store.generation(),
            trust: Trust::default(),
            loaded: 0,
            notes: Vec::new(),
            noted: 0,
            unchanged: 0,
        })
    }

    /// What is remembered of a directory, or of one file; with `read_all` only what is seen now counts.
    pub fn open(&mut self, path: &Path, is_dir: bool, read_all: bool) -> Memory {
        let wanted = !read_all && self.loaded < LOADED_BYTES_MAX;
        let memory = self.store.memory(&self.options, path, is_dir, wanted);
        self.loaded += memory.bytes();
        memory
    }

    /// The root of a file that need not be read.
    ///
    /// # Errors
    /// The store.
    pub fn find(
        &mut self,
        memory: &mut Memory,
        name: &[u8],
        stat: &Stat,
    ) -> Result<Option<Root>, Failure> {
        let print = StatPrint::of(stat);
        let Some(known) = memory.find(name, print) else { return Ok(None) };
        // Held to the end of the batch, and only then asked whether something was lost: nothing can be
        // in between.
        self.batch.hold(&known.cid);
        let is_here = memory.generation() == Some(self.generation)
            && self.store.generation() == self.generation;
        if !is_here && !is_whole(self.store, self.batch, &known.cid)? {
            return Ok(None);
        }
        memory.note(name, print, &known);
        self.unchanged += 1;
        Ok(Some(Root { cid: known.cid, dag_size: known.dag_size, size: stat.len(), files: 1 }))
    }

    /// Whether a file may be remembered that looks like this; `now` is from before it did.
    pub fn is_settled(&mut self, file: &std::fs::File, stat: &Stat, now: SystemTime) -> bool {
        self.trust.is_settled(file, stat, now)
    }

    /// A directory is done.
    ///
    /// # Errors
    /// The store: too much is remembered to wait for the end, and it cannot be committed.
    pub fn close(&mut self, before: usize, memory: Memory) -> Result<(), Failure> {
        self.loaded = self.loaded.saturating_sub(before);
        let note = memory.finish(self.generation);
        self.noted += note.as_ref().map_or(0, Note::bytes);
        self.notes.extend(note);
        if self.noted >= NOTED_BYTES_MAX {
            self.batch.settle()?;
            self.write();
        }
        Ok(())
    }

    /// Makes sure, just before the commit, that what was not read is here still.
    ///
    /// # Errors
    /// Exit 5 where it is not.
    pub fn check<'r>(&self, roots: impl Iterator<Item = &'r Cid>) -> Result<(), Failure> {
        if self.unchanged == 0 || self.store.generation() == self.generation {
            return Ok(());
        }
        // What this batch brings can be walked through then.
        self.batch.settle()?;
        for root in roots {
            if !is_whole(self.store, self.batch, root)? {
                let text = format!("something below {root} was removed while it was added");
                return Err(Failure::new(crate::exit::Exit::TryAgain, text).hint("run it again"));
            }
        }
        Ok(())
    }

    /// What is to be remembered once the batch is committed.
    pub fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    fn write(&mut self) {
        self.noted = 0;
        self.store.remember(std::mem::take(&mut self.notes));
    }
}

/// Puts down what a file gave.
pub fn note(memory: &mut Memory, name: &[u8], print: StatPrint, root: &Root) {
    memory.note(name, print, &Remembered { cid: root.cid, dag_size: root.dag_size });
}

/// Whether the store owns every block below a root.
fn is_whole(store: &Store, batch: &Batch, root: &Cid) -> Result<bool, Failure> {
    let mut walk = TreeWalk::new(*root, Budget::TREE);
    while let Ok(TreeStep::Need(cid)) = walk.poll() {
        if !batch.has(&cid)? {
            return Ok(false);
        }
        let handled = if cid.codec() == hash::RAW {
            walk.skip(&cid)
        } else {
            // One that cannot be read is made again from the file.
            let Ok(Some(data)) = store.get(&cid) else { return Ok(false) };
            walk.handle_block(&cid, data).map(drop)
        };
        if handled.is_err() {
            return Ok(false);
        }
    }
    Ok(matches!(walk.poll(), Ok(TreeStep::Done)))
}
