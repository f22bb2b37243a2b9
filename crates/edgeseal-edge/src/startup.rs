//! From the replica to a serving edge: what is loaded, what replicates from the store, what
//! listens.
//!
//! A normal start runs these steps at once. A process that takes over from another one pauses
//! between them: it loads while the other serves, and goes on once that one has released the store.

use std::{io, net::SocketAddr, sync::Arc};

use edgeseal_core::Timestamp;
use edgeseal_store::{Keyring, Revision, SharedStore};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};

use crate::{
    Edge, Options, ResealHandle, StartError, Task,
    drain::Drain,
    first_state, first_ticket_keys,
    listener::Protocol,
    prover::ProofQueue,
    proxy::{AccessLogger, ListenPorts},
    replica::{Replica, ReplicaStatus},
    replication::{self, Follower, TicketKeyFollower},
    server,
    serving_state::ServingState,
    telemetry, tls,
};

/// An edge that has its last good state, and neither replicates nor listens.
pub struct LoadedEdge {
    base: EdgeContext,
    replica: Replica,
    /// The status of the loaded replica. The file may have changed since.
    status: ReplicaStatus,
    from_snapshot: bool,
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

/// What lives as long as the edge, across replications.
pub(crate) struct EdgeContext {
    pub(crate) options: Options,
    pub(crate) serving: Arc<ServingState>,
    pub(crate) proof_queue: Arc<ProofQueue>,
    pub(crate) access_log: Option<Arc<AccessLogger>>,
    pub(crate) clock: fn() -> Timestamp,
    keys: Arc<tls::KeyCache>,
    tickets: Arc<tls::TicketKeys>,
}

/// The tasks of one replication.
pub(crate) struct ReplicationTasks {
    pub(crate) store: SharedStore,
    pub(crate) follower: Task,
    pub(crate) ticket_key_follower: Task,
    /// Whether the ticket keys that edges share have been obtained.
    pub(crate) ticket_keys: watch::Receiver<bool>,
    pub(crate) prover: Option<Task>,
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
        beside: bool,
    ) -> Result<Self, StartError> {
        let origin_tls = tls::OriginTls::new(options.origin_ca_file.as_deref())?;
        let access_log = open_access_log(&options)?;
        let keys = Arc::new(tls::KeyCache::new(keyring.clone(), options.key_cache_size));
        let environment = options.environment();
        let serving = Arc::new(ServingState::new(
            Arc::clone(&keys),
            environment,
            options.origin_private_addresses,
        ));
        let (into, directory) = (Arc::clone(&serving), options.directory.clone());
        let loading = tokio::task::spawn_blocking(move || {
            if beside {
                replication::load_snapshot(&into, Replica::open_snapshot(&directory, environment)?)
            } else {
                replication::load_replica(&into, Replica::open(&directory, environment)?)
            }
        });
        let (replica, status) = loading.await.map_err(io::Error::other)??;
        Ok(Self {
            base: EdgeContext {
                options,
                serving,
                proof_queue: Arc::default(),
                access_log,
                clock,
                keys,
                tickets: Arc::new(tls::TicketKeys::new(environment, keyring, clock)),
            },
            replica,
            status,
            from_snapshot: beside,
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
            base,
            mut replica,
            status,
            from_snapshot: beside,
            origin_tls,
        } = self;
        if beside && status.cursor.is_some() {
            replica.refresh().map_err(StartError::from)?;
        } else if beside {
            // Some rows could not be decoded, and only now this process owns the file.
            replica.rebuild().map_err(StartError::from)?;
        }
        // Only now: another process may have written some while this one loaded.
        for (key, value) in replica.ticket_keys() {
            base.tickets.insert_stored(&key, &value);
        }
        let (tasks, mut served, reseal) =
            base.start_replication(replica, status.cursor, Arc::clone(&store))?;
        tokio::join!(
            first_state(&base.options, &store, status, &mut served),
            first_ticket_keys(&base.options, tasks.ticket_keys.clone())
        );

        let Listeners { https, http } = listeners()?;
        let system = |error: io::Error| E::from(StartError::from(error));
        let https = TcpListener::from_std(https).map_err(system)?;
        let http = http
            .map(TcpListener::from_std)
            .transpose()
            .map_err(system)?;
        let https_address = https.local_addr().map_err(system)?;
        let http_address = http.as_ref().map(TcpListener::local_addr);
        let http_address = http_address.transpose().map_err(system)?;
        for address in http_address.iter().chain([&https_address]) {
            base.options.own_listeners.add(*address);
        }
        let ports = ListenPorts {
            https: https_address.port(),
            http: http_address.map(|address| address.port()),
        };
        let keys = (Arc::clone(&base.keys), Arc::clone(&base.tickets));
        let server = Arc::new(server(
            &base.options,
            &base.serving,
            keys,
            origin_tls,
            ports,
            (base.access_log.clone(), base.clock),
        )?);
        let (drain, token) = Drain::new();
        if let Some(http) = http {
            let accept = Arc::clone(&server).accept(http, Protocol::Http, token.clone());
            tokio::spawn(accept);
        }
        tokio::spawn(server.accept(https, Protocol::Https, token));
        tracing::info!(
            https = %https_address,
            http = http_address.map(tracing::field::display),
            store.revision = served.borrow().0,
            "the edge is serving"
        );
        Ok(Edge {
            context: base,
            https: https_address,
            http: http_address,
            applied_revision: served,
            reseal,
            drain,
            replication: Some(tasks),
        })
    }
}

impl EdgeContext {
    /// Replicates from a store from `cursor` on, and writes `replica`.
    pub(crate) fn start_replication(
        &self,
        replica: Replica,
        cursor: Option<Revision>,
        store: SharedStore,
    ) -> Result<(ReplicationTasks, watch::Receiver<Revision>, ResealHandle), StartError> {
        let (reseal, reseal_requests) = ResealHandle::new();
        let revision = cursor.unwrap_or_default();
        // The content of the replica is served whether or not the store responds.
        telemetry::revision_applied(revision.0, self.serving.index().len());
        let (served_sender, served) = watch::channel(revision);
        let follower = Follower {
            store: Arc::clone(&store),
            serving: Arc::clone(&self.serving),
            tickets: Arc::clone(&self.tickets),
            writer: replica.into_writer()?,
            proof_queue: Arc::clone(&self.proof_queue),
            applied_revision: served_sender,
            recheck_every: self.options.retry_interval,
        };
        let (ticket_follower, ticket_keys) = TicketKeyFollower::new(
            Arc::clone(&store),
            Arc::clone(&self.tickets),
            self.options.retry_interval,
        );
        let tasks = ReplicationTasks {
            store,
            follower: Task::spawn(|stop| follower.run(cursor, reseal_requests, stop)),
            ticket_key_follower: Task::spawn(|stop| ticket_follower.run(stop)),
            ticket_keys,
            prover: None,
        };
        Ok((tasks, served, reseal))
    }
}

impl ReplicationTasks {
    /// Withdraws the report, and ends all tasks but the follower.
    pub(crate) async fn stop_all_but_follower(self) -> Task {
        if let Some(prover) = self.prover {
            prover.stop().await;
        }
        self.ticket_key_follower.stop().await;
        self.follower
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
