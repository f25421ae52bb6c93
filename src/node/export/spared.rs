//! What no OUT may take the place of, with or without `--force`.
//!
//! Replacing a directory deletes everything below it. So what nobody means to lose by a `get` is refused
//! as OUT, and so is every directory that contains it: the node's store and any other, the home
//! directory, a mount point, and the directory in which the asking process stands. Nothing is written
//! into a store either. Paths are compared by device and inode along their real ancestors, so that
//! neither a symlink nor `..` nor another spelling hides what a path is.
//!
//! The node knows the store and asks twice, before the fetch and before the rename ([`check`]); only the
//! asking process knows where it stands ([`check_asker`]).

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::parent_of;
use crate::{control::protocol::Failure, exit::Exit};

/// Device and inode.
type Identity = (u64, u64);

/// Checks that `target` is nothing that must stay, as the node sees it.
///
/// # Errors
/// Exit 12 with what it is.
pub fn check(target: &Path, store: &Path) -> Result<(), Failure> {
    if let Some(relation) = relation(target, store) {
        return Err(refused(target, relation, &format!("the store {}", store.display())));
    }
    outside_of_stores(target, store)?;
    if let Some((relation, point)) = mount_point(target) {
        return Err(refused(target, relation, &format!("the mount point {}", point.display())));
    }
    home(target)
}

/// Checks that `target` is nothing that must stay, as the asking process sees it.
///
/// # Errors
/// Exit 12 with what it is.
pub fn check_asker(target: &Path) -> Result<(), Failure> {
    // A current directory that was deleted cannot be lost any more.
    if let Ok(here) = std::env::current_dir()
        && let Some(relation) = relation(target, &here)
    {
        return Err(refused(target, relation, "the current directory"));
    }
    home(target)
}

fn home(target: &Path) -> Result<(), Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    match home.and_then(|home| relation(target, &home)) {
        Some(relation) => Err(refused(target, relation, "the home directory")),
        None => Ok(()),
    }
}

/// How OUT stands to what must stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Is,
    Contains,
}

fn refused(target: &Path, relation: Relation, what: &str) -> Failure {
    let verb = match relation {
        Relation::Is => "is",
        Relation::Contains => "contains",
    };
    not_replaced(target, &format!("{verb} {what}"))
}

fn not_replaced(target: &Path, why: &str) -> Failure {
    let text = format!("{} {why}, and is not replaced", target.display());
    Failure::new(Exit::NotAllowed, text).hint("choose a path that does not exist yet with -o")
}

/// What stands at `target`, and where it leads if it is a symlink.
fn identities(target: &Path) -> Vec<Identity> {
    let found = [fs::symlink_metadata(target), fs::metadata(target)];
    found.into_iter().flatten().map(|stat| (stat.dev(), stat.ino())).collect()
}

/// `path` itself, if it is there, and the directories above it, as they really lie.
fn chain(path: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(path).unwrap_or_default();
    real.ancestors().filter(|path| path.is_absolute()).map(Path::to_owned).collect()
}

fn relation(target: &Path, stays: &Path) -> Option<Relation> {
    let target = identities(target);
    let is_target = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|stat| target.contains(&(stat.dev(), stat.ino())))
    };
    match chain(stays).iter().position(is_target)? {
        0 => Some(Relation::Is),
        _ => Some(Relation::Contains),
    }
}

/// Nothing is written into a store, and none is replaced.
fn outside_of_stores(target: &Path, ours: &Path) -> Result<(), Failure> {
    let ours = identities(ours);
    let is_ours = |path: &Path| identities(path).iter().any(|identity| ours.contains(identity));
    if shoal_store::is_store(target) {
        return Err(not_replaced(target, "is a Shoal store"));
    }
    let above = chain(parent_of(target)).into_iter().chain(chain(target));
    for directory in above {
        if is_ours(&directory) || shoal_store::is_store(&directory) {
            let text = format!("{} lies in the store {}", target.display(), directory.display());
            return Err(Failure::new(Exit::NotAllowed, text)
                .hint("choose a path outside of the store with -o"));
        }
    }
    Ok(())
}

