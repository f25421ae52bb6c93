//! `shoal cat`: a file's bytes on standard output.
//!
//! When the node dies in the middle, the next one is asked from the first byte that was not written
//! yet: what a reader sees has neither a gap nor a repetition.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use bytes::Buf as _;
use clap::Args;

use super::{
    context::Context,
    converse::{Console, Exchange},
    json::Details,
    report::{End, Report, unexpected},
    values,
};
use crate::control::{
    client::Answer,
    protocol::{Outcome, Request, Target, Wait},
};

/// Write a file to standard output
///
/// Its bytes are fetched as they are needed and written in order. With --json the outcome is a line
/// on standard error, because standard output is the file.
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// The file: a CID or name
    #[arg(value_name = "CID|NAME[/PATH]")]
    target: OsString,

    /// First and last byte to write, both inclusive and counted from 0; without LAST to the end
    #[arg(long, value_name = "FIRST-[LAST]", value_parser = values::range)]
    range: Option<(u64, u64)>,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: CatArgs) -> Result<Report, End> {
    let mut reading = Reading {
        target: args.target.into_vec(),
        range: args.range,
        wait: context.wait,
        written: 0,
        again: false,
    };
    let outcome = context.ask(&mut reading).await?;
    let Outcome::Read { .. } = outcome else {
        return Err(unexpected(&outcome));
    };
    context.console.output.flush().await?;
    Ok(Report::done(Details::Read { bytes: reading.written }))
}

/// The exchange: what is read, and how much of it was written.
#[derive(Debug)]
struct Reading {
    target: Target,
    range: Option<(u64, u64)>,
    wait: Wait,
    written: u64,
    again: bool,
}

impl Exchange for Reading {
    /// A second node is asked from the last byte that was written, not from the next: behind the
    /// last byte of a file there is nothing, and to ask for it is an error.
    fn request(&self) -> Request {
        let (first, last) = self.range.unwrap_or((0, u64::MAX));
        let range = match self.written.checked_sub(1) {
            Some(done) => Some((first + done, last)),
            None => self.range,
        };
        Request::Cat { target: self.target.clone(), range, wait: self.wait }
    }

    fn restart(&mut self) {
        self.again = self.written > 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Data(mut data) = answer else {
            return Err(unexpected(&answer));
        };
        // A person who watches a terminal sees no moving line among the bytes.
        console.talk.end();
        if std::mem::take(&mut self.again) {
            data.advance(1);
        }
        console.output.bytes(&data).await?;
        self.written += data.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_after(range: Option<(u64, u64)>, written: u64) -> Option<(u64, u64)> {
        let (target, wait) = (Vec::new(), Wait { idle_ms: 1 });
        let reading = Reading { target, range, wait, written, again: false };
        let Request::Cat { range, .. } = reading.request() else { panic!("another request") };
        range
    }

    #[test]
    fn a_second_node_is_asked_for_the_rest_and_the_byte_before() {
        assert_eq!(range_after(None, 0), None);
        assert_eq!(range_after(None, 7), Some((6, u64::MAX)));
        assert_eq!(range_after(Some((5, 20)), 0), Some((5, 20)));
        assert_eq!(range_after(Some((5, 20)), 7), Some((11, 20)));
        assert_eq!(range_after(Some((5, 20)), 16), Some((20, 20)));
    }
}
