//! Finding again partial blobs, abandoned adds and blobs that were moved out.
//!
//! Under the same boot of the machine the presence records are true; under another one each is
//! hashed first, save those that the index took in, whose bytes were synced before. A blob whose file
//! has a second name was linked out by a process that died before it said where: its bytes may be
//! edited under that name, so it becomes a reference to its own path, and nothing is written to it.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shoal_dag::BLOCK_BYTES_MAX;

use crate::blob::{BlobId, BlobRecord, Fingerprint, PartialState, Reference};
use crate::error::OpenError;
use crate::files::read_at;
use crate::index::Whole;
use crate::key::{Entry, Key, Place};
use crate::move_out::note::read_note;
use crate::pack::scan::matches;
use crate::presence::{Header, Presence, Record};
use crate::store::Shared;

use super::write_again;

/// Looks at everything in `partial/`.
pub(super) fn recover(shared: &Shared, had_failed: bool) -> Result<(), OpenError> {
    let dir = shared.layout.partials();
    let failed = |error| OpenError::io(&dir, error);
    let (mut notes, mut presences) = (Vec::new(), Vec::new());
    for name in fs::read_dir(&dir).map_err(failed)? {
        let name = name.map_err(failed)?.file_name();
        let Some(name) = name.to_str() else { continue };
        match name.split_once('.') {
            Some((name, "moved")) => notes.extend(BlobId::parse(name)),
            // What another process was about to rename.
            Some((_, "copy" | "new")) => shared.disk.remove(&dir.join(name)).map_err(failed)?,
            Some(_) => {}
            None => presences.extend(BlobId::parse(name)),
        }
    }
    for id in presences {
        recover_presence(shared, id, had_failed)?;
    }
    for id in notes {
        recover_note(shared, id)?;
    }
    Ok(())
}

/// The note of a blob, if there is one that says something. Where the user's file is not what the note
/// says (a power loss may keep the note and lose the rename) and the store's own name still leads to
/// the bytes, they are read there, as those of a file that may have been edited.
fn found_note(shared: &Shared, id: BlobId) -> Result<Option<(Key, BlobRecord)>, OpenError> {
    let path = shared.layout.moved(id);
    let note = read_note(&path).map_err(|error| OpenError::io(&path, error))?;
    Ok(note.map(|(root, mut record)| {
        let is_lost = record.reference.as_ref().is_some_and(|user| user.open().is_none());
        let own = shared.layout.blob(id);
        let own_metadata = fs::metadata(&own).ok().filter(|own| own.len() == record.len);
        if let Some(metadata) = own_metadata.filter(|_| is_lost) {
            record.reference = Some(reference_to_own(own, &metadata));
        }
        (root, record)
    }))
}

fn reference_to_own(path: PathBuf, metadata: &Metadata) -> Reference {
    Reference { path, fingerprint: Fingerprint::of(metadata), moved: true }
}

/// A blob that was moved out, or was about to be: the index may still say that the store holds it.
fn recover_note(shared: &Shared, id: BlobId) -> Result<(), OpenError> {
    let path = shared.layout.moved(id);
    let note = found_note(shared, id)?;
    let known = record_of(shared, id)?;
    if known.as_ref().is_some_and(|record| record.kept) {
        // Older than the record: a kept blob is not moved out. The user may have a name for it still.
        if let Err(error) = shared.part(id) {
            tracing::warn!(%id, %error, "a pinned file shares its bytes with a user's file");
            return Ok(());
        }
        shared.unlink(&[path]);
        return Ok(());
    }
    let mut is_handed = known.is_none();
    let found = match (note, known) {
        (Some((root, record)), Some(_)) => {
            is_handed = true;
            Some((Some(root), record))
        }
        (None, Some(mut record)) if record.reference.is_none() && record.partial.is_none() => {
            let file = File::open(shared.layout.blob(id)).ok();
            let is_shared = file.is_some_and(|file| share_check(shared, id, &file, &mut record));
            is_shared.then_some((None, record))
        }
        _ => None,
    };
    shared.overlay.change(|layer| {
        if let Some((root, record)) = found {
            layer.blobs.insert(id, Some(record));
            if let Some(root) = root {
                let whole = Whole { blob: id, hash: root.hash };
                layer.wholes.insert(root.digest, Some(whole));
            }
        }
        layer.handed.extend(is_handed.then_some(id));
        layer.unlink.push(path);
    });
    Ok(())
}

