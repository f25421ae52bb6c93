//! Which Bitswap two ends speak, and how they agree on it.
//!
//! 1.2.0 is offered first; 1.1.0 and 1.0.0 are what old peers know. The stream itself is handed on
//! together with what was agreed. It does not count for keeping a connection: kubo opens one for
//! every message and others hold one for ever.

use std::convert::Infallible;
use std::future::{Ready, ready};

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::{Stream, StreamProtocol};

/// What can be said in a version of Bitswap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 1.2.0: wants to have, and what is not there.
    Full,
    /// 1.1.0: wants of blocks, and blocks of any CID.
    AnyCid,
    /// 1.0.0: wants of blocks, and blocks of CIDv0.
    BlocksOnly,
}

/// The names, preferred first.
const NAMES: [(StreamProtocol, Dialect); 3] = [
    (StreamProtocol::new("/ipfs/bitswap/1.2.0"), Dialect::Full),
    (StreamProtocol::new("/ipfs/bitswap/1.1.0"), Dialect::AnyCid),
    (StreamProtocol::new("/ipfs/bitswap/1.0.0"), Dialect::BlocksOnly),
];

/// Whether a peer that names these protocols speaks Bitswap.
pub(crate) fn is_spoken(protocols: &[StreamProtocol]) -> bool {
    NAMES.iter().any(|(name, _)| protocols.contains(name))
}

/// A name as it is negotiated.
#[derive(Debug, Clone)]
pub(crate) struct Name(StreamProtocol, Dialect);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.as_ref()
    }
}

/// Agrees on a version.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Upgrade;

impl UpgradeInfo for Upgrade {
    type Info = Name;
    type InfoIter = std::array::IntoIter<Name, 3>;

    fn protocol_info(&self) -> Self::InfoIter {
        NAMES.map(|(name, dialect)| Name(name, dialect)).into_iter()
    }
}

/// The stream alone keeps no connection.
fn agreed(
    mut stream: Stream,
    Name(_, dialect): Name,
) -> Ready<Result<(Stream, Dialect), Infallible>> {
    stream.ignore_for_keep_alive();
    ready(Ok((stream, dialect)))
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Dialect);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        agreed(stream, name)
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Dialect);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        agreed(stream, name)
    }
}
