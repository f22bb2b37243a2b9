//! The background tasks of one replication.

use std::pin::Pin;

use edgeseal_store::SharedStore;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// The tasks of one replication, from one store.
pub(crate) struct ReplicationTasks {
    pub(crate) store: SharedStore,
    pub(crate) follower: Task,
    pub(crate) shared_state_follower: Task,
    /// Whether the ticket keys that edges share have been obtained.
    pub(crate) ticket_keys: watch::Receiver<bool>,
    pub(crate) prover: Option<Task>,
}

impl ReplicationTasks {
    /// Withdraws the report, and ends all tasks but the follower.
    pub(crate) async fn stop_all_but_follower(self) -> Task {
        if let Some(prover) = self.prover {
            prover.stop().await;
        }
        self.shared_state_follower.stop().await;
        self.follower
    }
}

/// A background task that can be stopped.
#[derive(Debug)]
pub(crate) struct Task {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Task {
    pub(crate) fn spawn<F>(run: impl FnOnce(Stop) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, told) = oneshot::channel();
        let stopped: Stop = Box::pin(async move {
            // An `Err` means that the edge was dropped: that ends the task as well.
            let _ = told.await;
        });
        Self {
            stop,
            handle: tokio::spawn(run(stopped)),
        }
    }

    /// Waits until the task ends by itself. Cancel safe.
    pub(crate) async fn ended(&mut self) {
        let _ = (&mut self.handle).await;
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.handle.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a background task of the edge failed"
            );
        }
    }
}

pub(crate) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;
