//! `shoal car export`: a CAR on standard output or in a file.
//!
//! A file appears when it is whole. When the node dies in the middle, the next one is asked for all of it
//! and what was written already is passed over: the same tree is the same bytes. Of a part of a tree that
//! is not so, and then the verb ends.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use bytes::Buf as _;
use clap::Args;
use shoal_dag::name::escape;

use crate::{
    cli::{
        add::absolute,
        context::Context,
        converse::{Console, Exchange},
        json::Details,
        new_file::Gathering,
        progress::size,
        report::{End, Report, unexpected},
    },
    control::{
        client::Answer,
        protocol::{
            Failure, Outcome, Request,
            car::{CarExport, Exported},
        },
    },
    exit::Exit,
};

/// Write a CAR of everything below a CID or name
///
/// What is missing is fetched first. Blocks are written depth first, each once. Without -o the CAR goes
/// to standard output, which may not be a terminal, and with --json the outcome goes to standard error.
#[derive(Debug, Args)]
pub(crate) struct CarExportArgs {
    /// What to write: a CID or name
    #[arg(value_name = "CID|NAME[/PATH]")]
    target: OsString,

    /// Where to put it [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<OsString>,

    /// Replace what stands at FILE
    #[arg(long, requires = "out")]
    force: bool,

    /// Write version 2, with an index
    #[arg(long)]
    v2: bool,

    /// Write what is in the store, and fetch nothing
    #[arg(long)]
    partial: bool,
}

impl CarExportArgs {
    pub(super) const fn writes_bytes(&self) -> bool {
        self.out.is_none()
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: CarExportArgs) -> Result<Report, End> {
    let gathering = match &args.out {
        Some(out) if out == "-" => {
            return Err(Failure::usage("FILE is a path")
                .hint("without -o it goes to standard output")
                .into());
        }
        Some(out) => Some(Gathering::begin(&PathBuf::from(absolute(out)?), args.force)?),
        None if context.console.output.is_terminal() => {
            return Err(Failure::usage("a CAR is not for a terminal")
                .hint("say -o FILE, or send standard output elsewhere")
                .into());
        }
        None => None,
    };
    let (target, wait) = (args.target.into_vec(), context.wait);
    let request = CarExport { target, version2: args.v2, partial: args.partial, wait };
    let mut writing = Writing { request, gathering, written: 0, passed: None };
    let Outcome::Exported(exported) = context.ask(&mut writing).await? else {
        return Err(unexpected(&"car export"));
    };
    if writing.written != exported.bytes {
        return Err(Failure::failed("the node sent another CAR than it says").into());
    }
    match writing.gathering {
        Some(gathering) => gathering.finish()?,
        None => context.console.output.flush().await?,
    }
    tell(context, &exported, args.out.as_deref());
    Ok(Report::done(Details::Exported(exported)))
}

fn tell(context: &mut Context, exported: &Exported, out: Option<&std::ffi::OsStr>) {
    let talk = &mut context.console.talk;
    talk.end();
    let Exported { cid, blocks, bytes, missing } = exported;
    let to = out.map_or_else(String::new, |out| format!("{}: ", escape(out.as_bytes())));
    let blocks = if *blocks == 1 { "1 block".to_owned() } else { format!("{blocks} blocks") };
    talk.note(&format!("{to}{cid}, {blocks}, {}", size(*bytes)));
    match missing {
        0 => {}
        1 => talk.note("1 block that it links to is not in the store"),
        _ => talk.note(&format!("{missing} blocks that it links to are not in the store")),
    }
}

/// The exchange: what was written, and how much of it was passed over since the last node died.
#[derive(Debug)]
struct Writing {
    request: CarExport,
    gathering: Option<Gathering>,
    written: u64,
    passed: Option<u64>,
}

impl Writing {
    /// Takes off what was written before; says whether the rest may be.
    fn pass_over(&mut self, data: &mut bytes::Bytes) -> Result<(), Failure> {
        let Some(passed) = &mut self.passed else { return Ok(()) };
        if self.request.partial && self.written > 0 {
            let text = "the process that owned the store ended in the middle";
            return Err(Failure::new(Exit::TryAgain, text).hint("run it again"));
        }
        let again = (self.written - *passed).min(data.len() as u64);
        data.advance(again as usize);
        *passed += again;
        Ok(())
    }
}

impl Exchange for Writing {
    fn request(&self) -> Request {
        Request::CarExport(self.request.clone())
    }

    fn restart(&mut self) {
        self.passed = Some(0);
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Data(mut data) = answer else {
            return Err(unexpected(&answer));
        };
        self.pass_over(&mut data)?;
        if let Some(gathering) = &mut self.gathering {
            gathering.append(&data)?;
        } else {
            // A person who watches a terminal sees no moving line among the bytes.
            console.talk.end();
            console.output.bytes(&data).await?;
        }
        let written = data.len() as u64;
        self.written += written;
        self.passed = self.passed.map(|passed| passed + written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Wait;

    fn writing(partial: bool) -> Writing {
        let (target, wait) = (Vec::new(), Wait { idle_ms: 1 });
        let request = CarExport { target, version2: false, partial, wait };
        Writing { request, gathering: None, written: 5, passed: None }
    }

    #[test]
    fn a_second_node_sends_all_and_what_was_written_is_passed_over() {
        let mut again = writing(false);
        let mut data = bytes::Bytes::from_static(b"abc");
        again.pass_over(&mut data).unwrap();
        assert_eq!(data, "abc");
        again.restart();
        for (sent, left) in [("abc", ""), ("defg", "fg"), ("hi", "hi")] {
            let mut data = bytes::Bytes::from_static(sent.as_bytes());
            again.pass_over(&mut data).unwrap();
            assert_eq!(data, left);
            let written = data.len() as u64;
            again.written += written;
            again.passed = again.passed.map(|passed| passed + written);
        }
        let mut part = writing(true);
        part.restart();
        let mut data = bytes::Bytes::from_static(b"abc");
        assert_eq!(part.pass_over(&mut data).unwrap_err().exit, Exit::TryAgain);
    }
}
