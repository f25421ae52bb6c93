//! The part of an address that costs an attacker something.
//!
//! Allowances and the seed's accounts are kept per [`Prefix`], not per peer: identities are free,
//! networks are not. A public IPv4 address counts by its /24, a public IPv6 address by its /48;
//! private, loopback and link-local addresses count whole, because on a LAN (and in every test)
//! many peers share one network. Follows design section 4.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A /24, a /48, or a whole private address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix([u8; 16]);

impl Prefix {
    /// The prefix that an address belongs to. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(v6),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let whole = address.is_private() || address.is_loopback() || address.is_link_local();
        let mut octets = address.octets();
        if !whole {
            octets[3] = 0;
        }
        Self(Ipv4Addr::from(octets).to_ipv6_mapped().octets())
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let first = address.segments()[0];
        let unique_local = first & 0xfe00 == 0xfc00;
        let link_local = first & 0xffc0 == 0xfe80;
        let mut octets = address.octets();
        if !(address.is_loopback() || unique_local || link_local) {
            octets[6..].fill(0);
        }
        Self(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, same: bool) {
        let [a, b] = [a, b].map(|text| Prefix::of(text.parse().unwrap()));
        assert_eq!(a == b, same, "{a:?} {b:?}");
    }

    #[test]
    fn public_addresses_count_by_network() {
        check("8.8.8.8", "8.8.8.200", true);
        check("8.8.8.8", "8.8.9.8", false);
        check("2a00:1450:4001::1", "2a00:1450:4001:ffff::2", true);
        check("2a00:1450:4001::1", "2a00:1450:4002::1", false);
    }

    #[test]
    fn private_addresses_count_whole() {
        check("127.0.0.1", "127.0.0.2", false);
        check("192.168.1.4", "192.168.1.5", false);
        check("169.254.0.1", "169.254.0.2", false);
        check("fe80::1", "fe80::2", false);
        check("fd00::1", "fd00::2", false);
        check("::1", "::1", true);
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        check("::ffff:8.8.8.8", "8.8.8.9", true);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
    }
}
