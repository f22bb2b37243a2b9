//! A small origin, and HTTP clients for the edge in front of it.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
};

/// An origin whose response repeats the request.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer));
                tokio::spawn(connection);
            }
        });
        Self { address }
    }

    /// The parameter `Sources` of `AddCdnDomain`.
    pub(crate) fn sources(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!(r#"[{{"content":"{ip}","type":"ipaddr","port":{port}}}]"#)
    }

    /// The body of the response to a request for `path` of `host`.
    pub(crate) fn page(host: &str, path: &str) -> String {
        format!("the origin of {host}, {path}\n")
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let host = request.headers().get(header::HOST);
    let host = host.map_or("nobody", |host| host.to_str().unwrap());
    let page = Origin::page(host, request.uri().path());
    Ok(Response::new(Full::new(Bytes::from(page))))
}

/// A web server with one page for all requests, which can be changed.
pub(crate) async fn serve(page: &str) -> (watch::Sender<String>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (change, page) = watch::channel(page.to_owned());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let page = page.clone();
            let answer = service_fn(move |_: Request<Incoming>| {
                let body = Full::new(Bytes::from(page.borrow().clone()));
                async { Ok::<_, Infallible>(Response::new(body)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    (change, address)
}

/// A persistent client connection.
pub(crate) enum Connection {
    H1(http1::SendRequest<Empty<Bytes>>),
    H2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    pub(crate) async fn h1<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    pub(crate) async fn h2<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self::H2(sender)
    }

    /// Status and body of a GET.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Result<(u16, String), String> {
        let request = Request::builder();
        let response = match self {
            Self::H1(sender) => {
                let request = request.uri(path).header(header::HOST, host);
                sender.ready().await.map_err(|error| error.to_string())?;
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await
            }
            Self::H2(sender) => {
                let request = request
                    .uri(format!("https://{host}{path}"))
                    .version(Version::HTTP_2);
                sender.ready().await.map_err(|error| error.to_string())?;
                sender
                    .send_request(request.body(Empty::new()).unwrap())
                    .await
            }
        };
        let (head, body) = response.map_err(|error| error.to_string())?.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok((head.status.as_u16(), body))
    }
}
