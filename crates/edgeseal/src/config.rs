//! The configuration: defaults, overridden by the config file, then by `EDGESEAL_*`, then by flags.

mod errors;
mod flags;
mod oidc;
mod suggest;
mod variables;

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use edgeseal_api::{
    Settings,
    actions::ACTIONS,
    context::{BoundCertificatePolicy, DuplicateContentPolicy, NameMismatchPolicy},
    http::{ConnectionLimits, MemoryLimit},
    ownership::{self, OwnershipVerifier},
};
use edgeseal_core::{
    DomainName,
    domain::Environment,
    private_origins::PrivateOrigins,
    quota::{Quota, Quotas},
    rate::RateLimit,
};
use edgeseal_edge::{Limits, STAGING};
use edgeseal_store::open::StoreUrl;
use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use self::oidc::OidcProvider;
pub(crate) use self::{flags::Flags, variables::warn_of_unknown_variables};
use crate::{
    kek::{KekSetting, KekSource},
    resources,
};

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// The whole configuration, as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    /// `None`: SQLite in the data directory.
    pub(crate) store: Option<StoreUrl>,
    pub(crate) api: SocketAddr,
    /// Address of the API over TLS; see [`Config::api_tls`].
    pub(crate) api_tls: Option<SocketAddr>,
    pub(crate) api_tls_cert_file: Option<PathBuf>,
    pub(crate) api_tls_key_file: Option<PathBuf>,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Host names accepted by `/metrics`, besides those of this machine.
    pub(crate) admin_hosts: Vec<String>,
    pub(crate) group: String,
    pub(crate) log_format: LogFormat,
    /// Sources of the key-encryption keys; `None`: `kek_file`.
    pub(crate) kek: Option<KekSetting>,
    /// File of the key-encryption keys; `None`: `kek` in the data directory.
    pub(crate) kek_file: Option<PathBuf>,
    /// `refuse` or `accept` to start although something is sealed under a missing key.
    pub(crate) lost_keys: String,
    /// Most records resealed per second after a change of the key-encryption key.
    pub(crate) reseal_per_second: u32,
    /// Whether a crash may leave a core dump, private keys included.
    pub(crate) core_dumps: bool,
    /// Calls per second and account, by action.
    pub(crate) rate_limits: HashMap<String, u32>,
    /// Failed authentications per minute and source address.
    pub(crate) auth_failures_per_minute: u32,
    /// Calls without permission per minute and user, role or account.
    pub(crate) denied_calls_per_minute: u32,
    /// Most concurrent connections to the API.
    pub(crate) api_connections: usize,
    /// The same from one source address, or one /64 of IPv6.
    pub(crate) api_connections_per_source: usize,
    /// `refuse` or `accept` a certificate that does not cover its domain.
    pub(crate) name_mismatch: String,
    /// `refuse` or `accept` a certificate that was uploaded before under another name.
    pub(crate) duplicate_content: String,
    /// `refuse` or `release`: what the deletion of a certificate does while it is bound to a domain, in
    /// version 2020-04-07 of CAS; 2018-07-13 always releases.
    pub(crate) bound_certificate: String,
    /// Whether CAS returns private keys to callers that may read them.
    pub(crate) return_private_keys: bool,
    /// `off` or `on`: whether an account must prove that it owns a root domain.
    pub(crate) owner_check: String,
    /// The port on which proof files are requested.
    pub(crate) owner_check_port: u16,
    /// Whether proof files may be at addresses that are not public.
    pub(crate) owner_check_private_addresses: bool,
    /// `root`, `all` or `none`: whose origins may be at addresses that are not public.
    pub(crate) origin_private_addresses: String,
    /// Most domains of an account other than root.
    pub(crate) quota_domains: Quota,
    /// Most certificates of such an account.
    pub(crate) quota_certificates: Quota,
    /// Most stored keys of signing requests of such an account.
    pub(crate) quota_csr_keys: Quota,
    /// The DNS server that is queried about domains; `None`: the system's.
    pub(crate) dns: Option<SocketAddr>,
    /// Identity providers whose tokens can assume roles.
    pub(crate) oidc_provider: Vec<OidcProvider>,
    /// Suffix of the CNAME of a domain.
    pub(crate) cname_suffix: String,
    /// URL prefix of the page about an error code.
    pub(crate) recommend_base_url: String,
    /// How long a change waits for the local edge, in milliseconds.
    pub(crate) settle_timeout_ms: u64,
    /// Timeout of the ClientHello and of the rest of the handshake, in milliseconds.
    pub(crate) client_hello_timeout_ms: u64,
    /// Timeout of a client's request headers, including the idle time before, in milliseconds.
    pub(crate) header_timeout_ms: u64,
    /// Time for calls and connections in flight at shutdown, in milliseconds.
    pub(crate) drain_timeout_ms: u64,
    /// Time for open connections after a hand-over, in milliseconds.
    pub(crate) handover_drain_timeout_ms: u64,
    /// Most parsed private keys in memory.
    pub(crate) key_cache_size: usize,
    /// Days after which audit records are removed; 0: never.
    pub(crate) audit_retention_days: u32,
    /// The domain that clients without SNI get; none by default.
    pub(crate) default_domain: Option<String>,
    /// Most concurrent client connections.
    pub(crate) connections: usize,
    /// The same from one source address, or one /64 of IPv6.
    pub(crate) connections_per_source: usize,
    /// Most TLS handshakes in flight.
    pub(crate) handshakes: usize,
    /// Most HTTP/2 requests in flight, not counting the first of each connection.
    pub(crate) streams: usize,
    /// The same from one source address, or one /64 of IPv6.
    pub(crate) streams_per_source: usize,
    /// Memory limit in bytes; `None`: that of the control group.
    pub(crate) memory_max: Option<u64>,
    /// Trusted load balancers that send the PROXY protocol.
    pub(crate) proxy_protocol_from: Vec<String>,
    /// Origin ports that are contacted over TLS.
    pub(crate) origin_tls_ports: Vec<u16>,
    /// PEM file of CAs that are trusted for origins besides those of the system.
    pub(crate) origin_ca_file: Option<PathBuf>,
    /// The DNS server that resolves origins; `None`: the system's.
    pub(crate) origin_dns: Option<SocketAddr>,
    /// Most concurrent connections to one origin.
    pub(crate) origin_connections: usize,
    /// Most bytes of a request body; `None`: unlimited.
    pub(crate) request_body_max: Option<u64>,
    /// Most requests on one client connection.
    pub(crate) keepalive_requests: u32,
    /// Origin ports that are contacted over HTTP/2 in plaintext (h2c).
    pub(crate) origin_h2c_ports: Vec<u16>,
    /// Timeout of an origin's response headers, in milliseconds.
    pub(crate) origin_header_timeout_ms: u64,
    /// Timeout between two parts of an origin's response, in milliseconds.
    pub(crate) origin_idle_timeout_ms: u64,
    /// Bytes per second that a client must send of a request body; 0: no minimum.
    pub(crate) request_body_rate_min: u32,
    /// Timeout for a client that does not read the response, in milliseconds.
    pub(crate) client_send_timeout_ms: u64,
    /// Timeout for an idle tunnel, in milliseconds.
    pub(crate) tunnel_idle_timeout_ms: u64,
    /// `stdout` or a file; none by default.
    pub(crate) access_log: Option<String>,
}

