//! The rules alone: which patterns count where, and which of them decides.
//!
//! No walk and no store: the patterns of each directory are given, as the walk would have read them.

use std::fs;

use tempfile::TempDir;

use super::*;

/// Directories below an argument `/arg`, each with patterns, and what is asked of an entry below them.
fn left_out(exclude: &[&str], dirs: &[(&str, &str)], path: &str) -> bool {
    let home = TempDir::new().unwrap();
    let exclude = exclude.iter().map(|&pattern| pattern.to_owned()).collect();
    let leaving = Leaving { exclude, ..Leaving::default() };
    let select = Select::new(&leaving, Profile::Shoal).unwrap();
    let above: Vec<_> = dirs
        .iter()
        .map(|(dir, patterns)| {
            fs::write(home.path().join(IGNORE_NAME), patterns).unwrap();
            (Path::new(*dir), select.patterns(home.path()).unwrap())
        })
        .collect();
    let (path, is_dir) = match path.strip_suffix('/') {
        Some(dir) => (dir, true),
        None => (path, false),
    };
    let above = above.iter().map(|(dir, patterns)| (*dir, patterns));
    select.leaves_out(Path::new(path), is_dir, Path::new("/arg"), above).is_some()
}

#[test]
fn the_syntax_is_that_of_git() {
    for (pattern, path, fits) in [
        ("*.log", "/arg/a.log", true),
        ("*.log", "/arg/d/a.log", true),
        ("*.log", "/arg/a.log.txt", false),
        ("/a.log", "/arg/a.log", true),
        ("/a.log", "/arg/d/a.log", false),
        ("d/a", "/arg/d/a", true),
        ("d/a", "/arg/x/d/a", false),
        ("**/d/a", "/arg/x/d/a", true),
        ("target/", "/arg/target/", true),
        ("target/", "/arg/target", false),
        ("d/**/x", "/arg/d/1/2/x", true),
        ("d/**", "/arg/d/", false),
        ("[a-c]?", "/arg/bz", true),
        ("[!a-c]?", "/arg/bz", false),
        (r"\#x", "/arg/#x", true),
        (r"\!x", "/arg/!x", true),
        ("x ", "/arg/x", true),
        (r"x\ ", "/arg/x ", true),
        ("", "/arg/x", false),
        ("# x", "/arg/x", false),
        ("*", "/arg/.x", true),
    ] {
        assert_eq!(left_out(&[pattern], &[], path), fits, "--exclude {pattern:?} {path}");
        let text = format!("{pattern}\r\n");
        if !pattern.ends_with(' ') {
            assert_eq!(left_out(&[], &[("/arg", &text)], path), fits, "{pattern:?} {path}");
        }
    }
}

#[test]
fn the_last_pattern_that_fits_decides() {
    assert!(left_out(&["*.log", "!a.log", "a.*"], &[], "/arg/a.log"));
    assert!(!left_out(&["*.log", "!a.log"], &[], "/arg/a.log"));
    assert!(left_out(&["!a.log", "*.log"], &[], "/arg/a.log"));
}

#[test]
fn deeper_files_decide_before_higher_ones_and_the_command_line_before_all() {
    let dirs = [("/arg", "*.log\n"), ("/arg/d", "!keep.log\n")];
    assert!(!left_out(&[], &dirs, "/arg/d/keep.log"));
    assert!(left_out(&[], &dirs, "/arg/d/other.log"));
    assert!(left_out(&["keep.*"], &dirs, "/arg/d/keep.log"));
    assert!(!left_out(&["!other.log"], &dirs, "/arg/d/other.log"));
}

#[test]
fn patterns_are_relative_to_where_they_stand() {
    assert!(left_out(&[], &[("/arg", ""), ("/arg/d", "/x\n")], "/arg/d/x"));
    assert!(!left_out(&[], &[("/arg", "/x\n"), ("/arg/d", "")], "/arg/d/x"));
    assert!(left_out(&["/d/x"], &[("/arg", ""), ("/arg/d", "")], "/arg/d/x"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_pattern() {
    assert!(left_out(&[], &[("/arg", "\u{FEFF}x\n")], "/arg/x"));
}

#[test]
fn names_that_are_not_utf8_are_matched_too() {
    let leaving = Leaving { exclude: vec!["*.log".to_owned()], ..Leaving::default() };
    let select = Select::new(&leaving, Profile::Shoal).unwrap();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&b"/arg/\xFF.log"[..]);
    let left = select.leaves_out(Path::new(name), false, Path::new("/arg"), std::iter::empty());
    assert_eq!(left, Some(LeftOut::Excluded));
}

#[test]
fn what_is_no_pattern_is_refused_and_not_passed_over() {
    for pattern in ["[", "a[b", "[z-a]", "{a"] {
        let leaving = Leaving { exclude: vec![pattern.to_owned()], ..Leaving::default() };
        assert!(Select::new(&leaving, Profile::Shoal).is_err(), "{pattern}");
    }
}
