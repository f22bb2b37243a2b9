//! The edge: terminates TLS by SNI, proxies to the origins, and replicates from the store.
//!
//! # What it promises
//! - New handshakes see a new state without a restart; established connections go on. No handshake
//!   fails because of a change, whatever the number of certificates.
//! - Selection is exact name, then one-label wildcard, nothing else ([`select`]). A handshake that
//!   gets no certificate gets the fatal alert `unrecognized_name`.
//! - The delivery settings of a domain (TLS versions, HTTP/2, redirects, HSTS, response headers)
//!   apply from the next handshake and the next request on. No session ticket brings back an earlier
//!   setting.
//! - A record that cannot be used is quarantined: that domain keeps its last good state, all others
//!   are unaffected.
//! - The edge keeps serving what it has while the store is gone, also across its own restart: the
//!   last good state is on disk, with keys sealed.
//! - It reports only what it has read from a handshake with its own listener.
//! # What it never does
//! The handshake path does I/O with the client only and never blocks on a writer. Nothing that the
//! store returns, or fails to return, empties the index. Private keys are decrypted on demand into
//! a bounded cache and never written to disk unsealed.
//!
//! # The path of a change
//! `replication` receives it from the store's change feed, fetches and checks what it needs, and
//! puts it into [`index`] and `replica`; the next ClientHello in `tls` finds it through [`select`];
//! `prover` reads it back through a handshake and reports it.
//!
//! # The path of a request
//! `listener` accepts within `limits`, `tls` does the handshake, `proxy` routes by host and
//! redirects, or streams from the origin.
//!
//! Start reading at [`index`] and [`select`], which are pure, then [`Edge::start`].

use std::{fmt, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use edgeseal_core::Timestamp;
use edgeseal_store::{Keyring, Revision, SharedStore, key::DOMAINS};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

mod drain;
mod health;
pub mod index;
mod limits;
mod listener;
mod options;
mod own_listeners;
mod prover;
mod proxy;
mod proxy_protocol;
mod quarantine;
mod replica;
mod replication;
pub mod select;
pub mod served_domain;
mod serving_state;
mod startup;
mod telemetry;
mod tls;

pub use health::{EdgeStatus, Health};
pub use limits::{Limits, MemoryUse};
pub use options::{Options, STAGING};
pub use own_listeners::OwnListeners;
pub use prover::ProofRequests;
pub use proxy::{AccessLog, Timeouts};
pub use replica::{ReplicaError, ReplicaReport, inspect_replica};
pub use replication::ResealStats;
pub use startup::{Listeners, LoadedEdge, bind};
pub use tls::{OfferedKeys, OriginTrustError, Probe, ProbeError, ProbeResult, SetupError};

use drain::Drain;
use limits::Limiter;
use listener::Server;
use prover::Prover;
use proxy::{AccessLogger, ListenPorts};
use proxy_protocol::TrustedProxies;
use replica::{Replica, ReplicaStatus};
use replication::ResealRequest;
use serving_state::ServingState;
use startup::{EdgeContext, ReplicationTasks};

/// A running edge. Dropping it aborts all connections; [`Edge::drain`] ends it gracefully.
pub struct Edge {
    context: EdgeContext,
    https: SocketAddr,
    http: Option<SocketAddr>,
    applied_revision: watch::Receiver<Revision>,
    reseal: ResealHandle,
    drain: Drain,
    replication: Option<ReplicationTasks>,
}

/// Makes an edge reseal the private keys that it holds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ResealHandle {
    requests: mpsc::Sender<ResealRequest>,
}

/// The edge has ended, or could not write its replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edge has ended or could not write its replica")]
pub struct ResealError;

