//! A running edge.
//!
//! # What owns what, and for how long
//! ```text
//! LoadedEdge ──serve()──▶ Edge ──drain()──▶ end
//!
//! EdgeContext        from load to the end of the drain: options, ServingState (index, keys,
//!                    quarantine, interned values), proof queue, ticket keys, challenges, access
//!                    log; each EdgeHandle shares some of these, and so do:
//! ReplicationTasks   from serve or resume_replication to stop_replication or drain: store,
//!                    follower (which owns the replica's writer), shared state follower, prover
//! Server             from serve to the last connection: terminator, proxy, limiter; held by the
//!                    accept tasks and each connection, not by the edge
//! connection         its permit, drain token, stall monitor and request budget
//! request            its domain as it was found, its body, its permit for the origin
//! ```

use std::{fmt, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use edgeseal_store::{Keyring, Revision, SharedStore};
use tokio::sync::{Mutex, mpsc, watch};

use crate::{
    EdgeHandle, Listeners, LoadedEdge, Options, StartError,
    challenges::Challenges,
    drain::Drain,
    prover::{ProofQueue, Prover},
    proxy::AccessLogger,
    replica::{self, Replica},
    replication::{Follower, ReplicationTasks, ResealRequest, SharedStateFollower, Task},
    serving_state::ServingState,
    telemetry,
    tls::TicketKeys,
};

/// A running edge. Dropping it aborts all connections; [`Edge::drain`] ends it gracefully.
pub struct Edge {
    pub(crate) context: EdgeContext,
    pub(crate) https: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) drain: Drain,
    pub(crate) replication: Option<ReplicationTasks>,
}

/// What lives as long as the edge, across replications.
pub(crate) struct EdgeContext {
    pub(crate) options: Options,
    pub(crate) serving: Arc<ServingState>,
    pub(crate) proof_queue: Arc<ProofQueue>,
    pub(crate) access_log: Option<Arc<AccessLogger>>,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) applied_revision: watch::Sender<Revision>,
    pub(crate) reseal_requests: mpsc::Sender<ResealRequest>,
    /// Locked by the follower as long as it runs.
    pub(crate) reseal_receiver: Arc<Mutex<mpsc::Receiver<ResealRequest>>>,
}

impl Edge {
    /// Starts an edge. Returns when the first full state is applied and the sockets listen; no
    /// socket listens before. With a usable replica, the store has
    /// [`catch_up_timeout`](Options::catch_up_timeout) to bring it up to date, and serving begins
    /// in any case; without one the edge waits for the store.
    ///
    /// # Errors
    /// [`StartError`] for a failure that waiting does not cure.
    pub async fn start(
        options: Options,
        store: SharedStore,
        keyring: Keyring,
        clock: fn() -> Timestamp,
    ) -> Result<Self, StartError> {
        let (https, http) = (options.https, options.http);
        let listeners = || Listeners::bind(https, http);
        let loaded = LoadedEdge::load(options, keyring, clock).await?;
        let mut edge = loaded.serve(store, listeners).await?;
        edge.start_prover()?;
        Ok(edge)
    }

    /// Starts to prove and report what is served, unless it is running.
    ///
    /// # Errors
    /// [`StartError::Tls`].
    pub fn start_prover(&mut self) -> Result<(), StartError> {
        if let Some(tasks) = &mut self.replication
            && tasks.prover.is_none()
        {
            let prover = Prover::new(
                Arc::clone(&self.context.serving),
                Arc::clone(&self.context.proof_queue),
                Arc::clone(&tasks.store),
                self.context.clock,
                &self.context.options,
                self.https,
            )?;
            tasks.prover = Some(Task::spawn(|stop| prover.run(stop)));
        }
        Ok(())
    }

    /// Withdraws the edge's report, flushes the replica, and releases it and the store. The edge
    /// goes on accepting connections and serving what it has.
    pub async fn stop_replication(&mut self) {
        if let Some(tasks) = self.replication.take() {
            self.context.challenges.set_source(None);
            tasks.stop_all_but_follower().await.stop().await;
        }
    }

