//! What a process is made from: configuration, keys, the store's file, what the system allows.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use edgeseal_api::Settings;
use edgeseal_edge::{AccessLog, Edge, Limits, Listeners, Options};
use edgeseal_store::{Catalog, Keyring, SharedStore, open::OpenError};
use rustls::ServerConfig;

use crate::{
    api_tls,
    bootstrap::{self, BootstrapError},
    clock,
    config::{Config, ConfigError},
    gone::Gone,
    kek::KekSource,
    resources::{self, Descriptors},
    running::StartError,
    sockets::{Role, Sockets},
};

/// What a process is made from.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) keyring: Keyring,
    pub(crate) sources: Vec<KekSource>,
    /// Where the API listens in TLS, and with what.
    pub(crate) api_tls: Option<(SocketAddr, Arc<ServerConfig>)>,
}

impl Parts {
    /// The first account, and reports of edges that are no more.
    pub(crate) async fn begin(
        &self,
        store: &SharedStore,
        is_there: bool,
    ) -> Result<(), StartError> {
        if is_there {
            let catalog = Catalog::new(Arc::clone(store), self.keyring.clone());
            let first_life = !has_served(&self.config);
            bootstrap::root_account(&catalog, &self.config, first_life, clock::now()).await?;
            catalog.forget_edges().await.map_err(BootstrapError::from)?;
        }
        Ok(())
    }

    /// The process that has served may have changed the keys while this one loaded.
    pub(crate) async fn reread_keys(&self) -> Result<(), StartError> {
        let (keyring, _) = bootstrap::keyring(&self.config).await?;
        if keyring.ids() != self.keyring.ids() {
            // Nothing was sealed here yet.
            drop(self.keyring.replace(&keyring)?);
        }
        Ok(())
    }

    pub(crate) fn open_calls(&self, sockets: &mut Sockets) -> Result<(), StartError> {
        if let Some((address, _)) = &self.api_tls {
            sockets.open(Role::ApiTls, *address)?;
        }
        sockets.open(Role::Api, self.config.api)?;
        sockets.open(Role::Admin, self.config.admin)?;
        Ok(())
    }

    pub(crate) fn open_visits(&self, sockets: &mut Sockets) -> Result<Listeners, StartError> {
        sockets.open(Role::Https, self.config.https)?;
        sockets.open(Role::Http, self.config.http)?;
        Ok(Listeners {
            https: sockets.handle(Role::Https)?,
            http: Some(sockets.handle(Role::Http)?),
        })
    }

    pub(crate) fn open_all(&self, sockets: &mut Sockets) -> Result<(), StartError> {
        self.open_calls(sockets)?;
        self.open_visits(sockets).map(drop)
    }
}

pub(crate) fn api_tls(
    config: &Config,
) -> Result<Option<(SocketAddr, Arc<ServerConfig>)>, StartError> {
    let Some(wanted) = config.api_tls()? else {
        return Ok(None);
    };
    let server = api_tls::server(wanted.cert_file, wanted.key_file)?;
    Ok(Some((wanted.address, server)))
}

/// Takes all file descriptors that there are, and says so if they are too few.
pub(crate) fn share_descriptors(config: &Config) -> Result<Descriptors, StartError> {
    let allowed = resources::raise_descriptors()?;
    let shared = Descriptors::share(allowed, config.connections, config.api_connections);
    if shared.connections < config.connections {
        tracing::warn!(
            allowed,
            connections = shared.connections,
            configured = config.connections,
            api_connections = shared.api_connections,
            "too few file descriptors (LimitNOFILE, ulimit -n): fewer connections are taken"
        );
    }
    Ok(shared)
}

/// A store that has gone from a directory that has served is not made anew.
pub(crate) fn refuse_emptied(config: &Config) -> Result<(), BootstrapError> {
    if has_served(config) && !store_file_exists(config) {
        return Err(BootstrapError::StoreEmptied {
            path: config.data.clone(),
        });
    }
    Ok(())
}

/// The store, and whether it is there. If it is damaged but the edge has a replica, the edge serves
/// on without it.
pub(crate) async fn open_store(config: &Config) -> Result<(SharedStore, bool), StartError> {
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
        Err(error @ OpenError::Locked { .. }) => Err(StartError::Occupied(error)),
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

pub(crate) fn edge_directory(config: &Config) -> PathBuf {
    config.data.join("edge")
}

pub(crate) fn edge_options(config: &Config) -> Result<Options, ConfigError> {
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
    options.limits = Limits {
        connections: config.connections,
        connections_per_source: config.connections_per_source,
        handshakes: config.handshakes,
        memory_max: config.memory_max.or_else(resources::group_memory),
    };
    options.proxy_protocol_from = config.balancers()?;
    options.default_domain = config.default_domain()?;
    options
        .origin_tls_ports
        .clone_from(&config.origin_tls_ports);
    options.origin_ca_file.clone_from(&config.origin_ca_file);
    options.origin_connections = config.origin_connections;
    options.ocsp_private_addresses = config.ocsp_private_addresses;
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
