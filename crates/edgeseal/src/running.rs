//! The composition root: store, edge, API and admin pages, put together and taken apart.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_api::{
    Context,
    http::{self, Speaks},
    key_encryption::KeyEncryption,
    settled::AskForProof,
};
use edgeseal_edge::{AccessLog, Edge, Options};
use edgeseal_store::{Catalog, Keyring, SharedStore, chainer::Chainer, open::OpenError};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    admin::{self, Health},
    api_tls::{self, UnusableFile},
    bootstrap::{self, BootstrapError},
    clock,
    config::{Config, ConfigError},
    gone::Gone,
    kek::{Keeper, KekSource},
    retention,
};

/// Expired keys are forgotten this often.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// What [`StartError::Listen`] calls the API in TLS.
pub(crate) const API_IN_TLS: &str = "the API in TLS";

/// A running Edgeseal.
pub(crate) struct Running {
    addresses: Addresses,
    edge: Edge,
    shutdown: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// Audits are linked until the last record is written.
    chainer: (watch::Sender<bool>, JoinHandle<()>),
    /// Health is told to the last.
    admin: (watch::Sender<bool>, JoinHandle<()>),
    /// Kept to the last: its end closes the file.
    store: SharedStore,
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
    /// Starts everything; returns once everything listens.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub(crate) async fn start(config: &Config) -> Result<Self, StartError> {
        let settings = config.settings()?;
        bootstrap::make_directory(&config.data)?;
        let (keyring, sources) = bootstrap::keyring(config).await?;
        bootstrap::prove_keys_are_there(config, &keyring, &sources).await?;
        bootstrap::make_directory(&edge_directory(config))?;
        refuse_emptied(config)?;
        let (store, is_there) = open_store(config).await?;
        let catalog = Catalog::new(Arc::clone(&store), keyring.clone());
        if is_there {
            let first_life = !has_served(config);
            bootstrap::root_account(&catalog, config, first_life, clock::now()).await?;
            catalog.forget_edges().await.map_err(BootstrapError::from)?;
        }
        let apis = listen_for_api(config).await?;
        let (admin, admin_address) = listen("the admin pages", config.admin).await?;
        let options = edge_options(config)?;
        let edge = Edge::start(options, Arc::clone(&store), keyring.clone(), clock::now).await?;
        let keeper = keeper(config, (keyring, sources), &store, &edge);
        if is_there {
            keeper.begin().await.map_err(BootstrapError::from)?;
        }
        let addresses = Addresses::of(&apis, &edge, config.http, admin_address);
        let (shutdown, stopping) = watch::channel(false);
        let (mut context, auditor) =
            Context::new(catalog.clone(), clock::now, settings, Some(edge.served()));
        context.ask_for_proof = Some(ask_for_proof(&edge));
        context.key_encryption = Some(Arc::clone(&keeper) as Arc<dyn KeyEncryption>);
        let health = Health {
            catalog: catalog.clone(),
            edge: edge.health(),
            stopping: stopping.clone(),
        };
        let mut tasks = apis.serve(context, config, &stopping);
        let (end_chainer, ending) = watch::channel(false);
        let chainer = chain_audits(is_there.then_some(&catalog), config, ending).await?;
        let expiry = retention::run(
            catalog.clone(),
            config.audit_days,
            stopped(stopping.clone()),
        );
        tasks.push(tokio::spawn(expiry));
        tasks.push(tokio::spawn(sweep(catalog, stopping.clone())));
        if is_there {
            tasks.push(tokio::spawn(
                async move { keeper.run(stopped(stopping)).await },
            ));
        }
        tasks.push(tokio::spawn(auditor));
        let (close_admin, closing) = watch::channel(false);
        let admin = (
            close_admin,
            tokio::spawn(admin::serve(admin, health, stopped(closing))),
        );
        write_addresses(config, &addresses)?;
        Ok(Self {
            addresses,
            edge,
            shutdown,
            tasks,
            chainer: (end_chainer, chainer),
            admin,
            store,
        })
    }

    /// Where everything listens.
    pub(crate) const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Ends everything in order: no new calls, calls under way answered, connections drained, the
    /// last refusal written, the store closed.
    pub(crate) async fn stop(self) {
        self.shutdown.send_replace(true);
        self.edge.drain().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a task ended badly"
                );
            }
        }
        let (end_chainer, chainer) = self.chainer;
        end_chainer.send_replace(true);
        if let Err(error) = chainer.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the linking of audits ended badly");
        }
        let (close_admin, admin) = self.admin;
        close_admin.send_replace(true);
        // A watcher that keeps its connection does not keep the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
        drop(self.store);
    }
}

/// The listeners of the API.
struct Apis {
    plain: (TcpListener, SocketAddr),
    tls: Option<(TcpListener, SocketAddr, Arc<ServerConfig>)>,
}

async fn listen_for_api(config: &Config) -> Result<Apis, StartError> {
    let tls = match config.api_tls()? {
        None => None,
        Some(wanted) => {
            let server = api_tls::server(wanted.cert_file, wanted.key_file)?;
            let (listener, address) = listen(API_IN_TLS, wanted.address).await?;
            Some((listener, address, server))
        }
    };
    let plain = listen("the API", config.api).await?;
    Ok(Apis { plain, tls })
}

