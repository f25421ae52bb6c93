//! From what was typed to what is mounted: a CID, a version of a name, or a name that is followed.
//!
//! A CID and a version stay what they are. A name alone means its newest version, and the mount goes on
//! to the next one when there is one ([`super::watch`]); a path behind it is looked for in each version.
//! The node finds out what a name stands for; here is only what that means for a mount.

use shoal_dag::{
    Cid,
    path::{self, PathError},
};
use tokio::sync::mpsc;

use super::{Told, link::Link};
use crate::{
    control::protocol::{
        Failure, Outcome, Request, Wait,
        name::{NameRequest, Resolved, Standing},
    },
    exit::Exit,
    node::names::spelling::{self, Point, Spelling},
};

/// What is mounted.
#[derive(Debug)]
pub(super) struct Source {
    /// Where it is, at first.
    pub(super) place: Place,
    /// The version that it is of, if it is of a name.
    pub(super) version: Option<Version>,
    /// Whether the mount goes on to newer versions.
    pub(super) follows: bool,
}

/// A tree, and where to ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The root whose swarm is asked for what is missing.
    pub(super) swarm: String,
    /// The tree.
    pub(super) cid: Cid,
}

/// A version of a name.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// The name, `k51...`: what it is called here may change.
    pub(super) name: String,
    /// What a person calls it.
    pub(super) called: String,
    /// The entries to follow below its content.
    pub(super) segments: Vec<Vec<u8>>,
    /// Its content.
    pub(super) content: String,
    /// How a person names the version.
    pub(super) number: String,
    /// How the name stands.
    pub(super) standing: Standing,
}

impl Source {
    /// What the mount table says.
    pub(super) fn label(&self) -> String {
        match &self.version {
            Some(version) if self.follows => format!("shoal:{}", version.called),
            _ => format!("shoal:{}", self.place.cid),
        }
    }

    /// What a person is told when it can be used.
    pub(super) fn told(&self, dir: &std::path::Path) -> Vec<String> {
        let (cid, dir) = (self.place.cid, dir.display());
        let Some(version) = &self.version else {
            return vec![format!("{cid} is mounted at {dir}")];
        };
        let Version { called, number, .. } = version;
        let follows = if self.follows { " and follows new versions" } else { "" };
        let mounted = format!("{called}, {number} ({cid}), is mounted at {dir}{follows}");
        std::iter::once(mounted).chain(version.warning()).collect()
    }
}

impl Version {
    /// What was resolved, with the path below it.
    pub(super) fn of(resolved: &Resolved, segments: Vec<Vec<u8>>) -> Self {
        let number = match resolved.version {
            Some(number) => format!("version {number}"),
            None => format!("position {}", resolved.position),
        };
        Self {
            name: resolved.name.clone(),
            called: resolved.petname.clone().unwrap_or_else(|| resolved.name.clone()),
            segments,
            content: resolved.cid.clone(),
            number,
            standing: resolved.standing,
        }
    }

    /// What whoever reads it must know.
    pub(super) fn warning(&self) -> Option<String> {
        let Self { called, .. } = self;
        match self.standing {
            Standing::Forked => Some(format!(
                "{called} is forked: nothing newer than what both histories share is shown (see: \
                 shoal resolve {called})"
            )),
            Standing::Superseded => Some(format!(
                "{called} was recovered, which could not be verified yet: what is shown may be void"
            )),
            Standing::Ended => Some(format!("{called} has ended: this is its last version")),
            Standing::Own | Standing::Ok | Standing::Stale => None,
        }
    }

    /// Finds what is at the path in this version; `phase` hears what is waited for.
    ///
    /// # Errors
    /// The version has no such path, or nobody has it.
    pub(super) async fn place(
        &self,
        link: &Link,
        wait: Wait,
        phase: &(dyn Fn(String) + Sync),
    ) -> Result<Place, Failure> {
        let mut target = format!("/ipfs/{}", self.content).into_bytes();
        for segment in &self.segments {
            target.push(b'/');
            target.extend_from_slice(segment);
        }
        let cid = describe(link, target, wait, phase).await?;
        Ok(Place { swarm: self.content.clone(), cid })
    }
}

/// Finds what is meant.
///
/// # Errors
/// It is neither a CID nor a name, nobody knows it, or nobody has it.
pub(super) async fn find(
    link: &Link,
    target: &[u8],
    wait: Wait,
    tell: &mpsc::Sender<Told>,
) -> Result<Source, Failure> {
    // A line that finds no room is followed by a newer one.
    let phase = |text| drop(tell.try_send(Told::Phase(text)));
    let error = match path::parse(target) {
        Ok(path) => {
            let cid = describe(link, target.to_vec(), wait, &phase).await?;
            let place = Place { swarm: path.root.to_string(), cid };
            return Ok(Source { place, version: None, follows: false });
        }
        Err(error) => error,
    };
    let Some(spelling) = name(target, &error)? else {
        let text = match error {
            PathError::NotCid(shown) => format!("{shown:?} is not a CID or a known name"),
            error => error.to_string(),
        };
        return Err(Failure::usage(text));
    };
    let request = NameRequest::Resolve { target: target.to_vec(), offline: false, wait };
    let resolved = match link.ask(&Request::Name(request), &phase).await {
        Ok(Outcome::Resolved(resolved)) => resolved,
        Ok(_) => return Err(unexpected()),
        Err(failure) => return Err(exact(link, target, failure).await),
    };
    let version = Version::of(&resolved, spelling.segments);
    let place = version.place(link, wait, &phase).await?;
    Ok(Source { place, version: Some(version), follows: spelling.point == Point::Newest })
}

/// A word that nobody gave to a name is as wrong here as with every other verb, and not a name without
/// an answer: the node knows which of the two it is.
async fn exact(link: &Link, target: &[u8], failure: Failure) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    let request = Request::Stat { target: target.to_vec(), wait: Wait { idle_ms: 0 } };
    match link.ask(&request, &|_| {}).await {
        Err(usage) if usage.exit == Exit::Usage => usage,
        _ => failure,
    }
}

/// What is no CID may be a name, a bad path behind a CID is one.
fn name(target: &[u8], error: &PathError) -> Result<Option<Spelling>, Failure> {
    match error {
        PathError::Segment { .. } => Ok(None),
        _ => spelling::parse(target),
    }
}

async fn describe(
    link: &Link,
    target: Vec<u8>,
    wait: Wait,
    phase: &(dyn Fn(String) + Sync),
) -> Result<Cid, Failure> {
    let request = Request::Stat { target, wait };
    let Outcome::Described(described) = link.ask(&request, phase).await? else {
        return Err(unexpected());
    };
    described.cid.parse().map_err(|_| Failure::failed("the node named no CID"))
}

fn unexpected() -> Failure {
    Failure::failed("the node answered something else")
}

#[cfg(test)]
mod tests;
