//! Does the owner of a root domain consent? Asked where only the owner can answer: in the domain's
//! DNS, or on its web server.
//!
//! An account holder chooses the name that is asked about, so the file check is a request that can
//! be aimed. It goes to public addresses only, follows no redirect, and reads and waits little.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::http::{Request, StatusCode, header};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
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
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, error::Elapsed, timeout, timeout_at},
};

use crate::fair_semaphore::{FairPermit, FairSemaphore};

/// Questions that are asked at once, of each kind.
const LOOKUPS_MAX: usize = 64;
/// The same for one account.
const LOOKUPS_PER_ACCOUNT_MAX: usize = 8;

/// The domain that is registered: the public suffix (<https://publicsuffix.org>, private section
/// included) and one label.
///
/// An unknown top-level domain is a suffix of one label. A name that is itself a public suffix is
/// its own root.
#[must_use]
pub fn registrable_domain(name: &DomainPattern) -> DomainName {
    let base = name.base();
    psl::domain_str(base.as_str())
        .and_then(|root| DomainName::parse(root).ok())
        .unwrap_or_else(|| base.clone())
}

/// What the owner of `root` publishes if `account` may have it: `verify_` and 32 hexadecimal digits.
///
/// Each account has its own for each root. It never changes and is no secret.
#[must_use]
pub fn verification_content(account: &AccountId, root: &DomainName) -> String {
    // No part holds a line break, so no two inputs have the same text.
    let text = format!("edgeseal domain ownership\n{account}\n{root}");
    let hash = digest(&SHA256, text.as_bytes());
    format!("verify_{}", hex::encode(&hash.as_ref()[..16]))
}

/// Where and whom the checks ask.
#[derive(Clone, Copy, Debug)]
pub struct OwnershipOptions {
    /// A DNS server to ask; `None`: those of the system's `resolv.conf`, as it is at the start.
    pub dns: Option<SocketAddr>,
    /// The port of the file check.
    pub http_port: u16,
    /// Whether the file check may go to addresses that are not public. Any account can then make
    /// this process ask inside of its own network.
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

/// Asks the owners of root domains. Nothing is remembered from one check to the next: an owner who
/// just mended a record is not told of the old one.
#[derive(Clone, Debug)]
pub struct OwnershipVerifier {
    resolver: TokioResolver,
    /// Turns to ask for an owner's consent: callers choose who is asked.
    verification_permits: Arc<FairSemaphore>,
    /// Turns to ask where a domain points to.
    cname_permits: Arc<FairSemaphore>,
    http_port: u16,
    private_addresses: bool,
}

/// The system's DNS configuration does not read.
#[derive(Debug, thiserror::Error)]
#[error("the system's DNS configuration cannot be used: {cause}")]
pub struct ResolverError {
    #[source]
    cause: Box<NetError>,
}

/// Why the owner's consent is not proven. Texts that were found are cut to 80 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// The DNS has no such TXT record.
    #[error("{name} has no TXT record")]
    NoTxtRecord {
        /// Whose.
        name: String,
    },
    /// It has one, or several, but not this one.
    #[error("the TXT record of {name} says {found:?}")]
    TxtMismatch {
        /// Whose.
        name: String,
        /// One that looks most like it.
        found: String,
    },
    /// The DNS knows no address of the root domain.
    #[error("{name} has no address")]
    NoAddress {
        /// The root domain.
        name: String,
    },
    /// No address of the root domain is public; none was asked.
    #[error("{name} is not at a public address")]
    NotPublic {
        /// The root domain.
        name: String,
        /// The first of its addresses.
        address: IpAddr,
    },
    /// The web server answers with something else than 200. Redirects are not followed.
    #[error("{url} is answered with status {status}")]
    UnexpectedStatus {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// The file is there and says something else.
    #[error("{url} says {found:?}")]
    FileMismatch {
        /// What was asked for.
        url: String,
        /// Its beginning.
        found: String,
    },
    /// The file is there and longer than 4 KiB.
    #[error("{url} is longer than {FILE_MAX} bytes")]
    FileTooLong {
        /// What was asked for.
        url: String,
    },
    /// Nobody answered, or not in time.
    #[error("{name} cannot be asked: {why}")]
    Unreachable {
        /// Whose record, or which file.
        name: String,
        /// What happened.
        why: String,
    },
}

impl OwnershipVerifier {
    /// Prepares the checks. Asks nobody yet.
    ///
    /// # Errors
    /// [`ResolverError`] if no DNS server is given and the system names none.
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

