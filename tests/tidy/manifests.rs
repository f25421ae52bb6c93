//! The walls, as the manifests build them: which package may use which.
//!
//! Arrows point down only: everything may use dag, net may use swarm, the root package composes all
//! of them. A dependency from outside that a wall exists for is named by one package alone. Versions
//! and features are written once, at the root, so that every build shares its artefacts.
//!
//! Reads only as much TOML as manifests use; `cargo deny` checks the resolved graph besides.

use crate::tree::{File, Finding, Tree};

/// A package of this workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its directory; the root's is empty.
    pub(crate) directory: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// The packages of this workspace that it may use.
    uses: &'static [&'static str],
    /// Neither clock nor tasks, files or sockets.
    pub(crate) pure: bool,
}

const DAG: &str = "shoal-dag";

/// Every package there is.
pub(crate) const PACKAGES: [Package; 7] = [
    Package { directory: "crates/dag", name: DAG, uses: &[], pure: true },
    Package { directory: "crates/store", name: "shoal-store", uses: &[DAG], pure: false },
    Package { directory: "crates/ledger", name: "shoal-ledger", uses: &[DAG], pure: true },
    Package { directory: "crates/swarm", name: "shoal-swarm", uses: &[DAG], pure: true },
    Package {
        directory: "crates/net",
        name: "shoal-net",
        uses: &[DAG, "shoal-swarm"],
        pure: false,
    },
    Package { directory: "fuse", name: "shoal-fuse", uses: &[DAG], pure: false },
    Package {
        directory: "",
        name: "shoal",
        uses: &[DAG, "shoal-store", "shoal-ledger", "shoal-swarm", "shoal-net", "shoal-fuse"],
        pure: false,
    },
];

/// Dependencies that one package alone may use, with whatever begins like them (`libp2p-tls`).
pub(crate) const CONFINED: [(&str, &str); 8] = [
    ("libp2p", "shoal-net"),
    ("redb", "shoal-store"),
    ("fuser", "shoal-fuse"),
    ("clap", "shoal"),
    ("anyhow", "shoal"),
    ("axum", "shoal"),
    ("indicatif", "shoal"),
    ("tracing-subscriber", "shoal"),
];

/// What a pure package has no use for, outside its tests.
const IMPURE: [&str; 8] =
    ["futures", "libc", "mio", "parking_lot", "rustix", "tempfile", "tokio", "tokio-util"];

/// One line of a table of dependencies.
#[derive(Debug)]
struct Dependency<'a> {
    line: usize,
    key: &'a str,
    /// The rest of the line.
    value: &'a str,
    /// Whether only tests see it.
    dev: bool,
}

/// The package that a path belongs to.
pub(crate) fn package_of(path: &str) -> &'static Package {
    let within = |package: &&Package| {
        path.strip_prefix(package.directory).is_some_and(|rest| rest.starts_with('/'))
    };
    PACKAGES.iter().find(within).unwrap_or(&PACKAGES[PACKAGES.len() - 1])
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.split('/').next_back() == Some("Cargo.toml"))
}

/// The dependencies in every table of that kind; `[workspace.dependencies]` only if asked for.
fn dependencies(file: &File, of_workspace: bool) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let mut dev = false;
    let mut inside = false;
    for (line, text) in file.lines() {
        let text = text.trim();
        if let Some(header) = text.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            let (table, key) = split_header(header);
            dev = table.ends_with("dev-dependencies");
            inside =
                table.ends_with("dependencies") && table.starts_with("workspace.") == of_workspace;
            if inside && !key.is_empty() {
                found.push(Dependency { line, key, value: "", dev });
                inside = false;
            }
        } else if inside && let Some((key, value)) = split_key(text) {
            found.push(Dependency { line, key, value, dev });
        }
    }
    found
}

