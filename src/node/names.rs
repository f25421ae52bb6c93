//! Names: what this node knows of ledgers, signs, follows and answers.
//!
//! `shoal-ledger` decides what is valid; this module keeps it ([`book`]), brings it in from others and
//! gives it out. Work in progress: only the frame stands.

use std::sync::Arc;

use super::Node;
use crate::control::{
    protocol::{Failure, Outcome, name::NameRequest},
    server::Responder,
};

/// Answers a request about names.
///
/// # Errors
/// As told to the user.
pub async fn handle(
    _node: &Arc<Node>,
    _request: NameRequest,
    _out: &Responder,
) -> Result<Outcome, Failure> {
    Err(Failure::failed("names are not here yet"))
}
