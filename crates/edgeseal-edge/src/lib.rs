//! The edge: it terminates TLS by SNI, proxies to the origins, and follows the store.
//!
//! # What it promises
//! - A new state is visible to new handshakes without a restart; what is established goes on. No
//!   handshake fails because of a change, whatever the number of certificates.
//! - Selection is exact name, then one-label wildcard, nothing else ([`select`]). Whatever gets no
//!   certificate gets the fatal alert `unrecognized_name`.
//! - What a domain's owner chose for its delivery is obeyed from the next handshake and the next
//!   request on: versions of TLS, HTTP/2, redirects, strict transport security. No ticket brings
//!   back what was chosen before. OCSP responses are stapled where it chose so.
//! - A record that cannot be used is quarantined: that domain keeps its last good state, the rest
//!   are untouched.
//! - What an edge has it keeps serving, over its own restart too, with the store gone: the last good
//!   state is on disk, keys sealed.
//! - What it reports as served it has read from a handshake with its own listener.
//!
//! # What it never does
//! The path of a handshake does no I/O but with the client, and waits for no writer. Nothing that
//! the store says, or fails to say, empties the table. Private keys are opened on demand into a
//! bounded cache and are written nowhere.
//!
//! # The way of a change, file by file
//! `follow` takes it from the store's feed, fetches and checks what it needs, and puts it into
//! [`index`] and `replica`; the next ClientHello in `tls` finds it through [`select`]; `prove`
//! reads it back from the outside and reports. `stapling` fetches OCSP responses beside all this.
//!
//! # The way of a request
//! `listener` accepts within `limits`, `tls` does the handshake, `proxy` routes by host, and redirects
//! or streams from the origin.
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
mod stapling;
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

/// A running edge. Dropping it cuts everything off; [`Edge::drain`] ends it in order.
pub struct Edge {
    context: EdgeContext,
    https: SocketAddr,
    http: Option<SocketAddr>,
    applied_revision: watch::Receiver<Revision>,
    reseal: ResealHandle,
    drain: Drain,
    replication: Option<ReplicationTasks>,
}

