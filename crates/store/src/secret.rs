//! Small secret files, such as the node's identity.
//!
//! A secret is written once, under a temporary name, synced, renamed and its directory synced: it is
//! either whole or not there.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::OpenError;
use crate::store::Store;

/// A secret is a key; more is not read.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

impl Store {
    /// Reads the secret `name` (a plain file name); where there is none, stores what `make` gives, synced,
    /// mode 0600.
    pub fn read_or_create_secret(
        &self,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, OpenError> {
        if let Some(bytes) = self.secret(name)? {
            return Ok(bytes);
        }
        let (dir, path) = self.secret_path(name)?;
        let bytes = make();
        write(&self.shared.disk, &dir, &path, &bytes)
            .map_err(|error| OpenError::io(&path, error))?;
        Ok(bytes)
    }

    /// Reads the secret `name`, if there is one.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
        let (_, path) = self.secret_path(name)?;
        match fs::File::open(&path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                let read = file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes);
                read.map(|_| Some(bytes)).map_err(|error| OpenError::io(&path, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(OpenError::io(&path, error)),
        }
    }

    /// Deletes the secret `name`, durably; one that is not there is no error.
    pub fn remove_secret(&self, name: &str) -> Result<(), OpenError> {
        let (dir, path) = self.secret_path(name)?;
        let disk = &self.shared.disk;
        let removed = disk.remove(&path).and_then(|()| disk.sync_dir_io(&dir));
        removed.map_err(|error| OpenError::io(&path, error))
    }

    fn secret_path(&self, name: &str) -> Result<(PathBuf, PathBuf), OpenError> {
        let dir = self.shared.layout.secrets();
        let path = dir.join(name);
        if path.file_name() == Some(name.as_ref()) {
            Ok((dir, path))
        } else {
            Err(OpenError::io(path, io::ErrorKind::InvalidInput))
        }
    }
}

fn write(disk: &Disk, dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    disk.remove(&new)?;
    let file = disk.create_new(&new)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(&new, path)?;
    disk.sync_dir_io(dir)
}
