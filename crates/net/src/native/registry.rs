//! The live native streams and Bitswap sessions, by number and by peer.
//!
//! One entry per peer: a second stream of the same peer either gives way or takes over (see
//! [`Registry::admit`]); it never gets a second number while the first lives. A native stream takes
//! over from a Bitswap session, never the other way round. Commands go through here straight into a
//! stream's own bounded queue.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p::PeerId;
use parking_lot::RwLock;
use shoal_dag::Cid;
use shoal_swarm::{Ask, Message, PeerNo};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Standing};
use crate::event::{PeerProtocol, Violation};

/// Commands that wait for one stream. The engine asks a peer for what it can deliver and serves
/// what it has asked for; a thousand commands behind means that the peer has stopped reading.
pub(crate) const STREAM_COMMANDS_MAX: usize = 1024;

/// What a stream's task is told to do.
#[derive(Debug)]
pub(crate) enum StreamCommand {
    /// Send a message.
    Send(Message),
    /// Ask for blocks and remember where they go.
    Ask { root: Cid, asks: Vec<Ask>, deadline_ms: u32 },
    /// Write blocks.
    Serve { cids: Vec<Cid>, cached_ok: bool },
    /// Ask a Bitswap peer whether it has any of these.
    Seek { root: Cid, cids: Vec<Cid> },
    /// Tell a Bitswap peer that these are here.
    Affirm { cids: Vec<Cid> },
}

/// One stream as the registry sees it.
#[derive(Debug, Clone)]
struct Entry {
    id: PeerId,
    /// Who opened the native stream; nobody a Bitswap session.
    opener: Option<PeerId>,
    commands: mpsc::Sender<StreamCommand>,
    activity: Arc<Activity>,
    /// Ends the stream's task.
    close: CancellationToken,
    /// Cancelled by the task when it has told its last event.
    ended: CancellationToken,
}

/// What a new stream is given when it is let in.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Its number.
    pub(crate) peer: PeerNo,
    /// Its queue.
    pub(crate) commands: mpsc::Receiver<StreamCommand>,
    /// Cancelled when it must end.
    pub(crate) close: CancellationToken,
    /// To be cancelled when it has ended.
    pub(crate) ended: CancellationToken,
    /// The stream that it replaces: to be waited for before the first event.
    pub(crate) before: Option<CancellationToken>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u32,
    by_number: HashMap<PeerNo, Entry>,
    by_peer: HashMap<PeerId, PeerNo>,
}

/// All live native streams; bounded by the connection limit.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: RwLock<Inner>,
}

impl Registry {
    /// Lets in a stream with `id` that `opener` (one of the two ends) opened, or refuses it.
    ///
    /// Both ends decide alike: of two streams opened by different ends the one opened by the
    /// smaller peer id stays; of two opened by the same end the newer one, because an opener opens
    /// a second only when its first is gone.
    pub(crate) fn admit(
        &self,
        id: PeerId,
        opener: PeerId,
        activity: &Arc<Activity>,
        parent: &CancellationToken,
    ) -> Option<Admission> {
        let keeps = |old: &Entry| old.opener.is_some_and(|old| old < opener);
        self.admit_unless(id, Some(opener), keeps, activity, parent)
    }

    /// Lets in a Bitswap session with `id`, unless there is a native stream. It replaces another.
    pub(crate) fn admit_bitswap(
        &self,
        id: PeerId,
        activity: &Arc<Activity>,
        parent: &CancellationToken,
    ) -> Option<Admission> {
        self.admit_unless(id, None, |old| old.opener.is_some(), activity, parent)
    }

    fn admit_unless(
        &self,
        id: PeerId,
        opener: Option<PeerId>,
        keeps: impl Fn(&Entry) -> bool,
        activity: &Arc<Activity>,
        parent: &CancellationToken,
    ) -> Option<Admission> {
        let mut inner = self.inner.write();
        let old = inner.by_peer.get(&id).and_then(|number| inner.by_number.get(number)).cloned();
        if old.as_ref().is_some_and(keeps) {
            return None;
        }
        if let Some(old) = &old {
            old.close.cancel();
        }
        let peer = PeerNo(inner.next);
        inner.next = inner.next.wrapping_add(1);
        let (sender, commands) = mpsc::channel(STREAM_COMMANDS_MAX);
        let entry = Entry {
            id,
            opener,
            commands: sender,
            activity: Arc::clone(activity),
            close: parent.child_token(),
            ended: CancellationToken::new(),
        };
        let (close, ended) = (entry.close.clone(), entry.ended.clone());
        inner.by_number.insert(peer, entry);
        inner.by_peer.insert(id, peer);
        Some(Admission { peer, commands, close, ended, before: old.map(|old| old.ended) })
    }

    /// Whether a stream or session with this peer lives.
    pub(crate) fn has(&self, id: &PeerId) -> bool {
        self.inner.read().by_peer.contains_key(id)
    }

