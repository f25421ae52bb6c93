//! Shoal: a peer-to-peer content-addressed file system.
