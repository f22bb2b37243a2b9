//! DNS resolution of origin names, cached for as long as the responses allow.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use hickory_resolver::{
    Resolver as Dns, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use tokio::{sync::Mutex, time::Instant};

/// Resolves names, by the system's current configuration.
#[derive(Debug)]
pub(super) struct Resolver {
    server: Option<SocketAddr>,
    current: Mutex<Option<LoadedResolver>>,
}

/// The addresses of a name.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) valid_until: Instant,
}

#[derive(Debug)]
struct LoadedResolver {
    dns: TokioResolver,
    written: Written,
    looked: Instant,
}

/// When each of [`FILES`] was modified.
type Written = [Option<SystemTime>; 2];

const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// Interval at which changes of these files are noticed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Maximum time until a name is resolved again, however long its response is valid: one of the
/// hosts file is valid for a day. The result may well come from the cache.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Number of cached responses.
const CACHE: u64 = 4096;
/// Time limit for one server; the whole of it is bounded by the connect timeout.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Resolver {
    /// Uses this server, or those of the system.
    pub(super) fn new(server: Option<SocketAddr>) -> Self {
        Self {
            server,
            current: Mutex::default(),
        }
    }

    /// The current addresses of a name.
    ///
    /// # Errors
    /// [`NetError`] if there is none, no server responds, or the system's configuration cannot be
    /// parsed.
    pub(super) async fn addresses(&self, name: &str) -> Result<Resolution, NetError> {
        let dns = self.dns().await?;
        let found = dns.lookup_ip(name).await?;
        let addresses = found.iter().map(|address| address.to_canonical());
        Ok(Resolution {
            addresses: addresses.collect(),
            valid_until: Instant::from_std(found.valid_until()).min(Instant::now() + ASK_AGAIN),
        })
    }

    async fn dns(&self) -> Result<TokioResolver, NetError> {
        let mut current = self.current.lock().await;
        if let Some(current) = &mut *current {
            if current.looked.elapsed() < LOOK_EVERY {
                return Ok(current.dns.clone());
            }
            current.looked = Instant::now();
        }
        let (server, known) = (self.server, current.as_ref().map(|current| current.written));
        let looking = tokio::task::spawn_blocking(move || reload_if_changed(server, known));
        let found = looking
            .await
            .map_err(|error| std::io::Error::other(error).into());
        match (found.and_then(|found| found), &mut *current) {
            (Ok(Some(fresh)), current) => {
                let dns = fresh.dns.clone();
                *current = Some(fresh);
                Ok(dns)
            }
            // Unchanged; or unreadable, perhaps because it is being written.
            (Ok(None) | Err(_), Some(current)) => Ok(current.dns.clone()),
            (Ok(None), None) => Err(NetError::from("no DNS configuration")),
            (Err(error), None) => Err(error),
        }
    }
}

/// Reads the system's configuration, if it changed since `known`.
fn reload_if_changed(
    server: Option<SocketAddr>,
    known: Option<Written>,
) -> Result<Option<LoadedResolver>, NetError> {
    let written = FILES.map(|file| fs::metadata(file).and_then(|file| file.modified()).ok());
    if known == Some(written) {
        return Ok(None);
    }
    let provider = TokioRuntimeProvider::default();
    let mut builder = match server {
        Some(server) => Dns::builder_with_config(only(server), provider),
        None => Dns::builder(provider)?,
    };
    let options = builder.options_mut();
    options.cache_size = CACHE;
    options.timeout = options.timeout.min(TIMEOUT);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    Ok(Some(LoadedResolver {
        dns: builder.build()?,
        written,
        looked: Instant::now(),
    }))
}

fn only(server: SocketAddr) -> ResolverConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![
        at_port(ConnectionConfig::udp()),
        at_port(ConnectionConfig::tcp()),
    ];
    let server = NameServerConfig::new(server.ip(), true, connections);
    ResolverConfig::from_name_servers(vec![server])
}