/// Address and certificate files of the API over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApiTlsConfig<'a> {
    pub(crate) address: SocketAddr,
    /// Leaf and intermediates.
    pub(crate) cert_file: &'a Path,
    pub(crate) key_file: &'a Path,
}

/// The keys that `EDGESEAL_*` can set.
const ENV_KEYS: &[&str] = &[
    "data",
    "store",
    "api",
    "api_tls",
    "api_tls_cert_file",
    "api_tls_key_file",
    "https",
    "http",
    "admin",
    "admin_hosts",
    "group",
    "log_format",
    "kek",
    "kek_file",
    "lost_keys",
    "reseal_per_second",
    "core_dumps",
    "auth_failures_per_minute",
    "denied_calls_per_minute",
    "api_connections",
    "api_connections_per_source",
    "name_mismatch",
    "duplicate_content",
    "bound_certificate",
    "return_private_keys",
    "owner_check",
    "owner_check_port",
    "owner_check_private_addresses",
    "origin_private_addresses",
    "quota_domains",
    "quota_certificates",
    "quota_csr_keys",
    "dns",
    "cname_suffix",
    "recommend_base_url",
    "settle_timeout_ms",
    "client_hello_timeout_ms",
    "header_timeout_ms",
    "drain_timeout_ms",
    "handover_drain_timeout_ms",
    "key_cache_size",
    "audit_retention_days",
    "default_domain",
    "connections",
    "connections_per_source",
    "handshakes",
    "streams",
    "streams_per_source",
    "memory_max",
    "proxy_protocol_from",
    "origin_tls_ports",
    "origin_ca_file",
    "origin_dns",
    "origin_connections",
    "request_body_max",
    "keepalive_requests",
    "origin_h2c_ports",
    "origin_header_timeout_ms",
    "origin_idle_timeout_ms",
    "request_body_rate_min",
    "client_send_timeout_ms",
    "tunnel_idle_timeout_ms",
    "access_log",
];

