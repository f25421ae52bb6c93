//! How two nodes are connected: TCP, encrypted, multiplexed, tuned for bulk.
//!
//! ```text
//!   native stream, kad, identify, ping
//!   yamux      frames of up to 256 KiB             (mux)
//!   coalesce   12-byte header joined to its body   (coalesce)
//!   TLS 1.3    AES-128-GCM first; Noise for others (tls)
//!   BufReader  256 KiB, so that a record is not a system call
//!   TCP        TCP_NODELAY
//! ```
//!
//! On the wire this is plain libp2p: `/tls/1.0.0` or `/noise`, then `/yamux/1.0.0`; stock peers
//! connect in both directions. What differs from the stock stack is only what cost it time: the
//! cipher order, the frame size, a system call and a record per yamux header, and a read per
//! record. Stock: 1.2 to 1.4 s and 2.0 to 2.6 CPU seconds per GiB on loopback; this: 0.5 and 0.8.
//!
//! Specs: libp2p connection establishment, tls, noise, yamux.

mod coalesce;
mod mux;
mod tls;

pub(crate) use mux::MuxUpgrade;
pub(crate) use tls::TlsUpgrade;

use libp2p::tcp;

/// TCP as it is used here: small frames must not wait for the answer to the one before.
pub(crate) fn tcp_config() -> tcp::Config {
    tcp::Config::default().nodelay(true)
}

#[cfg(test)]
mod tests;
