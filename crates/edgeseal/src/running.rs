//! The composition root: store, edge, API and admin pages, put together, handed over and taken
//! apart.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use edgeseal_api::http::Ending;
use edgeseal_edge::{Edge, Loaded, Options};
use edgeseal_store::{Catalog, SharedStore, open::OpenError, seal::KeyMissing};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    admin::{self, Health},
    api_tls::UnusableFile,
    bootstrap::{self, BootstrapError},
    clock,
    config::{Config, ConfigError},
    control::{Control, stopped},
    handover::{Desk, HandoverError, Predecessor, Successor},
    lease::Lease,
    parts::{
        Parts, api_tls, edge_directory, edge_options, open_store, refuse_emptied, share_descriptors,
    },
    sockets::{Role, Sockets},
};

/// What [`StartError::Listen`] calls the API in TLS.
pub(crate) const API_IN_TLS: &str = Role::ApiTls.words();
/// For calls when another process takes over: new ones wait for as long.
const CALLS: Ending = Ending {
    fresh: Duration::from_secs(1),
    patience: Duration::from_secs(5),
};

/// A running Edgeseal.
pub(crate) struct Running {
    parts: Parts,
    addresses: Addresses,
    sockets: Sockets,
    edge: Edge,
    /// `None` while the store belongs to another process.
    control: Option<Control>,
    lease: Arc<Lease>,
    /// Whether it is about to end.
    ending: watch::Sender<bool>,
    /// Health is told to the last.
    admin: (watch::Sender<bool>, JoinHandle<()>),
    desk: Option<Desk>,
}

/// Where everything listens, as `addresses.json` holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The API.
    pub(crate) api: SocketAddr,
    /// The API in TLS, if it listens there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls: Option<SocketAddr>,
    /// The edge's HTTPS.
    pub(crate) https: SocketAddr,
    /// The edge's plain HTTP.
    pub(crate) http: SocketAddr,
    /// Health and metrics.
    pub(crate) admin: SocketAddr,
}

