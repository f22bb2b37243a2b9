//! Origins.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::harness::Certificate;

/// An HTTP/1.1 origin; its port.
pub(crate) async fn origin<F, A, B>(answer: F) -> u16
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
pub(crate) async fn saying(text: &'static str) -> u16 {
    origin(move |_| async move { Response::new(Full::new(Bytes::from_static(text.as_bytes()))) })
        .await
}

/// An origin that echoes the request headers: request line, then sorted headers.
pub(crate) async fn echo_head() -> u16 {
    origin(|request| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
            .collect();
        lines.sort();
        lines.insert(0, format!("{} {}", request.method(), request.uri()));
        Response::new(Full::new(Bytes::from(lines.join("\n"))))
    })
    .await
}

/// An origin that responds `ok`, and the bytes that it received.
pub(crate) async fn recording() -> (u16, Arc<Mutex<Vec<u8>>>) {
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
pub(crate) async fn tls_origin(certificate: &Certificate, alpn: &[&str]) -> u16 {
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

pub(crate) fn server_config(certificate: &Certificate, alpn: &[&str]) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from(certificate.leaf.clone())];
    let key = PrivateKeyDer::try_from(certificate.key.clone()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port where nothing listens.
pub(crate) async fn dead_port() -> u16 {
    listener().await.1.port()
}
