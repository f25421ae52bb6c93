//! Files of blobs that nothing leads to: left behind by a death between two steps.
//!
//! A file whose name is being made has a presence record beside it until the index knows it, so the
//! record is looked for first.

use std::fs;

use super::{Fault, VerifyReport};
use crate::blob::BlobId;
use crate::error::{ReadError, WriteError};
use crate::files::taken;
use crate::store::Shared;

/// Names files of blobs without a record.
pub(super) fn find(shared: &Shared, report: &mut VerifyReport) -> Result<(), WriteError> {
    let blobs = shared.layout.blobs();
    let failed = |error| ReadError::io(&blobs, error);
    for dir in fs::read_dir(&blobs).map_err(failed)? {
        let dir = dir.map_err(failed)?.path();
        let Ok(names) = fs::read_dir(&dir) else { continue };
        for name in names {
            let name = name.map_err(failed)?;
            let Some(id) = name.file_name().to_str().and_then(BlobId::parse) else { continue };
            if shared.layout.presence(id).exists() || shared.layout.moved(id).exists() {
                continue;
            }
            if shared.record(id).map_err(ReadError::from)?.is_some() {
                continue;
            }
            let Ok(metadata) = name.metadata() else { continue };
            let bytes = taken(&metadata);
            report.add(Fault::Orphan { path: name.path(), bytes });
        }
    }
    Ok(())
}
