//! From the replica to a serving edge: what is loaded, what replicates from the store, what
//! listens.
//!
//! A normal start runs these steps at once. A process that takes over from another one pauses
//! between them: it loads while the other serves, and goes on once that one has released the store.

use std::{io, net::SocketAddr, sync::Arc};

use edgeseal_core::Timestamp;
use edgeseal_store::{Keyring, Revision, SharedStore, Source, key::DOMAINS};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Mutex, mpsc, watch},
    time::timeout,
};

use crate::{
    AccessLog, Edge, Options, OriginTrustError, ReplicaError, SetupError,
    challenges::Challenges,
    drain::Drain,
    edge::EdgeContext,
    listener::{Protocol, Server},
    proxy::{AccessLogger, ListenPorts},
    replica::{Replica, ReplicaStatus},
    replication,
    serving_state::ServingState,
    tls,
};

/// An edge that has its last good state, and neither replicates nor listens.
pub struct LoadedEdge {
    context: EdgeContext,
    replica: Replica,
    origin_tls: tls::OriginTls,
}

/// The sockets of an edge.
#[derive(Debug)]
pub struct Listeners {
    /// HTTPS.
    pub https: std::net::TcpListener,
    /// Plain HTTP, if enabled.
    pub http: Option<std::net::TcpListener>,
}

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
    /// The replication ended before it had a full state, which is a bug; the log has the cause.
    #[error("the replication ended unexpectedly")]
    Replication,
    /// The system could not create a thread, or report a socket's address.
    #[error("system error: {0}")]
    System(#[from] io::Error),
}

/// Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

impl Listeners {
    /// Binds these addresses.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub fn bind(https: SocketAddr, http: Option<SocketAddr>) -> Result<Self, StartError> {
        let bind = |address| bind(address).map_err(|cause| StartError::Listen { address, cause });
        Ok(Self {
            https: bind(https)?,
            http: http.map(bind).transpose()?,
        })
    }
}

/// Binds a non-blocking listening socket. Must be called on the runtime.
///
/// # Errors
/// The system's error.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

impl LoadedEdge {
    /// Opens or creates the replica, and loads what can be served from it.
    ///
    /// # Errors
    /// [`StartError::Replica`] if not even an empty replica can be opened.
    pub async fn load(
        options: Options,
        keyring: Keyring,
        clock: fn() -> Timestamp,
    ) -> Result<Self, StartError> {
        Self::load_by(options, keyring, clock, false).await
    }

    /// Like [`load`](Self::load), but from the replica of a running edge, which goes on writing it
    /// until its [`stop_replication`](Edge::stop_replication). Writes, moves and creates nothing.
    ///
    /// # Errors
    /// [`StartError::Replica`] also if the replica is corrupted or of another release.
    pub async fn load_snapshot(
        options: Options,
        keyring: Keyring,
        clock: fn() -> Timestamp,
    ) -> Result<Self, StartError> {
        Self::load_by(options, keyring, clock, true).await
    }

    async fn load_by(
        options: Options,
        keyring: Keyring,
        clock: fn() -> Timestamp,
        snapshot: bool,
    ) -> Result<Self, StartError> {
        let origin_tls = tls::OriginTls::new(options.origin_ca_file.as_deref())?;
        let access_log = open_access_log(&options)?;
        let keys = Arc::new(tls::KeyCache::new(keyring.clone(), options.key_cache_size));
        let environment = options.environment();
        let serving = Arc::new(ServingState::new(
            keys,
            environment,
            options.origin_private_addresses,
        ));
        let (into, directory) = (Arc::clone(&serving), options.directory.clone());
        let loading = tokio::task::spawn_blocking(move || {
            if snapshot {
                replication::load_snapshot(&into, Replica::open_snapshot(&directory, environment)?)
            } else {
                replication::load_replica(&into, Replica::open(&directory, environment)?)
            }
        });
        let replica = loading.await.map_err(io::Error::other)??;
        let (reseal_requests, reseal_receiver) = mpsc::channel(1);
        let challenges = Arc::new(Challenges::new(Arc::clone(serving.index()), clock));
        Ok(Self {
            context: EdgeContext {
                options,
                serving,
                proof_queue: Arc::default(),
                access_log,
                clock,
                tickets: Arc::new(tls::TicketKeys::new(environment, keyring, clock)),
                challenges,
                applied_revision: watch::Sender::new(replica.loaded.cursor.unwrap_or_default()),
                reseal_requests,
                reseal_receiver: Arc::new(Mutex::new(reseal_receiver)),
            },
            replica,
            origin_tls,
        })
    }