impl Apis {
    /// Serves on all of them.
    fn serve(
        self,
        context: Context,
        config: &Config,
        stopping: &watch::Receiver<bool>,
    ) -> Vec<JoinHandle<()>> {
        let drain = Duration::from_millis(config.drain_timeout_ms);
        let plain = (self.plain.0, Speaks::Http);
        let tls = self.tls;
        let tls = tls.map(|(listener, _, server)| (listener, Speaks::Https(server)));
        let context = Arc::new(context);
        std::iter::once(plain)
            .chain(tls)
            .map(|(listener, speaks)| {
                let (context, stopped) = (Arc::clone(&context), stopped(stopping.clone()));
                tokio::spawn(http::serve(listener, speaks, context, stopped, drain))
            })
            .collect()
    }
}

impl Addresses {
    fn of(apis: &Apis, edge: &Edge, http: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            api: apis.plain.1,
            api_tls: apis.tls.as_ref().map(|(_, address, _)| *address),
            https: edge.https_addr(),
            http: edge.http_addr().unwrap_or(http),
            admin,
        }
    }
}

fn ask_for_proof(edge: &Edge) -> AskForProof {
    let proofs = edge.proofs();
    Box::new(move |domains, revision| proofs.ask(domains, revision))
}

fn keeper(
    config: &Config,
    keys: (Keyring, Vec<KekSource>),
    store: &SharedStore,
    edge: &Edge,
) -> Arc<Keeper> {
    let (store, edge) = (Arc::clone(store), edge.reseal());
    let per_second = config.reseal_per_second;
    Arc::new(Keeper::new(keys, store, edge, per_second, clock::now))
}

/// A store that has gone from a directory that has served is not made anew.
fn refuse_emptied(config: &Config) -> Result<(), BootstrapError> {
    if has_served(config) && !store_file_exists(config) {
        return Err(BootstrapError::StoreEmptied {
            path: config.data.clone(),
        });
    }
    Ok(())
}

/// The store, and whether it is there. If it is damaged but the edge has a replica, the edge serves
/// on without it.
async fn open_store(config: &Config) -> Result<(SharedStore, bool), StartError> {
    match edgeseal_store::open::open(&config.store_url()).await {
        Ok(store) => Ok((store, true)),
        Err(
            error @ (OpenError::Unreadable { .. } | OpenError::Io { .. } | OpenError::Fault { .. }),
        ) if has_served(config) => {
            tracing::error!(
                why = %error,
                "the store does not open: the edge serves its last good state, the API refuses every call"
            );
            Ok((Arc::new(Gone), false))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether an edge has served from this data directory and a lasting store before.
fn has_served(config: &Config) -> bool {
    !config.store_url().starts_with("memory:") && Edge::has_replica(&edge_directory(config))
}

/// Whether the store's file is there; for other stores than files, yes.
fn store_file_exists(config: &Config) -> bool {
    let url = config.store_url();
    url.strip_prefix("sqlite:")
        .is_none_or(|path| Path::new(path).exists())
}

fn edge_directory(config: &Config) -> PathBuf {
    config.data.join("edge")
}

fn edge_options(config: &Config) -> Result<Options, ConfigError> {
    let mut options = Options::new(
        "local",
        &config.group,
        config.https,
        &edge_directory(config),
    );
    options.http = Some(config.http);
    options.client_hello_timeout = Duration::from_millis(config.client_hello_timeout_ms);
    options.header_timeout = Duration::from_millis(config.header_timeout_ms);
    options.drain_timeout = Duration::from_millis(config.drain_timeout_ms);
    options.key_cache = config.key_cache;
    options.default_domain = config.default_domain()?;
    options
        .origin_tls_ports
        .clone_from(&config.origin_tls_ports);
    options.origin_ca_file.clone_from(&config.origin_ca_file);
    options.origin_connections = config.origin_connections;
    options.request_body_max = config.request_body_max;
    options.connection_requests = config.connection_requests;
    options
        .origin_h2c_ports
        .clone_from(&config.origin_h2c_ports);
    options.patience.head = Duration::from_millis(config.origin_head_timeout_ms);
    options.patience.idle = Duration::from_millis(config.origin_idle_timeout_ms);
    options.patience.body_rate = config.request_body_rate_min;
    options.patience.stall = Duration::from_millis(config.visitor_stall_timeout_ms);
    options.patience.tunnel = Duration::from_millis(config.tunnel_idle_timeout_ms);
    options.access_log = config.access_log.as_deref().map(|to| match to {
        "stdout" => AccessLog::Stdout,
        path => AccessLog::File(path.into()),
    });
    Ok(options)
}

async fn listen(
    role: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |cause| StartError::Listen {
        role,
        address,
        cause,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn write_addresses(config: &Config, addresses: &Addresses) -> Result<(), StartError> {
    let json = serde_json::to_vec(addresses).unwrap_or_default();
    Ok(bootstrap::write_private(
        &config.data.join("addresses.json"),
        &json,
    )?)
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone: stopped as well.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Links the audits of a store that is there. If the secret of their chains was given up for lost
/// with a key, the chains end where they are.
async fn chain_audits(
    catalog: Option<&Catalog>,
    config: &Config,
    ending: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, StartError> {
    let Some(catalog) = catalog else {
        return Ok(tokio::spawn(async {}));
    };
    match Chainer::start(catalog.clone()).await {
        Ok(chainer) => Ok(tokio::spawn(chainer.run(stopped(ending)))),
        Err(fault) if config.accepts_lost_keys()? => {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "audit records are not chained any more"
            );
            Ok(tokio::spawn(async {}))
        }
        Err(fault) => Err(BootstrapError::from(fault).into()),
    }
}

async fn sweep(catalog: Catalog, stopping: watch::Receiver<bool>) {
    let mut stop = std::pin::pin!(stopped(stopping));
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        loop {
            match catalog.sweep(clock::now()).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(fault) => {
                    tracing::error!(error = &fault as &dyn std::error::Error, "sweep failed");
                    break;
                }
            }
        }
    }
}
