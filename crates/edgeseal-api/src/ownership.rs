//! Verifies that the owner of a root domain consents, by content that only the owner can publish:
//! in the domain's DNS, or on its web server.
//!
//! The account chooses the name, so it can direct the file check at any host. Therefore the check
//! connects to public addresses only, follows no redirects, and limits time and size.

mod resolve;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::http::header;
use aws_lc_rs::digest::{SHA256, digest};
use edgeseal_core::{AccountId, DomainName, DomainPattern, address};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
        ResolverOpts,
    },
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use http_body_util::LengthLimitError;
use tokio::{
    net::TcpStream,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};

use crate::{
    fair_semaphore::{FairPermit, FairSemaphore},
    fetch::{self, FetchError, TIMEOUT},
};

/// Concurrent lookups, of each kind.
const LOOKUPS_MAX: usize = 64;
/// Concurrent lookups of one account.
const LOOKUPS_PER_ACCOUNT_MAX: usize = 8;

/// What the owner of `root` publishes to consent to `account`: `verify_` and 32 hexadecimal digits.
///
/// It differs by account and root, never changes and is not secret.
#[must_use]
pub fn verification_content(account: &AccountId, root: &DomainName) -> String {
    // No part contains a line break, so different inputs have different texts.
    let text = format!("edgeseal domain ownership\n{account}\n{root}");
    let hash = digest(&SHA256, text.as_bytes());
    format!("verify_{}", hex::encode(&hash.as_ref()[..16]))
}

/// Options of the checks.
#[derive(Clone, Copy, Debug)]
pub struct OwnershipOptions {
    /// The DNS server to query; `None`: those of the system's `resolv.conf` at start.
    pub dns: Option<SocketAddr>,
    /// The port of the file check.
    pub http_port: u16,
    /// Whether the file check may connect to non-public addresses. If so, any account can make this
    /// process send requests inside its own network.
    pub private_addresses: bool,
}

impl Default for OwnershipOptions {
    fn default() -> Self {
        Self {
            dns: None,
            http_port: 80,
            private_addresses: false,
        }
    }
}

/// Queries the owners of root domains. Nothing is cached: an owner who has just fixed a record does
/// not get the old one.
#[derive(Clone, Debug)]
pub struct OwnershipVerifier {
    resolver: TokioResolver,
    /// Permits for ownership checks: callers choose the servers that are queried.
    verification_permits: Arc<FairSemaphore>,
    /// Permits for lookups of CNAME records.
    cname_permits: Arc<FairSemaphore>,
    http_port: u16,
    private_addresses: bool,
}

/// The system's DNS configuration cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the system's DNS configuration cannot be used: {cause}")]
pub struct ResolverError {
    #[source]
    cause: Box<NetError>,
}

/// Why ownership is not proven. Text that was found is cut to 80 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// There is no such TXT record.
    #[error("{name} has no TXT record")]
    NoTxtRecord {
        /// The name of the record.
        name: String,
    },
    /// There are TXT records, but none with the expected content.
    #[error("the TXT record of {name} says {found:?}")]
    TxtMismatch {
        /// The name of the record.
        name: String,
        /// The most similar one.
        found: String,
    },
    /// The root domain has no address.
    #[error("{name} has no address")]
    NoAddress {
        /// The root domain.
        name: String,
    },
    /// No address of the root domain is public; none was contacted.
    #[error("{name} is not at a public address")]
    NotPublic {
        /// The root domain.
        name: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// The web server returns another status than 200. Redirects are not followed.
    #[error("{url} returned status {status}")]
    UnexpectedStatus {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
    },
    /// The file has other content.
    #[error("{url} says {found:?}")]
    FileMismatch {
        /// The URL.
        url: String,
        /// Its beginning.
        found: String,
    },
    /// The file is longer than 4 KiB.
    #[error("{url} is longer than {FILE_MAX} bytes")]
    FileTooLong {
        /// The URL.
        url: String,
    },
    /// No response, or not within the timeout.
    #[error("{name} cannot be queried: {reason}")]
    Unreachable {
        /// The name of the record, or the URL of the file.
        name: String,
        /// The cause.
        reason: String,
    },
}

