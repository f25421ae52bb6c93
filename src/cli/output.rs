//! Standard output: data, as lines, objects or bytes.
//!
//! Writes go through the blocking pool, so that a slow reader of a pipe holds up neither the node in
//! this process nor Ctrl-C. Lines gather until [`Output::flush`]. [`Output::close`] puts `/dev/null`
//! in the place of standard output: whoever reads it sees the end although this process may stay for
//! its clients. A reader that went away is [`End::PipeClosed`].

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
};

use tokio::io::AsyncWriteExt as _;

use super::{json, report::End};
use crate::control::protocol::Failure;

/// Gathered bytes that are written without waiting for a flush: a pipe's worth.
const GATHERED_BYTES_MAX: usize = 64 << 10;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    file: tokio::fs::File,
    gathered: Vec<u8>,
    json: bool,
    terminal: bool,
}

impl Output {
    /// The process's standard output.
    pub(crate) fn standard(json: bool) -> Result<Self, Failure> {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let fd = stdout.as_fd().try_clone_to_owned().map_err(|error| failed(&error))?;
        Ok(Self::over(File::from(fd), json, terminal))
    }

    /// Output to a file.
    pub(crate) fn over(file: File, json: bool, terminal: bool) -> Self {
        Self { file: tokio::fs::File::from_std(file), gathered: Vec::new(), json, terminal }
    }

    /// True when lines are objects.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// True when a person reads it: names are escaped and columns aligned.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a line; its end is added.
    pub(crate) async fn line(&mut self, line: &[u8]) -> Result<(), End> {
        self.gathered.extend_from_slice(line);
        self.gathered.push(b'\n');
        self.relieve().await
    }

    /// Writes an object as a line.
    pub(crate) async fn object(&mut self, object: &json::Line) -> Result<(), End> {
        self.gathered.extend_from_slice(&json::line(object));
        self.relieve().await
    }

    /// Writes bytes as they are.
    pub(crate) async fn bytes(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.file.write_all(bytes).await.map_err(|error| end(&error))
    }

    /// Gathers a line that has its end already.
    pub(crate) async fn raw(&mut self, line: &[u8]) -> Result<(), End> {
        self.gathered.extend_from_slice(line);
        self.relieve().await
    }

    async fn relieve(&mut self) -> Result<(), End> {
        if self.gathered.len() < GATHERED_BYTES_MAX {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.bytes(&gathered).await
    }

    /// Writes everything that was gathered and waits until the other side has it.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        let gathered = std::mem::take(&mut self.gathered);
        self.bytes(&gathered).await?;
        self.file.flush().await.map_err(|error| end(&error))
    }

    /// Flushes, then lets go of standard output.
    pub(crate) async fn close(&mut self) -> Result<(), End> {
        let flushed = self.flush().await;
        let null = OpenOptions::new().write(true).open("/dev/null");
        let null = null.map_err(|error| failed(&error))?;
        rustix::stdio::dup2_stdout(&null).map_err(|error| failed(&error.into()))?;
        self.file = tokio::fs::File::from_std(null);
        flushed
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write to standard output: {error}"))
}

fn end(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::BrokenPipe => End::PipeClosed,
        _ => failed(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn lines_gather_until_they_are_flushed() {
        let mut file = tempfile::tempfile().unwrap();
        let mut output = Output::over(file.try_clone().unwrap(), false, false);
        output.line(b"one").await.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        output.line(b"two\xff").await.unwrap();
        output.flush().await.unwrap();
        let mut text = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"one\ntwo\xff\n");
    }

    #[tokio::test]
    async fn a_reader_that_went_away_ends_quietly() {
        let (reader, writer) = io::pipe().unwrap();
        let mut output = Output::over(File::from(std::os::fd::OwnedFd::from(writer)), false, false);
        drop(reader);
        output.line(b"x").await.unwrap();
        assert!(matches!(output.flush().await, Err(End::PipeClosed)));
    }

    #[tokio::test]
    async fn a_full_disk_is_told() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut output = Output::over(full, false, false);
        output.line(b"x").await.unwrap();
        let Err(End::Failed(failure)) = output.flush().await else { panic!("it was written") };
        assert!(failure.message.contains("standard output"), "{}", failure.message);
    }
}
