//! A file that is watched while it is read: whoever writes to it meanwhile is found out.
//!
//! Its bytes get a CID only if they are what it held at one moment: it must have as many as it had when
//! it was opened, and size, mtime and ctime must be the same at its end. One that grows is given up with
//! the first byte too many, so that a log that is written as fast as it is read ends too. Files whose
//! size says nothing, as those of `/proc`, are read to their end.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
};

use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};

/// File systems of the kernel's own whose files have no size before they are read.
const SIZELESS: [i64; 4] = [PROC_SUPER_MAGIC, 0x6265_6572, 0x6462_6720, 0x7472_6163];

/// The file, and what it was like when it was opened.
pub(super) struct Watched {
    file: File,
    before: Metadata,
    read: u64,
}

impl Watched {
    pub(super) const fn new(file: File, before: Metadata) -> Self {
        Self { file, before, read: 0 }
    }

    /// At the end of the file: is it what it was?
    fn check(&self) -> io::Result<()> {
        let (size, read) = (self.before.size(), self.read);
        if read != size && !self.has_no_size() {
            return Err(changed(&format!("{read} of its {size} bytes are left")));
        }
        let now = self.file.metadata()?;
        if now.size() != size {
            return Err(changed(&format!("it had {size} bytes and has {}", now.size())));
        }
        let times =
            |stat: &Metadata| (stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec());
        if times(&now) != times(&self.before) {
            return Err(changed("its times moved"));
        }
        Ok(())
    }

    fn has_no_size(&self) -> bool {
        fstatfs(&self.file).is_ok_and(|found| SIZELESS.contains(&found.f_type))
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        if read == 0 && !buffer.is_empty() {
            self.check()?;
        } else if self.read > self.before.size() && !self.has_no_size() {
            return Err(changed(&format!("it had {} bytes and grew", self.before.size())));
        }
        Ok(read)
    }
}

/// A clone of a file, to be read in its place, with what it looks like itself. The file must be what it
/// was when it was opened: nobody knows at which moment between the two it was cloned.
pub(super) fn clone(clone: File, file: &File, before: &Metadata) -> io::Result<(File, Metadata)> {
    let mut end = Watched::new(file.try_clone()?, before.clone());
    end.read = before.size();
    end.check()?;
    let cloned = clone.metadata()?;
    Ok((clone, cloned))
}

fn changed(how: &str) -> io::Error {
    io::Error::other(format!("changed while it was added: {how}"))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use tempfile::TempDir;

    use super::*;

    struct Lab {
        _dir: TempDir,
        path: std::path::PathBuf,
        watched: Watched,
    }

    /// A file of a hundred bytes of which forty were read.
    fn begun() -> Lab {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [7; 100]).unwrap();
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
        let file = File::open(&path).unwrap();
        file.set_modified(old).unwrap();
        let before = file.metadata().unwrap();
        let mut watched = Watched::new(file, before);
        watched.read_exact(&mut [0; 40]).unwrap();
        Lab { _dir: dir, path, watched }
    }

    #[track_caller]
    fn fails(mut lab: Lab, says: &str) {
        let error = lab.watched.read_to_end(&mut Vec::new()).expect_err("it changed").to_string();
        assert!(
            error.starts_with("changed while it was added: ") && error.ends_with(says),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_stays_is_read() {
        let mut lab = begun();
        assert_eq!(lab.watched.read_to_end(&mut Vec::new()).unwrap(), 60);
        assert_eq!(lab.watched.read(&mut [0; 10]).unwrap(), 0);
    }

    #[test]
    fn one_that_grows_is_told() {
        let lab = begun();
        fs::File::options().append(true).open(&lab.path).unwrap().write_all(b"x").unwrap();
        fails(lab, "it had 100 bytes and grew");
    }

    #[test]
    fn one_that_shrinks_is_told() {
        let lab = begun();
        fs::File::options().write(true).open(&lab.path).unwrap().set_len(70).unwrap();
        fails(lab, "70 of its 100 bytes are left");
    }

    #[test]
    fn one_that_is_overwritten_is_told_before_or_behind_where_the_reader_is() {
        for at in [0, 99] {
            let lab = begun();
            let file = fs::File::options().write(true).open(&lab.path).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"x", at).unwrap();
            fails(lab, "its times moved");
        }
    }

    #[test]
    fn one_whose_writer_sets_the_mtime_back_is_told() {
        let lab = begun();
        let file = fs::File::options().write(true).open(&lab.path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", 99).unwrap();
        file.set_modified(lab.watched.before.modified().unwrap()).unwrap();
        fails(lab, "its times moved");
    }

    #[test]
    fn a_file_without_a_size_is_read_to_its_end() {
        let file = File::open("/proc/version").unwrap();
        let before = file.metadata().unwrap();
        assert_eq!(before.len(), 0);
        let mut text = String::new();
        Watched::new(file, before).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("Linux"), "{text}");
    }
}
