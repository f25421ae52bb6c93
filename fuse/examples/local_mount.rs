//! Shows a local directory through a mount, to try the mount by hand or to measure it:
//! `local_mount SOURCE MOUNTPOINT [passed|local|memory]`.
//!
//! `passed` (the default) lets the kernel read the files of SOURCE itself where it may, `local` reads
//! them in this process, `memory` holds every byte in memory and answers from there. Everything is
//! read in at the start, so SOURCE should fit. Ends when unmounted. Not a way to share anything: the
//! CIDs are made up.

#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use shoal_dag::Cid;
use shoal_fuse::memory::MemoryTreeBuilder;
use shoal_fuse::{MountOptions, Mounted};

/// How the bytes of files are served.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Serving {
    Passed,
    Local,
    Memory,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let serving = match arguments.get(2).and_then(|word| word.to_str()) {
        None | Some("passed") => Serving::Passed,
        Some("local") => Serving::Local,
        Some(_) => Serving::Memory,
    };
    let [source, mountpoint, ..] = &arguments[..] else {
        eprintln!("usage: local_mount SOURCE MOUNTPOINT [passed|local|memory]");
        return ExitCode::from(2);
    };
    match serve(Path::new(source), Path::new(mountpoint), serving) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(
    source: &Path,
    mountpoint: &Path,
    serving: Serving,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = MemoryTreeBuilder::new();
    let mut backings = Vec::new();
    let root = add(&mut builder, &mut backings, source, serving)?;
    let tree = Arc::new(builder.finish(root));
    for (cid, path) in backings {
        tree.back(cid, &path);
    }
    let options = MountOptions {
        fs_name: source.display().to_string(),
        passthrough: serving == Serving::Passed,
        ..MountOptions::default()
    };
    let mounted = Mounted::start(tree, mountpoint, &options)?;
    eprintln!("mounted on {}", mounted.mountpoint().display());
    mounted.wait()?;
    Ok(())
}

fn add(
    builder: &mut MemoryTreeBuilder,
    backings: &mut Vec<(Cid, PathBuf)>,
    directory: &Path,
    serving: Serving,
) -> io::Result<Cid> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        let name = path.file_name().map(|name| name.to_os_string().into_vec()).unwrap_or_default();
        let mtime = (metadata.mtime(), metadata.mtime_nsec().unsigned_abs() as u32);
        let cid = if metadata.is_dir() {
            add(builder, backings, &path, serving)?
        } else if metadata.is_symlink() {
            builder.symlink(fs::read_link(&path)?.into_os_string().into_vec())
        } else if metadata.is_file() {
            let cid = builder.file_with(fs::read(&path)?, metadata.mode(), mtime);
            if serving != Serving::Memory {
                backings.push((cid, path));
            }
            cid
        } else {
            continue;
        };
        entries.push((name, cid));
    }
    Ok(builder.directory(entries))
}
