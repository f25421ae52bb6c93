//! `prove`: a file that shows, offline, what stood at a path in a version of a name.
//!
//! It takes the whole history, since the head that is shown is proven from nothing: so of our own names,
//! and of those that are followed. Directory blocks on the way are fetched where they are missing; what
//! stands at the end is not needed. Whoever checks the proof needs the name alone
//! ([`shoal_ledger::file_proof`]).

use std::sync::Arc;

use shoal_dag::{Bytes, hash, path::CidPath};
use shoal_ledger::{FileProof, ProofFile, file_proof::FileProofError};

use super::{
    resolve::{self, Found, How},
    target,
};
use crate::{
    control::{
        protocol::{Failure, Outcome, Response, Wait},
        server::Responder,
    },
    exit::Exit,
    node::{Node, read::Reader},
};

/// Sends a proof as data, and says what it shows.
///
/// # Errors
/// Exit 4 for a name, version or path that is not known, or a name whose history is not here.
pub async fn prove(
    node: &Arc<Node>,
    text: &[u8],
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(text)?;
    let found = resolve::find(node, &spelling, How::Whole, wait, out).await?;
    for note in found.notes() {
        out.send(Response::Note(note)).await?;
    }
    let index = found.version.entry.index();
    if index >= found.state.kept.len {
        return Err(history_absent(&found));
    }
    let path = CidPath { root: found.version.root, segments: spelling.segments.clone() };
    let mut reader = Reader::new(node, path.root, wait.into(), Some(out));
    let resolved = reader.resolve(&path).await?;
    let (mut directories, mut under) = (Vec::new(), None);
    // A block that is in its own CID stands in the one above it.
    for (directory, _) in resolved.trail.iter().filter(|(cid, _)| hash::identity(cid).is_none()) {
        directories.push(reader.block(directory, under, None).await?);
        under = Some(*directory);
    }
    let bytes = make(node, &found, path.segments, directories).await?;
    let len = bytes.len() as u64;
    out.data(bytes.into()).await?;
    let told = Box::new(found.told(node.store(), &spelling.segments));
    Ok(Outcome::Proved { resolved: told, cid: resolved.cid.to_string(), bytes: len })
}

/// The proof, on the blocking pool: it reads a logarithm of the history, and is verified.
async fn make(
    node: &Arc<Node>,
    found: &Found,
    segments: Vec<Vec<u8>>,
    directories: Vec<Bytes>,
) -> Result<Vec<u8>, Failure> {
    let (state, index) = (found.state.clone(), found.version.entry.index());
    let made = node.names().ask(move |book| {
        // Of a forked name only what both histories share may be shown.
        let len = state.reader.serves().map_or(0, |last| last + 1);
        let branch = book.branch(&state).up_to(len);
        let proof = FileProof::make(&branch, index, segments, directories);
        Ok(proof.map(|proof| ProofFile::File(Box::new(proof)).encode()))
    });
    made.await?.map_err(|error| match error {
        FileProofError::Lacking => history_absent(found),
        error => Failure::failed(format!("it cannot be proven: {error}")),
    })
}

fn history_absent(found: &Found) -> Failure {
    let name = found.state.called();
    Failure::new(Exit::NotFound, format!("the history of {name} is not whole here"))
        .hint(format!("a proof takes all of it: shoal follow {name}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::node::names::lab::{Lab, WAIT};

    #[tokio::test]
    async fn a_file_of_an_old_version_is_proven() {
        let mut lab = Lab::new().await;
        let name = lab.name("work").await;
        fs::create_dir_all(lab.path("work/d")).expect("directories");
        let mut roots = Vec::new();
        for number in 0..20 {
            fs::write(lab.path("work/d/file"), format!("{number}")).expect("a file");
            roots.push(lab.add("work").await);
            lab.publish(name, roots[number]);
        }
        for (target, version) in [("work@3/d/file", 3), ("work/d/file", 20), ("work@7", 7)] {
            let proved = prove(&lab.node, target.as_bytes(), WAIT, &lab.out).await;
            let Ok(Outcome::Proved { resolved, cid, bytes }) = proved else { panic!("{proved:?}") };
            let file = lab.data();
            assert_eq!((file.len() as u64, resolved.version), (bytes, Some(version)));
            let Ok(ProofFile::File(proof)) = ProofFile::decode(&file) else { panic!("a proof") };
            let shown = proof.verify().expect("it holds");
            assert_eq!(shown.name, name);
            assert_eq!(shown.root, roots[version as usize - 1]);
            assert_eq!(shown.target.to_string(), cid);
            assert_eq!(
                shown.head.to_string(),
                lab.state(name).reader.pin().expect("a pin").checkpoint().to_string()
            );
            assert_eq!(
                shown.path.join(&b'/'),
                target.split_once('/').map_or("", |path| path.1).as_bytes()
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_proven() {
        let mut lab = Lab::new().await;
        let name = lab.name("work").await;
        fs::create_dir(lab.path("work")).expect("a directory");
        lab.publish(name, lab.add("work").await);
        for target in ["work/none", "work@2", "other/file"] {
            let failure = prove(&lab.node, target.as_bytes(), WAIT, &lab.out).await;
            assert_eq!(failure.expect_err("it is not there").exit, Exit::NotFound, "{target}");
        }
        assert!(lab.data().is_empty());
        let mut state = lab.state(name);
        state.kept.len = 0;
        lab.node.names().book().put_state(&state).expect("the index");
        let failure =
            prove(&lab.node, b"work", WAIT, &lab.out).await.expect_err("only the head is known");
        assert!(failure.hint.expect("a hint").contains("shoal follow work"));
    }
}
