//! `shoal car import`: prints the roots that are whole and pinned, one a line.
//!
//! A root that is not whole is named on standard error and makes the exit code 3: who reads standard
//! output sees only what can be relied on. With `--no-pin` nothing is looked at, and every root that the
//! CAR names is printed.

use std::{ffi::OsString, fs::File, path::Path};

use clap::Args;
use shoal_dag::name::escape;

use crate::{
    cli::{
        context::Context,
        converse::{Console, Exchange},
        input::Input,
        json::{Details, Line},
        progress::size,
        report::{End, Report, unexpected},
    },
    control::{
        client::Answer,
        protocol::{
            Failure, Outcome, Request, Response,
            car::{CarImport, CarRoot, Imported},
        },
    },
    exit::Exit,
};

/// Add the blocks of a CAR and print its roots
///
/// Versions 1 and 2 are read; every block is checked against its CID, an index is passed over. Roots
/// below which nothing is missing are pinned and printed; one that is not whole is named, its blocks are
/// kept, and the exit code is 3. Of a CAR that is broken what came before is kept and no root is pinned.
#[derive(Debug, Args)]
pub(crate) struct CarImportArgs {
    /// The CAR; `-` is standard input
    #[arg(value_name = "FILE")]
    file: OsString,

    /// Neither announce nor serve it
    #[arg(long)]
    local: bool,

    /// Pin nothing, and do not look whether the roots are whole
    #[arg(long, conflicts_with = "local")]
    no_pin: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: CarImportArgs) -> Result<Report, End> {
    if args.file != "-" {
        // Before a store is opened or made: it may not be there.
        open(Path::new(&args.file))?;
    }
    let request = CarImport { local: args.local, pin: !args.no_pin };
    let mut importing = Importing { request, file: args.file };
    let Outcome::Imported(imported) = context.ask(&mut importing).await? else {
        return Err(unexpected(&"car import"));
    };
    let talk = &mut context.console.talk;
    talk.end();
    let Imported { blocks, bytes, roots, served, .. } = imported;
    let blocks = if blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
    talk.note(&format!("read {blocks} ({})", size(bytes)));
    if roots == 0 {
        talk.note("the CAR names no roots, so nothing of it is pinned");
    }
    if request.pin && !request.local && !served && roots > imported.incomplete {
        talk.note("no running peer serves this; start one with: shoal seed");
    }
    let failure = partial(&imported);
    Ok(Report { details: Some(Details::Imported(imported)), failure })
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::io("read", path, &error))
}

/// What is not as whole as it could be.
fn partial(imported: &Imported) -> Option<Failure> {
    let Imported { incomplete, refused, .. } = *imported;
    let text = match (incomplete, refused) {
        (0, 0) => return None,
        (0, 1) => "1 block was left out".to_owned(),
        (0, _) => format!("{refused} blocks were left out"),
        (1, _) => "1 root is not whole and not pinned".to_owned(),
        _ => format!("{incomplete} roots are not whole and not pinned"),
    };
    let hint = "each is named above; the blocks that were read are kept";
    Some(Failure::new(Exit::Partial, text).hint(hint))
}

/// The exchange.
#[derive(Debug)]
struct Importing {
    request: CarImport,
    file: OsString,
}

impl Importing {
    async fn root(&self, root: CarRoot, console: &mut Console) -> Result<(), End> {
        if let Some(why) = &root.incomplete {
            console.talk.warning(&format!(
                "{} is not pinned: {}",
                root.cid,
                escape(why.as_bytes())
            ));
        }
        if console.output.is_json() {
            let CarRoot { cid, incomplete } = root;
            console.output.object(&Line::Root { cid, incomplete }).await?;
        } else if root.incomplete.is_none() {
            console.output.line(root.cid.as_bytes()).await?;
        }
        console.output.flush().await
    }
}

impl Exchange for Importing {
    fn request(&self) -> Request {
        Request::CarImport(self.request)
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        match answer {
            Answer::Response(Response::CarRoot(root)) => self.root(root, console).await,
            Answer::Response(Response::Skipped { path, why }) => {
                console.talk.warning(&format!("left out {}: {why}", escape(&path)));
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    fn wants_input(&self) -> bool {
        true
    }

    fn open_input(&self) -> Result<Input, Failure> {
        if self.file == "-" {
            return Ok(Input::standard());
        }
        Ok(Input::of(open(Path::new(&self.file))?))
    }

    fn reopens_input(&self) -> bool {
        self.file != "-"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_makes_the_import_a_part() {
        assert_eq!(partial(&Imported::default()), None);
        for (incomplete, refused) in [(0, 1), (0, 2), (1, 0), (2, 1)] {
            let imported = Imported { incomplete, refused, ..Imported::default() };
            assert_eq!(partial(&imported).unwrap().exit, Exit::Partial);
        }
    }
}
