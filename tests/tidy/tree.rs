//! The repository as the rules see it: paths and texts, in memory.
//!
//! A tree is read once from disk, or made from pairs by the tests of the rules. Paths are relative
//! to the root and use `/`. Build output, git's own files and the caches of tools are no part of it.

use std::fmt;
use std::fs;
use std::path::Path;

/// Larger files are listed and not read: no source of ours comes near.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Directories with a dot that are ours; the others are git's or some tool's.
const DOTTED: [&str; 4] = [".cargo", ".ci", ".config", ".github"];

/// Something that breaks a rule, and what to do about it.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Relative to the root.
    pub(crate) path: String,
    /// From 1; 0 where no line is to blame.
    pub(crate) line: usize,
    /// What is wrong, then what to do.
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root.
    pub(crate) path: String,
    /// Length on disk.
    pub(crate) bytes: u64,
    /// Content; bytes that are not UTF-8 are replaced. Empty where the file is too large to read.
    pub(crate) text: String,
}

impl File {
    /// Whether it is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    /// Whether its name ends in a dot and this.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Its lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// A finding in this file.
    pub(crate) fn finding(&self, line: usize, what: String) -> Finding {
        Finding { path: self.path.clone(), line, what }
    }
}

/// All files of a repository.
#[derive(Debug)]
pub(crate) struct Tree {
    /// In the order of their paths.
    pub(crate) files: Vec<File>,
}

impl Tree {
    /// Reads what lies below a directory.
    pub(crate) fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        collect(root, "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// Makes a tree from paths and texts.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            bytes: text.len() as u64,
            text: (*text).to_owned(),
        };
        Self { files: files.iter().map(file).collect() }
    }

    /// The Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// Whether a file of that path exists, or a directory that is not empty.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| {
            file.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    let entries = fs::read_dir(directory).expect("a directory of the repository can be listed");
    for entry in entries {
        let entry = entry.expect("an entry of the repository can be listed");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("an entry of the repository has a type");
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if name != "target" && (!name.starts_with('.') || DOTTED.contains(&name.as_str())) {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if let Ok(metadata) = entry.metadata() {
            let readable = metadata.is_file() && metadata.len() <= TEXT_BYTES_MAX;
            let bytes =
                if readable { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            files.push(File { path, bytes: metadata.len(), text });
        }
    }
}

/// Asserts that a rule finds one thing in a sample, at that place, with those words.
#[track_caller]
pub(crate) fn assert_finds(findings: &[Finding], place: &str, words: &str) {
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1, "one finding expected at {place}, got {shown:#?}");
    assert!(shown[0].starts_with(&format!("{place}: ")), "{place} expected, got {}", shown[0]);
    assert!(shown[0].contains(words), "{words:?} expected in {}", shown[0]);
}

/// Asserts that a rule has nothing to say about a sample.
#[track_caller]
pub(crate) fn assert_clean(findings: &[Finding]) {
    assert!(findings.is_empty(), "nothing expected, got {findings:#?}");
}

#[test]
fn a_tree_knows_its_files_and_directories() {
    let tree = Tree::of(&[("src/main.rs", ""), ("README.md", "")]);
    assert!(tree.has("src") && tree.has("src/main.rs") && tree.has("README.md"));
    assert!(!tree.has("sr") && !tree.has("src/main") && !tree.has("README"));
}

#[test]
fn reading_skips_build_output() {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(tree.has("tests/tidy.rs") && tree.has(".ci/run"));
    assert!(!tree.has("target") && !tree.has(".git"));
}
