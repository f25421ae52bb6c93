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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        control::protocol::{Get, Outcome, Request},
        exit::Exit,
        node::{
            names::lab::{Lab, WAIT},
            pin,
            service::Scope,
        },
    };

    async fn versions(lab: &Lab) -> Vec<shoal_dag::Cid> {
        let name = lab.name("work").await;
        fs::create_dir_all(lab.path("work/d")).expect("directories");
        let mut roots = Vec::new();
        for text in ["one", "two"] {
            fs::write(lab.path("work/d/file"), text).expect("a file");
            roots.push(lab.add("work").await);
            lab.publish(name, *roots.last().expect("a root"));
        }
        roots
    }

    #[tokio::test]
    async fn whatever_takes_a_cid_takes_a_name() {
        let lab = Lab::new().await;
        let roots = versions(&lab).await;
        for (text, root) in [("work", roots[1]), ("work@1", roots[0]), ("work@2/d", roots[1])] {
            let path = follow(&lab.node, text.as_bytes(), WAIT, &lab.out).await.expect("a name");
            assert_eq!(path.root, root, "{text}");
        }
        let out = lab.path("out").into_os_string().into_encoded_bytes();
        let get = Get {
            target: b"work@1/d/file".to_vec(),
            out,
            keep: false,
            force: false,
            sync: false,
            seed_on: false,
            size_max: None,
            umask: 0o022,
            wait: WAIT,
        };
        let mut scope = Scope::new(Arc::clone(&lab.node));
        let last = scope.handle(Request::Get(get), &lab.out).await;
        assert!(matches!(last, Response::Done(Outcome::Fetched { .. })), "{last:?}");
        assert_eq!(fs::read(lab.path("out")).expect("a file"), b"one");
        let stat = Request::Stat { target: b"work/d/file".to_vec(), wait: WAIT };
        let last = scope.handle(stat, &lab.out).await;
        let Response::Done(Outcome::Described(described)) = last else { panic!("{last:?}") };
        assert_eq!(described.size, 3);
        let pinned = pin::add(&lab.node, b"work@1/d", pin::How::default(), WAIT, &lab.out)
            .await
            .expect("a pin");
        let Outcome::Pinned { cid } = pinned else { panic!("{pinned:?}") };
        assert!(lab.node.store().is_pinned(&cid.parse().expect("a CID")));
        let failure = pin::remove(&lab.node, b"work").await.expect_err("a pin goes by its CID");
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn what_is_neither_is_said() {
        let lab = Lab::new().await;
        versions(&lab).await;
        for (text, exit) in [
            ("nobody", Exit::Usage),
            ("work@9", Exit::NotFound),
            ("work@x", Exit::Usage),
            ("7", Exit::Usage),
        ] {
            let failure = follow(&lab.node, text.as_bytes(), WAIT, &lab.out).await;
            assert_eq!(failure.expect_err("it is none").exit, exit, "{text}");
        }
    }
}
