//! The table of settings: one row each, from which follow the keys of the file, the variables, the
//! flags, the reference and the table in the README.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, time::Duration};

use edgeseal_api::{
    Settings,
    context::{BoundCertificatePolicy, DuplicateContentPolicy, NameMismatchPolicy},
};
use edgeseal_core::{DomainName, DomainPattern, private_origins::PrivateOrigins, quota::Quota};
use edgeseal_edge::Limits;
use edgeseal_store::open::StoreUrl;
use ipnet::IpNet;
use serde::Deserialize;

use super::{
    acme::AcmeIssuer,
    acme_dns::AcmeDns,
    alarm::AlarmChannel,
    oidc::OidcProvider,
    types::{LogFormat, LostKeys, Millis, SettingType, Text},
};
use crate::kek::KekSources;

/// A setting, as the flags and the reference describe it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the reference shows more than the flags")
)]
pub(super) struct Setting {
    /// The key of the file. The variable is `EDGESEAL_` and the key in capitals.
    pub(super) key: &'static str,
    /// What it is for: a sentence without a full stop, in Markdown. Links are relative to the
    /// reference.
    pub(super) help: &'static str,
    /// Describes the type.
    pub(super) describe: fn() -> String,
    /// The valid words, if they are a fixed set.
    pub(super) choices: fn() -> Vec<&'static str>,
    show_default: fn(&Config) -> Option<String>,
    /// The unit of a number.
    pub(super) unit: Option<&'static str>,
    /// What applies if it is not set and has no default.
    unset: &'static str,
    /// The flag and the placeholder of its value, if it is a flag as well.
    pub(super) flag: Option<&'static str>,
    /// Whether it is a table, which only the file can hold.
    pub(super) is_table: bool,
    /// Whether the README lists it.
    pub(super) is_in_readme: bool,
    /// The first version with it.
    pub(super) since: &'static str,
}

/// What a row says unless it says otherwise.
const ROW: Setting = Setting {
    key: "",
    help: "",
    describe: String::new,
    choices: Vec::new,
    show_default: |_| None,
    unit: None,
    unset: "none",
    flag: None,
    is_table: false,
    is_in_readme: false,
    since: "0.1.0",
};

/// Declares [`Config`] and [`SETTINGS`]. A row: `key: type = default, help, fields of Setting;`.
macro_rules! settings {
    ($($section:literal {
        $($key:ident: $type:ty = $default:expr, $help:literal $(, $field:ident: $value:expr)*;)*
    })*) => {
        /// The whole configuration.
        #[derive(Clone, Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct Config {
            $($(#[doc = $help] pub(crate) $key: $type,)*)*
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($($key: $default,)*)* }
            }
        }

        /// All settings, by section of the reference.
        pub(super) const SETTINGS: &[(&str, &[Setting])] = &[$(($section, &[$(
            Setting {
                key: stringify!($key),
                help: $help,
                describe: <$type>::describe,
                choices: <$type>::choices,
                show_default: |config| config.$key.show(),
                $($field: $value,)*
                ..ROW
            },
        )*])),*];
    };
}

