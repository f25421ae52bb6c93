//! The node: one process that owns a store and serves its control socket.

pub mod attach;
