//! Rules about where things lie and what they are called.
//!
//! The visible top of the repository is a fixed list; tool configuration goes into dot-files. A
//! file is called by its subject, so that a tab or a stack trace says where one is.

use crate::tree::{File, Finding, Tree};

/// What may lie at the top, besides dot-files and licences.
const TOP_LEVEL: [&str; 10] = [
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "benches",
    "crates",
    "fuse",
    "scripts",
    "src",
    "tests",
];

/// What must lie at the top.
const REQUIRED: [&str; 6] =
    ["ARCHITECTURE.md", "Cargo.lock", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["common", "helper", "helpers", "misc", "types", "util", "utils"];

/// Bytes of one file: text comes nowhere near, and data belongs elsewhere. The lock file is 105 KB.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Beginnings of absolute paths that exist on one machine only.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Where a word in backticks of ARCHITECTURE.md is taken for a path of this repository.
const PATH_STARTS: [&str; 7] =
    [".ci/", "benches/", "crates/", "fuse/", "scripts/", "src/", "tests/"];

/// The top level has what it needs and nothing else.
pub(crate) fn top_level(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for file in &tree.files {
        let top = file.path.split('/').next().expect("split gives at least one part");
        if seen.contains(&top) {
            continue;
        }
        seen.push(top);
        let allowed =
            top.starts_with('.') || top.starts_with("LICENSE-") || TOP_LEVEL.contains(&top);
        if !allowed {
            findings.push(Finding {
                path: top.to_owned(),
                line: 0,
                what: "not an entry of the top level, move it below one or into a dot-file"
                    .to_owned(),
            });
        }
    }
    for required in REQUIRED.iter().filter(|required| !tree.has(required)) {
        findings.push(Finding {
            path: (*required).to_owned(),
            line: 0,
            what: "missing, write it".to_owned(),
        });
    }
    findings
}

/// Files and modules are called by their subject, and no file downloads another compiler.
pub(crate) fn file_names(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().filter_map(|file| Some(file.finding(0, bad_name(file)?.to_owned()))).collect()
}

fn bad_name(file: &File) -> Option<&'static str> {
    let name = file.path.rsplit('/').next()?;
    if name == "rust-toolchain" || name == "rust-toolchain.toml" {
        return Some("would download another compiler, say rust-version in Cargo.toml instead");
    }
    // Cargo takes tests/x.rs for a test of its own, so what tests share needs tests/x/mod.rs.
    let shared_by_tests = file.path.starts_with("tests/") || file.path.contains("/tests/");
    if !file.is_rust() || shared_by_tests {
        return None;
    }
    if name == "mod.rs" {
        return Some("a tab called mod.rs, use name.rs beside name/");
    }
    let stem = |part: &str| EMPTY_NAMES.contains(&part.trim_end_matches(".rs"));
    file.path.split('/').any(stem).then_some("a name without a subject, say what is inside")
}

/// Nothing large is committed.
pub(crate) fn file_sizes(tree: &Tree) -> Vec<Finding> {
    let large = tree.files.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    large
        .map(|file| {
            let what = format!("{} bytes, keep data out of the repository", file.bytes);
            file.finding(0, what)
        })
        .collect()
}

/// No file names a path of one particular machine.
pub(crate) fn paths_of_one_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        for (number, line) in file.lines() {
            for start in MACHINE_PATHS {
                if line.match_indices(start).any(|(at, _)| begins_a_path(line, at)) {
                    let what = format!("{start} is a path of one machine, make it relative");
                    findings.push(file.finding(number, what));
                }
            }
        }
    }
    findings
}

/// Whether a slash begins an absolute path, and is not within a longer one.
fn begins_a_path(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before.is_some_and(|c| c.is_alphanumeric() || "._-})~*".contains(c))
}

