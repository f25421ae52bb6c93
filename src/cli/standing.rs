//! How a name stands, in words: version, age, and what is wrong with it.
//!
//! `resolve`, `follow`, `name accept`, `checkout` and `prove` all end with a
//! [`Resolved`] and tell it here. A fork is told even with
//! `-q`, since it is why the verb fails: where the histories part, both branches, who signed both,
//! where the proof lies and how to go on.

use shoal_dag::name::escape;

use super::{json::name::seconds, talk::Talk};
use crate::{
    control::protocol::{
        Failure,
        name::{ForkLine, Resolved, Standing},
    },
    exit::Exit,
};

/// Most sources named in a line; more are counted.
const SOURCES_SHOWN_MAX: usize = 3;

/// Tells how the name stands. A fork is the failure that it ends the verb with.
pub(crate) fn tell(talk: &Talk, resolved: &Resolved) -> Option<Failure> {
    talk.note(&describe(resolved));
    talk.detail(&format!("link: {}", resolved.link));
    for refused in &resolved.refused {
        talk.detail(&format!("refused or held: {refused}"));
    }
    let name = shown(resolved);
    match resolved.standing {
        Standing::Superseded => talk.warning(&format!(
            "a recovery of {name} was seen that could not be verified yet: another version may hold"
        )),
        Standing::Ended => talk.note(&format!("{name} has ended: no version comes after this one")),
        Standing::Forked => {
            if let Some(fork) = &resolved.fork {
                for line in branches(&name, fork) {
                    talk.of_failure(&line);
                }
            }
            return Some(failure(&name, resolved.fork.as_ref()));
        }
        Standing::Own | Standing::Ok | Standing::Stale => {}
    }
    None
}

/// What a person calls it: the petname, else the key.
pub(crate) fn shown(resolved: &Resolved) -> String {
    let petname = resolved.petname.as_deref().filter(|petname| !petname.is_empty());
    escape(petname.unwrap_or(&resolved.name).as_bytes())
}

/// `NAME@N (#E.I)`, or what of it is known.
pub(crate) fn version(resolved: &Resolved) -> String {
    let (name, position) = (shown(resolved), &resolved.position);
    match resolved.version {
        Some(version) => format!("{name}@{version} ({position})"),
        None => format!("{name} at {position}"),
    }
}

/// Version, time, age.
fn describe(resolved: &Resolved) -> String {
    let own = if resolved.standing == Standing::Own { "own, " } else { "" };
    let (version, time) = (version(resolved), seconds(resolved.time_ms));
    format!("{version} of {time}: {own}{}", confirmed(resolved))
}

fn confirmed(resolved: &Resolved) -> String {
    let by = match &*resolved.sources {
        [] => String::new(),
        sources if sources.len() <= SOURCES_SHOWN_MAX => format!(" by {}", sources.join(", ")),
        sources => {
            let (named, more) = sources.split_at(SOURCES_SHOWN_MAX);
            format!(" by {} and {} more", named.join(", "), more.len())
        }
    };
    match (resolved.confirmed_ms, resolved.standing) {
        (None, _) => "nobody else has confirmed it yet".to_owned(),
        (Some(ms), Standing::Stale) => format!("nobody has confirmed it for {}", age(ms)),
        (Some(ms), _) => format!("confirmed {} ago{by}", age(ms)),
    }
}

/// How long ago, to what a person would say.
fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A fork, in lines.
fn branches(name: &str, fork: &ForkLine) -> Vec<String> {
    let common = match fork.common {
        Some(version) => format!("both share version {version}"),
        None => "they share no version".to_owned(),
    };
    let position = &fork.position;
    let mut lines = vec![format!("two histories of {name} part at {position}; {common}")];
    for (at, entry) in fork.entries.iter().enumerate() {
        let content = match fork.roots.get(at).and_then(Option::as_ref) {
            Some(root) => format!(", content {root}"),
            None => String::new(),
        };
        let version = fork.version.map(|version| format!(" (version {version})"));
        lines.push(format!("  entry {entry}{}{content}", version.unwrap_or_default()));
    }
    let signed = if fork.guilty.len() == 1 { "both signed" } else { "signed" };
    lines.extend(fork.guilty.iter().map(|key| format!("  {signed} by the key {key}")));
    lines.push(format!("  proof: {}", escape(&fork.proof)));
    lines
}

fn failure(name: &str, fork: Option<&ForkLine>) -> Failure {
    let text = match fork {
        Some(ForkLine { position, version: Some(version), .. }) => {
            format!("{name} is forked at {position}: there are two versions {version}")
        }
        Some(ForkLine { position, .. }) => format!("{name} is forked at {position}"),
        None => format!("{name} is forked"),
    };
    Failure::new(Exit::Forked, text)
        .hint(format!("to go on with one of them: shoal name accept {name} ENTRY"))
}

#[cfg(test)]
mod tests;
