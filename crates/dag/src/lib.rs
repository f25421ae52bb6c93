//! Turns bytes into CIDs, blocks and trees, and back.