/// `[dependencies.x]` is the table `dependencies` and the key `x`.
fn split_header(header: &str) -> (&str, &str) {
    match header.rsplit_once('.') {
        Some((table, key)) if table.ends_with("dependencies") => (table, key.trim_matches('"')),
        _ => (header, ""),
    }
}

/// `x.workspace = true` and `x = { .. }` have the key `x`.
fn split_key(text: &str) -> Option<(&str, &str)> {
    let (left, right) = text.split_once('=')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-\".".contains(c);
    let left = left.trim();
    if left.is_empty() || !left.chars().all(plain) {
        return None;
    }
    let key = left.split('.').next().unwrap_or(left).trim_matches('"');
    Some((key, if left.contains(".workspace") { text } else { right }))
}

/// The package behind a key: `x = { package = "y" }` hides y, in a member or at the root.
fn real_name<'a>(tree: &'a Tree, dependency: &Dependency<'a>) -> &'a str {
    let renamed = |value: &'a str| value.split_once("package = \"")?.1.split('"').next();
    let of_root = || {
        let root = manifests(tree).find(|file| file.path == "Cargo.toml")?;
        let all = dependencies(root, true);
        all.iter().find(|line| line.key == dependency.key).and_then(|line| renamed(line.value))
    };
    renamed(dependency.value).or_else(of_root).unwrap_or(dependency.key)
}

/// Whether a dependency is that crate or one of its family.
pub(crate) fn is_of(name: &str, family: &str) -> bool {
    let rest = name.strip_prefix(family);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

/// Packages are those that the walls know.
pub(crate) fn known_packages(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        let directory = file.path.trim_end_matches("Cargo.toml").trim_end_matches('/');
        let known = PACKAGES.iter().find(|package| package.directory == directory);
        let named = |name: &str| file.text.lines().any(|line| line == format!("name = \"{name}\""));
        match known {
            Some(package) if named(package.name) => {}
            Some(package) => {
                findings.push(file.finding(0, format!("not {}, give it its name", package.name)));
            }
            None => {
                let what =
                    "a package that no wall knows, say in tests/tidy/manifests.rs what it may use";
                findings.push(file.finding(0, what.to_owned()));
            }
        }
    }
    findings
}

/// Packages of this workspace are used downwards only.
pub(crate) fn edges(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        let package = package_of(&file.path);
        for dependency in dependencies(file, false) {
            let name = real_name(tree, &dependency);
            let ours = PACKAGES.iter().any(|package| package.name == name);
            if ours && !package.uses.contains(&name) {
                let what =
                    format!("{} may not use {name}, turn the dependency round", package.name);
                findings.push(file.finding(dependency.line, what));
            }
        }
    }
    findings
}

/// Each dependency that a wall confines has one user, and pure packages have none that acts.
pub(crate) fn confined_dependencies(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        let package = package_of(&file.path);
        for dependency in dependencies(file, false) {
            let name = real_name(tree, &dependency);
            let owner = CONFINED.iter().find(|(family, _)| is_of(name, family));
            if let Some((_, owner)) = owner
                && *owner != package.name
            {
                let what = format!("only {owner} may use {name}, go through it");
                findings.push(file.finding(dependency.line, what));
            }
            if package.pure && !dependency.dev && IMPURE.contains(&name) {
                let what = format!("{} is pure, pass in what {name} is for", package.name);
                findings.push(file.finding(dependency.line, what));
            }
        }
    }
    findings
}

/// Members inherit versions, features and lints from the root.
pub(crate) fn one_place_for_versions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        for dependency in dependencies(file, false) {
            if !dependency.value.contains("workspace = true") {
                let what = format!(
                    "{} has a version of its own, write it once at the root",
                    dependency.key
                );
                findings.push(file.finding(dependency.line, what));
            }
        }
        if !file.text.contains("[lints]\nworkspace = true") {
            findings.push(file.finding(0, "no lints, add [lints] workspace = true".to_owned()));
        }
    }
    findings
}

#[cfg(test)]
#[path = "manifests/tests.rs"]
mod tests;