#[rustfmt::skip]
settings! {
    "General" {
        data: PathBuf = "edgeseal-data".into(), "Directory of everything that Edgeseal stores", flag: Some("--data DIR"), is_in_readme: true;
        store: Option<StoreUrl> = None, "The store: `sqlite:PATH`, `postgres://USER@HOST/DATABASE` or `memory:`", unset: "`sqlite:DATA/store.db`", flag: Some("--store URL"), is_in_readme: true;
        group: String = "production".to_owned(), "Group of the edge; `staging` serves staged certificates", flag: Some("--group NAME");
        memory_max: Option<u64> = None, "Memory limit; [what happens near it](../operate/scale.md#limits-of-the-edge)", unit: Some("bytes"), unset: "the control group's";
        core_dumps: bool = false, "`true`: crashes may leave core dumps, private keys included, and debuggers may attach";
        drain_timeout_ms: Millis = millis(30_000), "Time limit for open calls and connections at shutdown";
        handover_drain_timeout_ms: Millis = millis(600_000), "The same after a [hand-over](../operate/upgrade.md) to another process";
    }
    "Listeners" {
        api: SocketAddr = loopback(7080), "Address of the API, plain HTTP", flag: Some("--api ADDR"), is_in_readme: true;
        api_tls: Option<SocketAddr> = None, "Address of the API over TLS, in addition; needs the two files below", flag: Some("--api-tls ADDR");
        api_tls_cert_file: Option<PathBuf> = None, "Certificate chain of the API over TLS, in PEM", flag: Some("--api-tls-cert-file FILE");
        api_tls_key_file: Option<PathBuf> = None, "Private key of the API over TLS, in PEM", flag: Some("--api-tls-key-file FILE");
        https: SocketAddr = loopback(8443), "Address of the edge, HTTPS", flag: Some("--https ADDR"), is_in_readme: true;
        http: SocketAddr = loopback(8080), "Address of the edge, plain HTTP", flag: Some("--http ADDR"), is_in_readme: true;
        admin: SocketAddr = loopback(7081), "Address of `/healthz`, `/readyz` and `/metrics`", flag: Some("--admin ADDR"), is_in_readme: true;
        admin_hosts: Vec<String> = Vec::new(), "Host names accepted by `/metrics`, besides addresses and the machine's own name";
    }
    "Keys" {
        kek: Option<KekSources> = None, "Where the key-encryption keys come from: files, variables or commands", unset: "the file `DATA/kek`", flag: Some("--kek SOURCE"), is_in_readme: true;
        kek_file: Option<PathBuf> = None, "The file of the key-encryption keys, unless `kek` is set", unset: "`DATA/kek`";
        lost_keys: Text<LostKeys> = Text(LostKeys::Refuse), "What a start does if something is sealed under a [missing key](../operate/keys.md#a-missing-key)";
        reseal_per_second: u32 = 1000, "Maximum rate of resealing after a rotation", unit: Some("records/s");
        key_cache_size: usize = 10_000, "Maximum number of parsed private keys in memory";
    }
    "API" {
        name_mismatch: Text<NameMismatchPolicy> = Text(Settings::default().name_mismatch), "Whether to accept certificates that do not cover their domain";
        duplicate_content: Text<DuplicateContentPolicy> = Text(Settings::default().duplicate_content), "Whether to accept the same certificate under a second name";
        bound_certificate: Text<BoundCertificatePolicy> = Text(Settings::default().delete_bound_certificate), "What [removing a certificate](../guides/removing-certificates.md) does while it is bound";
        return_private_keys: bool = Settings::default().return_private_keys, "`true`: CAS [returns private keys](../operate/keys.md#private-keys-that-are-given-back)";
        cname_suffix: String = Settings::default().cname_suffix, "Suffix of the CNAME of a domain";
        recommend_base_url: String = Settings::default().docs_base_url, "Start of the address in `Recommend`; the code follows";
        settle_timeout_ms: Millis = Millis(Settings::default().settle_timeout), "Longest wait of a change for the edge in this process";
        api_connections: usize = Settings::default().connection_limits.total, "Maximum number of concurrent connections to the API";
        api_connections_per_source: usize = Settings::default().connection_limits.per_source, "The same from one address, or one /64 of IPv6";
        auth_failures_per_minute: u32 = Settings::default().auth_failure_limit.calls, "Failed authentications of one source address", unit: Some("calls/min");
        denied_calls_per_minute: u32 = Settings::default().denial_limit.calls, "Calls without permission of one user, role or account", unit: Some("calls/min");
        rate_limits: HashMap<String, u32> = HashMap::new(), "Calls per second and account, by action; other actions keep their default", is_table: true;
    }
    "Accounts" {
        owner_check: Text<bool> = Text(false), "Whether an account must prove that it [owns a domain](../guides/hosting.md#ownership-of-domains)";
        owner_check_port: u16 = 80, "Port of the file check";
        owner_check_private_addresses: bool = false, "`true`: the files may be at addresses that are not public";
        dns: Option<SocketAddr> = None, "DNS server for these checks, for `DescribeDomainCname` and for orders of certificates", unset: "the system's";
        quota_domains: Quota = Settings::default().quotas.domains, "Domains of an account other than root; [more](../guides/hosting.md#how-much-an-account-may-have)";
        quota_certificates: Quota = Settings::default().quotas.certificates, "Its certificates";
        quota_csr_keys: Quota = Settings::default().quotas.csr_keys, "Its signing requests whose keys are stored";
        oidc_provider: Vec<OidcProvider> = Vec::new(), "[Identity providers](../guides/ci-tokens.md#tokens-of-ci-systems) whose tokens can assume roles", is_table: true;
    }
    "Certificates" {
        acme: Vec<AcmeIssuer> = Vec::new(), "[Issuers](../guides/ordered-certificates.md) from which certificates are ordered, in order of preference", is_table: true;
        acme_dns: Option<AcmeDns> = None, "How [challenges in DNS](../guides/ordered-certificates.md#wildcards-challenges-in-dns) are published, which wildcards need", is_table: true;
        acme_preflight: Text<bool> = Text(true), "Whether a domain is [checked](../guides/ordered-certificates.md#checks-before-an-order) before a certificate is ordered for it";
        acme_preflight_port: u16 = 80, "Port at which that check reads the response of an edge";
    }
    "Edge" {
        default_domain: Option<Text<DomainName>> = None, "The domain that clients without SNI get";
        connections: usize = Limits::default().connections, "Maximum number of concurrent client connections, as far as [file descriptors](../operate/scale.md#limits-of-the-edge) suffice";
        connections_per_source: usize = Limits::default().connections_per_source, "The same from one address, or one /64 of IPv6";
        handshakes: usize = Limits::default().handshakes, "Maximum number of TLS handshakes in progress; one source may have half of them";
        streams: usize = Limits::default().streams, "Maximum number of HTTP/2 requests in progress, beyond the first of each connection";
        streams_per_source: usize = Limits::default().streams_per_source, "The same from one address, or one /64 of IPv6";
        client_hello_timeout_ms: Millis = millis(10_000), "Time limit for a ClientHello, and again for the rest of the handshake";
        header_timeout_ms: Millis = millis(60_000), "Time limit for the headers of a client's request, preceding idle time included; and for an idle HTTP/2 connection";
        keepalive_requests: u32 = 10_000, "Maximum number of requests on one client connection";
        request_body_max: Option<u64> = None, "Maximum size of a request body", unit: Some("bytes"), unset: "unlimited";
        request_body_rate_min: u32 = 500, "Rate at which a client must send a request body; 0: any", unit: Some("bytes/s");
        client_send_timeout_ms: Millis = millis(120_000), "A client that reads nothing of a response or a WebSocket for this time is disconnected";
        tunnel_idle_timeout_ms: Millis = millis(3_600_000), "A WebSocket without traffic for this time is closed";
        proxy_protocol_from: Vec<Text<IpNet>> = Vec::new(), "Load balancers that [send the PROXY protocol](../guides/load-balancer.md)", is_in_readme: true;
    }
    "Origins" {
        origin_private_addresses: Text<PrivateOrigins> = Text(PrivateOrigins::Root), "Accounts whose origins may be at addresses that are not public; [more](../guides/hosting.md#addresses-of-origins)";
        origin_tls_ports: Vec<u16> = vec![443], "Ports of origins that are contacted over TLS, and verified";
        origin_h2c_ports: Vec<u16> = Vec::new(), "Ports of origins that are contacted over plaintext HTTP/2 (gRPC)";
        origin_ca_file: Option<PathBuf> = None, "CA certificates trusted for origins besides those of the system, in PEM", is_in_readme: true;
        origin_dns: Option<SocketAddr> = None, "DNS server for the names of origins", unset: "the system's";
        origin_connections: usize = 1024, "Maximum number of concurrent connections to one origin";
        origin_header_timeout_ms: Millis = millis(60_000), "Time limit for the headers of an origin's response";
        origin_idle_timeout_ms: Millis = millis(300_000), "Time limit for the next part of an origin's response";
    }
    "Alarms" {
        alarm: Vec<AlarmChannel> = Vec::new(), "[Channels](../operate/alarms.md#channels) that are told of alarms", is_table: true;
        alarm_interval_ms: Millis = millis(60_000), "Time between two evaluations of [what raises alarms](alarms.md)";
        disk_free_bytes: Option<u64> = None, "Free space below which the disk of the data directory raises [an alarm](alarms.md#disk_nearly_full); below a fifth of it a critical one", unit: Some("bytes"), unset: "10 % of the disk, at most 10 GiB";
        kek_max_age_days: u32 = 400, "Age at which a key-encryption key raises an alarm until it is [rotated](../operate/keys.md); 0: never", unit: Some("days");
    }
    "Outside check" {
        outside_check: Text<bool> = Text(false), "Whether to check regularly [what visitors find](../operate/outside.md): where names lead, and which certificate is there";
        outside_check_only: Vec<Text<DomainPattern>> = Vec::new(), "Check these domains only; `.a.example` is everything below `a.example`";
        outside_check_except: Vec<Text<DomainPattern>> = Vec::new(), "Do not check these domains";
        outside_check_addresses: Vec<Text<IpNet>> = Vec::new(), "Addresses at which visitors reach the edges";
        outside_check_port: u16 = 443, "Port at which they do";
        outside_check_interval_ms: Millis = millis(3_600_000), "Time in which each domain is checked once";
    }
    "Logs and audit" {
        log_format: Text<LogFormat> = Text(LogFormat::Auto), "Format of the log; `auto`: text on a terminal, else JSON", flag: Some("--log-format FORMAT");
        access_log: Option<String> = None, "`\"stdout\"` or a file: [one JSON object per request](logs.md#access-log)", is_in_readme: true;
        audit_retention_days: u32 = 400, "Age at which audit records are removed; 0: never", unit: Some("days");
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(std::net::SocketAddrV4::new(
        std::net::Ipv4Addr::LOCALHOST,
        port,
    ))
}

const fn millis(ms: u64) -> Millis {
    Millis(Duration::from_millis(ms))
}

/// All settings in order.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().flat_map(|(_, rows)| *rows)
}

impl Setting {
    /// The default, in Markdown.
    pub(super) fn default(&self) -> String {
        let shown = (self.show_default)(&Config::default());
        shown.map_or_else(|| self.unset.to_owned(), |value| format!("`{value}`"))
    }
}
