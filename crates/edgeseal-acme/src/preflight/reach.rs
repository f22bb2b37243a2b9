//! Reads an http-01 response as an authority does (RFC 8555 §8.3): at each address of the host, by
//! redirects as Let's Encrypt follows them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use edgeseal_core::{
    DomainName,
    address::is_public,
    challenge::{HTTP_01_PATH, KeyAuthorization},
};
use futures_util::future::join_all;
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{Obstacle, Preflight, tls};

/// Most addresses of a host that are connected to.
const ADDRESSES_MAX: usize = 8;
/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// Longest page that is read, in bytes: a key authorization has at most 172.
const BODY_MAX: usize = 4096;
/// Longest response headers, in bytes.
const HEADERS_MAX: usize = 16 * 1024;
/// How much of a page is shown, in characters.
const SHOWN_MAX: usize = 80;

/// What one address answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The response.
    Token,
    /// Another status than 200.
    Status(u16),
    /// Another page. It is not shown: the owner of a name chooses the server, and must not read
    /// what only this machine can reach.
    Content,
    /// A redirect that authorities do not follow, and why.
    Redirect(String, &'static str),
    /// Nothing; why.
    Nothing(String),
    /// This machine has no route there, as to IPv6 from many: nothing is known.
    NoRoute,
}

/// Reads the response at all addresses.
///
/// # Errors
/// [`Obstacle`] of the first address with another answer.
pub(super) async fn check(
    preflight: &Preflight,
    host: &DomainName,
    addresses: &[IpAddr],
    response: &KeyAuthorization,
) -> Result<(), Obstacle> {
    let port = preflight.settings.http_port;
    let limit = preflight.settings.timeout;
    let reads = addresses
        .iter()
        .take(ADDRESSES_MAX)
        .map(|&address| async move {
            let read = read(preflight, host, address, response);
            let late = |_| Answer::Nothing(format!("no response within {} s", limit.as_secs()));
            (address, timeout(limit, read).await.unwrap_or_else(late))
        });
    judge(host, port, join_all(reads).await)
}

/// What the answers say.
pub(super) fn judge(
    host: &DomainName,
    port: u16,
    answers: Vec<(IpAddr, Answer)>,
) -> Result<(), Obstacle> {
    let name = host.to_string();
    for (address, answer) in answers {
        return Err(match answer {
            Answer::Token | Answer::NoRoute => continue,
            Answer::Status(status) => Obstacle::Status {
                name,
                port,
                address,
                status,
            },
            Answer::Content => Obstacle::Content {
                name,
                port,
                address,
            },
            Answer::Redirect(location, reason) => Obstacle::Redirect {
                name,
                port,
                address,
                location,
                reason: reason.to_owned(),
            },
            Answer::Nothing(reason) => Obstacle::Unreachable {
                name,
                port,
                address,
                reason,
            },
        });
    }
    Ok(())
}

async fn read(
    preflight: &Preflight,
    host: &DomainName,
    address: IpAddr,
    response: &KeyAuthorization,
) -> Answer {
    let settings = preflight.settings;
    let path = format!("{HTTP_01_PATH}{}", response.token());
    let mut at = Location {
        is_tls: false,
        host: host.clone(),
        path,
    };
    let mut server = SocketAddr::new(address, settings.http_port);
    for _ in 0..=REDIRECTS_MAX {
        let (status, location, body) = match at.get(server).await {
            Ok(read) => read,
            Err(error) if is_unroutable(&error) && server.is_ipv6() => return Answer::NoRoute,
            Err(error) => return Answer::Nothing(error.to_string()),
        };
        if status == StatusCode::OK {
            let text = String::from_utf8_lossy(&body);
            return if text.trim_end() == response.as_str() {
                Answer::Token
            } else {
                Answer::Content
            };
        }
        let Some(location) = location.filter(|_| status.is_redirection()) else {
            return Answer::Status(status.as_u16());
        };
        let ports = (settings.http_port, settings.https_port);
        at = match at.follow(&location, ports) {
            Ok(next) => next,
            Err(why) => return Answer::Redirect(excerpt(&location), why),
        };
        let found = preflight.addresses(&at.host).await.unwrap_or_default();
        let Some(next) = found.first() else {
            return Answer::Redirect(excerpt(&location), "it has no address record");
        };
        let next = if at.host == *host { address } else { *next };
        if is_public(address) && !is_public(next) {
            let why = "it leads to an address that is not public";
            return Answer::Redirect(excerpt(&location), why);
        }
        let port = if at.is_tls { ports.1 } else { ports.0 };
        server = SocketAddr::new(next, port);
    }
    Answer::Redirect(at.path, "there are more than 10 redirects")
}

/// Where a page is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) is_tls: bool,
    pub(super) host: DomainName,
    pub(super) path: String,
}

impl Location {
    /// Where a redirect leads: only to names, and to the ports of http and https.
    pub(super) fn follow(&self, to: &str, ports: (u16, u16)) -> Result<Self, &'static str> {
        let uri: Uri = to.parse().map_err(|_| "it is not a URL")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let (Some(scheme), Some(host)) = (uri.scheme(), uri.host()) else {
            if uri.authority().is_some() {
                return Err("it is neither a URL nor an absolute path");
            }
            return Ok(Self {
                path: path.to_owned(),
                ..self.clone()
            });
        };
        let is_tls = *scheme == Scheme::HTTPS;
        if !is_tls && *scheme != Scheme::HTTP {
            return Err("it is neither http nor https");
        }
        let expected = if is_tls { ports.1 } else { ports.0 };
        let default = if is_tls { 443 } else { 80 };
        if uri
            .port_u16()
            .is_some_and(|port| port != expected && port != default)
        {
            return Err("authorities connect to the ports 80 and 443 only");
        }
        let host = DomainName::parse(host).map_err(|_| "its host is not a domain name")?;
        Ok(Self {
            is_tls,
            host,
            path: path.to_owned(),
        })
    }

    async fn get(&self, server: SocketAddr) -> io::Result<(StatusCode, Option<String>, Bytes)> {
        let stream = TcpStream::connect(server).await?;
        if self.is_tls {
            self.get_over(tls::connect(self.host.as_str(), stream).await?)
                .await
        } else {
            self.get_over(stream).await
        }
    }

    async fn get_over<S>(&self, stream: S) -> io::Result<(StatusCode, Option<String>, Bytes)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = Request::get(&self.path)
            .header(header::HOST, self.host.as_str())
            .header(header::USER_AGENT, "edgeseal")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(io::Error::other)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let exchange = async {
            let (head, body) = sender
                .send_request(request)
                .await
                .map_err(io::Error::other)?
                .into_parts();
            let location = head.headers.get(header::LOCATION);
            let location = location.and_then(|it| it.to_str().ok()).map(str::to_owned);
            let body = if head.status == StatusCode::OK {
                let body = Limited::new(body, BODY_MAX).collect().await;
                body.map_err(io::Error::other)?.to_bytes()
            } else {
                Bytes::new()
            };
            Ok((head.status, location, body))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            result = &mut exchange => result,
            // The exchange has everything that was received; it also reports a failed connection.
            _ = connection => exchange.await,
        }
    }
}

fn is_unroutable(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        NetworkUnreachable | HostUnreachable | AddrNotAvailable
    )
}

/// Text safe to show: short, on one line.
fn excerpt(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(SHOWN_MAX).map(printable).collect()
}