impl OwnershipVerifier {
    /// Prepares the checks. Queries nothing yet.
    ///
    /// # Errors
    /// [`ResolverError`] if no DNS server is given and the system configures none.
    pub fn new(options: OwnershipOptions) -> Result<Self, ResolverError> {
        let failed = |cause| ResolverError {
            cause: Box::new(cause),
        };
        let provider = TokioRuntimeProvider::default();
        let mut builder = match options.dns {
            Some(server) => Resolver::builder_with_config(single_server(server), provider),
            None => Resolver::builder(provider).map_err(failed)?,
        };
        *builder.options_mut() = resolver_options();
        Ok(Self {
            resolver: builder.build().map_err(failed)?,
            verification_permits: FairSemaphore::new(LOOKUPS_MAX, LOOKUPS_PER_ACCOUNT_MAX),
            cname_permits: FairSemaphore::new(LOOKUPS_MAX, LOOKUPS_PER_ACCOUNT_MAX),
            http_port: options.http_port,
            private_addresses: options.private_addresses,
        })
    }

    /// Checks that a TXT record of `verification.ROOT` has the content. Lookups of `account` beyond
    /// its limit wait for each other.
    ///
    /// # Errors
    /// [`OwnershipError`], with what was found instead.
    pub async fn verify_dns(
        &self,
        account: &AccountId,
        root: &DomainName,
        content: &str,
    ) -> Result<(), OwnershipError> {
        let _turn = acquire(&self.verification_permits, account, &root.to_string()).await?;
        let name = format!("verification.{root}");
        // The trailing dot prevents the search domains of this machine.
        let asked = self.resolver.txt_lookup(format!("{name}."));
        let answer = match timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_no_records_found() => {
                return Err(OwnershipError::NoTxtRecord { name });
            }
            Ok(Err(error)) => return Err(unreachable(&name, &error)),
            Err(Elapsed { .. }) => return Err(timed_out(&name)),
        };
        let texts = answer.answers().iter().filter_map(|record| {
            // The strings of one record, up to 255 bytes each, are concatenated (RFC 7208 §3.3).
            match &record.data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            }
        });
        let mut other: Option<String> = None;
        for text in texts {
            let text = String::from_utf8_lossy(&text);
            if text.trim() == content {
                return Ok(());
            }
            // Report the record that was most likely meant.
            if other.is_none() || text.starts_with(PREFIX) {
                other = Some(excerpt(&text));
            }
        }
        Err(match other {
            Some(found) => OwnershipError::TxtMismatch { name, found },
            None => OwnershipError::NoTxtRecord { name },
        })
    }

    /// Checks that `http://ROOT/verification.html` has the content, ignoring surrounding white
    /// space. The lookup counts for `account`.
    ///
    /// # Errors
    /// [`OwnershipError`], with what was found instead.
    pub async fn verify_file(
        &self,
        account: &AccountId,
        root: &DomainName,
        content: &str,
    ) -> Result<(), OwnershipError> {
        let _turn = acquire(&self.verification_permits, account, &root.to_string()).await?;
        let url = format!("http://{root}{FILE}");
        let until = Instant::now() + TIMEOUT;
        let addresses = timeout_at(until, self.addresses(root))
            .await
            .map_err(|Elapsed { .. }| timed_out(&url))??;
        // Any response is final; only an unreachable address leads to the next one.
        let mut last = None;
        for address in addresses {
            match timeout_at(until, fetch_file(address, root, &url)).await {
                Ok(Ok(text)) if text.trim_start_matches('\u{feff}').trim() == content => {
                    return Ok(());
                }
                Ok(Ok(text)) => {
                    let found = excerpt(&text);
                    return Err(OwnershipError::FileMismatch { url, found });
                }
                Ok(Err(error @ OwnershipError::Unreachable { .. })) => last = Some(error),
                Ok(Err(error)) => return Err(error),
                Err(Elapsed { .. }) => return Err(timed_out(&url)),
            }
        }
        Err(last.unwrap_or_else(|| OwnershipError::NoAddress {
            name: root.to_string(),
        }))
    }

    /// Checks that the DNS has a CNAME record from the domain to `target`. For a wildcard domain
    /// the name that its own CNAME begins with is queried. The lookup counts for `account`.
    ///
    /// # Errors
    /// A sentence with what was found instead.
    pub async fn verify_cname(
        &self,
        account: &AccountId,
        name: &DomainPattern,
        target: &str,
    ) -> Result<(), String> {
        let turn = acquire(&self.cname_permits, account, &name.to_string()).await;
        let _turn = turn.map_err(|late| late.to_string())?;
        let asked = match name {
            DomainPattern::Exact(name) => name.to_string(),
            DomainPattern::Wildcard(base) => format!("all.{base}"),
        };
        let lookup = self.resolver.lookup(format!("{asked}."), RecordType::CNAME);
        let answer = match timeout(TIMEOUT, lookup).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_no_records_found() => {
                return Err(format!("{asked} has no CNAME record"));
            }
            Ok(Err(error)) => return Err(unreachable(&asked, &error).to_string()),
            Err(Elapsed { .. }) => return Err(timed_out(&asked).to_string()),
        };
        let found = answer
            .answers()
            .iter()
            .find_map(|record| match &record.data {
                RData::CNAME(name) => Some(name.0.to_utf8()),
                _ => None,
            });
        match found.as_deref().map(|found| found.trim_end_matches('.')) {
            Some(found) if found.eq_ignore_ascii_case(target) => Ok(()),
            Some(found) => Err(format!("{asked} points to {}", excerpt(found))),
            None => Err(format!("{asked} has no CNAME record")),
        }
    }

    /// The addresses of the root domain's web server, which are the ones that are connected to: a
    /// name that changes its address between check and use gains nothing.
    async fn addresses(&self, root: &DomainName) -> Result<Vec<SocketAddr>, OwnershipError> {
        let name = root.to_string();
        let found: Vec<IpAddr> = match self.resolver.lookup_ip(format!("{root}.")).await {
            Ok(answer) => answer.iter().collect(),
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(unreachable(&name, &error)),
        };
        let Some(&address) = found.first() else {
            return Err(OwnershipError::NoAddress { name });
        };
        let may = |address: &IpAddr| self.private_addresses || address::is_public(*address);
        let usable: Vec<SocketAddr> = found
            .into_iter()
            .filter(may)
            .take(ADDRESSES_MAX)
            .map(|address| SocketAddr::new(address, self.http_port))
            .collect();
        if usable.is_empty() {
            return Err(OwnershipError::NotPublic { name, address });
        }
        Ok(usable)
    }
}