/// A mount point at or below `target`: what is deleted below it would be another file system's.
fn mount_point(target: &Path) -> Option<(Relation, PathBuf)> {
    let real = fs::canonicalize(parent_of(target)).ok()?.join(target.file_name()?);
    let points = mount_points().unwrap_or_default();
    let point = points.into_iter().find(|point| point.starts_with(&real))?;
    Some((if point == real { Relation::Is } else { Relation::Contains }, point))
}

/// Where this process sees something mounted.
fn mount_points() -> io::Result<Vec<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo")?;
    let point = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(unescape);
    Ok(text.split(|byte| *byte == b'\n').filter_map(point).collect())
}

/// A path of `mountinfo`, in which space, tab, newline and backslash are `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let escaped = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    struct Lab {
        dir: TempDir,
        store: PathBuf,
    }

    impl Lab {
        fn new() -> Self {
            let dir = TempDir::new().expect("a temporary directory");
            let store = dir.path().join("above/store");
            let opened = shoal_store::Store::open(&store, shoal_store::Options::default());
            drop(opened.expect("a store"));
            Self { dir, store }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        #[track_caller]
        fn refuses(&self, target: &Path, word: &str) {
            let failure = check(target, &self.store).expect_err("it must stay");
            assert_eq!(failure.exit, Exit::NotAllowed);
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }

    #[test]
    fn the_store_and_what_is_above_and_in_it_stay() {
        let lab = Lab::new();
        lab.refuses(&lab.store, " is the store ");
        lab.refuses(&lab.path("above"), " contains the store ");
        lab.refuses(&lab.path("above/./store/../store"), " is the store ");
        for inside in ["packs", "secrets/new", "index.redb", "new"] {
            lab.refuses(&lab.store.join(inside), " lies in the store ");
        }
        symlink(&lab.store, lab.path("link")).expect("a symlink");
        symlink(lab.path("above"), lab.path("link above")).expect("a symlink");
        lab.refuses(&lab.path("link"), " is the store ");
        lab.refuses(&lab.path("link/packs"), " lies in the store ");
        lab.refuses(&lab.path("link above"), " contains the store ");
        lab.refuses(&lab.path("link above/store"), " is the store ");
    }

    #[test]
    fn another_store_stays_too() {
        let lab = Lab::new();
        let other = lab.path("other");
        fs::create_dir(&other).expect("a directory");
        fs::write(other.join("format"), "shoal-store 9\n").expect("a file");
        assert!(check(&other, &lab.store).is_ok(), "a file of that name alone is no store");
        fs::write(other.join("lock"), "").expect("a file");
        lab.refuses(&other, " is a Shoal store");
        lab.refuses(&other.join("x"), " lies in the store ");
    }

    #[test]
    fn anything_else_may_be_replaced() {
        let lab = Lab::new();
        fs::create_dir(lab.path("out")).expect("a directory");
        fs::write(lab.path("file"), "x").expect("a file");
        for fine in ["out", "out/new", "file", "new", "above/new"] {
            assert!(check(&lab.path(fine), &lab.store).is_ok(), "{fine}");
            assert!(check_asker(&lab.path(fine)).is_ok(), "{fine}");
        }
    }

    #[test]
    fn where_the_process_stands_stays() {
        let here = std::env::current_dir().expect("a current directory");
        for stays in [&*here, here.parent().expect("a parent"), Path::new("/")] {
            assert_eq!(check_asker(stays).expect_err("it must stay").exit, Exit::NotAllowed);
        }
        assert_eq!(relation(&here, &here), Some(Relation::Is));
        assert_eq!(relation(Path::new("/"), &here), Some(Relation::Contains));
        assert_eq!(relation(&here.join("src"), &here), None);
    }

    #[test]
    fn mount_points_are_known() {
        assert_eq!(unescape(b"/a\\040b\\134c\\0"), PathBuf::from("/a b\\c\\0"));
        assert!(mount_points().expect("a list").contains(&PathBuf::from("/proc")));
        let lab = Lab::new();
        lab.refuses(Path::new("/proc"), " is the mount point /proc");
        assert_eq!(mount_point(&lab.path("above")), None);
    }
}
