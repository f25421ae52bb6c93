//! Rules about what is written in Rust sources.
//!
//! A reader meets one page of prose at the head of each file, functions that fit a screen, and no
//! promise for later. `unsafe` stands in the files named here and nowhere else.

use crate::code::{code_only, functions, words};
use crate::manifests::{CONFINED, is_of, package_of};
use crate::tree::{File, Finding, Tree};

/// Lines of a file, tests included.
const FILE_LINES_MAX: usize = 800;

/// Lines of a function, from its `fn` to its closing brace: what fits a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// From this many lines on, the doc at the head of a file has at least two.
const LONG_FILE_LINES: usize = 40;

/// The files that may hold `unsafe`: at most one of the store, one of the mount.
const UNSAFE_FILES: &[&str] = &[];

/// Packages whose library forbids `unsafe` outright.
const SAFE_LIBRARIES: [&str; 5] = [
    "crates/dag/src/lib.rs",
    "crates/ledger/src/lib.rs",
    "crates/net/src/lib.rs",
    "crates/swarm/src/lib.rs",
    "src/lib.rs",
];

/// Words that may stand nowhere, and what to write instead. Spelled in two halves, so that this
/// file does not hold them.
const BANNED: [(&str, &str); 10] = [
    (concat!("TO", "DO"), "do it now or open an issue"),
    (concat!("FIX", "ME"), "mend it now or open an issue"),
    (concat!("XX", "X"), "say what is wrong or open an issue"),
    (concat!("todo", "!("), "write it, or leave the function out"),
    (concat!("unimplemented", "!("), "write it, or leave the function out"),
    (concat!("dbg", "!("), "use tracing, or nothing"),
    (concat!("#[ign", "ore"), "a test that does not run is no test: mend it or remove it"),
    (concat!("[all", "ow("), "use expect with a reason"),
    (concat!("unbounded", "_channel"), "bound the queue with a named constant"),
    (concat!("mpsc::un", "bounded("), "bound the queue with a named constant"),
];

/// Every file opens by saying what it is for.
pub(crate) fn module_docs(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter_map(|file| Some(file.finding(1, missing_doc(file)?.to_owned()))).collect()
}

fn missing_doc(file: &File) -> Option<&'static str> {
    let head = file.text.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: Vec<&str> = head.map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = doc.join(" ");
    let sentence = text.split_whitespace().count() >= 4 && text.contains(['.', ':']);
    if doc.is_empty() {
        Some("no module doc, say in //! from the first line on what this file is for")
    } else if !sentence {
        Some("the module doc is no sentence, say what this file is for")
    } else if doc.len() < 2 && file.text.lines().count() >= LONG_FILE_LINES {
        Some("one line of module doc, say what it owns and what it does not do")
    } else {
        None
    }
}

/// No file is longer than a reader's patience.
pub(crate) fn file_lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let what = format!("{lines} lines, split it: at most {FILE_LINES_MAX}");
            findings.push(file.finding(lines, what));
        }
    }
    findings
}

/// No function is longer than a screen, tests included.
pub(crate) fn function_lengths(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        for function in functions(&code_only(&file.text)) {
            let name = &function.name;
            let what = match function.lines {
                Some(lines) if lines <= FUNCTION_LINES_MAX => continue,
                Some(lines) => {
                    format!("{name} has {lines} lines, split it: at most {FUNCTION_LINES_MAX}")
                }
                None => format!("the end of {name} cannot be found, run cargo fmt"),
            };
            findings.push(file.finding(function.line, what));
        }
    }
    findings
}

/// No leftovers, in sources, scripts and pages.
pub(crate) fn banned_words(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !file.has_extension("lock")) {
        for (number, line) in file.lines() {
            for (word, instead) in BANNED {
                if has_word(line, word) {
                    findings.push(file.finding(number, format!("{word}, {instead}")));
                }
            }
        }
    }
    findings
}

/// Whether it stands in the line, and not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let begins = part(word.chars().next()) && part(line[..at].chars().next_back());
        let ends = part(word.chars().next_back()) && part(line[at + word.len()..].chars().next());
        !begins && !ends
    })
}

/// Sources and manifests are ASCII: what is shown is what is compiled.
pub(crate) fn ascii(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.is_rust() || file.has_extension("toml")) {
        for (number, line) in file.lines() {
            if let Some(found) = line.chars().find(|c| !c.is_ascii()) {
                let what = format!("{} is not ASCII, spell or escape it", found.escape_unicode());
                findings.push(file.finding(number, what));
            }
        }
    }
    findings
}

/// `unsafe` has its files, and the libraries that never need it say so.
pub(crate) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        if SAFE_LIBRARIES.contains(&file.path.as_str())
            && !file.text.contains("#![forbid(unsafe_code)]")
        {
            findings.push(
                file.finding(1, "unsafe is not forbidden, add #![forbid(unsafe_code)]".to_owned()),
            );
        }
        if UNSAFE_FILES.contains(&file.path.as_str()) {
            continue;
        }
        for (number, line) in (1..).zip(code_only(&file.text).lines()) {
            if words(line).any(|word| word == "unsafe") {
                let what = "unsafe outside the files for it, go through them or do without";
                findings.push(file.finding(number, what.to_owned()));
            }
        }
    }
    findings
}

/// Code names a confined crate only behind its wall, and the mount's one in a single file.
pub(crate) fn confined_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut adapter: Option<&str> = None;
    for file in tree.rust() {
        let package = package_of(&file.path).name;
        for (number, line) in (1..).zip(code_only(&file.text).lines()) {
            for (family, owner) in CONFINED {
                let family = family.replace('-', "_");
                if !words(line).any(|word| is_of(word, &family)) {
                    continue;
                }
                if package != owner {
                    findings.push(
                        file.finding(
                            number,
                            format!("only {owner} may name {family}, go through it"),
                        ),
                    );
                } else if family == "fuser" && *adapter.get_or_insert(&file.path) != file.path {
                    let other = adapter.unwrap_or_default();
                    findings.push(
                        file.finding(number, format!("{other} names fuser, one file is enough")),
                    );
                }
            }
        }
    }
    findings
}

#[cfg(test)]
#[path = "sources/tests.rs"]
mod tests;
