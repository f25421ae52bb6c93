//! What a checkout has to do, found out before anything is changed.
//!
//! [`Wanted`] says for each path at which the version differs from what may stand there: what earlier versions
//! have, and what the new one has. [`decide`] looks at the disk: an entry that is as an earlier version
//! left it, or as the new one wants it, is free to be changed; anything else is somebody's edit, and named.
//! What stands at other paths is never looked at, save in a directory that a file is to replace.

use std::collections::{BTreeMap, HashSet};

use shoal_store::Store;

use super::{
    content,
    disk::{Found, Out, Stamp, split},
};
use crate::{
    control::protocol::{Failure, Kind},
    node::names::diff::compare::Side,
};

/// One path at which something may have to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What earlier versions have there.
    pub(super) accepted: Vec<Option<Side>>,
    /// What the new one has.
    pub(super) to: Option<Side>,
}

/// By path; a directory comes before what is in it.
pub(super) type Changes = BTreeMap<Vec<u8>, Wanted>;

/// What is to be done at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// A file or symlink goes away.
    Remove(Stamp),
    /// A directory goes away, if nothing of the user is left in it.
    RemoveDirectory,
    /// A directory is made; what stands there goes away.
    Make(Option<Stamp>),
    /// A file or symlink is written; what stands there goes away, a directory with all that is in it.
    Write { side: Side, replaces: Option<Stamp> },
    /// It stands there already; its mode and time may differ.
    Keep(Side),
}

/// What is to be done, and what stands against it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By path, sorted.
    pub(super) acts: Vec<(Vec<u8>, Act)>,
    /// Paths that were edited, the first of them.
    pub(super) edited: Vec<Vec<u8>>,
    /// How many there are.
    pub(super) edited_count: u64,
}

/// Paths of edits that are named.
pub(super) const EDITED_MAX: usize = 20;

/// What a look at one path came to.
#[expect(clippy::large_enum_variant, reason = "each is looked at as soon as it is made")]
enum Decision {
    Nothing,
    Act(Act),
    Edited,
}

/// Looks at the disk for every path.
///
/// # Errors
/// The disk or the store cannot be read.
pub(super) fn decide(
    store: &Store,
    out: &Out,
    changes: &Changes,
    force: bool,
) -> Result<Plan, Failure> {
    let mut planner = Planner { store, out, changes, force, made: HashSet::new() };
    let mut plan = Plan::default();
    for (path, wanted) in changes {
        let found = planner.look(path)?;
        match planner.decide(path, wanted, &found)? {
            Decision::Nothing => {}
            Decision::Act(act) => {
                if matches!(act, Act::Make(_)) {
                    planner.made.insert(path);
                }
                plan.acts.push((path.clone(), act));
            }
            Decision::Edited => {
                plan.edited_count += 1;
                if plan.edited.len() < EDITED_MAX {
                    plan.edited.push(path.clone());
                }
            }
        }
    }
    Ok(plan)
}

struct Planner<'a> {
    store: &'a Store,
    out: &'a Out,
    changes: &'a Changes,
    force: bool,
    /// Directories that will be made.
    made: HashSet<&'a [u8]>,
}

impl Planner<'_> {
    /// What stands at a path; nothing does in a directory that takes the place of something else.
    fn look(&self, path: &[u8]) -> Result<Found, Failure> {
        if split(path).is_some_and(|(parent, _)| self.made.contains(parent)) {
            return Ok(Found::Absent);
        }
        self.out.look(path)
    }

    fn decide(&self, path: &[u8], wanted: &Wanted, found: &Found) -> Result<Decision, Failure> {
        match wanted.to {
            None => self.remove(path, wanted, found),
            Some(side) if side.kind == Kind::Directory => self.make(path, wanted, found, side),
            Some(side) => self.write(path, wanted, found, side),
        }
    }

    fn remove(&self, path: &[u8], wanted: &Wanted, found: &Found) -> Result<Decision, Failure> {
        Ok(match found {
            Found::Absent | Found::Blocked => Decision::Nothing,
            Found::Directory(_) if self.is_accepted(path, wanted, found)? => {
                Decision::Act(Act::RemoveDirectory)
            }
            // It is in neither version: the user's own.
            Found::Directory(_) if self.force => Decision::Nothing,
            Found::File(stamp) | Found::Symlink(stamp) | Found::Other(stamp)
                if self.force || self.is_accepted(path, wanted, found)? =>
            {
                Decision::Act(Act::Remove(*stamp))
            }
            _ => Decision::Edited,
        })
    }

    fn make(
        &self,
        path: &[u8],
        wanted: &Wanted,
        found: &Found,
        side: Side,
    ) -> Result<Decision, Failure> {
        Ok(match found {
            Found::Directory(_) => Decision::Act(Act::Keep(side)),
            _ if self.is_free(path, wanted, found)? => Decision::Act(Act::Make(found.stamp())),
            _ => Decision::Edited,
        })
    }

    fn write(
        &self,
        path: &[u8],
        wanted: &Wanted,
        found: &Found,
        side: Side,
    ) -> Result<Decision, Failure> {
        if found.stamp().is_some() && content::is(self.store, self.out, path, found, Some(&side))? {
            return Ok(Decision::Act(Act::Keep(side)));
        }
        let in_the_way =
            matches!(found, Found::Directory(_)) && !self.force && !self.holds_only_ours(path)?;
        if in_the_way || !self.is_free(path, wanted, found)? {
            return Ok(Decision::Edited);
        }
        Ok(Decision::Act(Act::Write { side, replaces: found.stamp() }))
    }

    /// Whether what stands there may be replaced.
    fn is_free(&self, path: &[u8], wanted: &Wanted, found: &Found) -> Result<bool, Failure> {
        Ok(self.force || self.is_accepted(path, wanted, found)?)
    }

    /// Whether it is as an earlier version has it. Where a directory on the way is none, nothing is.
    fn is_accepted(&self, path: &[u8], wanted: &Wanted, found: &Found) -> Result<bool, Failure> {
        if *found == Found::Blocked {
            return Ok(false);
        }
        for side in &wanted.accepted {
            if content::is(self.store, self.out, path, found, side.as_ref())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a directory holds nothing but what goes away anyway. Depth first over what is there.
    fn holds_only_ours(&self, path: &[u8]) -> Result<bool, Failure> {
        let mut found = vec![path.to_vec()];
        while let Some(directory) = found.pop() {
            for name in self.out.names(&directory)? {
                let below = [&directory[..], b"/", &name].concat();
                match self.changes.get(&below) {
                    Some(Wanted { to: None, .. }) => {}
                    _ => return Ok(false),
                }
                if matches!(self.out.look(&below)?, Found::Directory(_)) {
                    found.push(below);
                }
            }
        }
        Ok(true)
    }
}
