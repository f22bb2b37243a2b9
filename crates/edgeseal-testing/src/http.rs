//! An HTTP client on one persistent connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::{tls, wait::TIMEOUT};

/// The connection.
pub enum HttpConnection {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

impl HttpConnection {
    /// HTTP/1.1 over TLS.
    pub async fn h1(server: SocketAddr, name: &str) -> Self {
        let stream = tls::connect(server, name, &["http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Self::h1_over(stream).await
    }

    /// HTTP/2 over TLS.
    pub async fn h2(server: SocketAddr, name: &str) -> Self {
        let stream = tls::connect(server, name, &["h2", "http/1.1"]).await;
        let stream = stream.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::h2_over(stream).await
    }

    /// Plaintext HTTP/1.1.
    pub async fn plain(server: SocketAddr) -> Self {
        Self::h1_over(TcpStream::connect(server).await.unwrap()).await
    }

    pub async fn h1_over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    pub async fn h2_over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::try_h2_over(stream).await.unwrap()
    }

    /// An error if the server has closed the connection.
    pub async fn try_h2_over<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await?;
        tokio::spawn(connection);
        Ok(Self::H2(sender))
    }

    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::H2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether the connection accepts no more requests.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::H1(sender) => sender.is_closed(),
            Self::H2(sender) => sender.is_closed(),
        }
    }

    /// Makes a request without a body.
    pub async fn ask(&mut self, method: Method, host: &str, path: &str) -> Response<Incoming> {
        let request = self.request(method, host, path);
        timeout(TIMEOUT, self.send(request)).await.unwrap().unwrap()
    }

    /// Status and body of a GET.
    pub async fn get(&mut self, host: &str, path: &str) -> (u16, String) {
        let got = timeout(TIMEOUT, self.try_get(host, path)).await;
        got.unwrap().unwrap()
    }

    /// As [`get`](Self::get), for a server that may close.
    pub async fn try_get(&mut self, host: &str, path: &str) -> Result<(u16, String), String> {
        let request = self.request(Method::GET, host, path);
        let response = self
            .send(request)
            .await
            .map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((head.status.as_u16(), body))
    }

    fn request(&self, method: Method, host: &str, path: &str) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method);
        let request = match self {
            Self::H1(_) => request.uri(path).header(header::HOST, host),
            Self::H2(_) => request.uri(format!("https://{host}{path}")),
        };
        request.body(Full::default()).unwrap()
    }
}

/// The body of a response.
pub async fn text(response: Response<Incoming>) -> String {
    let body = timeout(TIMEOUT, response.into_body().collect());
    let bytes = body.await.unwrap().unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
