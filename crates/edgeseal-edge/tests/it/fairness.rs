//! One source takes all it can get, and another one is served anyway.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use edgeseal_testing::{
    http::HttpConnection,
    origin::{listener, origin, saying},
    pki::TestCertificate,
    tls::client_config,
};
use h2::{Reason, client::SendRequest};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::harness::{DomainBuilder as _, Harness, TIMEOUT, domain};

const FLOOD: &str = "127.0.0.2";
const CLIENT: &str = "127.0.0.3";

async fn from(source: &str, edge: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    socket.connect(edge).await.unwrap()
}

async fn tls_from(
    source: &str,
    edge: SocketAddr,
    alpn: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = from(source, edge).await;
    let config = Arc::new(client_config(rustls::DEFAULT_VERSIONS, &[alpn]));
    let name = ServerName::try_from("a.com").unwrap();
    let connecting = TlsConnector::from(config).connect(name, stream);
    timeout(TIMEOUT, connecting).await?
}

/// Whether the other side closes in time.
async fn is_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let closed = timeout(TIMEOUT, stream.read(&mut [0])).await;
    closed.is_ok_and(|read| !matches!(read, Ok(1..)))
}

/// Whether a request over a connection from this source gets a response.
async fn is_served(source: &str, edge: SocketAddr) -> bool {
    let Ok(mut stream) = tls_from(source, edge, "http/1.1").await else {
        return false;
    };
    let ask = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
    answer.starts_with(b"HTTP/1.1 200 ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_holds_all_connections_is_evicted() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    for slow in [true, false] {
        let edge = world
            .edge_with(|options| {
                options.limits.connections = 8;
                options.limits.connections_per_source = 8;
                options.limits.handshakes = 16;
            })
            .await;
        let address = edge.https_addr();
        let mut slow_ones = Vec::new();
        let mut idle_ones = Vec::new();
        for _ in 0..8 {
            if slow {
                let mut stream = from(FLOOD, address).await;
                let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await;
                slow_ones.push(stream);
            } else {
                idle_ones.push(tls_from(FLOOD, address, "http/1.1").await.unwrap());
            }
        }
        for _ in 0..3 {
            assert!(is_served(CLIENT, address).await, "slow: {slow}");
        }
        let mut closed = 0;
        for stream in &mut slow_ones {
            closed += usize::from(
                timeout(Duration::from_millis(50), is_closed(stream)).await == Ok(true),
            );
        }
        for stream in &mut idle_ones {
            closed += usize::from(
                timeout(Duration::from_millis(50), is_closed(stream)).await == Ok(true),
            );
        }
        assert!((1..=4).contains(&closed), "{closed} of 8 were closed");
        drop((slow_ones, idle_ones));
        edge.drain().await;
    }
}

/// Where no source holds more than one, there is still capacity for others, in place of an idle
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_evicted_for_newcomers() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.limits.connections = 3)
        .await;
    // The edge holds one of them itself until it has proven what it serves.
    world
        .report("default", |report| !report.proofs.is_empty())
        .await;
    let address = edge.https_addr();
    let mut silent = Vec::new();
    for source in ["127.1.1.1", "127.1.2.1"] {
        let mut stream = tls_from(source, address, "http/1.1").await.unwrap();
        // The response shows that the edge, too, has completed the handshake before the next one.
        ask_once(&mut stream).await;
        silent.push(stream);
    }
    let mut used = tls_from("127.1.3.1", address, "http/1.1").await.unwrap();
    ask_once(&mut used).await;
    let served = async {
        while !is_served("127.1.4.1", address).await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TIMEOUT, served).await.expect("in place of another");
    assert!(is_closed(&mut silent[0]).await, "it was idle for longest");
    ask_once(&mut used).await;
}

/// A request and its response; the connection stays open.
async fn ask_once(stream: &mut TlsStream<TcpStream>) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.com\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let read = timeout(TIMEOUT, stream.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "closed");
    }
}