/// Has an edge seal anew what it holds. Cheap to clone.
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
    /// There is no replica to be read, and not even an empty one can be made.
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
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The access log cannot be opened.
    #[error("the access log {log:?} cannot be opened: {cause}")]
    AccessLog {
        /// Which.
        log: AccessLog,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The system gives no thread, or a socket no address.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Edge {
    /// Starts an edge. Returns when the first full state is applied and the sockets listen; no
    /// socket listens before. If there is a good replica the store has
    /// [`catch_up_timeout`](Options::catch_up_timeout) to bring it up to date, and serving begins
    /// in any case; without one the store is waited for.
    ///
    /// # Errors
    /// [`StartError`] if something that will not heal by waiting is in the way.
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

    /// Begins to prove and report what is served, unless it does already.
    ///
    /// # Errors
    /// [`StartError::Tls`].
    pub fn start_prover(&mut self) -> Result<(), StartError> {
        if let Some(following) = &mut self.replication
            && following.prover.is_none()
        {
            let reached_at = self.context.options.probe_address.unwrap_or(self.https);
            let prover = Prover::new(
                Arc::clone(&self.context.serving),
                Arc::clone(&self.context.proof_queue),
                Arc::clone(&following.store),
                self.context.clock,
                (&self.context.options.group, &self.context.options.id),
                (reached_at, self.context.options.uses_proxy_protocol()),
            )?;
            following.prover = Some(Task::spawn(|stop| prover.run(stop)));
        }
        Ok(())
    }

    /// Takes its report back, writes the replica to its end and lets go of it and of the store. It
    /// goes on accepting and serving what it has.
    pub async fn stop_replication(&mut self) {
        if let Some(following) = self.replication.take() {
            following.stop_all_but_follower().await.stop().await;
        }
    }

    /// Follows a store again after [`release`](Self::release), from where it is.
    ///
    /// # Errors
    /// [`StartError`] if the replica cannot be written, for one.
    pub async fn resume_replication(&mut self, store: SharedStore) -> Result<(), StartError> {
        let options = &self.context.options;
        let (directory, environment) = (options.directory.clone(), options.environment());
        let open = move || Replica::reopen(&directory, environment);
        let opening = tokio::task::spawn_blocking(open);
        let replica = opening.await.map_err(io::Error::other)??;
        let cursor = Some(*self.applied_revision.borrow());
        let (following, served, reseal) = self.context.start_replication(replica, cursor, store)?;
        self.replication = Some(following);
        (self.applied_revision, self.reseal) = (served, reseal);
        self.start_prover()
    }

    /// Accepts no more, since another process does in its place; the sockets stay as they are.
    /// What is open goes on: see [`drain`](Self::drain), which must follow, in this case with some
    /// `patience` of its own.
    pub fn stop_accepting(&self) {
        self.drain.stop_accepting();
    }

    /// Whether an edge has kept a replica in this directory.
    #[must_use]
    pub fn has_replica(directory: &Path) -> bool {
        let file = directory.join(replica::FILE).metadata();
        file.is_ok_and(|file| file.len() > 0)
    }

    /// Where HTTPS listens.
    #[must_use]
    pub const fn https_addr(&self) -> SocketAddr {
        self.https
    }

    /// Where plain HTTP listens, if it does.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The revision up to which every change is visible to new handshakes. What of it was proved
    /// is in the edge's report.
    #[must_use]
    pub fn applied_revision(&self) -> watch::Receiver<Revision> {
        self.applied_revision.clone()
    }

    /// What has this edge prove some domains before others.
    #[must_use]
    pub fn proof_requests(&self) -> ProofRequests {
        ProofRequests::new(Arc::clone(&self.context.proof_queue))
    }

    /// What is wrong with what this edge serves, now and later.
    #[must_use]
    pub fn health(&self) -> Health {
        let (serving, applied) = (&self.context.serving, &self.context.proof_queue);
        Health::new(Arc::clone(serving), Arc::clone(applied))
    }

    /// What has this edge seal anew what it holds, after its keyring was given another key to seal
    /// with.
    #[must_use]
    pub fn reseal(&self) -> ResealHandle {
        self.reseal.clone()
    }

    /// Waits until nothing is open any more after it has [left](Self::leave), for `patience` at
    /// most. Connections that have not carried a request yet may carry one: their clients know
    /// nothing of another process.
    pub async fn wait_until_drained(&mut self, patience: Duration) {
        let fresh = self.context.options.client_hello_timeout;
        let completed = self
            .drain
            .wait_until_drained(fresh.min(patience), patience)
            .await;
        tracing::info!(completed, "connections from before the hand-over closed");
    }

    /// Ends the edge in order: takes its report back, accepts no more connections, lets requests
    /// end within [`drain_timeout`](Options::drain_timeout), cuts off what is left, and writes the
    /// replica to its end.
    pub async fn drain(mut self) {
        // The prover stops first: it is a client of the listener. The follower goes on to the end.
        let following = self.replication.take();
        let follower = match following {
            Some(following) => Some(following.stop_all_but_follower().await),
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
        let (wishes, wished) = mpsc::channel(1);
        (Self { requests: wishes }, wished)
    }

    /// Seals anew every private key that the edge holds under another key than the one that seals
    /// now; returns once memory and disk have it. Handshakes and changes go on meanwhile. Needs no
    /// store.
    ///
    /// # Errors
    /// [`ResealError`]; asking again does no harm.
    pub async fn run(&self) -> Result<ResealStats, ResealError> {
        let (wish, done) = oneshot::channel();
        self.requests.send(wish).await.map_err(|_| ResealError)?;
        done.await.map_err(|_| ResealError)
    }
}

/// A background task with its end.
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
            // Told, or the edge was dropped: both end the task.
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
                "a background task of the edge broke down"
            );
        }
    }
}

type Stop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for the first full state.
async fn first_state(
    options: &Options,
    store: &SharedStore,
    standing: ReplicaStatus,
    served: &mut watch::Receiver<Revision>,
) {
    if !standing.complete {
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
        tracing::warn!("the store does not answer: serving the last good state from the replica");
    }
}

/// Waits for the ticket keys that edges share, but not for long: an edge can do without.
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
