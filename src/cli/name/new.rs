//! `shoal name new`: a name, and the recovery key that only its owner has.
//!
//! The recovery key is made by this process and never leaves it but for the place that the user
//! chose: the node, and with it the first entry of the name, has the SHA-256 of its public half. It is
//! on disk before the node is asked. When the node refuses, the file is removed again; when a node
//! died in the middle, the name may stand, and the key is kept.

use std::{fmt::Write as _, path::Path};

use shoal_dag::name::escape;
use shoal_ledger::SecretKey;

use super::{NameNewArgs, print};
use crate::{
    cli::{
        add::absolute,
        context::Context,
        converse::{Ask, Console, Exchange},
        json::Details,
        new_file::write_secret,
        report::{End, Report, unexpected},
        talk::Talk,
    },
    control::{
        client::Answer,
        protocol::{Failure, Outcome, Request, name::NameRequest},
    },
};

/// What the line of a recovery key begins with; the number is the version of the form.
const LABEL: &str = "shoal-recovery-key 1";

/// Runs `name new`.
pub(super) async fn run(context: &mut Context, args: NameNewArgs) -> Result<Report, End> {
    let NameNewArgs { petname, recovery: file } = args;
    let file = file.map(|file| absolute(file.as_os_str())).transpose()?;
    let file = file.as_deref().map(Path::new);
    let recovery = RecoveryKey::random();
    if let Some(file) = file {
        write_secret(file, recovery.file(&petname).as_bytes())?;
    }
    let request = NameRequest::New { petname, recovery: recovery.commitment() };
    let mut making = Making { ask: Ask(Request::Name(request)), again: false };
    let ended = context.ask(&mut making).await;
    let (name, petname) = match ended {
        Ok(Outcome::NameMade { name, petname }) => (name, petname),
        Ok(other) => return Err(unexpected(&other)),
        Err(end) if making.again => {
            keep(&context.console.talk, file, &recovery);
            return Err(end);
        }
        Err(end) => {
            if let Some(file) = file {
                std::fs::remove_file(file).map_err(|error| Failure::io("remove", file, &error))?;
            }
            return Err(end);
        }
    };
    match file {
        Some(file) => {
            let file = escape(file.as_os_str().as_encoded_bytes());
            context.console.talk.note(&format!("the recovery key of {name} is in {file}"));
        }
        None => show(&context.console.talk, &recovery),
    }
    print(context, &name).await?;
    let recovery = file.map(|file| file.as_os_str().as_encoded_bytes().into());
    Ok(Report::done(Details::NameMade { name, petname, recovery }))
}

/// The exchange: whether more than one node was asked matters at the end.
#[derive(Debug)]
struct Making {
    ask: Ask,
    again: bool,
}

impl Exchange for Making {
    fn request(&self) -> Request {
        self.ask.request()
    }

    fn restart(&mut self) {
        self.again = true;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        self.ask.answer(answer, console).await
    }
}

/// What can give a name a new key: an Ed25519 secret.
struct RecoveryKey([u8; 32]);

impl RecoveryKey {
    fn random() -> Self {
        Self(rand::random())
    }

    /// What is known of it to others until it is used.
    fn commitment(&self) -> [u8; 32] {
        *SecretKey::from_seed(&self.0).public().commitment().as_bytes()
    }

    fn line(&self) -> String {
        self.0.iter().fold(format!("{LABEL} "), |mut line, byte| {
            write!(line, "{byte:02x}").expect("writing to a string cannot fail");
            line
        })
    }

    /// What its file holds.
    fn file(&self, petname: &str) -> String {
        let petname = escape(petname.as_bytes());
        let (what, line) = ("what gives it a new key when its own is lost or stolen", self.line());
        format!("# Recovery key of the Shoal name {petname}: {what}. Keep it elsewhere.\n{line}\n")
    }
}

/// Shows the key, whatever the options: it is shown this once.
fn show(talk: &Talk, recovery: &RecoveryKey) {
    talk.raw(b"recovery key, to give the name a new key when its own is lost or stolen;\n");
    talk.raw(b"it is kept nowhere and not shown again, write it down:\n");
    talk.raw(format!("{}\n", recovery.line()).as_bytes());
}

/// A node died in the middle: it may have made the name before.
fn keep(talk: &Talk, file: Option<&Path>, recovery: &RecoveryKey) {
    talk.warning("the name may have been made; see: shoal name ls");
    match file {
        Some(file) => talk.warning(&format!("its recovery key stays in {}", file.display())),
        None => show(talk, recovery),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_it_is_and_the_hash_is_of_the_public_half() {
        let key = RecoveryKey([0xab; 32]);
        let line = format!("shoal-recovery-key 1 {}", "ab".repeat(32));
        assert_eq!(key.line(), line);
        let file = key.file("no\x1btes");
        let lines: Vec<&str> = file.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("# Recovery key of the Shoal name no\\x1btes: "));
        assert_eq!(lines[1], line);
        let public = SecretKey::from_seed(&[0xab; 32]).public();
        assert_eq!(&key.commitment(), public.commitment().as_bytes());
    }

    #[test]
    fn no_two_keys_are_alike() {
        assert_ne!(RecoveryKey::random().0, RecoveryKey::random().0);
    }
}