/// Why Edgeseal does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Directory, keys, first account.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// Another process owns the store.
    #[error("{0}; to take over from it, start with --take-over")]
    Occupied(#[source] OpenError),
    /// The process that serves does not hand over.
    #[error(transparent)]
    Handover(HandoverError),
    /// The keys have changed while this process loaded.
    #[error("the key-encryption keys changed meanwhile: {0}")]
    Keys(#[from] KeyMissing),
    /// A socket that a service manager passed on.
    #[error("the socket {name:?} that was passed on cannot be used: {cause}")]
    PassedOn {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// Certificate or key of the API in TLS.
    #[error(transparent)]
    ApiTls(#[from] UnusableFile),
    /// The edge.
    #[error(transparent)]
    Edge(#[from] edgeseal_edge::StartError),
    /// The system's signals.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
    /// A socket.
    #[error("cannot listen on {address} for {role}: {cause}")]
    Listen {
        /// For what.
        role: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
}

impl Running {
    /// Starts everything; returns once everything listens. With `take_over`, in the place of the
    /// process that serves this data directory: until the last moment that one goes on if anything
    /// is in the way here.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub(crate) async fn start(config: &Config, take_over: bool) -> Result<Self, StartError> {
        let mut settings = config.settings()?;
        let mut options = edge_options(config)?;
        let shared = share_descriptors(config)?;
        options.limits.connections = shared.connections;
        settings.connections.in_all = shared.api_connections;
        let mut sockets = Sockets::passed_on()?;
        let mut predecessor = None;
        if take_over {
            if config.store_url().starts_with("memory:") {
                return Err(HandoverError::InMemory.into());
            }
            predecessor = Some(Predecessor::ask(&config.data, &mut sockets).await?);
        }
        bootstrap::make_directory(&config.data)?;
        let (keyring, sources) = bootstrap::keyring(config).await?;
        bootstrap::prove_keys_are_there(config, &keyring, &sources).await?;
        bootstrap::make_directory(&edge_directory(config))?;
        refuse_emptied(config)?;
        let parts = Parts {
            config: config.clone(),
            settings,
            keyring,
            sources,
            api_tls: api_tls(config)?,
        };
        let mut loaded = None;
        if let Some(predecessor) = &mut predecessor {
            let beside = Loaded::load_beside(options.clone(), parts.keyring.clone(), clock::now);
            loaded = Some(beside.await?);
            parts.open_all(&mut sockets)?;
            predecessor.loaded().await?;
            parts.reread_keys().await?;
        }
        Self::start_with(parts, sockets, options, loaded, predecessor).await
    }

    async fn start_with(
        parts: Parts,
        mut sockets: Sockets,
        options: Options,
        loaded: Option<Loaded>,
        predecessor: Option<Predecessor>,
    ) -> Result<Self, StartError> {
        let config = &parts.config;
        let (store, is_there) = open_store(config).await?;
        let lease = Lease::new(store);
        let store = Arc::clone(&lease) as SharedStore;
        parts.begin(&store, is_there).await?;
        parts.open_calls(&mut sockets)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => Loaded::load(options, parts.keyring.clone(), clock::now).await?,
        };
        let listeners = || parts.open_visits(&mut sockets);
        let mut edge = loaded.serve(Arc::clone(&store), listeners).await?;
        let control = Control::start(&parts, &store, is_there, &edge).await?;
        let (ending, ends) = watch::channel(false);
        let health = Health {
            catalog: Catalog::new(store, parts.keyring.clone()),
            edge: edge.health(),
            stopping: ends,
        };
        let admin = serve_admin(&sockets, health)?;
        if let Some(predecessor) = predecessor {
            predecessor.serving().await?;
        }
        sockets.close_unused();
        edge.prove()?;
        let control = control.accept(&parts, &sockets)?;
        let addresses = Addresses::of(&parts, &sockets)?;
        write_addresses(&parts.config, &addresses)?;
        let desk = desk(&parts.config);
        Ok(Self {
            parts,
            addresses,
            sockets,
            edge,
            control: Some(control),
            lease,
            ending,
            admin,
            desk,
        })
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Waits until another process is to take over.
    pub(crate) async fn asked(&self) -> Successor {
        match &self.desk {
            Some(desk) => desk.asked().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over to another process. If that does not come to its end, all is as before.
    ///
    /// # Errors
    /// [`HandoverError`] says what went wrong; this process goes on.
    pub(crate) async fn hand_over(&mut self, mut to: Successor) -> Result<(), HandoverError> {
        tracing::info!("another process is about to take over");
        to.give(&self.sockets).await?;
        let began = Instant::now();
        let took_over = self.release_to(&mut to).await;
        if let Err(error) = took_over {
            drop(to);
            self.go_on().await;
            return Err(error);
        }
        self.edge.leave();
        self.admin.0.send_replace(true);
        self.sockets.close();
        // Its failure is the other process's: it serves by now.
        let _ = to.left().await;
        self.desk = None;
        tracing::info!(
            calls_waited_ms = began.elapsed().as_millis(),
            "another process has taken over; what is open here goes on"
        );
        Ok(())
    }

    async fn release_to(&mut self, to: &mut Successor) -> Result<(), HandoverError> {
        if let Some(control) = self.control.take() {
            control.stop(CALLS).await;
        }
        self.edge.release().await;
        self.lease.revoke().await;
        to.released().await
    }

    /// Takes up again what was let go of. Tries until it succeeds: the other process may be about to
    /// end. Visitors are served meanwhile.
    async fn go_on(&mut self) {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.try_to_go_on().await {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store cannot be opened again; trying again"
                ),
            }
            self.edge.release().await;
            self.lease.revoke().await;
            sleep(PAUSE).await;
        }
    }

    async fn try_to_go_on(&mut self) -> Result<(), StartError> {
        let (store, is_there) = open_store(&self.parts.config).await?;
        self.lease.grant(store);
        let store = Arc::clone(&self.lease) as SharedStore;
        self.parts.begin(&store, is_there).await?;
        self.edge.resume(Arc::clone(&store)).await?;
        let control = Control::start(&self.parts, &store, is_there, &self.edge).await?;
        self.control = Some(control.accept(&self.parts, &self.sockets)?);
        Ok(())
    }

    /// Waits until nothing is open any more, after another process has taken over.
    pub(crate) async fn empty(&mut self) {
        let patience = Duration::from_millis(self.parts.config.handover_drain_timeout_ms);
        self.edge.empty(patience).await;
    }

    /// Ends everything in order: no new calls, calls under way answered, connections drained, the
    /// last refusal written, the store closed.
    pub(crate) async fn stop(mut self) {
        self.ending.send_replace(true);
        self.sockets.close();
        if let Some(desk) = self.desk.take() {
            desk.close();
        }
        let ending = Ending {
            fresh: Duration::ZERO,
            patience: Duration::from_millis(self.parts.config.drain_timeout_ms),
        };
        let control = self.control.take();
        let calls = async {
            match control {
                Some(control) => Some(control.stop_calls(ending).await),
                None => None,
            }
        };
        let (control, ()) = tokio::join!(calls, self.edge.drain());
        if let Some(control) = control {
            control.stop_writing().await;
        }
        let (close_admin, admin) = self.admin;
        close_admin.send_replace(true);
        // A watcher that keeps its connection does not keep the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
        self.lease.revoke().await;
    }
}

fn serve_admin(
    sockets: &Sockets,
    health: Health,
) -> Result<(watch::Sender<bool>, JoinHandle<()>), StartError> {
    let (close, closing) = watch::channel(false);
    let listener = sockets.listener(Role::Admin)?;
    let closed = async move {
        let _ = stopped(closing).await;
    };
    Ok((close, tokio::spawn(admin::serve(listener, health, closed))))
}

/// Where the next process asks. Without it this one serves all the same.
fn desk(config: &Config) -> Option<Desk> {
    if config.store_url().starts_with("memory:") {
        return None;
    }
    match Desk::open(&config.data) {
        Ok(desk) => Some(desk),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "another process will not be able to take over"
            );
            None
        }
    }
}

impl Addresses {
    fn of(parts: &Parts, sockets: &Sockets) -> Result<Self, StartError> {
        let at = |role| Ok::<_, StartError>(sockets.handle(role)?.local_addr()?);
        let api_tls = parts.api_tls.as_ref().map(|_| at(Role::ApiTls));
        Ok(Self {
            api: at(Role::Api)?,
            api_tls: api_tls.transpose()?,
            https: at(Role::Https)?,
            http: at(Role::Http)?,
            admin: at(Role::Admin)?,
        })
    }
}

fn write_addresses(config: &Config, addresses: &Addresses) -> Result<(), StartError> {
    let json = serde_json::to_vec(addresses).unwrap_or_default();
    Ok(bootstrap::write_private(
        &config.data.join("addresses.json"),
        &json,
    )?)
}
