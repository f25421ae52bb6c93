//! `shoal bwlimit`: the bandwidth limits of the running peer, shown and changed.
//!
//! What is set here lasts until the peer ends; the option `--bwlimit` says what it begins with. Without
//! a running peer it ends with exit code 10 and opens no store.

use clap::Args;

use super::{
    context::Context,
    converse::Ask,
    json::Details,
    report::{End, Report, unexpected},
    values,
};
use crate::{
    config::bandwidth::Timetable,
    control::protocol::{Outcome, Request},
};

/// Print the bandwidth limits of the running peer, or set them
///
/// Prints the limits that hold now as UP:DOWN in bytes per second, or `off`, and on a second line the
/// timetable, if there is one. With a limit, sets it first; it lasts until the peer ends.
///
/// A limit is `off`, one rate for both directions, or UP:DOWN, with K, M or G. A timetable has entries
/// [DAY-]HH:MM,LIMIT between spaces: "08:00,512K:1M 23:00,off" limits by day, "Mon-08:00,1M
/// Fri-18:00,off" till Friday. Each holds until the next one; one without a day holds every day. Times
/// are local. `--bwlimit` takes the same.
#[derive(Debug, Args)]
pub(crate) struct BwlimitArgs {
    /// The limits to set
    #[arg(value_name = "UP:DOWN", value_parser = values::bwlimit)]
    limit: Option<Timetable>,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: BwlimitArgs) -> Result<Report, End> {
    let set = args.limit.map(|limit| limit.to_string());
    let outcome = context.ask_running(&mut Ask(Request::Limit(set))).await?;
    let Outcome::Limited { rates, timetable } = outcome else {
        return Err(unexpected(&outcome));
    };
    let output = &mut context.console.output;
    if !output.is_json() {
        output.line(rates.to_string().as_bytes()).await?;
        if let Some(timetable) = &timetable {
            output.line(timetable.as_bytes()).await?;
        }
        output.flush().await?;
    }
    Ok(Report::done(Details::Limited { up: rates.up, down: rates.down, timetable }))
}