    /// Whether a TXT record of `verification.ROOT` is the content. `account` asks; its questions wait
    /// for each other when it has many.
    ///
    /// # Errors
    /// [`OwnershipError`] says what was found instead.
    pub async fn verify_dns(
        &self,
        account: &AccountId,
        root: &DomainName,
        content: &str,
    ) -> Result<(), OwnershipError> {
        let _turn = acquire(&self.verification_permits, account, &root.to_string()).await?;
        let name = format!("verification.{root}");
        // The dot at the end: no search domain of this machine is tried.
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
            // A record is one text, however it is cut into strings of 255 (RFC 7208 §3.3).
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
            // The best to show is one that was meant to be it.
            if other.is_none() || text.starts_with(PREFIX) {
                other = Some(excerpt(&text));
            }
        }
        Err(match other {
            Some(found) => OwnershipError::TxtMismatch { name, found },
            None => OwnershipError::NoTxtRecord { name },
        })
    }

    /// Whether `http://ROOT/verification.html` is the content, white space around it aside. `account`
    /// asks.
    ///
    /// # Errors
    /// [`OwnershipError`] says what was found instead.
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
        // Answered is answered; only who does not answer makes way for the next address.
        let mut last = None;
        for address in addresses {
            match timeout_at(until, fetch(address, root, &url)).await {
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

    /// Whether the DNS sends visitors of a domain to `target` by a CNAME record. Of a wildcard domain
    /// the name is asked that its own CNAME begins with. `account` asks.
    ///
    /// # Errors
    /// One sentence that says what was found instead.
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

    /// Where the root domain's web server may be asked: the very addresses that are connected to,
    /// so that a name that changes its address between the check and the use gains nothing.
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

/// A turn to ask, if it comes in time.
async fn acquire(
    turns: &Arc<FairSemaphore>,
    account: &AccountId,
    name: &str,
) -> Result<FairPermit, OwnershipError> {
    let turn = timeout(TIMEOUT, turns.acquire(account)).await;
    turn.map_err(|Elapsed { .. }| timed_out(name))
}

/// The file, at one address.
async fn fetch(
    address: SocketAddr,
    root: &DomainName,
    url: &str,
) -> Result<String, OwnershipError> {
    let unreachable = |error: &dyn std::error::Error| unreachable(url, error);
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|Elapsed { .. }| timed_out(url))?
        .map_err(|error| unreachable(&error))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    let request = Request::get(FILE)
        .header(header::HOST, root.as_str())
        .header(header::USER_AGENT, "edgeseal")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(&error))?;
    let exchange = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let url = url.to_owned();
        if response.status() != StatusCode::OK {
            let status = response.status().as_u16();
            return Err(OwnershipError::UnexpectedStatus { url, status });
        }
        match Limited::new(response.into_body(), FILE_MAX).collect().await {
            Ok(body) => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(OwnershipError::FileTooLong { url })
            }
            Err(error) => Err(unreachable(error.as_ref())),
        }
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // What it still held is in the exchange by now; a failure shows there as well.
        _ = connection => exchange.await,
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
    // Two attempts leave two of the five seconds to the web server.
    options.timeout = Duration::from_millis(1500);
    options.attempts = 1;
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // What this machine calls a name is no word of the name's owner.
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// An error with its causes: hyper and the system keep the telling part there.
fn unreachable(name: &str, error: &dyn std::error::Error) -> OwnershipError {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !why.ends_with(&text) {
            why = format!("{why}: {text}");
        }
        cause = error.source();
    }
    OwnershipError::Unreachable {
        name: name.to_owned(),
        why,
    }
}

fn timed_out(name: &str) -> OwnershipError {
    OwnershipError::Unreachable {
        name: name.to_owned(),
        why: "no answer in time".to_owned(),
    }
}

/// A text as it may be shown: short, on one line.
fn excerpt(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').trim();
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(SHOWN_MAX).map(printable).collect()
}

/// What every content begins with.
const PREFIX: &str = "verify_";
/// The file of the file check.
const FILE: &str = "/verification.html";
/// For a whole check.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For one address of several to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Octets of a file; the content itself has 39.
const FILE_MAX: usize = 4096;
/// Octets of the head of an answer.
const HEAD_MAX: usize = 16 * 1024;
/// Characters of a text that was found.
const SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests;
