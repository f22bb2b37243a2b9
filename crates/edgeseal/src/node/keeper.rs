//! The keeper: of the processes on a store the one that does what one does for all.

use std::{sync::Arc, time::Duration};

use edgeseal_store::{
    SharedStore,
    lease::{Lease, LeaseName},
};
use tokio::sync::watch;

use super::context::NodeContext;

/// How long after a crash of the keeper another process begins, unless it starts again.
const TTL: Duration = Duration::from_secs(20);

/// Whether this process is the keeper.
pub(crate) enum Keeper {
    /// It owns the store.
    Always(watch::Sender<bool>),
    /// While it has the lease.
    Elected(Lease),
}

impl Keeper {
    /// Asks to be the keeper of a store. The lease has a task of its own, so that a commit that waits
    /// for a standby delays no report, and a slow report no renewal.
    pub(super) fn start(node: &NodeContext, store: &SharedStore) -> Self {
        if node.config.is_store_shared() {
            let (store, owner) = (Arc::clone(store), node.node_id.clone());
            Self::Elected(Lease::start(store, LeaseName::Keeper, owner, TTL))
        } else {
            Self::Always(watch::Sender::new(true))
        }
    }

    /// Whether this process is the keeper, as it changes.
    pub(crate) fn is_keeper(&self) -> watch::Receiver<bool> {
        match self {
            Self::Always(is_keeper) => is_keeper.subscribe(),
            Self::Elected(lease) => lease.is_held(),
        }
    }

    /// Lets another process be the keeper. To be called once what it does has ended.
    pub(crate) async fn release(self) {
        if let Self::Elected(lease) = self {
            lease.release().await;
        }
    }
}
