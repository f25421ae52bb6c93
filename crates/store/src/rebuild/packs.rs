//! The blocks of the packs: every good record of every pack.
//!
//! The packs are synced and otherwise left as they are.

use super::{Rebuild, failed};
use crate::index::{Changes, IndexError};
use crate::pack::salvage::salvage;
use crate::recovery::pack_numbers;

impl Rebuild<'_> {
    /// Takes every good record of every pack.
    pub(super) fn read_packs(&mut self) -> Result<(), IndexError> {
        let dir = self.layout.packs();
        let numbers = pack_numbers(&self.layout).map_err(|error| failed(&dir, error))?;
        for number in numbers {
            self.read_pack(number)?;
        }
        Ok(())
    }

    fn read_pack(&mut self, number: u32) -> Result<(), IndexError> {
        let path = self.layout.pack(number);
        // Its tail may never have been synced, and entries are about to lead there.
        let file = self.layout.disk().open_to_sync(&path).map_err(|error| failed(&path, error))?;
        file.sync(&path).map_err(IndexError::write)?;
        let mut bytes = 0;
        let done = salvage(&path, number, |key, entry| {
            bytes += u64::from(entry.len);
            self.take(key, entry).map_err(Stopped::Index)
        });
        let done = match done {
            Ok(done) => done,
            Err(Stopped::Index(error)) => return Err(error),
            Err(Stopped::Io(error)) => return Err(IndexError::io(&path, error)),
        };
        self.report.packs += 1;
        self.report.pack_damaged += done.damaged;
        self.report.bytes += bytes;
        self.flush()?;
        // The next open goes on from here.
        self.commit(Changes { packs: vec![(number, done.end)], ..Changes::default() })
    }
}

/// Why a pack was not read to its end.
enum Stopped {
    Index(IndexError),
    Io(std::io::Error),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
