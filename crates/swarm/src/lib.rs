//! Decides what to ask of whom, and whom to serve.
