//! A proven fork, as it is told: where the histories part, who signed both, and where the proof lies.
//!
//! The proof is written beside the store (`DIR/proofs/NAME-EPOCH.proof`), so that it can be handed to anybody;
//! `shoal verify-proof` checks it with nothing but the name. It can be written again at any time from what
//! the reader keeps.

use std::{fs, io, os::unix::ffi::OsStringExt, path::PathBuf};

use shoal_ledger::{Body, Fraud, LedgerId, PublicKey, Status, proof_file::ProofFile};
use shoal_store::Store;

use super::{book::Book, now_ms, state::State};
use crate::control::protocol::name::ForkLine;

/// The fraud that freezes a name.
pub fn freezing(state: &State) -> Option<&Fraud> {
    let forked = state.reader.status(now_ms()) == Status::Forked;
    state.reader.frauds().first().filter(|_| forked)
}

/// What is told of the fork of a name, if it is forked; its proof is written where it is not yet.
pub fn line(store: &Store, state: &State) -> Option<ForkLine> {
    let fraud = freezing(state)?;
    let book = Book::new(store.clone());
    let position = fraud.position();
    let before = position.index.as_u64().checked_sub(1);
    let common = before.and_then(|index| book.version_at(state, index).ok().flatten());
    let updates = fraud.evidence().iter().map(|evidence| match evidence.entry.body() {
        Body::Update(update) => update.root_cid().map(|root| root.to_string()),
        _ => None,
    });
    let roots: Vec<Option<String>> = updates.collect();
    let is_update = roots.iter().any(Option::is_some);
    let counted = state.kept.len > 0;
    Some(ForkLine {
        position: position.to_string(),
        common,
        version: (is_update && counted).then(|| common.unwrap_or(0) + 1),
        entries: fraud.evidence().iter().map(|e| e.entry.id().to_cid().to_string()).collect(),
        roots,
        guilty: fraud.guilty(state.name()).iter().map(PublicKey::to_string).collect(),
        proof: written(store, state.name(), fraud).into_os_string().into_vec(),
    })
}

/// Where the proof lies; written if it is not there.
fn written(store: &Store, name: LedgerId, fraud: &Fraud) -> PathBuf {
    let dir = store.dir().join("proofs");
    let path = dir.join(format!("{name}-{}.proof", fraud.position().epoch.as_u64()));
    let bytes = ProofFile::Fraud { name, fraud: Box::new(fraud.clone()) }.encode();
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return path;
    }
    let write = || -> io::Result<()> {
        fs::create_dir_all(&dir)?;
        let new = path.with_extension("new");
        fs::write(&new, &bytes)?;
        fs::rename(&new, &path)
    };
    if let Err(error) = write() {
        tracing::warn!(%error, path = %path.display(), "the proof of a fork could not be written");
    }
    path
}