    /// Replicates from `store`, and serves on `listeners` once the first full state is applied: see
    /// [`Edge::start`]. Nothing is reported until [`Edge::start_prover`].
    ///
    /// # Errors
    /// [`StartError`] for a failure that waiting does not cure.
    pub async fn serve<E: From<StartError>>(
        self,
        store: SharedStore,
        listeners: impl FnOnce() -> Result<Listeners, E>,
    ) -> Result<Edge, E> {
        let Self {
            context,
            mut replica,
            origin_tls,
        } = self;
        replica.take_over().map_err(StartError::from)?;
        // Only now: another process may have written some while this one loaded.
        for (key, value) in replica.ticket_keys() {
            context.tickets.insert_stored(&key, &value);
        }
        let (loaded, mut applied) = (replica.loaded, context.applied_revision.subscribe());
        let mut tasks = context.start_replication(replica, loaded.cursor, Arc::clone(&store))?;
        let ready = async {
            tokio::join!(
                first_state(&context.options, &*store, loaded, &mut applied),
                first_ticket_keys(&context.options, tasks.ticket_keys.clone())
            )
        };
        tokio::select! {
            _ = ready => {}
            () = tasks.follower.ended() => return Err(StartError::Replication.into()),
        }

        let Listeners { https, http } = listeners()?;
        let (https_listener, https) = listening(https)?;
        let (http_listener, http) = http.map(listening).transpose()?.unzip();
        for address in http.iter().chain([&https]) {
            context.options.own_listeners.add(*address);
        }
        let ports = ListenPorts {
            https: https.port(),
            http: http.map(|address| address.port()),
        };
        let server = Server::new(&context, origin_tls, ports).map_err(StartError::from)?;
        let (server, (drain, token)) = (Arc::new(server), Drain::new());
        if let Some(listener) = http_listener {
            let accept = Arc::clone(&server).accept(listener, Protocol::Http, token.clone());
            tokio::spawn(accept);
        }
        tokio::spawn(server.accept(https_listener, Protocol::Https, token));
        tracing::info!(
            https = %https,
            http = http.map(tracing::field::display),
            store.revision = applied.borrow().0,
            "the edge is serving"
        );
        Ok(Edge {
            context,
            https,
            http,
            drain,
            replication: Some(tasks),
        })
    }
}

/// A listener on the runtime, and its address.
fn listening(socket: std::net::TcpListener) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::from_std(socket)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Waits until the first full state is applied.
pub(crate) async fn first_state(
    options: &Options,
    source: &dyn Source,
    status: ReplicaStatus,
    applied: &mut watch::Receiver<Revision>,
) {
    if !status.complete {
        // The sender lives as long as the edge.
        let _ = applied.changed().await;
        return;
    }
    let newest = async {
        let page = source.list(DOMAINS, None, 1).await.ok()?;
        applied.wait_for(|now| *now >= page.revision).await.ok()?;
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

fn open_access_log(options: &Options) -> Result<Option<Arc<AccessLogger>>, StartError> {
    let Some(wanted) = &options.access_log else {
        return Ok(None);
    };
    match AccessLogger::open(wanted) {
        Ok(log) => Ok(Some(Arc::new(log))),
        Err(cause) => Err(StartError::AccessLog {
            log: wanted.clone(),
            cause,
        }),
    }
}
