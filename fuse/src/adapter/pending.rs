//! A reply on its way to the kernel, whichever thread gives it.
//!
//! Owns how failures are logged, counted and turned into error numbers, so that it is the same for
//! every request and for both who may refuse: the work itself and the pool's watchdog. The replies
//! themselves belong to the adapter; here they are only something that can say an error number.

use std::sync::Arc;

use crate::errno::{FsError, errno, report};
use crate::fs::{Fs, Listed};
use crate::pool::Refuse;
use crate::statistics::Counters;

/// A reply that can say an error number.
pub(super) trait Reply: Send + 'static {
    /// Answers with an error.
    fn error_number(self, number: i32);
}

/// A reply that takes lines of a directory.
pub(super) trait ListReply: Reply {
    /// Does the kernel count a lookup for each line?
    const COUNTED: bool;

    /// Adds a line; true when it did not fit.
    fn add_line(&mut self, line: &Listed<'_>) -> bool;

    /// Answers with the lines added.
    fn send(self);
}

/// A reply on its way, with what the log says of it.
pub(super) struct Pending<R> {
    /// The reply, for who gives it.
    pub(super) reply: R,
    /// The kind of request, for the log.
    pub(super) request: &'static str,
    /// The inode it is about.
    pub(super) ino: u64,
    /// Where failures are counted.
    pub(super) counters: Arc<Counters>,
}

impl<R: Reply> Pending<R> {
    /// Gives the answer, or says what went wrong.
    pub(super) fn finish<T>(self, outcome: Result<T, FsError>, give: impl FnOnce(R, T)) {
        match outcome {
            Ok(answer) => give(self.reply, answer),
            Err(error) => self.fail(&error),
        }
    }

    /// Says what went wrong.
    pub(super) fn fail(self, error: &FsError) {
        report(error, self.request, self.ino);
        self.reply.error_number(errno(error));
    }
}

impl<R: ListReply> Pending<R> {
    /// Gives what fits of a directory from `offset` on.
    pub(super) fn list(mut self, fs: &Fs, handle: u64, offset: u64) {
        let reply = &mut self.reply;
        let listed = fs.list(self.ino, handle, offset, R::COUNTED, |line| reply.add_line(line));
        self.finish(listed, |reply, ()| reply.send());
    }
}

impl<R: Reply> Refuse for Pending<R> {
    fn refuse(self, error: FsError) {
        let counter = match error {
            FsError::Panicked => &self.counters.panicked,
            _ => &self.counters.overdue,
        };
        Counters::add(counter);
        self.fail(&error);
    }
}
