//! Presents a Tree as a mounted drive.