fn recover_presence(shared: &Shared, id: BlobId, had_failed: bool) -> Result<(), OpenError> {
    let path = shared.layout.presence(id);
    let failed = |error| OpenError::io(&path, error);
    let record = record_of(shared, id)?;
    let is_whole = record.as_ref().is_some_and(|record| record.partial.is_none());
    let opened = Presence::open(&shared.disk, &path).map_err(failed)?;
    if opened.as_ref().is_some_and(|(_, header)| header.is_list) {
        return recover_list(shared, id, record);
    }
    let Some((presence, header, root)) =
        opened.and_then(|(presence, header)| header.root.map(|root| (presence, header, root)))
    else {
        // An add that was not committed, or a record that a power loss emptied.
        if record.is_none() {
            let blob = shared.layout.blob(id);
            shared.disk.remove(&blob).map_err(|error| OpenError::io(&blob, error))?;
        }
        return shared.disk.remove(&path).map_err(failed);
    };
    if is_whole {
        return shared.disk.remove(&path).map_err(failed);
    }
    recover_fetch(shared, id, record, Found { presence, header, root, had_failed })
}

/// The leaves of a blob that a collection made sparse, or was about to.
fn recover_list(shared: &Shared, id: BlobId, record: Option<BlobRecord>) -> Result<(), OpenError> {
    match record {
        Some(record) if record.sparse => Ok(()),
        // It took the place of what a fetch wrote there, and names the same leaves.
        Some(record) if record.partial.is_some() => {
            let record = BlobRecord { sparse: true, partial: None, ..record };
            shared.overlay.change(|layer| drop(layer.blobs.insert(id, Some(record))));
            Ok(())
        }
        known => {
            let mut paths = vec![shared.layout.presence(id)];
            // A fetch of which the index never knew.
            paths.extend(known.is_none().then(|| shared.layout.blob(id)));
            let remove = |path: &std::path::PathBuf| {
                shared.disk.remove(path).map_err(|error| OpenError::io(path, error))
            };
            paths.iter().try_for_each(remove)
        }
    }
}

struct Found {
    presence: Presence,
    header: Header,
    root: Key,
    /// What it says may be in the kernel's cache only, for good.
    had_failed: bool,
}

/// A fetch that was interrupted.
fn recover_fetch(
    shared: &Shared,
    id: BlobId,
    known: Option<BlobRecord>,
    found: Found,
) -> Result<(), OpenError> {
    let path = shared.layout.presence(id);
    let Found { header, root, had_failed, .. } = &found;
    let root = *root;
    let moved = found_note(shared, id)?;
    let file = match moved.as_ref().and_then(|(_, record)| record.reference.as_ref()) {
        // To write it again would make it another file than the user's.
        Some(_) if *had_failed => None,
        Some(reference) => reference.open(),
        None => File::open(shared.layout.blob(id)).ok(),
    };
    let Some(file) = file else {
        shared.overlay.change(|layer| drop(layer.blobs.insert(id, None)));
        return shared.disk.remove(&path).map_err(|error| OpenError::io(&path, error));
    };
    let taken = known.as_ref().and_then(|record| record.partial).map_or(0, |state| state.records);
    let (count, entries) =
        replay(shared, id, &found, &file, taken).map_err(|error| OpenError::io(&path, error))?;
    // Committed together with the entries, after the sync.
    let partial = Some(PartialState { root: Some(root), records: count });
    let kept = known.is_some_and(|record| record.kept);
    let mut record = BlobRecord {
        len: header.size,
        kept,
        damaged: false,
        sparse: false,
        partial,
        reference: None,
    };
    let is_shared = moved.is_none() && share_check(shared, id, &file, &mut record);
    let reference = moved.as_ref().and_then(|(_, record)| record.reference.as_ref());
    let bytes_at = reference.map_or_else(|| shared.layout.blob(id), |user| user.path.clone());
    shared.overlay.change(|layer| {
        // Under the same boot nobody has synced them.
        layer.unsynced.extend((!entries.is_empty()).then_some(bytes_at));
        layer.blobs.insert(id, Some(record));
        if is_shared {
            layer.unlink.push(path);
        } else if let Some((_, moved)) = moved {
            layer.blobs.insert(id, Some(moved));
            layer.wholes.insert(root.digest, Some(Whole { blob: id, hash: root.hash }));
            layer.unlink.push(path);
        } else {
            shared.partials.found(root.digest, id);
        }
    });
    for (key, entry) in entries {
        let owned = shared.owned(&key).map_err(|error| OpenError::Damaged {
            path: shared.layout.index(),
            reason: error.to_string(),
        })?;
        shared.adopt(&key, entry, owned);
    }
    Ok(())
}