/// An origin that accepts every upgrade.
async fn upgrading() -> u16 {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                              Upgrade: websocket\r\n\r\n";
                stream.write_all(answer.as_bytes()).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address.port()
}

async fn tunnel(source: &str, edge: SocketAddr) -> Option<TcpStream> {
    let mut stream = from(source, edge).await;
    let ask = "GET / HTTP/1.1\r\nHost: a.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(TIMEOUT, stream.read_u8()).await.unwrap().ok()?);
    }
    head.starts_with(b"HTTP/1.1 101 ").then_some(stream)
}

/// The tunnel echoes.
async fn echoes(stream: &mut TcpStream) -> bool {
    stream.write_all(b"x").await.is_ok()
        && matches!(timeout(TIMEOUT, stream.read_u8()).await, Ok(Ok(b'x')))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_a_connection_until_it_ends() {
    let world = Harness::new();
    let port = upgrading().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| {
            options.limits.connections = 4;
            options.limits.connections_per_source = 3;
        })
        .await;
    let address = edge.http_addr().unwrap();
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        tunnels.push(tunnel(FLOOD, address).await.unwrap());
    }
    for one in &mut tunnels {
        assert!(echoes(one).await);
    }
    assert!(tunnel(FLOOD, address).await.is_none(), "it has three");
    drop(tunnels.pop());
    let again = async {
        loop {
            if let Some(tunnel) = tunnel(FLOOD, address).await {
                break tunnel;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    tunnels.push(timeout(TIMEOUT, again).await.unwrap());
    // Two clients: the first finds a free connection, the second one evicts a tunnel.
    let mut visitors = [
        tunnel(CLIENT, address).await.unwrap(),
        tunnel("127.0.0.4", address).await.unwrap(),
    ];
    for one in &mut visitors {
        assert!(echoes(one).await);
    }
    let mut left = 0;
    for one in &mut tunnels {
        left += usize::from(echoes(one).await);
    }
    assert_eq!(left, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_is_closed_and_a_waiting_one_is_not() {
    let port = origin(|request| async move {
        if request.uri().path() == "/slow" {
            sleep(Duration::from_millis(1500)).await;
        }
        Response::new(Full::from("hello"))
    })
    .await;
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.header_timeout = Duration::from_millis(400))
        .await;
    let mut idle = HttpConnection::h2(edge.https_addr(), "a.com").await;
    let mut waiting = HttpConnection::h2(edge.https_addr(), "a.com").await;
    assert_eq!(idle.get("a.com", "/").await.0, 200);
    let closed = async {
        while !idle.is_closed() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let (closed, answer) = tokio::join!(timeout(TIMEOUT, closed), waiting.get("a.com", "/slow"));
    closed.expect("closed when it is idle");
    assert_eq!(answer, (200, "hello".to_owned()));
}

/// An HTTP/2 client that reads no response.
struct NonReadingClient {
    send: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl NonReadingClient {
    async fn new(source: &str, edge: SocketAddr) -> Self {
        let stream = tls_from(source, edge, "h2").await.unwrap();
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(0)
            .handshake(stream)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        Self { send, connection }
    }

    /// Sends a request and returns the response headers; the body stays unread.
    async fn ask(&mut self) -> Result<Response<h2::RecvStream>, h2::Error> {
        let request = Request::get("https://a.com/").body(()).unwrap();
        let mut send = self.send.clone().ready().await?;
        let (answer, _) = send.send_request(request, true)?;
        timeout(TIMEOUT, answer).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_count_as_streams_of_their_source() {
    let world = Harness::new();
    let port = saying("hello").await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| {
            options.limits.streams = 4;
            options.limits.streams_per_source = 3;
        })
        .await;
    let mut flood = NonReadingClient::new(FLOOD, edge.https_addr()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(flood.ask().await.unwrap());
    }
    let refused = flood.ask().await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
    // Dropping one frees capacity for another.
    answers.pop();
    let again = async {
        loop {
            match flood.ask().await {
                Ok(answer) => break answer,
                Err(error) => assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM)),
            }
        }
    };
    answers.push(timeout(TIMEOUT, again).await.unwrap());
    // Another source needs more than are left, and gets it.
    let mut visitor = NonReadingClient::new(CLIENT, edge.https_addr()).await;
    for _ in 0..3 {
        answers.push(visitor.ask().await.unwrap());
    }
    let ended = timeout(TIMEOUT, flood.connection).await;
    assert!(ended.is_ok(), "the connection with most streams is closed");
    assert!(!visitor.connection.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_do_not_occupy_an_origin() {
    let port = origin(|_| async { Response::new(Full::from(vec![7_u8; 4 * 1024 * 1024])) }).await;
    let world = Harness::new();
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.origin_connections = 4)
        .await;
    let mut flood = NonReadingClient::new(FLOOD, edge.https_addr()).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(flood.ask().await.unwrap());
    }
    for _ in 0..2 {
        assert!(is_served(CLIENT, edge.https_addr()).await);
    }
    // A response was evicted; the connection of its client goes on.
    assert!(!flood.connection.is_finished());
}

/// A plaintext HTTP/2 origin with long responses; how many connections it has had.
async fn long_over_h2c() -> (u16, Arc<AtomicUsize>) {
    let (listener, address) = listener().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|_: Request<Incoming>| async {
                let body = Full::<Bytes>::from(vec![7; 1024 * 1024]);
                Ok::<_, Infallible>(Response::new(body))
            });
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address.port(), connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_do_not_block_a_shared_connection() {
    let world = Harness::new();
    let (port, connections) = long_over_h2c().await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| options.origin_h2c_ports = vec![port])
        .await;
    let mut answers = Vec::new();
    let mut flood = NonReadingClient::new(FLOOD, edge.https_addr()).await;
    for (count, used) in [(20, 1), (50, 2)] {
        for _ in 0..count {
            answers.push(flood.ask().await.unwrap());
        }
        let mut visitor = HttpConnection::h2(edge.https_addr(), "a.com").await;
        for _ in 0..3 {
            let (status, text) = visitor.get("a.com", "/").await;
            assert_eq!((status, text.len()), (200, 1024 * 1024));
        }
        assert_eq!(connections.load(Ordering::SeqCst), used);
    }
    assert!(!flood.connection.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_exceeds_its_stream_target_rather_than_refuse() {
    let world = Harness::new();
    let (port, connections) = long_over_h2c().await;
    world
        .serve("a.com", &TestCertificate::self_signed("a.com"), port)
        .await;
    let edge = world
        .edge_with(|options| {
            options.origin_h2c_ports = vec![port];
            options.origin_connections = 1;
            options.timeouts.connect = Duration::from_millis(500);
        })
        .await;
    let mut visitor = NonReadingClient::new(CLIENT, edge.https_addr()).await;
    let mut answers = Vec::new();
    for _ in 0..70 {
        answers.push(visitor.ask().await.unwrap());
        assert_eq!(answers.last().unwrap().status(), 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_holds_the_origin_s_connection_until_another_source_needs_it() {
    let world = Harness::new();
    let port = upgrading().await;
    world.put(&domain("a.com").with_origin(port)).await;
    let edge = world
        .edge_with(|options| {
            options.origin_connections = 2;
            options.timeouts.connect = Duration::from_millis(300);
        })
        .await;
    let address = edge.http_addr().unwrap();
    let mut first = tunnel(FLOOD, address).await.unwrap();
    let mut second = tunnel(FLOOD, address).await.unwrap();
    assert!(tunnel(FLOOD, address).await.is_none(), "both are in use");
    let mut visitor = tunnel(CLIENT, address).await.unwrap();
    assert!(echoes(&mut visitor).await);
    let left = usize::from(echoes(&mut first).await) + usize::from(echoes(&mut second).await);
    assert_eq!(left, 1);
}
