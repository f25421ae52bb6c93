//! The house rules, as a test: what the compiler and clippy do not hold, this holds.
//!
//! Walls between packages and around dependencies, the size of files and functions, module docs,
//! banned words and names, where `unsafe` may stand, what lies at the top of the repository, and
//! that ARCHITECTURE.md names only what exists. Each rule is a pure function from a [`tree::Tree`]
//! to findings, and has a test beside it with a sample that it must catch.
//!
//! Only the standard library is used, so that this file compiles when nothing else does. It reads
//! the working tree and not git: what is not committed yet is judged too.

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/layout.rs"]
mod layout;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/sources.rs"]
mod sources;
#[path = "tidy/tree.rs"]
mod tree;

use std::fmt::Write;
use std::path::Path;

/// Every rule, under the name that its module gives it.
const RULES: &[fn(&tree::Tree) -> Vec<tree::Finding>] = &[
    layout::top_level,
    layout::file_names,
    layout::file_sizes,
    layout::paths_of_one_machine,
    layout::architecture_names_what_exists,
    manifests::known_packages,
    manifests::edges,
    manifests::confined_dependencies,
    manifests::one_place_for_versions,
    sources::module_docs,
    sources::file_lengths,
    sources::function_lengths,
    sources::banned_words,
    sources::ascii,
    sources::unsafe_code,
    sources::confined_names,
];

#[test]
fn the_tree_is_tidy() {
    let tree = tree::Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    let sources = tree.files.iter().filter(|file| file.is_rust()).count();
    assert!(sources >= 10, "only {sources} Rust files found: this test looks in the wrong place");

    let mut report = String::new();
    let mut count = 0;
    for rule in RULES {
        for finding in rule(&tree) {
            writeln!(report, "{finding}").expect("a String takes everything");
            count += 1;
        }
    }
    assert!(count == 0, "{count} finding(s):\n{report}");
}