/// Why the configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file of `--config` cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        cause: io::Error,
    },
    /// A value cannot be parsed.
    #[error("{place}: {why}")]
    Parse {
        /// The file with the line, or the variable.
        place: String,
        /// The key, and what is wrong with it.
        why: String,
    },
    /// An invalid value, with its location.
    #[error("{place}: {error}")]
    At {
        /// The file with the line, or the variable.
        place: String,
        /// The key, and what is wrong with it.
        error: Box<Self>,
    },
    /// An invalid value.
    #[error("{key} is {value:?}; it must be {expected}")]
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        let settings = Settings::default();
        let limits = Limits::default();
        Self {
            data: PathBuf::from("edgeseal-data"),
            store: None,
            api: SocketAddr::from(([127, 0, 0, 1], 7080)),
            api_tls: None,
            api_tls_cert_file: None,
            api_tls_key_file: None,
            https: SocketAddr::from(([127, 0, 0, 1], 8443)),
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7081)),
            admin_hosts: Vec::new(),
            group: "production".to_owned(),
            log_format: LogFormat::Auto,
            kek: None,
            kek_file: None,
            lost_keys: "refuse".to_owned(),
            reseal_per_second: 1000,
            core_dumps: false,
            rate_limits: HashMap::new(),
            auth_failures_per_minute: settings.auth_failure_limit.calls,
            denied_calls_per_minute: settings.denial_limit.calls,
            api_connections: settings.connection_limits.total,
            api_connections_per_source: settings.connection_limits.per_source,
            name_mismatch: "refuse".to_owned(),
            duplicate_content: "accept".to_owned(),
            bound_certificate: "refuse".to_owned(),
            return_private_keys: false,
            owner_check: "off".to_owned(),
            owner_check_port: 80,
            owner_check_private_addresses: false,
            origin_private_addresses: "root".to_owned(),
            quota_domains: settings.quotas.domains,
            quota_certificates: settings.quotas.certificates,
            quota_csr_keys: settings.quotas.csr_keys,
            dns: None,
            oidc_provider: Vec::new(),
            cname_suffix: settings.cname_suffix,
            recommend_base_url: settings.docs_base_url,
            settle_timeout_ms: 1000,
            client_hello_timeout_ms: 10_000,
            header_timeout_ms: 60_000,
            drain_timeout_ms: 30_000,
            handover_drain_timeout_ms: 600_000,
            key_cache_size: 10_000,
            audit_retention_days: 400,
            default_domain: None,
            connections: limits.connections,
            connections_per_source: limits.connections_per_source,
            handshakes: limits.handshakes,
            streams: limits.streams,
            streams_per_source: limits.streams_per_source,
            memory_max: limits.memory_max,
            proxy_protocol_from: Vec::new(),
            origin_tls_ports: vec![443],
            origin_ca_file: None,
            origin_dns: None,
            origin_connections: 1024,
            request_body_max: None,
            keepalive_requests: 10_000,
            origin_h2c_ports: Vec::new(),
            origin_header_timeout_ms: 60_000,
            origin_idle_timeout_ms: 300_000,
            request_body_rate_min: 500,
            client_send_timeout_ms: 120_000,
            tunnel_idle_timeout_ms: 3_600_000,
            access_log: None,
        }
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and, where there is one, the file.
    pub(crate) fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        let mut text = None;
        if let Some(file) = &flags.config {
            let read = fs::read_to_string(file).map_err(|cause| ConfigError::File {
                path: file.clone(),
                cause,
            });
            text = Some(read?);
            figment = figment.merge(Toml::file_exact(file));
        }
        let text = text.as_deref();
        // Only known keys: the environment may have other variables with this prefix, such as those that
        // Kubernetes sets for a service.
        let env = Env::prefixed("EDGESEAL_").only(ENV_KEYS);
        let figment = figment.merge(env).merge(Serialized::defaults(flags));
        let config: Self = figment
            .extract()
            .map_err(|error| errors::from_figment(&error, &figment, text))?;
        config.validate().map_err(|error| match error {
            ConfigError::InvalidValue { key, .. } => ConfigError::At {
                place: errors::location_of(key, &figment, text),
                error: Box::new(error),
            },
            other => other,
        })?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.settings()?;
        self.kek_sources()?;
        self.accepts_lost_keys()?;
        self.default_domain()?;
        self.api_tls()?;
        self.trusted_proxies()?;
        self.validate_rate_limits()
    }

    /// The settings of the API.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        let limits = self.rate_limits.iter();
        let memory = self.memory_max.or_else(resources::cgroup_memory_max);
        Ok(Settings {
            docs_base_url: self.recommend_base_url.clone(),
            rate_limits: limits
                .map(|(action, calls)| (action.clone(), RateLimit::per_second(*calls)))
                .collect(),
            auth_failure_limit: RateLimit {
                calls: self.auth_failures_per_minute,
                per_ms: 60_000,
            },
            denial_limit: RateLimit {
                calls: self.denied_calls_per_minute,
                per_ms: 60_000,
            },
            connection_limits: ConnectionLimits {
                total: self.api_connections,
                per_source: self.api_connections_per_source,
            }
            .within(memory),
            memory: memory.map(|most| MemoryLimit {
                max_bytes: most,
                used_bytes: resources::memory_in_use,
            }),
            name_mismatch: parse_choice(
                "name_mismatch",
                &self.name_mismatch,
                "refuse or accept",
                &[
                    ("refuse", NameMismatchPolicy::Refuse),
                    ("accept", NameMismatchPolicy::Accept),
                ],
            )?,
            duplicate_content: parse_choice(
                "duplicate_content",
                &self.duplicate_content,
                "refuse or accept",
                &[
                    ("refuse", DuplicateContentPolicy::Refuse),
                    ("accept", DuplicateContentPolicy::Accept),
                ],
            )?,
            delete_bound_certificate: parse_choice(
                "bound_certificate",
                &self.bound_certificate,
                "refuse or release",
                &[
                    ("refuse", BoundCertificatePolicy::Refuse),
                    ("release", BoundCertificatePolicy::Release),
                ],
            )?,
            return_private_keys: self.return_private_keys,
            require_ownership: self.requires_ownership()?,
            private_origins: self.private_origins()?,
            quotas: Quotas {
                domains: self.quota_domains,
                certificates: self.quota_certificates,
                csr_keys: self.quota_csr_keys,
            },
            ownership_verifier: self.owner_check()?,
            oidc_providers: oidc::providers(&self.oidc_provider)?,
            cname_suffix: self.cname_suffix.clone(),
            settle_timeout: Duration::from_millis(self.settle_timeout_ms),
        })
    }

    /// Whose origins may be at addresses that are not public.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn private_origins(&self) -> Result<PrivateOrigins, ConfigError> {
        parse_choice(
            "origin_private_addresses",
            &self.origin_private_addresses,
            "root, all or none",
            &[
                ("root", PrivateOrigins::Root),
                ("all", PrivateOrigins::All),
                ("none", PrivateOrigins::None),
            ],
        )
    }

    fn requires_ownership(&self) -> Result<bool, ConfigError> {
        let words = [("off", false), ("on", true)];
        parse_choice("owner_check", &self.owner_check, "off or on", &words)
    }

    /// The resolver for ownership checks. It is an error only if `owner_check` is on that the system
    /// has no DNS server.
    fn owner_check(&self) -> Result<Option<OwnershipVerifier>, ConfigError> {
        let options = ownership::OwnershipOptions {
            dns: self.dns,
            http_port: self.owner_check_port,
            private_addresses: self.owner_check_private_addresses,
        };
        match OwnershipVerifier::new(options) {
            Ok(check) => Ok(Some(check)),
            Err(_) if !self.requires_ownership()? => Ok(None),
            Err(_) => Err(ConfigError::InvalidValue {
                key: "dns",
                value: String::new(),
                expected: "given, since owner_check is on and the system names no DNS server",
            }),
        }
    }

    /// The domain that clients without SNI get.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn default_domain(&self) -> Result<Option<DomainName>, ConfigError> {
        let Some(given) = &self.default_domain else {
            return Ok(None);
        };
        let refused = |_| ConfigError::InvalidValue {
            key: "default_domain",
            value: given.clone(),
            expected: "a domain name",
        };
        DomainName::parse(given).map(Some).map_err(refused)
    }

    /// The API over TLS; `None` if it is off.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] unless all three of its keys are given, or none.
    pub(crate) fn api_tls(&self) -> Result<Option<ApiTlsConfig<'_>>, ConfigError> {
        let missing = |key| ConfigError::InvalidValue {
            key,
            value: String::new(),
            expected: "given, since api_tls goes with api_tls_cert_file and api_tls_key_file",
        };
        let (cert_file, key_file) = (&self.api_tls_cert_file, &self.api_tls_key_file);
        match (self.api_tls, cert_file, key_file) {
            (None, None, None) => Ok(None),
            (Some(address), Some(cert_file), Some(key_file)) => Ok(Some(ApiTlsConfig {
                address,
                cert_file,
                key_file,
            })),
            (None, _, _) => Err(missing("api_tls")),
            (_, None, _) => Err(missing("api_tls_cert_file")),
            (_, _, None) => Err(missing("api_tls_key_file")),
        }
    }

    /// Trusted load balancers that send the PROXY protocol.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn trusted_proxies(&self) -> Result<Vec<IpNet>, ConfigError> {
        let network = |given: &String| {
            let address = given.parse::<IpAddr>().map(IpNet::from);
            given
                .parse()
                .or(address)
                .map_err(|_| ConfigError::InvalidValue {
                    key: "proxy_protocol_from",
                    value: given.clone(),
                    expected: "a list of networks and addresses, as \"10.0.0.0/8\"",
                })
        };
        self.proxy_protocol_from.iter().map(network).collect()
    }

    fn validate_rate_limits(&self) -> Result<(), ConfigError> {
        let known = |name: &str| ACTIONS.iter().any(|action| action.name == name);
        match self.rate_limits.keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(given) => Err(ConfigError::InvalidValue {
                key: "rate_limits",
                value: given.clone(),
                expected: "a table of actions that Edgeseal has",
            }),
        }
    }

    /// The environment whose certificates the edge of this process serves.
    pub(crate) fn environment(&self) -> Environment {
        match self.group.as_str() {
            STAGING => Environment::Staging,
            _ => Environment::Production,
        }
    }

    /// The URL of the store.
    pub(crate) fn store_url(&self) -> StoreUrl {
        let default = || StoreUrl::Sqlite(self.data.join("store.db"));
        self.store.clone().unwrap_or_else(default)
    }

    /// The sources of the key-encryption keys.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`], which never shows the value: it may be a key.
    pub(crate) fn kek_sources(&self) -> Result<Vec<KekSource>, ConfigError> {
        let no_source = |expected| ConfigError::InvalidValue {
            key: "kek",
            value: "(not shown)".to_owned(),
            expected,
        };
        let Some(setting) = &self.kek else {
            let file = self.kek_file.clone();
            let file = file.unwrap_or_else(|| self.data.join("kek"));
            return Ok(vec![KekSource::File(file)]);
        };
        if self.kek_file.is_some() {
            return Err(no_source("given alone: kek_file says the same"));
        }
        setting.sources().ok_or_else(|| no_source(errors::KEK))
    }

    /// Whether a start continues although something is sealed under a missing key.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn accepts_lost_keys(&self) -> Result<bool, ConfigError> {
        let words = [("refuse", false), ("accept", true)];
        parse_choice("lost_keys", &self.lost_keys, "refuse or accept", &words)
    }
}

/// The value that `given` stands for among `choices`.
fn parse_choice<T: Copy>(
    key: &'static str,
    given: &str,
    expected: &'static str,
    words: &[(&str, T)],
) -> Result<T, ConfigError> {
    let found = words.iter().find(|(word, _)| *word == given);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| ConfigError::InvalidValue {
            key,
            value: given.to_owned(),
            expected,
        })
}
