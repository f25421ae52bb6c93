//! `shoal log`: the versions of a name, newest first.
//!
//! A line is `@N`, the claimed time in UTC, the CID, and the message, behind which stands in brackets
//! what is special about the version. With a path only versions in which it changed are listed, with
//! the CID of what stood there.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    json::{Details, Line, name::seconds},
    listing::{Item, Listing},
    report::{End, Report, unexpected},
};
use crate::control::protocol::{
    Outcome, Request, Response,
    name::{NameRequest, VersionLine},
};

/// List the versions of a name, newest first
///
/// A line for each: @N, the time that it claims, its CID and its message. With a path only versions in
/// which that file or directory changed, and `-` for the CID where there was none.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// A petname or `k51...`
    #[arg(value_name = "NAME[/PATH]")]
    target: OsString,

    /// Versions to list at most
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: LogArgs) -> Result<Report, End> {
    let (target, limit, wait) = (args.target.into_vec(), args.limit, context.wait);
    let request = Request::Name(NameRequest::Log { target, limit, wait });
    let mut listing = Listing::<VersionLine>::new(request);
    match context.ask(&mut listing).await? {
        Outcome::Nothing => Ok(Report::done(Details::Versions { versions: listing.printed() })),
        other => Err(unexpected(&other)),
    }
}

impl Item for VersionLine {
    fn batch(response: Response) -> Option<Vec<Self>> {
        match response {
            Response::Versions(versions) => Some(versions),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let mut words = vec![
            format!("@{}", self.version),
            seconds(self.time_ms),
            self.cid.clone().unwrap_or_else(|| "-".to_owned()),
        ];
        if !self.message.is_empty() {
            words.push(escape(self.message.as_bytes()));
        }
        words.extend(self.rolled_back_to.map(|version| format!("(rolled back to @{version})")));
        words.extend((!self.kept).then(|| "(not kept here)".to_owned()));
        words.join(" ")
    }

    fn object(&self) -> Line {
        Line::Version(self.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_line() {
        let mut version = VersionLine {
            version: 5,
            position: "#0.7".into(),
            cid: Some("bafy".into()),
            time_ms: 1_769_860_800_999,
            message: "first\nlight\u{202e}".into(),
            rolled_back_to: None,
            kept: true,
        };
        assert_eq!(version.line(), "@5 2026-01-31T12:00:00Z bafy first\\x0alight\\u{202e}");
        version = VersionLine { cid: None, message: String::new(), kept: false, ..version };
        assert_eq!(version.line(), "@5 2026-01-31T12:00:00Z - (not kept here)");
        version = VersionLine { rolled_back_to: Some(3), message: "undo".into(), ..version };
        let line = "@5 2026-01-31T12:00:00Z - undo (rolled back to @3) (not kept here)";
        assert_eq!(version.line(), line);
    }
}