/// Why an edge does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The replica cannot be read, and no empty one can be created.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] SetupError),
    /// TLS to origins cannot be set up.
    #[error(transparent)]
    OriginTrust(#[from] OriginTrustError),
    /// A socket cannot be bound.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The access log cannot be opened.
    #[error("the access log {log:?} cannot be opened: {cause}")]
    AccessLog {
        /// Its destination.
        log: AccessLog,
        /// The system's error.
        #[source]
        cause: io::Error,
    },
    /// The system could not create a thread, or report a socket's address.
    #[error("system error: {0}")]
    System(#[from] io::Error),
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
            let reached_at = self.context.options.probe_address.unwrap_or(self.https);
            let prover = Prover::new(
                Arc::clone(&self.context.serving),
                Arc::clone(&self.context.proof_queue),
                Arc::clone(&tasks.store),
                self.context.clock,
                (&self.context.options.group, &self.context.options.id),
                (reached_at, self.context.options.uses_proxy_protocol()),
            )?;
            tasks.prover = Some(Task::spawn(|stop| prover.run(stop)));
        }
        Ok(())
    }

    /// Withdraws the edge's report, flushes the replica, and releases it and the store. The edge
    /// goes on accepting connections and serving what it has.
    pub async fn stop_replication(&mut self) {
        if let Some(tasks) = self.replication.take() {
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
        let cursor = Some(*self.applied_revision.borrow());
        let (tasks, served, reseal) = self.context.start_replication(replica, cursor, store)?;
        self.replication = Some(tasks);
        (self.applied_revision, self.reseal) = (served, reseal);
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

    /// The revision up to which every change is visible to new handshakes. How much of it is proved
    /// is in the edge's report.
    #[must_use]
    pub fn applied_revision(&self) -> watch::Receiver<Revision> {
        self.applied_revision.clone()
    }

    /// A handle that makes this edge prove some domains before others.
    #[must_use]
    pub fn proof_requests(&self) -> ProofRequests {
        ProofRequests::new(Arc::clone(&self.context.proof_queue))
    }

    /// A handle to the edge's status.
    #[must_use]
    pub fn health(&self) -> Health {
        let (serving, applied) = (&self.context.serving, &self.context.proof_queue);
        Health::new(Arc::clone(serving), Arc::clone(applied))
    }

    /// A handle that makes this edge reseal what it holds, after its keyring got another key to
    /// seal with.
    #[must_use]
    pub fn reseal(&self) -> ResealHandle {
        self.reseal.clone()
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

impl ResealHandle {
    fn new() -> (Self, mpsc::Receiver<ResealRequest>) {
        let (requests, receiver) = mpsc::channel(1);
        (Self { requests }, receiver)
    }

    /// Reseals every private key that is sealed under another key than the current one; returns
    /// once memory and disk have it. Handshakes and changes go on meanwhile. Needs no store.
    ///
    /// # Errors
    /// [`ResealError`]; it is safe to call again.
    pub async fn run(&self) -> Result<ResealStats, ResealError> {
        let (request, done) = oneshot::channel();
        self.requests.send(request).await.map_err(|_| ResealError)?;
        done.await.map_err(|_| ResealError)
    }
}

/// A background task that can be stopped.
#[derive(Debug)]
struct Task {
    stop: oneshot::Sender<()>,
    handle: JoinHandle<()>,
}

impl Task {
    fn spawn<F>(run: impl FnOnce(Stop) -> F) -> Self
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

    async fn stop(self) {
        let _ = self.stop.send(());
        if let Err(error) = self.handle.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a background task of the edge failed"
            );
        }
    }
}

type Stop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits until the first full state is applied.
async fn first_state(
    options: &Options,
    store: &SharedStore,
    status: ReplicaStatus,
    served: &mut watch::Receiver<Revision>,
) {
    if !status.complete {
        // The sender lives in the follower, which ends only after the edge.
        let _ = served.changed().await;
        return;
    }
    let newest = async {
        let page = store.list(DOMAINS, None, 1).await.ok()?;
        served.wait_for(|now| *now >= page.revision).await.ok()?;
        Some(())
    };
    let caught_up = timeout(options.catch_up_timeout, newest).await;
    if caught_up.ok().flatten().is_none() {
        tracing::warn!("the store does not respond: serving the last good state from the replica");
    }
}

/// Waits for the ticket keys that all edges share, for a limited time: an edge can do without.
async fn first_ticket_keys(options: &Options, mut ready: watch::Receiver<bool>) {
    let shared = ready.wait_for(|ready| *ready);
    if timeout(options.catch_up_timeout, shared).await.is_err() {
        tracing::warn!("no shared ticket keys: sessions resume at this edge only");
    }
}

fn server(
    options: &Options,
    serving: &Arc<ServingState>,
    (keys, tickets): (Arc<tls::KeyCache>, Arc<tls::TicketKeys>),
    origin_tls: tls::OriginTls,
    ports: ListenPorts,
    (access_log, clock): (Option<Arc<AccessLogger>>, fn() -> Timestamp),
) -> Result<Server, StartError> {
    let index = serving.index();
    let default_host = options
        .default_domain
        .as_ref()
        .map(|name| name.as_str().into());
    let limiter = Limiter::new(options.limits, options.memory_used);
    Ok(Server {
        terminator: tls::Terminator::new(
            Arc::clone(index),
            keys,
            tickets,
            default_host,
            options.client_hello_timeout,
            Arc::clone(&limiter),
        )?,
        proxy: proxy::Proxy::new(
            Arc::clone(index),
            options,
            origin_tls,
            ports,
            access_log,
            clock,
        ),
        serving: Arc::clone(serving),
        header_timeout: options.header_timeout,
        keepalive_requests: options.keepalive_requests.max(1),
        limiter,
        trusted_proxies: TrustedProxies::new(&options.proxy_protocol_from),
        proxy_header_timeout: options.client_hello_timeout,
    })
}
