//! HTTP/2 to origins as gRPC needs it: with TLS and in plaintext, in both directions at once, with
//! trailers.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use edgeseal_testing::{
    origin::listener,
    pki::{Authority, TestCertificate},
    tls::{connect, server_config},
};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::mpsc, time::timeout};

use crate::harness::{Harness, TIMEOUT};

type Parts = mpsc::Sender<Frame<Bytes>>;

fn streamed() -> (
    Parts,
    impl http_body::Body<Data = Bytes, Error = Infallible> + Send,
) {
    let (parts, mut taken) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| {
        taken
            .poll_recv(cx)
            .map(|frame: Option<Frame<Bytes>>| frame.map(Ok))
    });
    (parts, StreamBody::new(stream))
}

/// Responds to each message with `re: ` and the message, and `grpc-status` with the trailers it
/// got.
async fn conversation(
    request: Request<Incoming>,
) -> Response<impl http_body::Body<Data = Bytes, Error = Infallible> + Send> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    assert!(!request.headers().contains_key("host"));
    let scheme = request.uri().scheme_str().unwrap().to_owned();
    let (parts, body) = streamed();
    tokio::spawn(async move {
        let mut asked = request.into_body();
        while let Some(frame) = asked.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => {
                    let answer = [b"re: ", &data[..]].concat();
                    parts.send(Frame::data(answer.into())).await.unwrap();
                }
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap();
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    parts.send(Frame::trailers(trailers)).await.unwrap();
                }
            }
        }
    });
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-scheme", scheme);
    response.body(body).unwrap()
}

/// An origin that supports HTTP/2 only: with TLS if it has a certificate, in plaintext otherwise.
async fn talking(certificate: Option<&TestCertificate>) -> u16 {
    let (listener, address) = listener().await;
    let acceptor = certificate.map(|certificate| {
        tokio_rustls::TlsAcceptor::from(Arc::new(server_config(certificate, &["h2"])))
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service =
                service_fn(
                    |request| async move { Ok::<_, Infallible>(conversation(request).await) },
                );
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    Some(acceptor) => {
                        let stream = acceptor.accept(stream).await.unwrap();
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    }
                    None => {
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    }
                }
            });
        }
    });
    address.port()
}

#[tokio::test]
async fn streaming_calls_with_trailers_in_both_directions() {
    let world = Harness::new();
    let authority = Authority::new();
    let in_tls = talking(Some(&authority.issue(&["a.com"]))).await;
    let clear = talking(None).await;
    let file = world.ca_file(&authority);
    for (port, scheme) in [(in_tls, "https"), (clear, "http")] {
        world
            .serve("a.com", &TestCertificate::self_signed("a.com"), port)
            .await;
        let edge = world
            .edge_with(|options| {
                options.origin_tls_ports = vec![in_tls];
                options.origin_h2c_ports = vec![clear];
                options.origin_ca_file = Some(file.clone());
            })
            .await;
        let stream = connect(edge.https_addr(), "a.com", &["h2"]).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let (parts, body) = streamed();
        let request = Request::post("https://a.com/pkg.Service/Talk")
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(body)
            .unwrap();
        let response = timeout(TIMEOUT, sender.send_request(request))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.headers()["x-scheme"], scheme);
        let mut body = response.into_body();
        let next = async |body: &mut Incoming| {
            let frame = timeout(TIMEOUT, body.frame()).await.unwrap();
            frame.unwrap().unwrap()
        };
        for message in ["one", "two", "three"] {
            parts.send(Frame::data(message.into())).await.unwrap();
            let answer = next(&mut body).await.into_data().unwrap();
            assert_eq!(answer, format!("re: {message}"));
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("3"));
        parts.send(Frame::trailers(trailers)).await.unwrap();
        let trailers = next(&mut body).await.into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-sum"], "3");
        edge.drain().await;
    }
}
