//! What is left out on purpose, through a whole add; the rules alone are tested with them.
//!
//! What cannot be read and is left out for that is tested elsewhere: it is named, and this is counted.

use super::*;
use crate::control::protocol::Leaving;

impl Lab {
    fn with(&mut self, request: &Add) -> (Vec<Added>, Result<Outcome, Failure>) {
        add_all(&unlimited(&self.store), request, None, &self.out, &mut Vec::new())
            .expect("an answer")
    }

    fn files(&mut self, request: &Add) -> (u64, Spared) {
        let (added, outcome) = self.with(request);
        let Ok(Outcome::Added { spared, .. }) = outcome else { panic!("{outcome:?}") };
        (added[0].files, Spared { unchanged: 0, ..spared })
    }

    fn sources(&self) -> Vec<u8> {
        self.dir.path().join("sources").into_os_string().into_encoded_bytes()
    }
}

fn spared(excluded: u64, hidden: u64) -> Spared {
    Spared { excluded, hidden, unchanged: 0 }
}

#[test]
fn what_fits_a_pattern_is_counted_and_not_added() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.dir.path().join("sources/target/deep")).expect("a directory");
    for name in ["a.log", "b.txt", "target/x", "target/deep/y"] {
        drop(lab.source(name, b"bytes"));
    }
    let all = Add::path(lab.sources());
    assert_eq!(lab.files(&all), (4, spared(0, 0)));
    let exclude = vec!["*.log".to_owned(), "/target/".to_owned()];
    let some = Add { leaving: Leaving { exclude, ..Leaving::default() }, ..all.clone() };
    assert_eq!(lab.files(&some), (1, spared(2, 0)));
    // The tree without them is the same tree.
    fs::remove_dir_all(lab.dir.path().join("sources/target")).expect("removed");
    fs::remove_file(lab.dir.path().join("sources/a.log")).expect("removed");
    let (with, without) = (lab.with(&some).0, lab.with(&all).0);
    assert_eq!(with[0].cid, without[0].cid);
}

#[test]
fn a_file_of_patterns_counts_below_its_directory_unless_it_is_not_wanted() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.dir.path().join("sources/sub")).expect("a directory");
    for name in ["a.log", "sub/a.log", "sub/b.log", "sub/c"] {
        drop(lab.source(name, b"bytes"));
    }
    drop(lab.source("sub/.shoalignore", b"# logs\n*.log\n!b.log\n"));
    let all = Add::path(lab.sources());
    assert_eq!(lab.files(&all), (4, spared(1, 0)));
    let leaving = Leaving { no_ignore: true, ..Leaving::default() };
    assert_eq!(lab.files(&Add { leaving, ..all }), (5, spared(0, 0)));
}

#[test]
fn hidden_files_are_left_out_as_kubo_leaves_them_out() {
    let mut lab = Lab::new();
    fs::create_dir_all(lab.dir.path().join("sources/.git")).expect("a directory");
    for name in [".git/x", ".env", "a"] {
        drop(lab.source(name, b"bytes"));
    }
    let of = |profile: &str| Add { profile: profile.to_owned(), ..Add::path(lab.sources()) };
    let (ours, exact) = (of("shoal"), of("unixfs-v1-2025"));
    assert_eq!(lab.files(&ours), (3, spared(0, 0)));
    assert_eq!(lab.files(&exact), (1, spared(0, 2)));
    let leaving = Leaving { hidden: true, ..Leaving::default() };
    assert_eq!(lab.files(&Add { leaving, ..exact.clone() }), (3, spared(0, 0)));
    // One that is named is meant.
    for name in [".git", ".env"] {
        let path = lab.dir.path().join("sources").join(name).into_os_string().into_encoded_bytes();
        let named = Add { sources: vec![Some(path)], ..exact.clone() };
        assert_eq!(lab.files(&named), (1, spared(0, 0)), "{name}");
    }
}

#[test]
fn patterns_that_cannot_be_used_take_their_directory_out() {
    let mut lab = Lab::new();
    let sources = lab.dir.path().join("sources");
    for (name, says) in [
        ("link", "its .shoalignore cannot be read"),
        ("dir", "its .shoalignore cannot be read: it is not a regular file"),
        ("long", "its .shoalignore cannot be read: it has more than 131072 bytes"),
        ("wrong", "line 2 of its .shoalignore is no pattern"),
        ("latin", "line 1 of its .shoalignore is no pattern"),
    ] {
        let dir = sources.join(name);
        fs::create_dir(&dir).expect("a directory");
        fs::write(dir.join("secret"), "secret").expect("a file");
        let file = dir.join(select::IGNORE_NAME);
        match name {
            "link" => std::os::unix::fs::symlink("/etc/passwd", &file),
            "dir" => fs::create_dir(&file),
            "long" => fs::write(&file, vec![b'x'; 200_000]),
            "wrong" => fs::write(&file, "a\n[\n"),
            _ => fs::write(&file, b"caf\xE9\n"),
        }
        .expect("patterns");
        let (added, outcome) = lab.with(&Add::path(lab.sources()));
        assert!(matches!(outcome, Ok(Outcome::Added { skipped: 1, .. })), "{name}: {outcome:?}");
        assert_eq!(added[0].files, 0, "{name}");
        let skipped = lab.skipped();
        assert!(skipped[0].0 == dir && skipped[0].1.starts_with(says), "{skipped:?}");
        fs::remove_dir_all(&dir).expect("removed");
    }
}

#[test]
fn a_wrong_pattern_of_the_command_line_is_a_wrong_usage() {
    let mut lab = Lab::new();
    let leaving = Leaving { exclude: vec!["[".to_owned()], ..Leaving::default() };
    let request = Add { leaving, ..Add::path(lab.sources()) };
    let failure = add_all(&unlimited(&lab.store), &request, None, &lab.out, &mut Vec::new());
    assert_eq!(failure.expect_err("no pattern").exit, Exit::Usage);
    assert!(lab.skipped().is_empty());
}

#[test]
fn hashing_alone_gives_the_roots_of_an_add_and_needs_no_store() {
    let mut lab = Lab::new();
    drop(lab.source("large", &vec![3; 3_000_000]));
    drop(lab.source(".hidden", b"bytes"));
    let nowhere = lab.dir.path().join("no store");
    for profile in Profile::ALL {
        for preserve in [false, true] {
            let profile = profile.name().to_owned();
            let sources = vec![Some(lab.sources()), None];
            let request = Add { sources, profile, preserve, only_hash: true, ..Add::default() };
            let outcome = only_hash(&request, &nowhere, &b"a stream"[..], &lab.out);
            assert!(matches!(outcome, Ok(Outcome::Added { added: 2, .. })), "{outcome:?}");
            let mut told = Vec::new();
            while let Ok(answer) = lab.answers.try_recv() {
                if let Frame::Message(Response::Added(added)) = answer {
                    told.push(added.cid);
                }
            }
            let real = Add { only_hash: false, sources: vec![Some(lab.sources())], ..request };
            assert_eq!(told[0], lab.with(&real).0[0].cid);
            drop(lab.skipped());
        }
    }
    assert!(!nowhere.exists());
}
