//! Keeps verified blocks and pins on disk, and forgets unpinned ones safely.
