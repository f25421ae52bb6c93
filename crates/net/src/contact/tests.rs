//! Entries as bytes, and which addresses are believed.
//!
//! Nothing is dialled here: `tests/net/contacts.rs` does that.

use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn contact(addrs: &[&str]) -> Contact {
    Contact { id: PeerId::random(), addrs: addrs.iter().map(|text| addr(text)).collect() }
}

#[test]
fn entries_come_back_as_they_were() {
    for addrs in [&[][..], &["/ip4/127.0.0.1/tcp/1", "/ip6/2a00::1/tcp/65535"]] {
        let contact = contact(addrs);
        assert_eq!(Contact::decode(&contact.encode()), Ok(contact));
    }
}

#[test]
fn an_entry_holds_what_it_may_and_no_more() {
    let mut many = contact(&[]);
    many.addrs = (1..100).map(|port| addr(&format!("/ip6/2a00::1/tcp/{port}"))).collect();
    let bytes = many.encode();
    assert!(bytes.len() <= CONTACT_BYTES_MAX);
    assert_eq!(Contact::decode(&bytes).unwrap().addrs, many.addrs[..CONTACT_ADDRS_MAX]);
}

#[test]
fn a_changed_entry_is_none() {
    let bytes = contact(&["/ip4/127.0.0.1/tcp/1"]).encode();
    for len in 0..bytes.len() {
        assert_eq!(Contact::decode(&bytes[..len]), Err(ContactError), "{len}");
    }
    assert_eq!(Contact::decode(&[&bytes[..], &[0]].concat()), Err(ContactError));
    let many = [&PeerId::random().to_bytes()[..], &[CONTACT_ADDRS_MAX as u8 + 1]].concat();
    assert_eq!(Contact::decode(&[&[38][..], &many].concat()), Err(ContactError));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(contact) = Contact::decode(&bytes) {
            prop_assert!(contact.addrs.len() <= CONTACT_ADDRS_MAX);
        }
    }
}

#[test]
fn kinds_that_are_not_dialled_are_left_out() {
    let said =
        ["/ip4/1.2.3.4/udp/4001/quic-v1", "/dns4/evil.example/tcp/80", "/ip4/1.2.3.4/tcp/4001"];
    let read = Contact::decode(&contact(&said).encode()).unwrap();
    assert_eq!(read.addrs, [addr(said[2])]);
}

#[track_caller]
fn dialled(network: Network, teller: &str, told: &str) -> bool {
    !contact(&[told]).dialable(network, &addr(teller)).is_empty()
}

#[test]
fn nobody_points_at_what_is_more_private_than_himself() {
    let (machine, home, public) =
        ("/ip4/127.0.0.1/tcp/5000", "/ip4/192.168.1.2/tcp/5000", "/ip4/8.8.8.8/tcp/5000");
    for (teller, told, allowed) in [
        (public, public, true),
        (public, home, false),
        (public, "/ip4/169.254.169.254/tcp/80", false),
        (public, "/ip4/100.64.0.1/tcp/5000", false),
        (public, "/ip6/::ffff:10.0.0.1/tcp/5000", false),
        (public, "/ip6/fd00::1/tcp/5000", false),
        (public, machine, false),
        (home, home, true),
        (home, public, true),
        (home, machine, false),
        (home, "/ip6/::1/tcp/5000", false),
        (machine, machine, true),
        (machine, home, true),
    ] {
        assert_eq!(dialled(Network::Lan, teller, told), allowed, "{teller} tells {told}");
        assert!(dialled(Network::Isolated, teller, told), "named peers may tell anything");
    }
}

#[test]
fn services_and_what_is_no_host_are_not_dialled() {
    let public = "/ip4/8.8.8.8/tcp/5000";
    assert!(!dialled(Network::Lan, public, "/ip4/8.8.4.4/tcp/22"));
    assert!(dialled(Network::Lan, public, "/ip4/8.8.4.4/tcp/443"));
    for told in ["/ip4/0.0.0.0/tcp/5000", "/ip4/224.0.0.1/tcp/5000", "/ip4/8.8.4.4/tcp/0"] {
        for network in [Network::Lan, Network::Isolated] {
            assert!(!dialled(network, public, told), "{told}");
        }
    }
}

#[test]
fn what_a_peer_says_counts_only_where_it_came_from() {
    let says = [
        addr("/ip4/8.8.8.8/tcp/4001"),
        addr("/ip4/9.9.9.9/tcp/80"),
        addr("/ip4/192.168.1.2/tcp/4001"),
        addr("/ip4/8.8.8.8/udp/4001/quic-v1"),
        addr("/ip4/8.8.8.8/tcp/0"),
    ];
    let came = addr("/ip4/8.8.8.8/tcp/51234");
    assert_eq!(reachable(&came, false, &says), [says[0].clone()]);
    let id = PeerId::random();
    let reached = addr("/ip4/8.8.8.8/tcp/4002");
    let expected = [reached.clone(), says[0].clone()];
    assert_eq!(reachable(&reached.with_p2p(id).unwrap(), true, &says), expected);
}
