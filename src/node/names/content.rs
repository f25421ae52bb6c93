//! The content of the versions that a name's policy keeps: fetched, pinned, served.
//!
//! What is kept is decided in [`retention`]; here it is brought in. A version whose content nobody has costs
//! one deadline and stays in the history; it never holds up the others.

use std::sync::Arc;

use shoal_dag::path::CidPath;
use shoal_ledger::LedgerId;

use super::retention;
use crate::{
    control::{
        protocol::{Failure, Wait},
        server::Responder,
    },
    node::{Node, get},
};

/// Fetches what is missing of the versions that are kept, newest first, and pins it; then what the policy keeps no
/// more is let go of. A version that nobody has is passed over: the next round asks again.
///
/// # Errors
/// The store, or why the newest version that is missing could not be fetched.
pub async fn fetch(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let wait = Wait { idle_ms: node.settings().timeout.as_millis() as u64 };
    let mut first = None;
    for root in retention::missing(node, name).await? {
        let (out, mut answers) = Responder::pair();
        let told = tokio::spawn(async move { while answers.recv().await.is_some() {} });
        let path = CidPath { root, segments: Vec::new() };
        let fetched = get::fetch_tree(node, &path, wait.into(), &out).await;
        drop(out);
        let _ended = told.await;
        match fetched {
            Ok(_) => keep(node, name).await?,
            Err(failure) => {
                first.get_or_insert(failure);
            }
        }
    }
    keep(node, name).await?;
    first.map_or(Ok(()), Err)
}

/// Pins the versions that are kept and whose content is here, and lets go of the rest.
///
/// # Errors
/// The store.
pub async fn keep(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let applied = retention::apply(node, name).await?;
    if applied.pinned > 0 {
        node.rebase().wake();
    }
    Ok(())
}
