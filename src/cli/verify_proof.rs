//! `shoal verify-proof`: whether a proof holds, and what it shows.
//!
//! Needs the file and nothing else: no store, no node, no network. What is proven goes to standard
//! output, what its signer claims besides to standard error. A proof that does not hold ends with exit
//! code 6, a file that is no proof with 1. [`shoal_ledger`] decides both.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use shoal_dag::name::escape;
use shoal_ledger::{
    FileProof, Fraud, LedgerId, ProofFile,
    file_proof::Shown,
    proof_file::{PROOF_FILE_BYTES_MAX, ProofFileError},
};

use super::{
    context::Context,
    json::{
        Details,
        name::{Verified, seconds, time},
    },
    report::{End, Report},
};
use crate::{control::protocol::Failure, exit::Exit};

/// Check a proof, offline, and print what it shows
///
/// Prints the path and the CID of what stood there; the name, the position and its time are told on
/// standard error. The CID stands for the bytes: add them to compare. Of a proof that a name is forked
/// the name and the position are printed.
#[derive(Debug, Args)]
pub(crate) struct VerifyProofArgs {
    /// A file of `shoal prove`, or the proof of a fork
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What a proof shows, to be printed.
#[derive(Debug)]
struct Claim {
    /// The line of standard output.
    line: String,
    /// Lines of standard error.
    notes: Vec<String>,
    fields: Verified,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: VerifyProofArgs) -> Result<Report, End> {
    let bytes = read(&args.file)?;
    let Claim { line, notes, fields } = claim(&args.file, &bytes)?;
    let output = &mut context.console.output;
    if !output.is_json() {
        output.line(line.as_bytes()).await?;
        output.flush().await?;
    }
    for note in &notes {
        context.console.talk.note(note);
    }
    Ok(Report::done(Details::Verified(Box::new(fields))))
}

/// The file, and of one too large as much as shows that it is.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::io("read", path, &error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(PROOF_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Checks all of it.
fn claim(path: &Path, bytes: &[u8]) -> Result<Claim, Failure> {
    let path = escape(path.as_os_str().as_encoded_bytes());
    let proof = ProofFile::decode(bytes).map_err(|error| match error {
        // It was a proof before somebody changed it.
        ProofFileError::Decode(_) => does_not_hold(&path, &error),
        _ => Failure::failed(format!("cannot read {path}: {error}")),
    })?;
    match proof {
        ProofFile::File(proof) => of_file(&path, &proof),
        ProofFile::Fraud { name, fraud } => of_fraud(&path, name, &fraud),
    }
}

fn does_not_hold(path: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Corrupt, format!("{path} proves nothing: {error}"))
}

fn of_file(file: &str, proof: &FileProof) -> Result<Claim, Failure> {
    let shown = proof.verify().map_err(|error| does_not_hold(file, &error))?;
    let Shown { name, position, time_ms, message, root, path, target, head } = shown;
    let path = path.join(&b'/');
    let at = if path.is_empty() { ".".to_owned() } else { escape(&path) };
    let said = message.as_deref().map(|message| format!(", \"{}\"", escape(message.as_bytes())));
    let mut notes = vec![format!(
        "the proof holds: {position} of {name}, published {} by its own account{}",
        seconds(time_ms),
        said.unwrap_or_default()
    )];
    if head.position != position {
        notes.push(format!("it is in the history that {} signed", head.position));
    }
    Ok(Claim {
        line: format!("{at} {target}"),
        notes,
        fields: Verified::File {
            name: name.to_string(),
            position: position.to_string(),
            time: time(time_ms),
            message: message.unwrap_or_default(),
            root: root.to_string(),
            path: path.as_slice().into(),
            cid: target.to_string(),
        },
    })
}

fn of_fraud(file: &str, name: LedgerId, fraud: &Fraud) -> Result<Claim, Failure> {
    fraud.verify(name).map_err(|error| does_not_hold(file, &error))?;
    let position = fraud.position();
    let guilty: Vec<String> = fraud.guilty(name).iter().map(ToString::to_string).collect();
    let (fraud, did) = match fraud {
        Fraud::Equivocation(_) => ("fork", "two histories were signed"),
        Fraud::BadHistory { .. } => ("bad_history", "a false history was signed"),
        Fraud::BadLeaf { .. } => ("bad_leaf", "a history with a foreign entry in it was signed"),
        Fraud::BadLink { .. } => ("bad_link", "a false link was signed"),
        Fraud::TimeRegress { .. } => ("time_regress", "a time before an earlier one was signed"),
        Fraud::Unauthorised { .. } => ("unauthorised", "somebody signed who might not"),
    };
    let mut notes = vec![format!("the proof holds: {did} at {position} of {name}")];
    notes.extend(guilty.iter().map(|key| format!("signed by the key {key}")));
    let line = format!("{name} {position}");
    let (name, position) = (name.to_string(), position.to_string());
    Ok(Claim { line, notes, fields: Verified::Fraud { name, position, fraud, guilty } })
}

#[cfg(test)]
mod tests;
