//! Speaks libp2p, Kademlia and the native protocol, and turns them into swarm events.
