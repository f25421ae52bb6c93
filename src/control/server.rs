//! The node's end of control connections.
