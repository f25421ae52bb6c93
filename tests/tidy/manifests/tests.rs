//! Samples that the rules about manifests must catch, and some that they must let pass.
//!
//! A rule without a bad sample here would be a promise and no check.

use super::*;
use crate::tree::{assert_clean, assert_finds};

const ROOT: (&str, &str) =
    ("Cargo.toml", "[workspace.dependencies]\nkv = { package = \"redb\" }\nlibp2p = \"1\"\n");

fn with(path: &str, text: &str) -> Tree {
    Tree::of(&[ROOT, (path, text)])
}

#[test]
fn forbidden_edges_are_found() {
    for (path, used) in [
        ("crates/dag/Cargo.toml", "shoal-store"),
        ("crates/net/Cargo.toml", "shoal-store"),
        ("crates/swarm/Cargo.toml", "shoal-net"),
        ("crates/store/Cargo.toml", "shoal-swarm"),
        ("crates/ledger/Cargo.toml", "shoal"),
        ("fuse/Cargo.toml", "shoal-net"),
    ] {
        for text in ["[dependencies]\nX.workspace = true", "[dev-dependencies.X]\nworkspace = true"]
        {
            let line = 1 + text.find('X').map_or(0, |at| text[..at].matches('\n').count());
            let tree = with(path, &text.replace('X', used));
            assert_finds(&edges(&tree), &format!("{path}:{line}"), used);
        }
    }
    let good = "[dependencies]\nshoal-dag.workspace = true\nshoal-swarm = { workspace = true }\n";
    assert_clean(&edges(&with("crates/net/Cargo.toml", good)));
}

#[test]
fn dependencies_outside_their_wall_are_found() {
    for (path, line, name) in [
        ("src/Cargo.toml", "libp2p-tls.workspace = true", "libp2p-tls"),
        ("crates/dag/Cargo.toml", "p2p = { package = \"libp2p\", version = \"1\" }", "libp2p"),
        ("crates/net/Cargo.toml", "kv.workspace = true", "redb"),
        ("crates/store/Cargo.toml", "\"fuser\" = \"0.18\"", "fuser"),
        ("fuse/Cargo.toml", "clap_complete.workspace = true", "clap_complete"),
        ("crates/swarm/Cargo.toml", "tokio = { workspace = true }", "tokio"),
    ] {
        for table in ["dependencies", "target.'cfg(unix)'.dependencies", "build-dependencies"] {
            let tree = with(path, &format!("[{table}]\n{line}\n"));
            assert_finds(&confined_dependencies(&tree), &format!("{path}:2"), name);
        }
    }
    let good =
        "[features]\nlibp2p = []\n[dependencies]\nlibp2p.workspace = true\nlibp2p-tls = \"1\"\n";
    assert_clean(&confined_dependencies(&with("crates/net/Cargo.toml", good)));
    let tests = "[dev-dependencies]\ntempfile.workspace = true\n";
    assert_clean(&confined_dependencies(&with("crates/dag/Cargo.toml", tests)));
}

#[test]
fn unknown_packages_and_names_are_found() {
    let tree = Tree::of(&[("crates/extra/Cargo.toml", "[package]\nname = \"extra\"")]);
    assert_finds(&known_packages(&tree), "crates/extra/Cargo.toml:0", "no wall");
    let tree = Tree::of(&[("fuse/Cargo.toml", "[package]\nname = \"fuse\"")]);
    assert_finds(&known_packages(&tree), "fuse/Cargo.toml:0", "shoal-fuse");
    assert_clean(&known_packages(&Tree::of(&[("fuse/Cargo.toml", "name = \"shoal-fuse\"")])));
}

#[test]
fn versions_and_lints_of_a_member_are_found() {
    let lints = "[lints]\nworkspace = true\n";
    let good = format!("[dependencies]\nbytes.workspace = true\n{lints}");
    assert_clean(&one_place_for_versions(&Tree::of(&[("fuse/Cargo.toml", &good)])));
    let bad = format!("[dependencies]\nbytes = \"1\"\n{lints}");
    let findings = one_place_for_versions(&Tree::of(&[("fuse/Cargo.toml", &bad)]));
    assert_finds(&findings, "fuse/Cargo.toml:2", "bytes");
    let bad = "[dependencies]\n";
    let findings = one_place_for_versions(&Tree::of(&[("fuse/Cargo.toml", bad)]));
    assert_finds(&findings, "fuse/Cargo.toml:0", "lints");
}

#[test]
fn paths_belong_to_the_nearest_package() {
    assert_eq!(package_of("crates/net/src/lib.rs").name, "shoal-net");
    assert_eq!(package_of("fuse/src/lib.rs").name, "shoal-fuse");
    assert_eq!(package_of("src/main.rs").name, "shoal");
    assert_eq!(package_of("tests/tidy.rs").name, "shoal");
    assert_eq!(package_of("Cargo.toml").name, "shoal");
}