/// A permit, if there is one within the timeout.
async fn acquire(
    turns: &Arc<FairSemaphore>,
    account: &AccountId,
    name: &str,
) -> Result<FairPermit, OwnershipError> {
    let turn = timeout(TIMEOUT, turns.acquire(account)).await;
    turn.map_err(|Elapsed { .. }| timed_out(name))
}

/// Fetches the file from one address.
async fn fetch_file(
    address: SocketAddr,
    root: &DomainName,
    url: &str,
) -> Result<String, OwnershipError> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|Elapsed { .. }| timed_out(url))?
        .map_err(|error| unreachable(url, &error))?;
    let unencoded = (header::ACCEPT_ENCODING, "identity");
    let fetched = fetch::get(stream, root.as_str(), FILE, unencoded, FILE_MAX).await;
    let url = url.to_owned();
    match fetched {
        Ok(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
        Err(FetchError::Status(status)) => Err(OwnershipError::UnexpectedStatus {
            url,
            status: status.as_u16(),
        }),
        Err(FetchError::Body(error)) if error.is::<LengthLimitError>() => {
            Err(OwnershipError::FileTooLong { url })
        }
        Err(FetchError::Body(error)) => Err(unreachable(&url, error.as_ref())),
        Err(FetchError::Http(error)) => Err(unreachable(&url, &error)),
        Err(FetchError::Connect(error)) => Err(unreachable(&url, &error)),
        Err(FetchError::Timeout) => Err(timed_out(&url)),
    }
}

fn single_server(server: SocketAddr) -> ResolverConfig {
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

fn resolver_options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // Two attempts leave two of the five seconds for the web server.
    options.timeout = Duration::from_millis(1500);
    options.attempts = 1;
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // An entry in this machine's hosts file does not come from the owner of the name.
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// An error with its chain of causes, which holds the details from hyper and the system.
fn unreachable(name: &str, error: &dyn std::error::Error) -> OwnershipError {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.ends_with(&text) {
            reason = format!("{reason}: {text}");
        }
        cause = error.source();
    }
    OwnershipError::Unreachable {
        name: name.to_owned(),
        reason,
    }
}

fn timed_out(name: &str) -> OwnershipError {
    OwnershipError::Unreachable {
        name: name.to_owned(),
        reason: "no response in time".to_owned(),
    }
}

/// Text safe to show: short, on one line.
fn excerpt(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(SHOWN_MAX).map(printable).collect()
}

/// The prefix of every content.
const PREFIX: &str = "verify_";
/// The path of the file check.
const FILE: &str = "/verification.html";
/// Time limit to connect to one of several addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Longest file in bytes; the content itself has 39.
const FILE_MAX: usize = 4096;
/// Longest shown text in characters.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests;