    /// Whether a native stream with this peer lives that keeps us from opening another.
    pub(crate) fn has_native(&self, id: &PeerId) -> bool {
        self.protocol_of(id) == Some(PeerProtocol::Native)
    }

    /// What is spoken with this peer.
    pub(crate) fn protocol_of(&self, id: &PeerId) -> Option<PeerProtocol> {
        let inner = self.inner.read();
        let entry = inner.by_peer.get(id).and_then(|number| inner.by_number.get(number))?;
        let native = entry.opener.is_some();
        Some(if native { PeerProtocol::Native } else { PeerProtocol::Bitswap })
    }

    /// What the stream of this peer is worth.
    pub(crate) fn standing(&self, id: &PeerId) -> Standing {
        let inner = self.inner.read();
        let entry = inner.by_peer.get(id).and_then(|number| inner.by_number.get(number));
        entry.map_or(Standing::Idle, |entry| entry.activity.standing())
    }

    /// The number of a peer's stream.
    pub(crate) fn number_of(&self, id: &PeerId) -> Option<PeerNo> {
        self.inner.read().by_peer.get(id).copied()
    }

    /// Hands a command to a stream; false when it is gone. A stream whose queue is full is ended.
    pub(crate) fn command(&self, peer: PeerNo, command: StreamCommand) -> bool {
        let inner = self.inner.read();
        let Some(entry) = inner.by_number.get(&peer) else { return false };
        let sent = entry.commands.try_send(command).is_ok();
        if !sent {
            tracing::debug!(peer = peer.0, "peer does not read; its stream is ended");
            entry.close.cancel();
        }
        sent
    }

    /// Ends a stream.
    pub(crate) fn close(&self, peer: PeerNo) {
        if let Some(entry) = self.inner.read().by_number.get(&peer) {
            entry.close.cancel();
        }
    }

    /// A stream has ended, perhaps by the peer's fault: whether the peer's connections are to be
    /// closed too.
    pub(crate) fn finish(
        &self,
        id: PeerId,
        admission: &Admission,
        violation: Option<Violation>,
    ) -> bool {
        let replaced = self.number_of(&id) != Some(admission.peer);
        self.remove(admission.peer);
        admission.ended.cancel();
        let unwanted = violation.is_some() || admission.close.is_cancelled();
        unwanted && !replaced
    }

    /// Forgets a stream that has ended.
    pub(crate) fn remove(&self, peer: PeerNo) {
        let mut inner = self.inner.write();
        let Some(entry) = inner.by_number.remove(&peer) else { return };
        if inner.by_peer.get(&entry.id) == Some(&peer) {
            inner.by_peer.remove(&entry.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_peers() -> (PeerId, PeerId) {
        let (a, b) = (PeerId::random(), PeerId::random());
        if a < b { (a, b) } else { (b, a) }
    }

    #[test]
    fn of_two_streams_both_ends_keep_the_one_of_the_smaller_opener() {
        let (small, large) = two_peers();
        let root = CancellationToken::new();
        for order in [[small, large], [large, small]] {
            for (us, them) in [(small, large), (large, small)] {
                let registry = Registry::default();
                let first = registry
                    .admit(them, order[0], &Arc::default(), &root)
                    .expect("nothing stands in its way");
                let second = registry.admit(them, order[1], &Arc::default(), &root);
                let kept = if second.is_some() { order[1] } else { order[0] };
                assert_eq!(kept, small, "seen from {us}");
                assert_eq!(first.close.is_cancelled(), second.is_some());
                assert!(registry.has(&them));
            }
        }
    }

    #[test]
    fn a_newer_stream_of_the_same_opener_replaces_the_old() {
        let (us, them) = two_peers();
        let registry = Registry::default();
        let root = CancellationToken::new();
        let old = registry.admit(them, us, &Arc::default(), &root).unwrap();
        let new = registry.admit(them, us, &Arc::default(), &root).unwrap();
        assert!(old.close.is_cancelled() && !new.close.is_cancelled());
        assert_ne!(old.peer, new.peer);
        registry.remove(old.peer);
        assert_eq!(registry.number_of(&them), Some(new.peer), "the old end forgets only itself");
        registry.remove(new.peer);
        assert!(!registry.has(&them));
    }

    #[test]
    fn a_full_queue_ends_the_stream() {
        let registry = Registry::default();
        let (_, them) = two_peers();
        let admission =
            registry.admit(them, them, &Arc::default(), &CancellationToken::new()).unwrap();
        let cancel = || StreamCommand::Send(Message::Cancel { cids: Vec::new() });
        for _ in 0..STREAM_COMMANDS_MAX {
            assert!(registry.command(admission.peer, cancel()));
        }
        assert!(!registry.command(admission.peer, cancel()));
        assert!(admission.close.is_cancelled());
    }
}
