//! What a node is started with: configuration, keys, and what the operating system allows.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use edgeseal_api::Settings;
use edgeseal_core::Timestamp;
use edgeseal_edge::{AccessLog, Edge, Limits, Listeners, Options};
use edgeseal_store::{Keyring, open::StoreUrl};

use super::{Addresses, Role, StartError, TwinWarning};
use crate::{
    alarms::Alarms,
    api_tls::ApiTls,
    bootstrap, clock,
    config::Config,
    kek::KekSource,
    private_files,
    resources::{self, DescriptorBudget},
    sockets::{SocketRole, Sockets},
};

/// Configuration and keys that this process was started with.
pub(crate) struct NodeContext {
    pub(crate) config: Config,
    pub(crate) role: Role,
    pub(crate) settings: Settings,
    /// Names this process among those on the store.
    pub(crate) node_id: String,
    /// When this process started.
    pub(crate) started: Timestamp,
    pub(crate) keyring: Keyring,
    pub(crate) kek_sources: Vec<KekSource>,
    /// Address and certificate of the API over TLS.
    pub(crate) api_tls: Option<(SocketAddr, ApiTls)>,
    /// Whether another process uses the same name.
    pub(crate) twin_warning: TwinWarning,
    /// The alarms of this process.
    pub(crate) alarms: Arc<Alarms>,
    /// Whether this data directory has served domains before: then the edge serves its replica even
    /// if the store is unavailable.
    pub(crate) has_served: bool,
}

/// The name of the only edge on a store.
const LOCAL_EDGE: &str = "local";

impl NodeContext {
    /// Loads keys and certificates. The data directory must exist.
    pub(crate) async fn load(
        config: &Config,
        role: Role,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let has_served = has_served(config, role);
        let (keyring, kek_sources) = bootstrap::load_keyring(config, has_served).await?;
        bootstrap::check_keys_present(config, &keyring, &kek_sources).await?;
        if role.has_edge() {
            private_files::create_private_dir(&edge_directory(config))?;
        }
        let node_id = bootstrap::node_id(&config.data)?;
        Ok(Self {
            config: config.clone(),
            role,
            settings,
            keyring,
            kek_sources,
            api_tls: load_api_tls(config)?,
            alarms: Alarms::new(config)?,
            node_id,
            twin_warning: TwinWarning::default(),
            started: clock::now(),
            has_served,
        })
    }

    /// What the edge of this process is called in its group.
    pub(crate) fn edge_id(&self) -> String {
        if self.config.is_store_shared() {
            self.node_id.clone()
        } else {
            LOCAL_EDGE.to_owned()
        }
    }

    /// Loads the keys again: the predecessor may have changed them while this process loaded.
    pub(crate) async fn reload_keyring(&self) -> Result<(), StartError> {
        let (keyring, _) = bootstrap::load_keyring(&self.config, self.has_served).await?;
        if keyring.ids() != self.keyring.ids() {
            // Nothing was sealed here yet.
            drop(self.keyring.replace(&keyring)?);
        }
        Ok(())
    }

    pub(crate) fn bind_api_listeners(&self, sockets: &mut Sockets) -> Result<(), StartError> {
        if let Some((address, _)) = &self.api_tls {
            sockets.bind(SocketRole::ApiTls, *address)?;
        }
        sockets.bind(SocketRole::Api, self.config.api)?;
        sockets.bind(SocketRole::Admin, self.config.admin)?;
        Ok(())
    }

    pub(crate) fn bind_edge_listeners(
        &self,
        sockets: &mut Sockets,
    ) -> Result<Listeners, StartError> {
        sockets.bind(SocketRole::Https, self.config.https)?;
        sockets.bind(SocketRole::Http, self.config.http)?;
        Ok(Listeners {
            https: sockets.try_clone(SocketRole::Https)?,
            http: Some(sockets.try_clone(SocketRole::Http)?),
        })
    }

    pub(crate) fn bind_all(&self, sockets: &mut Sockets) -> Result<(), StartError> {
        self.bind_api_listeners(sockets)?;
        if self.role.has_edge() {
            self.bind_edge_listeners(sockets)?;
        }
        Ok(())
    }
}

fn load_api_tls(config: &Config) -> Result<Option<(SocketAddr, ApiTls)>, StartError> {
    let Some((address, cert_file, key_file)) = config.api_tls()? else {
        return Ok(None);
    };
    Ok(Some((address, ApiTls::open(cert_file, key_file)?)))
}

/// Raises the limit of file descriptors as far as allowed, and warns if that is too few.
pub(crate) fn allocate_descriptors(config: &Config) -> Result<DescriptorBudget, StartError> {
    let allowed = resources::raise_nofile_limit()?;
    let budget = DescriptorBudget::allocate(allowed, config.connections, config.api_connections);
    if budget.connections < config.connections {
        tracing::warn!(
            allowed,
            connections = budget.connections,
            configured = config.connections,
            api_connections = budget.api_connections,
            "too few file descriptors (LimitNOFILE, ulimit -n): fewer connections are accepted"
        );
    }
    Ok(budget)
}

/// Whether a process has served from this data directory, with a persistent store.
fn has_served(config: &Config, role: Role) -> bool {
    let has_listened = match role {
        Role::Serve => Edge::has_replica(&edge_directory(config)),
        Role::Api => Addresses::read(&config.data).is_some(),
    };
    config.store_url() != StoreUrl::Memory && has_listened
}

pub(crate) fn edge_directory(config: &Config) -> PathBuf {
    config.data.join("edge")
}

pub(crate) fn edge_options(config: &Config) -> Options {
    let mut options = Options::new(
        LOCAL_EDGE,
        &config.group,
        config.https,
        &edge_directory(config),
    );
    options.http = Some(config.http);
    options.disk_free = config.disk_free_bytes;
    options.client_hello_timeout = config.client_hello_timeout_ms.0;
    options.header_timeout = config.header_timeout_ms.0;
    options.drain_timeout = config.drain_timeout_ms.0;
    options.key_cache_size = config.key_cache_size;
    options.limits = Limits {
        connections: config.connections,
        connections_per_source: config.connections_per_source,
        handshakes: config.handshakes,
        streams: config.streams,
        streams_per_source: config.streams_per_source,
        memory_max: config.memory_max.or_else(resources::cgroup_memory_max),
        ..Limits::default()
    };
    options.memory_used = resources::memory_usage;
    options.proxy_protocol_from = config.proxy_protocol_from.iter().map(|it| it.0).collect();
    options.default_domain = config.default_domain.clone().map(|it| it.0);
    options
        .origin_tls_ports
        .clone_from(&config.origin_tls_ports);
    options.origin_ca_file.clone_from(&config.origin_ca_file);
    options.origin_dns = config.origin_dns;
    options.origin_connections = config.origin_connections;
    options.origin_private_addresses = config.origin_private_addresses.0;
    options.request_body_max = config.request_body_max;
    options.keepalive_requests = config.keepalive_requests;
    options
        .origin_h2c_ports
        .clone_from(&config.origin_h2c_ports);
    options.timeouts.header = config.origin_header_timeout_ms.0;
    options.timeouts.idle = config.origin_idle_timeout_ms.0;
    options.timeouts.body_rate_min = config.request_body_rate_min;
    options.timeouts.client_send = config.client_send_timeout_ms.0;
    options.timeouts.tunnel = config.tunnel_idle_timeout_ms.0;
    options.access_log = config.access_log.as_deref().map(|to| match to {
        "stdout" => AccessLog::Stdout,
        path => AccessLog::File(path.into()),
    });
    options
}
