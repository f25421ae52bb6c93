//! The task that owns the libp2p swarm.

use std::sync::Arc;

use libp2p::{Multiaddr, PeerId};
use shoal_dag::Cid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocks::Blocks;
use crate::config::{Config, NetError};
use crate::event::{NetEvent, QueryId};
use crate::shared::Shared;

/// What the handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Dial { id: PeerId, addrs: Vec<Multiaddr> },
    Find { query: QueryId, cid: Cid },
    StopQuery(QueryId),
    Provide(Cid),
    Unprovide(Cid),
}

/// Owns the libp2p swarm.
pub(crate) struct Driver {
    commands: mpsc::Receiver<Command>,
    token: CancellationToken,
}

impl Driver {
    pub(crate) fn new(
        _config: Config,
        _shared: Arc<Shared>,
        _blocks: Arc<dyn Blocks>,
        _events: mpsc::Sender<NetEvent>,
        commands: mpsc::Receiver<Command>,
        token: CancellationToken,
        _tasks: TaskTracker,
    ) -> Result<Self, NetError> {
        Ok(Self { commands, token })
    }

    pub(crate) async fn run(mut self) {
        let commands = &mut self.commands;
        tokio::select! {
            () = self.token.cancelled() => {}
            () = async { while commands.recv().await.is_some() {} } => {}
        }
    }
}
