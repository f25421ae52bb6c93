//! What of a directory is left out on purpose: hidden files, `--exclude`, and `.shoalignore`.
//!
//! Patterns have gitignore's syntax (the `ignore` package knows it; walking stays ours). Those of
//! `--exclude` are relative to the argument, those of a `.shoalignore` to its directory, from the argument
//! down: what lies above it says nothing. The last pattern that fits decides, `--exclude` before the
//! deepest `.shoalignore` before those above it, and `!` takes back in. An excluded directory is not
//! entered. Names that begin with a dot are left out where kubo leaves them out, which is with the
//! profiles that give its CIDs; ours adds them, since what was fetched must add to the same CID.
//!
//! Invariants: an argument itself is always added. A `.shoalignore` that cannot be understood takes its
//! directory out, named: what somebody wanted to keep to himself cannot be taken back once it was
//! given away. It is read as a regular file only, up to [`IGNORE_BYTES_MAX`].

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};
use shoal_dag::Profile;

use crate::control::protocol::{Failure, Leaving};

/// The file of patterns in a directory.
pub const IGNORE_NAME: &str = ".shoalignore";

/// Bytes of one such file: some thousand patterns, which are compiled.
const IGNORE_BYTES_MAX: u64 = 128 * 1024;

/// What a request leaves out.
#[derive(Debug)]
pub struct Select {
    exclude: Gitignore,
    with_hidden: bool,
    with_files: bool,
}

/// Why an entry is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Its name begins with a dot.
    Hidden,
    /// A pattern.
    Excluded,
}

/// The patterns of one directory.
#[derive(Debug, Default)]
pub struct Patterns(Option<Gitignore>);

impl Select {
    /// What a request asks for.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(leaving: &Leaving, profile: Profile) -> Result<Self, Failure> {
        let mut builder = builder();
        for pattern in &leaving.exclude {
            builder.add_line(None, pattern).map_err(|error| wrong(pattern, &error))?;
        }
        let exclude = builder.build().map_err(|error| wrong("", &error))?;
        let with_hidden = leaving.hidden || profile == Profile::Shoal;
        Ok(Self { exclude, with_hidden, with_files: !leaving.no_ignore })
    }

    /// The patterns that a directory brings with it.
    ///
    /// # Errors
    /// Why its file cannot be used.
    pub fn patterns(&self, dir: &Path) -> Result<Patterns, String> {
        if !self.with_files {
            return Ok(Patterns::default());
        }
        let text = match read(&dir.join(IGNORE_NAME)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Patterns::default()),
            Err(error) => return Err(format!("its {IGNORE_NAME} cannot be read: {error}")),
        };
        let mut builder = builder();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let wrong = |why: &dyn std::fmt::Display| {
                format!("line {} of its {IGNORE_NAME} is no pattern: {why}", number + 1)
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") {
                continue;
            }
            let line = str::from_utf8(line).map_err(|error| wrong(&error))?;
            builder.add_line(None, line).map_err(|error| wrong(&error))?;
        }
        let patterns =
            builder.build().map_err(|error| format!("its {IGNORE_NAME} is too much: {error}"))?;
        Ok(Patterns((!patterns.is_empty()).then_some(patterns)))
    }

    /// Whether the entry `path` of a directory is left out. `above` are the directories from the
    /// argument down to that one, with their patterns.
    pub fn leaves_out<'a>(
        &self,
        path: &Path,
        is_dir: bool,
        argument: &Path,
        above: impl DoubleEndedIterator<Item = (&'a Path, &'a Patterns)>,
    ) -> Option<LeftOut> {
        let is_hidden = || {
            let name = path.file_name().map(std::os::unix::ffi::OsStrExt::as_bytes);
            name.is_some_and(|name| name.starts_with(b"."))
        };
        if !self.with_hidden && is_hidden() {
            return Some(LeftOut::Hidden);
        }
        let exclude = (!self.exclude.is_empty()).then_some((argument, &self.exclude));
        let files = above.rev().filter_map(|(dir, patterns)| Some((dir, patterns.0.as_ref()?)));
        for (dir, patterns) in exclude.into_iter().chain(files) {
            let Ok(below) = path.strip_prefix(dir) else { continue };
            match patterns.matched(below, is_dir) {
                Match::None => {}
                Match::Ignore(_) => return Some(LeftOut::Excluded),
                Match::Whitelist(_) => return None,
            }
        }
        None
    }
}

/// Patterns relative to a directory that is cut off before they are matched. A class without an end is
/// an error: git lets it match nothing, and whoever wrote it wanted something left out.
fn builder() -> GitignoreBuilder {
    let mut builder = GitignoreBuilder::new("");
    builder.allow_unclosed_class(false);
    builder
}

fn wrong(pattern: &str, error: &ignore::Error) -> Failure {
    Failure::usage(format!("--exclude {pattern:?} is no pattern: {error}"))
        .hint("patterns are written as in a .gitignore: *.log, /target/, !keep.log")
}

/// Reads a file of patterns, without its byte order mark.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(IGNORE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > IGNORE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {IGNORE_BYTES_MAX} bytes")));
    }
    if text.starts_with(b"\xEF\xBB\xBF") {
        text.drain(..3);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
