//! Small secret files, such as the node's identity.
//!
//! A secret is written once, under a temporary name, synced, renamed and its directory synced: it is
//! either whole or not there.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::layout::{create_new, remove};
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
        write(&dir, &path, &bytes).map_err(|error| OpenError::io(&path, error))?;
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
        let removed = remove(&path).and_then(|()| fs::File::open(&dir)?.sync_all());
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

fn write(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    remove(&new)?;
    let mut file = create_new(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(dir)?.sync_all()
}
