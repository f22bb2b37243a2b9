//! The edge's options.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use edgeseal_core::{DomainName, domain::Environment, private_origins::PrivateOrigins};
use ipnet::IpNet;

use crate::{AccessLog, Limits, MemoryUse, OwnListeners, Timeouts};

pub use edgeseal_store::rollout::STAGING_GROUP as STAGING;

/// The options of an edge.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name, unique in its group. Part of a store key: no `/`.
    pub id: String,
    /// Its group. Edges of [`STAGING`] serve the staging environment, all others production.
    pub group: String,
    /// Address of the HTTPS listener. Port 0 takes any.
    pub https: SocketAddr,
    /// Address of the plain HTTP listener, if there is to be one.
    pub http: Option<SocketAddr>,
    /// Directory of the replica. One edge per directory.
    pub directory: PathBuf,
    /// Bytes that should be free on the disk of the directory, for its alarm; `None`: a share of it.
    pub disk_free: Option<u64>,
    /// The domain whose certificate is served to clients without SNI; none by default.
    pub default_domain: Option<DomainName>,
    /// Time limit for a ClientHello, and again for the rest of the handshake.
    pub client_hello_timeout: Duration,
    /// Time limit for the headers of a request, including the idle time before them.
    pub header_timeout: Duration,
    /// Timeouts of requests to origins.
    pub timeouts: Timeouts,
    /// Origin ports that are contacted over TLS; all others are contacted in plaintext.
    pub origin_tls_ports: Vec<u16>,
    /// Origin ports that are contacted over plaintext HTTP/2 (h2c), as gRPC servers expect.
    pub origin_h2c_ports: Vec<u16>,
    /// Where requests are logged, if at all.
    pub access_log: Option<AccessLog>,
    /// PEM file of certificate authorities that are trusted for origins besides those of the
    /// system.
    pub origin_ca_file: Option<PathBuf>,
    /// DNS server for the names of origins; `None`: the system's resolver configuration.
    pub origin_dns: Option<SocketAddr>,
    /// Accounts whose origins may have addresses that are not public.
    pub origin_private_addresses: PrivateOrigins,
    /// The sockets of this process besides those of the edge: they are no valid origin for anyone.
    pub own_listeners: OwnListeners,
    /// Maximum number of connections to one origin. A request that finds them all in use waits as
    /// long as for a connection.
    pub origin_connections: usize,
    /// Maximum size of a request body in bytes; `None`: unlimited. A longer one gets 413.
    pub request_body_max: Option<u64>,
    /// Maximum number of requests per client connection; then it is closed gracefully.
    pub keepalive_requests: u32,
    /// Time limit for open connections when the edge is drained.
    pub drain_timeout: Duration,
    /// Maximum number of parsed keys in memory.
    pub key_cache_size: usize,
    /// Limits on connections, handshakes, streams and memory.
    pub limits: Limits,
    /// Measures what is compared with [`memory_max`](Limits::memory_max). By default all resident
    /// memory counts as in use; a function that knows the allocator is more precise.
    pub memory_used: fn() -> Option<MemoryUse>,
    /// Load balancers whose connections begin with a PROXY protocol header. If there are any, no
    /// other peer is served.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Time limit for the store at startup, when there is a usable replica to serve from.
    pub catch_up_timeout: Duration,
    /// Interval between two attempts at quarantined domains, and at missing ticket keys. Expired
    /// challenges are dropped at it, too.
    pub retry_interval: Duration,
    /// Address that the prover connects to: the edge's own listener, unless clients reach it
    /// through something else on this machine, which is then part of what is proven.
    pub probe_address: Option<SocketAddr>,
}

impl Options {
    /// The defaults, for an edge of this name and group.
    #[must_use]
    pub fn new(id: &str, group: &str, https: SocketAddr, directory: &Path) -> Self {
        Self {
            id: id.to_owned(),
            group: group.to_owned(),
            https,
            http: None,
            directory: directory.to_owned(),
            disk_free: None,
            default_domain: None,
            client_hello_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(60),
            timeouts: Timeouts::default(),
            origin_tls_ports: vec![443],
            origin_h2c_ports: Vec::new(),
            access_log: None,
            origin_ca_file: None,
            origin_dns: None,
            origin_private_addresses: PrivateOrigins::default(),
            own_listeners: OwnListeners::default(),
            origin_connections: 1024,
            request_body_max: None,
            keepalive_requests: 10_000,
            drain_timeout: Duration::from_secs(30),
            key_cache_size: 10_000,
            limits: Limits::default(),
            memory_used: MemoryUse::of_this_process,
            proxy_protocol_from: Vec::new(),
            catch_up_timeout: Duration::from_secs(5),
            retry_interval: Duration::from_secs(30),
            probe_address: None,
        }
    }

    pub(crate) const fn uses_proxy_protocol(&self) -> bool {
        !self.proxy_protocol_from.is_empty()
    }

    pub(crate) fn environment(&self) -> Environment {
        if self.group == STAGING {
            Environment::Staging
        } else {
            Environment::Production
        }
    }
}
