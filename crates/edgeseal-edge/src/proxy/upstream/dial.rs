//! New connections to origins: name resolution, TCP, TLS, HTTP.

use std::{io, time::Duration};

use http::Uri;
use hyper::client::conn::{http1, http2};
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tower_service::Service as _;

use super::{
    super::body::Lent,
    pool::{Destination, Sender},
};
use crate::tls::OriginTls;

/// The fields of one answer over HTTP/2; by default it would be 16 KiB.
const HEAD_BYTES_MAX: u32 = 128 * 1024;

/// Makes connections.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    http: HttpConnector,
    tls: OriginTls,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotConnected {
    /// Its name does not resolve, or it refuses.
    #[error("it cannot be connected to")]
    Tcp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not prove to be the host that is asked for, or speaks no TLS.
    #[error("the TLS handshake for {host} failed")]
    Tls {
        /// The host.
        host: Box<str>,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// HTTP does not begin.
    #[error("HTTP does not begin")]
    Http(#[from] hyper::Error),
    /// As many connections as are allowed are in use.
    #[error("all connections that are allowed to it are in use")]
    Busy,
    /// Too slow.
    #[error("connecting took too long")]
    TimedOut,
}

impl Dial {
    pub(super) fn new(tls: OriginTls) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(60)));
        Self { http, tls }
    }

    /// A new connection. It lives in a task of its own, and with it the permit.
    pub(super) async fn connect(
        &self,
        to: &Destination,
        http1_only: bool,
        permit: OwnedSemaphorePermit,
    ) -> Result<Sender, NotConnected> {
        let tcp = self.tcp(&to.authority).await?;
        let Some(host) = &to.tls_host else {
            return if to.h2c && !http1_only {
                http2(tcp, permit).await
            } else {
                http1(tcp, permit).await
            };
        };
        let verified = self
            .tls
            .connect(host, tcp, http1_only)
            .await
            .map_err(|cause| NotConnected::Tls {
                host: host.clone(),
                cause,
            })?;
        if verified.h2 {
            http2(verified.stream, permit).await
        } else {
            http1(verified.stream, permit).await
        }
    }

    async fn tcp(&self, authority: &str) -> Result<TcpStream, NotConnected> {
        let uri = Uri::builder()
            .scheme("http")
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|error| NotConnected::Tcp(error.into()))?;
        let connecting = self.http.clone().call(uri);
        let connected = connecting
            .await
            .map_err(|error| NotConnected::Tcp(error.into()))?;
        Ok(connected.into_inner())
    }
}

async fn http1<S>(stream: S, permit: OwnedSemaphorePermit) -> Result<Sender, NotConnected>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .handshake::<_, Lent>(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        log_end(connection.with_upgrades().await);
        drop(permit);
    });
    Ok(Sender::Http1(sender))
}

async fn http2<S>(stream: S, permit: OwnedSemaphorePermit) -> Result<Sender, NotConnected>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_header_list_size(HEAD_BYTES_MAX)
        .handshake::<_, Lent>(TokioIo::new(stream))
        .await?;
    tokio::spawn(async move {
        log_end(connection.await);
        drop(permit);
    });
    Ok(Sender::Http2(sender))
}

fn log_end(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection to an origin ended early"
        );
    }
}
