//! How a peer can be reached, as one peer tells another: an entry of a `Peers` message.
//!
//! ```text
//! contact   uvarint length, peer id, uvarint count (at most 8), per address uvarint length, multiaddress
//! ```
//!
//! Only what was seen is passed on: the address at which we reached the peer ourselves, and of those
//! that it says it listens on the ones at the IP address that it came from. So nobody can have a
//! crowd dial a third party by naming its address. Which of the addresses that are told here may be
//! dialled is [`Contact::dialable`]'s rule (design: a public network never dials private addresses on
//! a stranger's word).

use std::net::IpAddr;

use bytes::BytesMut;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use shoal_swarm::Prefix;
use shoal_swarm::limits::CONTACT_BYTES_MAX;

use crate::config::Network;
use crate::native::{Cursor, put_bytes, put_uvarint};

/// Addresses of one peer that are told: both versions of IP, and a move.
pub const CONTACT_ADDRS_MAX: usize = 8;
/// Bytes of a peer id: an inline key or a hash, at most 42 so far.
const ID_BYTES_MAX: usize = 64;
/// Bytes of one address: an IPv6 address with a port has 20.
const ADDR_BYTES_MAX: usize = 128;
/// Ports below belong to a system's services, save those of the web.
const PORT_MIN: u16 = 1024;

/// A peer and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub id: PeerId,
    /// Plain TCP addresses without a peer id; at most [`CONTACT_ADDRS_MAX`].
    pub addrs: Vec<Multiaddr>,
}

/// An entry that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a peer with addresses")]
pub struct ContactError;

impl Contact {
    /// The entry; addresses that find no room are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut room = CONTACT_BYTES_MAX - ID_BYTES_MAX;
        let mut addrs: Vec<Vec<u8>> = self.addrs.iter().map(Multiaddr::to_vec).collect();
        addrs.retain(|addr| {
            let fits = addr.len() <= ADDR_BYTES_MAX && addr.len() + 2 <= room;
            room -= if fits { addr.len() + 2 } else { 0 };
            fits
        });
        addrs.truncate(CONTACT_ADDRS_MAX);
        let mut out = BytesMut::new();
        put_bytes(&mut out, &self.id.to_bytes());
        put_uvarint(&mut out, addrs.len() as u64);
        for addr in &addrs {
            put_bytes(&mut out, addr);
        }
        out.to_vec()
    }

    /// Reads an entry that another peer told. Addresses of kinds that are not dialled here are left
    /// out.
    ///
    /// # Errors
    /// It is not of this form.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContactError> {
        let mut cursor = Cursor(bytes);
        let id = cursor.bytes(ID_BYTES_MAX).map_err(|_| ContactError)?;
        let id = PeerId::from_bytes(id).map_err(|_| ContactError)?;
        let count = cursor.count(CONTACT_ADDRS_MAX).map_err(|_| ContactError)?;
        let mut addrs = Vec::new();
        for _ in 0..count {
            let addr = cursor.bytes(ADDR_BYTES_MAX).map_err(|_| ContactError)?;
            let addr = Multiaddr::try_from(addr.to_vec()).map_err(|_| ContactError)?;
            addrs.extend(socket(&addr).is_some().then_some(addr));
        }
        cursor.end().map_err(|_| ContactError)?;
        Ok(Self { id, addrs })
    }

    /// The addresses that may be dialled on the word of a peer at `teller`, and the prefix of each.
    /// On an `isolated` network all; else none that is more private than the teller's own, so that a
    /// stranger cannot point at our network or machine, and no service's port.
    pub fn dialable(&self, network: Network, teller: &Multiaddr) -> Vec<(Multiaddr, Prefix)> {
        let reach = socket(teller).map_or(Reach::Public, |(ip, _)| reach(ip));
        let allowed = |ip: IpAddr, port: u16| match network {
            _ if port == 0 || !is_host(ip) => false,
            Network::Isolated => true,
            Network::Lan => reach_allows(reach, ip) && is_free_port(port),
        };
        let addrs = self.addrs.iter().filter_map(|addr| Some((addr, socket(addr)?)));
        let addrs = addrs.filter(|(_, (ip, port))| allowed(*ip, *port));
        addrs.map(|(addr, (ip, _))| (addr.clone(), Prefix::of(ip))).collect()
    }
}

/// How far an address reaches; the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Machine,
    Neighbours,
    Public,
}

fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Machine,
        IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() || is_shared(ip.octets()) => {
            Reach::Neighbours
        }
        IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Reach::Neighbours,
        _ => Reach::Public,
    }
}

/// 100.64.0.0/10, behind a carrier's NAT.
const fn is_shared([a, b, ..]: [u8; 4]) -> bool {
    a == 100 && b & 0xc0 == 64
}

fn reach_allows(teller: Reach, told: IpAddr) -> bool {
    reach(told) >= teller
}

/// Whether one machine can have it.
fn is_host(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
    }
}

const fn is_free_port(port: u16) -> bool {
    port >= PORT_MIN || port == 80 || port == 443
}

/// IP address and port of a plain TCP address.
fn socket(addr: &Multiaddr) -> Option<(IpAddr, u16)> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => IpAddr::from(ip),
        _ => return None,
    };
    match (parts.next()?, parts.next()) {
        (Protocol::Tcp(port), None | Some(Protocol::P2p(_))) => Some((ip, port)),
        _ => None,
    }
}

/// Where a peer can be reached, as seen from here: `remote` is the other end of its connection, and
/// what it says that it listens on counts only at that IP address.
pub(crate) fn reachable(remote: &Multiaddr, dialled: bool, says: &[Multiaddr]) -> Vec<Multiaddr> {
    let plain = |addr: &Multiaddr| {
        addr.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect::<Multiaddr>()
    };
    let Some((seen, _)) = socket(remote) else { return Vec::new() };
    let mut addrs: Vec<Multiaddr> = dialled.then(|| plain(remote)).into_iter().collect();
    for addr in says {
        let same = socket(addr)
            .is_some_and(|(ip, port)| port != 0 && ip.to_canonical() == seen.to_canonical());
        let addr = plain(addr);
        if same && addrs.len() < CONTACT_ADDRS_MAX && !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    addrs
}

#[cfg(test)]
mod tests;
