//! Where a peer can be reached, as its neighbours see it.
//!
//! Whoever connects from somewhere says where it listens; both ends learn addresses at which the other
//! can be dialled by a third.

use std::time::Duration;

use shoal_net::{Contact, NetEvent, Network};
use tokio::time::timeout;

use super::node::{Node, PATIENCE};

#[tokio::test]
async fn a_third_peer_reaches_one_by_what_its_neighbour_saw() {
    let mut a = Node::new(&[]).await;
    let mut b = Node::new(&[&a]).await;
    let (id, addr) = (b.id(), b.addr.clone());
    let at_a = a.expect(|event| match event {
        NetEvent::Reachable { contact } if contact.id == id => Some(contact),
        _ => None,
    });
    let contact = at_a.await;
    assert_eq!(contact, Contact { id, addrs: vec![addr] }, "it came from another port");
    assert_eq!(a.net.reach(&id), contact.addrs);

    b.expect_up(a.id()).await;
    assert_eq!(b.net.reach(&a.id()), [a.addr.clone()], "where it was dialled");

    let told = Contact::decode(&contact.encode()).expect("an entry");
    let mut c = Node::new(&[]).await;
    let addrs = told.dialable(Network::Isolated, &a.addr).into_iter().map(|(addr, _)| addr);
    c.net.dial(told.id, addrs.collect()).await;
    c.expect_up(b.id()).await;
}

#[tokio::test]
async fn one_that_does_not_listen_is_reached_by_nobody() {
    let mut a = Node::new(&[]).await;
    let b = Node::with(&[&a], |config| config.listen.clear()).await;
    a.expect_up(b.id()).await;
    // identify is over when it is known what the peer is called.
    let id = b.id();
    let identified = async {
        while !a.net.connected().iter().any(|info| info.id == id && info.agent.is_some()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, identified).await.expect("they introduce themselves");
    assert!(a.net.reach(&id).is_empty());
}
