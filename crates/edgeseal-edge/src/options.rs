//! How an edge is set up.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use edgeseal_core::{DomainName, domain::Environment, private_origins::PrivateOrigins};
use ipnet::IpNet;

use crate::{AccessLog, Limits, MemoryUse, OwnListeners, Timeouts};

/// The group whose edges serve the staging environment.
pub const STAGING: &str = "staging";

/// How an edge is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name, unique in its group. Part of a key: no `/`.
    pub id: String,
    /// Its group. Edges of [`STAGING`] serve the staging environment, all others production.
    pub group: String,
    /// Where HTTPS listens. Port 0 takes any.
    pub https: SocketAddr,
    /// Where plain HTTP listens, if at all.
    pub http: Option<SocketAddr>,
    /// Where the replica is kept. One edge per directory.
    pub directory: PathBuf,
    /// The domain whose certificate answers clients that send no server name; none by default.
    pub default_domain: Option<DomainName>,
    /// For a ClientHello, and again for the rest of the handshake.
    pub client_hello_timeout: Duration,
    /// For the head of a request, idle time before it included.
    pub header_timeout: Duration,
    /// For origins.
    pub timeouts: Timeouts,
    /// Ports of origins that are asked in TLS; at all others they are asked in the clear.
    pub origin_tls_ports: Vec<u16>,
    /// Ports of origins that are asked in HTTP/2 in the clear, as gRPC servers want it.
    pub origin_h2c_ports: Vec<u16>,
    /// Where requests are logged, if they are.
    pub access_log: Option<AccessLog>,
    /// Authorities that vouch for origins in TLS besides those of the system: a PEM file.
    pub origin_ca_file: Option<PathBuf>,
    /// A DNS server to ask about names of origins; `None`: as the system's configuration says.
    pub origin_dns: Option<SocketAddr>,
    /// Whose origins may be at addresses that are not public.
    pub origin_private_addresses: PrivateOrigins,
    /// The sockets that this process listens on besides those of the edge: nobody's origin.
    pub own_listeners: OwnListeners,
    /// Connections to one origin at a time at most. A request that finds them all in use waits as
    /// long as for a connection.
    pub origin_connections: usize,
    /// Bytes of a request's body at most; `None`: any number. A longer one is answered with 413.
    pub request_body_max: Option<u64>,
    /// Requests that one connection of a client carries at most; then it is closed in order.
    pub keepalive_requests: u32,
    /// For open connections when the edge is drained.
    pub drain_timeout: Duration,
    /// Whether OCSP responders may be at addresses that are not public, and at other ports than 80.
    /// Whoever uploads a certificate can then make this process ask inside of its own network.
    pub ocsp_private_addresses: bool,
    /// Parsed keys in memory at most.
    pub key_cache_size: usize,
    /// How much it takes on.
    pub limits: Limits,
    /// Tells what is to be compared with [`memory_max`](Limits::memory_max). By default all that is
    /// resident counts as in use; whoever knows the allocator knows better.
    pub memory_used: fn() -> Option<MemoryUse>,
    /// Load balancers whose connections begin with a header of the PROXY protocol. If there are any,
    /// nobody else is served.
    pub proxy_protocol_from: Vec<IpNet>,
    /// For the store, when there is a good replica to serve from.
    pub catch_up_timeout: Duration,
    /// Between two tries of what is quarantined, and between two looks for missing ticket keys.
    pub retry_interval: Duration,
    /// Where the edge connects to, to read what it serves: its own listener unless visitors reach
    /// that through something else on this machine, which then is part of what is proved.
    pub probe_address: Option<SocketAddr>,
}

impl Options {
    /// The defaults, for an edge of this name on these addresses.
    #[must_use]
    pub fn new(id: &str, group: &str, https: SocketAddr, directory: &Path) -> Self {
        Self {
            id: id.to_owned(),
            group: group.to_owned(),
            https,
            http: None,
            directory: directory.to_owned(),
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
            ocsp_private_addresses: false,
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
