//! Shoal: a peer-to-peer content-addressed file system.
//!
//! This package composes a node of the others and offers it on the command line and on a socket; it
//! holds no algorithm. [`node`] is the node, [`control`] the socket between a verb and its node,
//! [`cli`] the verbs, [`mount`] a mounted drive in a process of its own, [`config`] every knob and
//! [`exit`] every exit code.

#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod exit;
pub mod mount;
pub mod node;
