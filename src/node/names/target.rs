//! From what a person typed to a CID with a path: every verb that takes a CID takes a name.
//!
//! A CID is a CID whatever names there are. Else the text is a name ([`super::spelling`]): the version that it
//! means is found out ([`super::resolve`]), and what is not the newest by anybody's word is told.

use std::sync::Arc;

use shoal_dag::path::{self, CidPath, PathError};
use shoal_ledger::LedgerId;

use super::{
    dnslink, resolve,
    spelling::{self, Spelling, Which},
    unknown,
};
use crate::{
    control::{
        protocol::{Failure, Response, Wait},
        server::Responder,
    },
    node::Node,
};

/// What a person typed, as a CID with a path.
///
/// # Errors
/// Exit 2 for what is neither a CID nor a name that is known, 4 for a name that nobody answers for.
pub async fn follow(
    node: &Arc<Node>,
    text: &[u8],
    wait: Wait,
    out: &Responder,
) -> Result<CidPath, Failure> {
    let (shown, spelling) = match path::parse(text) {
        Ok(path) => return Ok(path),
        Err(PathError::NotCid(shown)) => (shown, spelling::parse(text)?),
        // A key is spelled as a CID too, of a kind that no block has.
        Err(PathError::Unusable { text: shown, reason }) => match spelling::parse(text) {
            Ok(Some(spelling)) => (shown, Some(spelling)),
            _ => {
                return Err(Failure::usage(
                    PathError::Unusable { text: shown, reason }.to_string(),
                ));
            }
        },
        Err(error) => return Err(Failure::usage(error.to_string())),
    };
    let Some(spelling) = spelling else { return Err(neither(&shown)) };
    if let Which::Petname(petname) = &spelling.which {
        let petname = petname.clone();
        if node.names().ask(move |book| book.named(&petname)).await?.is_none() {
            return Err(neither(&shown));
        }
    }
    let found = resolve::find(node, &spelling, resolve::How::Near, wait, out).await?;
    for note in found.notes() {
        out.send(Response::Note(note)).await?;
    }
    Ok(CidPath { root: found.version.root, segments: spelling.segments })
}

fn neither(shown: &str) -> Failure {
    Failure::usage(format!("{shown:?} is not a CID or a known name"))
}

/// The name that is meant, with nothing behind it.
///
/// # Errors
/// Exit 2 for text that is no name, or has a version or a path; 4 for a petname that is not known.
pub async fn bare(node: &Arc<Node>, text: &[u8]) -> Result<LedgerId, Failure> {
    let spelling = parse(text)?;
    if spelling.point != spelling::Point::Newest || !spelling.segments.is_empty() {
        return Err(Failure::usage("a name alone is meant, without version or path"));
    }
    ledger(node, &spelling).await
}

/// Reads text that must be a name.
///
/// # Errors
/// Exit 2.
pub fn parse(text: &[u8]) -> Result<Spelling, Failure> {
    let shown = || shoal_dag::name::escape(text);
    spelling::parse(text)?.ok_or_else(|| Failure::usage(format!("{:?} is not a name", shown())))
}

/// The ledger that is meant.
///
/// # Errors
/// Exit 4 for a petname that is not known.
pub async fn ledger(node: &Arc<Node>, spelling: &Spelling) -> Result<LedgerId, Failure> {
    match &spelling.which {
        Which::Ledger(ledger) => Ok(*ledger),
        Which::Petname(petname) => {
            let asked = petname.clone();
            let named = node.names().ask(move |book| book.named(&asked)).await?;
            named.ok_or_else(|| unknown(petname))
        }
        Which::Domain(domain) => dnslink::name_of(node, domain).await,
    }
}