/// Turns a blob with a second name into a reference; says whether it was one.
fn share_check(shared: &Shared, id: BlobId, file: &File, record: &mut BlobRecord) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    if metadata.nlink() < 2 {
        return false;
    }
    record.reference = Some(reference_to_own(shared.layout.blob(id), &metadata));
    record.partial = None;
    true
}

/// Reads the records that the index has not taken in. Returns how many records the file has and the
/// good entries. After another boot the file is written anew, under this boot, without the bad ones.
fn replay(
    shared: &Shared,
    id: BlobId,
    found: &Found,
    file: &File,
    taken: u64,
) -> std::io::Result<(u64, Vec<(Key, Entry)>)> {
    let Found { presence, header, had_failed, .. } = found;
    let is_same_boot = header.boot_id == shared.boot_id;
    let is_trusted = is_same_boot && !had_failed;
    let (mut good, mut entries) = (Vec::new(), Vec::new());
    let mut number = 0;
    presence.each(0, |record| {
        let is_new = number >= taken;
        number += 1;
        if is_new && !is_sound(file, header.size, &record, is_trusted) {
            return;
        }
        if !is_trusted {
            good.push(record);
        }
        if is_new {
            let Record { offset, len, hash, public, digest } = record;
            let place = Place::Blob(id);
            entries.push((Key { digest, hash }, Entry { place, offset, len, hash, public }));
        }
    })?;
    if *had_failed {
        let blob = shared.disk.open(&shared.layout.blob(id))?;
        for (_, entry) in &entries {
            write_again(&blob, entry.offset..entry.offset + u64::from(entry.len))?;
        }
    }
    if is_trusted {
        return Ok((presence.count, entries));
    }
    rewrite(shared, &shared.layout.presence(id), header, &good)?;
    Ok((good.len() as u64, entries))
}

/// Is the record within its blob, and (where it is not trusted) do the bytes have its digest?
fn is_sound(file: &File, size: u64, record: &Record, is_trusted: bool) -> bool {
    let end = record.offset.checked_add(u64::from(record.len));
    if record.len as usize > BLOCK_BYTES_MAX || end.is_none_or(|end| end > size) {
        return false;
    }
    let key = Key { digest: record.digest, hash: record.hash };
    is_trusted
        || read_at(file, record.offset, record.len as usize)
            .is_ok_and(|data| data.len() == record.len as usize && matches(&key, &data))
}

fn rewrite(shared: &Shared, path: &Path, header: &Header, good: &[Record]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    shared.disk.remove(&new)?;
    let header = Header { boot_id: shared.boot_id.clone(), ..header.clone() };
    let mut presence = Presence::create(&shared.disk, &new, &header)?;
    for record in good {
        presence.append(*record)?;
    }
    shared.disk.rename(&new, path)
}

fn record_of(shared: &Shared, id: BlobId) -> Result<Option<BlobRecord>, OpenError> {
    let found = shared.record(id).map_err(|error| error.of_open(&shared.layout.index()))?;
    Ok(found.map(|(record, _)| record))
}