/// What ARCHITECTURE.md calls by a path is there.
pub(crate) fn architecture_names_what_exists(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path == "ARCHITECTURE.md") {
        for (number, line) in file.lines() {
            for word in line.split('`').skip(1).step_by(2) {
                let Some(path) = named_path(word) else {
                    continue;
                };
                if !tree.has(path) {
                    let what = format!("`{path}` does not exist, name what does");
                    findings.push(file.finding(number, what));
                }
            }
        }
    }
    findings
}

/// The path that a word in backticks names: up to a placeholder, and without an item after it.
fn named_path(word: &str) -> Option<&str> {
    if !PATH_STARTS.iter().any(|start| word.starts_with(start)) {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let end = word.find(|c| !plain(c)).unwrap_or(word.len());
    let path = &word[..end];
    let placeholder = word[end..].starts_with(['*', '<', '{', '$']);
    let whole = if placeholder { path.rsplit_once('/')?.0 } else { path };
    Some(whole.trim_end_matches(['/', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{assert_clean, assert_finds};

    #[test]
    fn strangers_and_gaps_at_the_top_are_found() {
        let mut files: Vec<(&str, &str)> = REQUIRED.iter().map(|path| (*path, "")).collect();
        files.extend([("src/main.rs", ""), (".ci/run", ""), ("LICENSE-APACHE", "")]);
        assert_clean(&top_level(&Tree::of(&files)));
        files.push(("docs/a.md", ""));
        files.push(("docs/b.md", ""));
        assert_finds(&top_level(&Tree::of(&files)), "docs:0", "not an entry");
        assert_finds(
            &top_level(&Tree::of(&files[1..files.len() - 2])),
            "ARCHITECTURE.md:0",
            "missing",
        );
    }

    #[test]
    fn names_without_a_subject_are_found() {
        for bad in ["src/util.rs", "crates/net/src/types.rs", "src/helpers/x.rs", "fuse/src/mod.rs"]
        {
            assert_finds(&file_names(&Tree::of(&[(bad, "")])), &format!("{bad}:0"), "");
        }
        let toolchain = Tree::of(&[("crates/dag/rust-toolchain.toml", "")]);
        assert_finds(&file_names(&toolchain), "crates/dag/rust-toolchain.toml:0", "compiler");
        let good =
            ["tests/common/mod.rs", "fuse/tests/common/mod.rs", "src/node.rs", "src/utility.rs"];
        assert_clean(&file_names(&Tree::of(&good.map(|path| (path, "")))));
    }

    #[test]
    fn large_files_are_found() {
        let text = "a".repeat(FILE_BYTES_MAX as usize + 1);
        assert_finds(&file_sizes(&Tree::of(&[("tests/x.car", &text)])), "tests/x.car:0", "bytes");
        assert_clean(&file_sizes(&Tree::of(&[("tests/x.car", &text[1..])])));
    }

    #[test]
    fn machine_paths_are_found() {
        for start in MACHINE_PATHS {
            let bad = format!("a\nopen(\"{start}x\")\n");
            let tree = Tree::of(&[("scripts/x", &bad)]);
            assert_finds(&paths_of_one_machine(&tree), "scripts/x:2", start);
            let good = format!("$DIR{start}x ${{DIR}}{start} ..{start}");
            assert_clean(&paths_of_one_machine(&Tree::of(&[("scripts/x", &good)])));
        }
    }

    #[test]
    fn architecture_must_name_what_exists() {
        let files = |text| Tree::of(&[("ARCHITECTURE.md", text), ("crates/dag/src/walk.rs", "")]);
        let good = "`crates/dag`, `crates/dag/src/walk.rs:poll`, `crates/<name>/src`, `src`, `cid`";
        assert_clean(&architecture_names_what_exists(&files(good)));
        let bad = files("see\n`crates/dag/src/walks.rs`");
        assert_finds(&architecture_names_what_exists(&bad), "ARCHITECTURE.md:2", "walks.rs");
        let bad = files("`tests/*.rs`");
        assert_finds(&architecture_names_what_exists(&bad), "ARCHITECTURE.md:1", "`tests`");
    }
}