    /// Replicates from a store again after [`stop_replication`](Self::stop_replication), from the
    /// applied revision on.
    ///
    /// # Errors
    /// [`StartError`], for example if the replica cannot be written.
    pub async fn resume_replication(&mut self, store: SharedStore) -> Result<(), StartError> {
        let options = &self.context.options;
        let (directory, environment) = (options.directory.clone(), options.environment());
        let open = move || Replica::reopen(&directory, environment);
        let opening = tokio::task::spawn_blocking(open);
        let replica = opening.await.map_err(io::Error::other)??;
        let cursor = Some(*self.context.applied_revision.borrow());
        let tasks = self.context.start_replication(replica, cursor, store)?;
        self.replication = Some(tasks);
        self.start_prover()
    }

    /// Stops accepting because another process accepts in its place; the sockets stay as they are.
    /// Open connections go on. [`drain`](Self::drain) must follow, after
    /// [`wait_until_drained`](Self::wait_until_drained).
    pub fn stop_accepting(&self) {
        self.drain.stop_accepting();
    }

    /// Whether an edge has left a replica in this directory.
    #[must_use]
    pub fn has_replica(directory: &Path) -> bool {
        let file = directory.join(replica::FILE).metadata();
        file.is_ok_and(|file| file.len() > 0)
    }

    /// The address of the HTTPS listener.
    #[must_use]
    pub const fn https_addr(&self) -> SocketAddr {
        self.https
    }

    /// The address of the plain HTTP listener, if there is one.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// A handle to this edge.
    #[must_use]
    pub fn handle(&self) -> EdgeHandle {
        EdgeHandle {
            serving: Arc::clone(&self.context.serving),
            proof_queue: Arc::clone(&self.context.proof_queue),
            reseal_requests: self.context.reseal_requests.clone(),
            applied_revision: self.context.applied_revision.subscribe(),
        }
    }

    /// Waits until all connections have ended after [`stop_accepting`](Self::stop_accepting), for
    /// `limit` at most. Connections that have not served a request yet may serve one: their
    /// clients know nothing of another process.
    pub async fn wait_until_drained(&mut self, limit: Duration) {
        let fresh = self.context.options.client_hello_timeout;
        let completed = self.drain.wait_until_drained(fresh.min(limit), limit).await;
        tracing::info!(completed, "connections from before the hand-over closed");
    }

    /// Ends the edge gracefully: withdraws its report, stops accepting, lets requests end within
    /// [`drain_timeout`](Options::drain_timeout), aborts the rest, and flushes the replica.
    pub async fn drain(mut self) {
        self.context.challenges.set_source(None);
        // The prover stops first: it is a client of the listener. The follower goes on to the end.
        let tasks = self.replication.take();
        let follower = match tasks {
            Some(tasks) => Some(tasks.stop_all_but_follower().await),
            None => None,
        };
        let completed = self.drain.drain(self.context.options.drain_timeout).await;
        tracing::info!(completed, "the edge is drained");
        if let Some(log) = self.context.access_log {
            log.flush().await;
        }
        if let Some(follower) = follower {
            follower.stop().await;
        }
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("https", &self.https)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

impl EdgeContext {
    /// Replicates from a store from `cursor` on, and writes `replica`.
    pub(crate) fn start_replication(
        &self,
        replica: Replica,
        cursor: Option<Revision>,
        store: SharedStore,
    ) -> Result<ReplicationTasks, StartError> {
        // The content of the replica is served whether or not the store responds.
        let revision = *self.applied_revision.borrow();
        telemetry::revision_applied(revision.0, self.serving.index().len());
        let follower = Follower {
            source: store.clone(),
            serving: Arc::clone(&self.serving),
            tickets: Arc::clone(&self.tickets),
            writer: replica.into_writer()?,
            proof_queue: Arc::clone(&self.proof_queue),
            applied_revision: self.applied_revision.clone(),
            recheck_every: self.options.retry_interval,
        };
        let has_ticket_keys = self.tickets.missing().is_empty();
        let (ready, ticket_keys) = watch::channel(has_ticket_keys);
        let shared_state = SharedStateFollower {
            store: Arc::clone(&store),
            tickets: Arc::clone(&self.tickets),
            challenges: Arc::clone(&self.challenges),
            proof_queue: Arc::clone(&self.proof_queue),
            look_every: self.options.retry_interval,
            ticket_keys: ready,
        };
        self.challenges.set_source(Some(store.clone()));
        let requests = Arc::clone(&self.reseal_receiver);
        Ok(ReplicationTasks {
            store,
            follower: Task::spawn(|stop| follower.run(cursor, requests, stop)),
            shared_state_follower: Task::spawn(|stop| shared_state.run(stop)),
            ticket_keys,
            prover: None,
        })
    }
}
