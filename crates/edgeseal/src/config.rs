//! The configuration: defaults, overridden by the config file, then by `EDGESEAL_*`, then by flags.
//!
//! A setting is one row of [`table`]: the key of the file, the variable, the flag and the reference
//! (`docs/reference/configuration.md`) follow from it.

mod acme;
mod acme_dns;
mod acme_limits;
mod alarm;
#[cfg(test)]
mod docs;
mod errors;
mod flags;
mod oidc;
mod suggest;
mod table;
mod types;
mod variables;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use edgeseal_acme::{IssuerConfig, dns01::DnsSettings};
use edgeseal_api::{
    Settings,
    actions::ACTIONS,
    context::CertificateOrders,
    http::{ConnectionLimits, MemoryLimit},
    ownership::{self, OwnershipVerifier},
};
use edgeseal_core::{
    DomainPattern, domain::Environment, outside::Selection, quota::Quotas, rate::RateLimit,
};
use edgeseal_edge::STAGING;
use edgeseal_store::open::StoreUrl;
use figment::{
    Figment,
    providers::{Env, Format as _, Toml},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

#[cfg(test)]
pub(crate) use self::flags::SettingFlags;
use self::types::LostKeys;
pub(crate) use self::{
    alarm::{AlarmChannel, ChannelKind, MailAddresses, SmtpTls},
    flags::{ApiFlags, Flags},
    table::Config,
    types::{LogFormat, Text},
    variables::warn_of_unknown_variables,
};
use crate::{kek::KekSource, resources};

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
    /// An invalid key or value, with its location.
    #[error("{place}: {why}")]
    At {
        /// The file with the line, the variable, or the flag.
        place: String,
        /// The key, and what is wrong with it.
        why: String,
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

impl ConfigError {
    fn invalid(key: &'static str, value: &str, expected: &'static str) -> Self {
        let value = value.to_owned();
        Self::InvalidValue {
            key,
            value,
            expected,
        }
    }

    fn invalid_file(key: &'static str, file: &Path, expected: &'static str) -> Self {
        Self::invalid(key, &file.display().to_string(), expected)
    }
}

/// The CA certificates that the file of a setting holds.
///
/// # Errors
/// [`ConfigError::InvalidValue`] unless it holds certificates in PEM.
fn read_roots(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let roots = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .ok()
        .filter(|roots| !roots.is_empty());
    let expected = "a readable file with certificates in PEM";
    roots.ok_or_else(|| ConfigError::invalid_file(key, file, expected))
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and, where there is one, the file.
    pub(crate) fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
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
        // Only known keys: the environment may have other variables with this prefix, such as those
        // that Kubernetes sets for a service.
        let keys = table::all().filter(|setting| !setting.is_table);
        let keys: Vec<&str> = keys.map(|setting| setting.key).collect();
        let figment = figment
            .merge(Env::prefixed("EDGESEAL_").only(&keys))
            .merge(flags);
        let config: Self = figment
            .extract()
            .map_err(|error| errors::from_figment(&error, &figment, text))?;
        config.validate().map_err(|error| match error {
            ConfigError::InvalidValue { key, .. } => ConfigError::At {
                place: errors::location_of(key, &figment, text),
                why: error.to_string(),
            },
            other => other,
        })?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.settings()?;
        self.api_tls()?;
        if self.kek.is_some() && self.kek_file.is_some() {
            let expected = "given alone: kek_file says the same";
            return Err(ConfigError::invalid("kek", "(not shown)", expected));
        }
        if self.is_store_shared() && self.kek.is_none() && self.kek_file.is_none() {
            let expected = "given, since the store is PostgreSQL: all processes need the same key; \
                            edgeseal kek generate FILE makes one";
            return Err(ConfigError::invalid("kek", "", expected));
        }
        acme::validate(&self.acme)?;
        self.dns_challenges()?;
        alarm::validate(&self.alarm)?;
        self.validate_rate_limits()
    }

    /// The issuers of certificates, in the order of preference.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] for the first value that is invalid.
    pub(crate) fn issuers(&self) -> Result<Vec<IssuerConfig>, ConfigError> {
        self.acme.iter().map(acme::AcmeIssuer::to_issuer).collect()
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
            name_mismatch: self.name_mismatch.0,
            duplicate_content: self.duplicate_content.0,
            delete_bound_certificate: self.bound_certificate.0,
            return_private_keys: self.return_private_keys,
            require_ownership: self.owner_check.0,
            private_origins: self.origin_private_addresses.0,
            quotas: Quotas {
                domains: self.quota_domains,
                certificates: self.quota_certificates,
                csr_keys: self.quota_csr_keys,
            },
            ownership_verifier: self.ownership_verifier()?,
            oidc_providers: oidc::providers(&self.oidc_provider)?,
            orders: CertificateOrders {
                has_issuers: !self.acme.is_empty(),
                has_dns_challenge: self.acme_dns.is_some(),
            },
            cname_suffix: self.cname_suffix.clone(),
            settle_timeout: self.settle_timeout_ms.0,
        })
    }

    /// The resolver for ownership checks. It is an error only if `owner_check` is on that the
    /// system has no DNS server.
    fn ownership_verifier(&self) -> Result<Option<OwnershipVerifier>, ConfigError> {
        let options = ownership::OwnershipOptions {
            dns: self.dns,
            http_port: self.owner_check_port,
            private_addresses: self.owner_check_private_addresses,
        };
        match OwnershipVerifier::new(options) {
            Ok(check) => Ok(Some(check)),
            Err(_) if !self.owner_check.0 => Ok(None),
            Err(_) => Err(ConfigError::InvalidValue {
                key: "dns",
                value: String::new(),
                expected: "given, since owner_check is on and the system names no DNS server",
            }),
        }
    }

    /// Address, certificate file and key file of the API over TLS; `None` if it is off.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] unless all three of its keys are given, or none.
    pub(crate) fn api_tls(&self) -> Result<Option<(SocketAddr, &Path, &Path)>, ConfigError> {
        let (cert_file, key_file) = (&self.api_tls_cert_file, &self.api_tls_key_file);
        let missing = match (self.api_tls, cert_file, key_file) {
            (None, None, None) => return Ok(None),
            (Some(address), Some(cert), Some(key)) => return Ok(Some((address, cert, key))),
            (None, _, _) => "api_tls",
            (_, None, _) => "api_tls_cert_file",
            (_, _, None) => "api_tls_key_file",
        };
        Err(ConfigError::InvalidValue {
            key: missing,
            value: String::new(),
            expected: "given, since api_tls goes with api_tls_cert_file and api_tls_key_file",
        })
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

    /// How challenges in DNS are published; `None` if they are not.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`].
    pub(crate) fn dns_challenges(&self) -> Result<Option<DnsSettings>, ConfigError> {
        let Some(table) = &self.acme_dns else {
            return Ok(None);
        };
        let variables = self
            .kek_sources()
            .into_iter()
            .filter_map(|source| match source {
                KekSource::Variable(name) => Some(name),
                KekSource::File(_) | KekSource::Command(_) => None,
            });
        table.settings(self.dns, variables.collect()).map(Some)
    }

    /// The domains that are checked from outside; `None`: none.
    pub(crate) fn outside_selection(&self) -> Option<Selection> {
        let names = |given: &[Text<DomainPattern>]| given.iter().map(|it| it.0.clone()).collect();
        self.outside_check.0.then(|| Selection {
            only: names(&self.outside_check_only),
            except: names(&self.outside_check_except),
        })
    }

    /// The environment whose certificates the edge of this process serves.
    pub(crate) fn environment(&self) -> Environment {
        match self.group.as_str() {
            STAGING => Environment::Staging,
            _ => Environment::Production,
        }
    }

    /// The URL of the store.
    /// Whether other processes may use the store too.
    pub(crate) fn is_store_shared(&self) -> bool {
        matches!(self.store, Some(StoreUrl::Postgres(_)))
    }

    pub(crate) fn store_url(&self) -> StoreUrl {
        let default = || StoreUrl::Sqlite(self.data.join("store.db"));
        self.store.clone().unwrap_or_else(default)
    }

    /// The sources of the key-encryption keys.
    pub(crate) fn kek_sources(&self) -> Vec<KekSource> {
        self.kek.as_ref().map_or_else(
            || {
                let file = self.kek_file.clone();
                vec![KekSource::File(
                    file.unwrap_or_else(|| self.data.join("kek")),
                )]
            },
            |kek| kek.0.clone(),
        )
    }

    /// Whether a start continues although something is sealed under a missing key.
    pub(crate) fn accepts_lost_keys(&self) -> bool {
        self.lost_keys.0 == LostKeys::Accept
    }
}
