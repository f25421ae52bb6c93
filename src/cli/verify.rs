//! `shoal verify`: is everything in the store what it should be?
//!
//! A line for each thing that is wrong: what it is (`corrupt`, `changed`, `gone`, `orphan`, or `missing` for
//! a pin that lacks something), the CID of the block as a raw leaf or of the pin or `-`, where in which
//! file, and ` mended` at the end when it is right again.
//! Exit 0 means that nothing is wrong (any more), 6 that something is.

use clap::Args;
use shoal_dag::name::escape;
use shoal_store::TablesFrom;

use super::{
    context::Context,
    converse::{Console, Exchange},
    json::{Details, Line, fault_kind},
    progress::size,
    report::{End, Report, unexpected},
};
use crate::{
    control::{
        client::Answer,
        protocol::{Failure, FaultLine, Outcome, Request, Response, Verify},
    },
    exit::Exit,
    node::verify::index::{self, State},
};

/// Hash everything in the store again, and print what is wrong
///
/// A line for each fault: what it is (corrupt, changed, gone, orphan; missing for a pin that lacks
/// something), the CID of the block or pin or `-`, the place and the file, and `mended` when it is right
/// again. Exit code 0 means that all is well.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Forget what is wrong, and fetch what is pinned of it from peers; makes a damaged index again
    #[arg(long)]
    repair: bool,

    /// First make the index again from the data, whatever is wrong with it; no peer may run
    #[arg(long)]
    rebuild_index: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: VerifyArgs) -> Result<Report, End> {
    mend_index(context, &args).await?;
    let mut check = Check { repair: args.repair, wait: context.wait, printed: 0, seen: 0 };
    let outcome = context.ask(&mut check).await?;
    let Outcome::Verified { blocks, bytes, faults, mended, elapsed_ms } = outcome else {
        return Err(unexpected(&outcome));
    };
    context.console.output.flush().await?;
    let rate = size(bytes.saturating_mul(1000).checked_div(elapsed_ms).unwrap_or(bytes));
    let text = format!("{blocks} blocks, {} checked, {rate}/s", size(bytes));
    context.console.talk.note(&text);
    let details = Details::Checked { blocks, bytes, faults, mended, elapsed_ms };
    Ok(Report { details: Some(details), failure: left(faults, mended, args.repair) })
}

/// Makes the index again, when told to or when it is damaged and may be mended.
async fn mend_index(context: &mut Context, args: &VerifyArgs) -> Result<(), Failure> {
    let talk = &mut context.console.talk;
    if args.repair && !args.rebuild_index {
        let text = "reading the index";
        match talk.while_waiting(text, index::look(&context.settings)).await? {
            State::Sound | State::InUse => return Ok(()),
            State::Damaged(why) => talk.warning(&format!("the index is damaged: {why}")),
        }
    } else if !args.rebuild_index {
        return Ok(());
    }
    let text = "making the index again from the data";
    let report = talk.while_waiting(text, index::rebuild(&context.settings)).await?;
    let source = match report.tables {
        TablesFrom::Index => "the old index",
        TablesFrom::Journal => "its journal",
        TablesFrom::Nowhere => {
            talk.warning("neither the old index nor its journal can be read: pins are lost");
            "nowhere"
        }
    };
    let (blocks, bytes) = (report.blocks, size(report.bytes));
    talk.note(&format!(
        "the index is made again: {blocks} blocks of {bytes}, pins and records from {source}"
    ));
    Ok(())
}

/// The failure that what is still wrong makes.
fn left(faults: u64, mended: u64, repair: bool) -> Option<Failure> {
    let left = faults.saturating_sub(mended);
    let hint = match (left, repair) {
        (0, _) => return None,
        (_, false) => "nothing wrong is served; fetch it again with: shoal verify --repair",
        (_, true) => "nothing wrong is served; try again when a peer that has it is connected",
    };
    let things = if left == 1 { "thing is" } else { "things are" };
    Some(Failure::new(Exit::Corrupt, format!("{left} {things} wrong in the store")).hint(hint))
}

/// The exchange; a second node checks from the beginning, and what was printed is passed over.
#[derive(Debug)]
struct Check {
    repair: bool,
    wait: crate::control::protocol::Wait,
    printed: u64,
    seen: u64,
}

impl Exchange for Check {
    fn request(&self) -> Request {
        Request::Verify(Verify { repair: self.repair, wait: self.wait })
    }

    fn restart(&mut self) {
        self.seen = 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Response(Response::Fault(fault)) = answer else {
            return Err(unexpected(&answer));
        };
        self.seen += 1;
        if self.seen > self.printed {
            let output = &mut console.output;
            if output.is_json() {
                output.object(&Line::from(&fault)).await?;
            } else {
                output.line(line(&fault).as_bytes()).await?;
            }
            self.printed += 1;
        }
        Ok(())
    }
}

fn line(fault: &FaultLine) -> String {
    let kind = fault_kind(fault.kind);
    let cid = fault.cid.as_deref().unwrap_or("-");
    let mut words = vec![kind.to_owned(), cid.to_owned()];
    words.extend(fault.offset.map(|offset| offset.to_string()));
    words.extend((!fault.path.is_empty()).then(|| escape(&fault.path)));
    words.extend(fault.mended.then(|| "mended".to_owned()));
    words.join(" ")
}
