//! Samples that the rules about sources must catch, and some that they must let pass.
//!
//! A rule without a bad sample here would be a promise and no check.

use super::*;
use crate::tree::{assert_clean, assert_finds};

fn of(text: &str) -> Tree {
    Tree::of(&[("src/x.rs", text)])
}

#[test]
fn missing_docs_are_found() {
    let long = "//! Says what it is for.\n".to_owned() + &"\n".repeat(LONG_FILE_LINES);
    assert_finds(
        &module_docs(&of("use std;\n//! Says what it is for.\n")),
        "src/x.rs:1",
        "no module doc",
    );
    assert_finds(&module_docs(&of("//! Helpers.\n")), "src/x.rs:1", "no sentence");
    assert_finds(&module_docs(&of(&long)), "src/x.rs:1", "one line");
    assert_clean(&module_docs(&of("//! Says what it is for.\n")));
    assert_clean(&module_docs(&of(&long.replacen('.', ".\n//!\n//! Owns nothing.", 1))));
}

#[test]
fn long_files_are_found() {
    assert_clean(&file_lengths(&of(&"\n".repeat(FILE_LINES_MAX))));
    let long = of(&"\n".repeat(FILE_LINES_MAX + 1));
    assert_finds(&file_lengths(&long), "src/x.rs:801", "801 lines");
}

#[test]
fn long_functions_are_found() {
    let function = |body| format!("mod tests {{\n    fn a() {{\n{}    }}\n}}\n", "\n".repeat(body));
    assert_clean(&function_lengths(&of(&function(68))));
    assert_finds(&function_lengths(&of(&function(69))), "src/x.rs:2", "a has 71 lines");
    assert_finds(&function_lengths(&of("fn b() {\n")), "src/x.rs:1", "end of b");
}

#[test]
fn banned_words_are_found() {
    for (word, instead) in BANNED {
        let bad = format!("\n    // {word} )] later\n");
        assert_finds(&banned_words(&of(&bad)), "src/x.rs:2", instead);
        assert_finds(&banned_words(&Tree::of(&[("scripts/x", &bad)])), "scripts/x:2", word);
    }
    let longer = format!("a{}b mktemp -d a.{} expect(", BANNED[0].0, BANNED[2].0.repeat(2));
    assert_clean(&banned_words(&of(&longer)));
}

#[test]
fn characters_beyond_ascii_are_found() {
    let bad = of("a\n\"\u{e9}\"\n");
    assert_finds(&ascii(&bad), "src/x.rs:2", "\\u{e9}");
    assert_finds(&ascii(&Tree::of(&[("Cargo.toml", "# \u{2014}")])), "Cargo.toml:1", "\\u{2014}");
    assert_clean(&ascii(&Tree::of(&[("README.md", "\u{e9}")])));
}

#[test]
fn unsafe_code_is_found() {
    let bad = of("fn f() {\n    unsafe { g() }\n}\n");
    assert_finds(&unsafe_code(&bad), "src/x.rs:2", "unsafe outside");
    assert_clean(&unsafe_code(&of("// unsafe\n#[expect(unsafe_code)]\nlet x = \"unsafe\";\n")));
    let library = Tree::of(&[("crates/dag/src/lib.rs", "//! Turns.\n")]);
    assert_finds(&unsafe_code(&library), "crates/dag/src/lib.rs:1", "forbid");
}

#[test]
fn names_outside_their_wall_are_found() {
    for line in
        ["use libp2p::Swarm;", "let x = libp2p_tls::new();", "fn f(x: &shoal_net::libp2p::X)"]
    {
        assert_finds(&confined_names(&of(&format!("\n{line}\n"))), "src/x.rs:2", "shoal-net");
        assert_clean(&confined_names(&Tree::of(&[("crates/net/src/x.rs", line)])));
    }
    assert_clean(&confined_names(&of("// libp2p\nlet x = \"redb\"; clap::x(); libp2px();\n")));
}

#[test]
fn a_second_file_naming_fuser_is_found() {
    let one = ("fuse/src/adapter.rs", "use fuser::X;\nuse fuser::Y;\n");
    assert_clean(&confined_names(&Tree::of(&[one])));
    let two = Tree::of(&[one, ("fuse/src/tree.rs", "\nuse fuser::Errno;\n")]);
    assert_finds(&confined_names(&two), "fuse/src/tree.rs:2", "adapter.rs");
}
