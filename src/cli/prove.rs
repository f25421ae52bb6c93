//! `shoal prove`: a file that shows, to anybody and offline, what stood at a path in a version.
//!
//! The node sends the proof as data; it gathers beside FILE and takes its name when it is whole. When
//! the node dies in the middle, the next one is asked for all of it.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    add::absolute,
    checkout::names_a_version,
    context::Context,
    converse::{Console, Exchange},
    json::{Details, name::Proved},
    new_file::Gathering,
    report::{End, Report, unexpected},
    standing,
};
use crate::control::{
    client::Answer,
    protocol::{Failure, Outcome, Request, name::NameRequest},
};

/// Write a proof of what stands at a path in a version of a name
///
/// Whoever has the file can check it with `shoal verify-proof`, without any network: it has every hash
/// from what stands at the path up to the signature.
#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// What to prove, in the newest version or that of @N or @TIME
    #[arg(value_name = "NAME[@VERSION]/PATH")]
    target: OsString,

    /// File to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Replace what stands at FILE
    #[arg(long)]
    force: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: ProveArgs) -> Result<Report, End> {
    if args.out == Path::new("-") {
        return Err(Failure::usage("FILE is a path").into());
    }
    let out = PathBuf::from(absolute(args.out.as_os_str())?);
    let (target, wait) = (args.target.into_vec(), context.wait);
    let settled = names_a_version(&target);
    let request = Request::Name(NameRequest::Prove { target, wait });
    let gathering = Gathering::begin(&out, args.force)?;
    let mut proving = Proving { request, gathering, begins_anew: false };
    let Outcome::Proved { resolved, cid, bytes } = context.ask(&mut proving).await? else {
        return Err(unexpected(&"prove"));
    };
    if proving.gathering.bytes() != bytes {
        return Err(Failure::failed("the node sent another proof than it says").into());
    }
    proving.gathering.finish()?;
    let talk = &mut context.console.talk;
    talk.end();
    let (file, version) =
        (escape(out.as_os_str().as_encoded_bytes()), standing::version(&resolved));
    talk.note(&format!("{file}: {bytes} bytes that prove {cid} in {version}"));
    let failure = standing::tell(talk, &resolved).filter(|_| !settled);
    let details = Proved { resolved: (&*resolved).into(), target: cid, proof_bytes: bytes };
    Ok(Report { details: Some(Details::Proved(Box::new(details))), failure })
}

/// The exchange: data goes to the file.
#[derive(Debug)]
struct Proving {
    request: Request,
    gathering: Gathering,
    begins_anew: bool,
}

impl Exchange for Proving {
    fn request(&self) -> Request {
        self.request.clone()
    }

    fn restart(&mut self) {
        self.begins_anew = true;
    }

    async fn answer(&mut self, answer: Answer, _: &mut Console) -> Result<(), End> {
        let Answer::Data(data) = answer else {
            return Err(unexpected(&answer));
        };
        if std::mem::take(&mut self.begins_anew) {
            self.gathering.restart()?;
        }
        Ok(self.gathering.append(&data)?)
    }
}
