//! Proves which root a name had, when, and after which version.
