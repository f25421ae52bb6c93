//! Every `--help`, kept word for word below `tests/cli/help`, and the completions.
//!
//! A change of a help text is a change of the interface: it shows in the diff of these files.
//! `SHOAL_BLESS=1` writes them anew.

use std::{collections::BTreeMap, fs, path::Path};

use shoal::exit::Exit;

use super::run::{run, shoal};

/// Verbs as they are typed, of every depth.
fn verbs(command: &clap::Command, typed: &str) -> Vec<String> {
    let mut verbs = vec![typed.to_owned()];
    for verb in command.get_subcommands() {
        let typed = format!("{typed} {}", verb.get_name());
        verbs.extend(self::verbs(verb, typed.trim()));
    }
    verbs
}

fn file_name(typed: &str) -> String {
    if typed.is_empty() { "shoal.txt".to_owned() } else { typed.replace(' ', "-") + ".txt" }
}

fn kept(dir: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeMap::new() };
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(|entry| read(entry.unwrap())).collect()
}

#[test]
fn every_help_is_as_kept() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    let mut printed = BTreeMap::new();
    for typed in verbs(&shoal::cli::command(), "") {
        let ran = run(&mut shoal(&format!("{typed} --help")));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{typed} --help");
        printed.insert(file_name(&typed), ran.stdout);
    }
    if std::env::var_os("SHOAL_BLESS").is_some() {
        fs::create_dir_all(&dir).unwrap();
        for name in kept(&dir).keys() {
            fs::remove_file(dir.join(name)).unwrap();
        }
        for (name, text) in &printed {
            fs::write(dir.join(name), text).unwrap();
        }
    }
    let kept = kept(&dir);
    assert!(
        kept.keys().eq(printed.keys()),
        "kept {:?}, there are {:?}",
        kept.keys(),
        printed.keys()
    );
    for (name, text) in &printed {
        assert_eq!(&kept[name], text, "{name} is not as kept; SHOAL_BLESS=1 keeps it");
    }
}

#[test]
fn every_help_begins_with_one_short_imperative_line() {
    for typed in verbs(&shoal::cli::command(), "") {
        for option in ["-h", "--help"] {
            let ran = run(&mut shoal(&format!("{typed} {option}")));
            let first = ran.stdout.lines().next().unwrap();
            assert!(first.len() < 80 && !first.ends_with('.'), "{typed} {option}: {first}");
            assert!(first.starts_with(|c: char| c.is_ascii_uppercase()), "{typed}: {first}");
            let longest = ran.stdout.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= 100, "{typed} {option} has a line of {longest} characters");
        }
    }
}

#[test]
fn the_help_has_every_exit_code() {
    let help = run(&mut shoal("--help")).stdout;
    for (exit, words) in Exit::ALL {
        let line = format!("{:>5}  {words}", exit.code());
        assert!(help.lines().any(|printed| printed == line), "no line {line:?} in the help");
    }
}

#[test]
fn help_is_the_same_whatever_the_environment_holds() {
    let plain = run(&mut shoal("get --help")).stdout;
    let mut filled = shoal("get --help");
    filled.env("SHOAL_DIR", "/secret").env("SHOAL_TIMEOUT", "3s");
    filled.env("SHOAL_BOOTSTRAP", "/ip4/127.0.0.1/tcp/1");
    assert_eq!(run(&mut filled).stdout, plain);
}

#[test]
fn the_version_is_the_package_s() {
    let ran = run(&mut shoal("--version"));
    assert_eq!(ran.stdout, concat!("shoal ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&mut shoal(&format!("completions {shell}")));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{shell}");
        for verb in shoal::cli::command().get_subcommands() {
            assert!(ran.stdout.contains(verb.get_name()), "{shell} lacks {}", verb.get_name());
        }
        assert!(ran.stdout.contains("bootstrap"), "{shell} lacks the global options");
    }
}
