//! What a process is made from: configuration, keys, the store's file, what the system allows.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use edgeseal_api::Settings;
use edgeseal_edge::{AccessLog, Edge, Limits, Listeners, Options};
use edgeseal_store::Keyring;

use crate::{
    api_tls::ApiTls,
    bootstrap,
    config::{Config, ConfigError},
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
    pub(crate) api_tls: Option<(SocketAddr, ApiTls)>,
    /// Whether this data directory has served domains before: then what the edge has is served
    /// whatever becomes of the store.
    pub(crate) has_served: bool,
}

impl Parts {
    /// The process that has served may have changed the keys while this one loaded.
    pub(crate) async fn reread_keys(&self) -> Result<(), StartError> {
        let (keyring, _) = bootstrap::keyring(&self.config, self.has_served).await?;
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

pub(crate) fn api_tls(config: &Config) -> Result<Option<(SocketAddr, ApiTls)>, StartError> {
    let Some(wanted) = config.api_tls()? else {
        return Ok(None);
    };
    let server = ApiTls::open(wanted.cert_file, wanted.key_file)?;
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

/// Whether an edge has served from this data directory and a lasting store before.
pub(crate) fn has_served(config: &Config) -> bool {
    !config.store_url().starts_with("memory:") && Edge::has_replica(&edge_directory(config))
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
        streams: config.streams,
        streams_per_source: config.streams_per_source,
        memory_max: config.memory_max.or_else(resources::group_memory),
        ..Limits::default()
    };
    options.memory_used = resources::memory_used;
    options.proxy_protocol_from = config.balancers()?;
    options.default_domain = config.default_domain()?;
    options
        .origin_tls_ports
        .clone_from(&config.origin_tls_ports);
    options.origin_ca_file.clone_from(&config.origin_ca_file);
    options.origin_dns = config.origin_dns;
    options.origin_connections = config.origin_connections;
    options.origin_private_addresses = config.private_origins()?;
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
