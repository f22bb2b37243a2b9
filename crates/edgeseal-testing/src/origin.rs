//! Origins on loopback. Each lives as long as the runtime of its test.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use crate::{pki::TestCertificate, tls::server_config};

/// An origin whose response names the host and the path of the request.
pub struct Origin {
    pub address: SocketAddr,
}

impl Origin {
    pub async fn start() -> Self {
        let port = origin(async |request: Request<Incoming>| {
            let host = request.headers().get(header::HOST);
            let host = host.map_or("nobody", |host| host.to_str().unwrap());
            page_response(Self::page(host, request.uri().path()))
        })
        .await;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address }
    }

    /// The parameter `Sources` of `AddCdnDomain`.
    pub fn sources(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!(r#"[{{"content":"{ip}","type":"ipaddr","port":{port}}}]"#)
    }

    /// The body of the response to a request for `path` of `host`.
    pub fn page(host: &str, path: &str) -> String {
        format!("the origin of {host}, {path}\n")
    }
}

/// An origin with one page for all requests, which can be changed.
pub async fn changeable(page: &str) -> (watch::Sender<String>, SocketAddr) {
    let (change, page) = watch::channel(page.to_owned());
    let port = origin(move |_| {
        let page = page.borrow().clone();
        async { page_response(page) }
    })
    .await;
    (change, SocketAddr::from(([127, 0, 0, 1], port)))
}

fn page_response(page: String) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(page)))
}

/// An HTTP/1.1 origin; its port.
pub async fn origin<F, A, B>(answer: F) -> u16
where
    F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (listener, address) = listener().await;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address.port()
}

/// An origin that responds to every request with a text.
pub async fn saying(text: &'static str) -> u16 {
    origin(move |_| async move { Response::new(Full::new(Bytes::from_static(text.as_bytes()))) })
        .await
}

/// An origin that echoes the request headers: request line, then sorted headers.
pub async fn echo_head() -> u16 {
    origin(|request| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        lines.sort();
        lines.insert(0, format!("{} {}", request.method(), request.uri()));
        page_response(lines.join("\n"))
    })
    .await
}

/// An origin that responds `ok`, and the bytes that it received.
pub async fn recording() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let (listener, address) = listener().await;
    let record = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&record);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let record = Arc::clone(&record);
            let (near, far) = tokio::io::duplex(64 * 1024);
            let service = service_fn(|request: Request<Incoming>| async move {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), service));
            tokio::spawn(async move {
                let (mut from_edge, mut to_edge) = stream.into_split();
                let (mut answers, mut requests) = tokio::io::split(near);
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut answers, &mut to_edge).await;
                });
                let mut part = [0; 4096];
                while let Ok(count @ 1..) = from_edge.read(&mut part).await {
                    record.lock().unwrap().extend_from_slice(&part[..count]);
                    requests.write_all(&part[..count]).await.unwrap();
                }
            });
        }
    });
    (address.port(), recorded)
}

/// A TLS origin that responds with what it knows of each request: server name, version, host, and
/// the port of the connection's other end.
pub async fn tls_origin(certificate: &TestCertificate, alpn: &[&str]) -> u16 {
    let (listener, address) = listener().await;
    let acceptor = TlsAcceptor::from(Arc::new(server_config(certificate, alpn)));
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let sni = stream.get_ref().1.server_name().unwrap().to_owned();
                let service = service_fn(move |request: Request<Incoming>| {
                    let host = request
                        .headers()
                        .get("host")
                        .map(|host| host.to_str().unwrap());
                    let host = host.or_else(|| request.uri().authority().map(|host| host.as_str()));
                    let known = format!(
                        "{sni} {:?} {} {}",
                        request.version(),
                        host.unwrap(),
                        peer.port()
                    );
                    async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(known)))) }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address.port()
}

/// A listener on loopback.
pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port where nothing listens.
pub async fn dead_port() -> u16 {
    listener().await.1.port()
}
