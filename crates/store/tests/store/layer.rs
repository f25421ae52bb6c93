//! Nothing but the disk layer changes the disk: the sources are read for calls that would.
//!
//! It knows the calls by their names only. What a write through the layer does is `disk`'s own business.

use std::fs;
use std::path::Path;

use crate::fixture::files_in;

/// Calls that change something on the disk. Method calls that the layer has too are told apart by
/// their arguments or their type, which is why the raw ones below are enough.
const RAW: [&str; 22] = [
    "fs::write(",
    "fs::rename(",
    "fs::remove_",
    "fs::hard_link(",
    "fs::copy(",
    "fs::create_dir",
    "fs::set_permissions(",
    "File::create",
    "OpenOptions",
    "DirBuilder",
    ".sync_all(",
    "fdatasync",
    "fsync(",
    "fallocate",
    "pwrite",
    "copy_file_range",
    "ioctl_ficlone",
    "ftruncate",
    "unlinkat",
    "linkat",
    "renameat",
    "io::copy(",
];
/// Files that open a user's file for reading, with flags.
const READERS: [&str; 2] = ["blob.rs", "ref_writer.rs"];

#[test]
fn every_change_of_the_disk_goes_through_the_layer() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut looked_at = 0;
    for path in files_in(&sources) {
        let within = path.strip_prefix(&sources).unwrap();
        let is_layer = within.starts_with("disk") || within == Path::new("disk.rs");
        if is_layer || within.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines();
        let code: String = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        let opens_to_read = READERS.iter().any(|name| path.ends_with(name));
        assert!(!opens_to_read || !code.contains(".write(true)"), "{}", path.display());
        for raw in RAW.iter().filter(|raw| !(opens_to_read && **raw == "OpenOptions")) {
            assert!(!code.contains(raw), "{} calls {raw} by itself", path.display());
        }
        looked_at += 1;
    }
    assert!(looked_at > 20, "{looked_at} files");
}
