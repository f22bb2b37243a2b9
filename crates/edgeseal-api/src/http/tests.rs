use edgeseal_core::Timestamp;
use edgeseal_store::{Catalog, Keyring, memory::MemoryStore};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::{paced_reader::GRACE, *};
use crate::Settings;

mod budget;

const NAME: &str = "api.example.com";
const DRAIN: Duration = Duration::from_secs(60);

/// The API over TLS on a port of its own.
struct Api {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    context: Arc<Context>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Api {
    async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    async fn start_with(settings: Settings) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            );
        let keyring = Keyring::parse(&Keyring::generate()).unwrap();
        let catalog = Catalog::new(Arc::new(MemoryStore::new()), keyring);
        let clock = || Timestamp::from_unix_seconds(1_800_000_000);
        let context = Arc::new(Context::new(catalog, clock, settings, None).0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(
            listener,
            Protocol::Https(Arc::new(config.unwrap())),
            Arc::clone(&context),
            async {
                let _ = stopped.await;
                ShutdownTimeouts {
                    unused: Duration::ZERO,
                    drain: DRAIN,
                }
            },
        ));
        Self {
            address,
            certificate,
            context,
            stop,
            serving,
        }
    }

    /// A client that connects and sends nothing.
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The response to a call without an access key.
    async fn call(&self) -> String {
        let mut stream = self.connect_tls().await.unwrap();
        let path = "/?Action=DescribeUserDomains&Version=2018-05-10&Format=JSON";
        let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    /// A connection after its handshake.
    async fn connect_tls(&self) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        self.connect_tls_from([127, 0, 0, 1]).await
    }

    /// A TLS connection from this local address.
    async fn connect_tls_from(
        &self,
        source: [u8; 4],
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name, connect_from(self, source).await)
            .await
    }
}

#[tokio::test]
async fn calls_in_tls_are_answered_beside_clients_that_say_nothing() {
    let api = Api::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(api.connect().await);
    }
    let response = api.call().await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(
        response.contains(r#""Code":"MissingAccessKeyId""#),
        "{response}"
    );
    assert!(
        response.contains(r#""HostId":"api.example.com""#),
        "{response}"
    );
}

#[tokio::test]
async fn what_is_not_tls_is_not_answered() {
    let api = Api::start().await;
    let mut stream = api.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut response = Vec::new();
    // Closed with an alert (21), or reset because not all of it was read.
    let _ = stream.read_to_end(&mut response).await;
    assert_ne!(response.first(), Some(&b'H'));
    assert!(api.call().await.contains("MissingAccessKeyId"));
}

// The paused clock advances when every task waits, which here is at once.
#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let api = Api::start().await;
    let begun = Instant::now();
    let mut silent = api.connect().await;
    assert_eq!(
        silent.read(&mut [0]).await.unwrap(),
        0,
        "the connection is closed"
    );
    let took = begun.elapsed();
    assert!(took >= HANDSHAKE_TIMEOUT, "{took:?}");
    assert!(
        took < HANDSHAKE_TIMEOUT + Duration::from_secs(1),
        "{took:?}"
    );
}

#[tokio::test]
async fn the_end_gives_up_handshakes() {
    let api = Api::start().await;
    let mut silent = api.connect().await;
    // Accepted after the silent connection, so that one has been accepted as well.
    api.call().await;
    let begun = Instant::now();
    api.stop.send(()).unwrap();
    api.serving.await.unwrap();
    assert!(
        begun.elapsed() < HANDSHAKE_TIMEOUT,
        "the server drains without waiting"
    );
    assert_eq!(
        silent.read(&mut [0]).await.unwrap(),
        0,
        "the connection is closed"
    );
}

/// Sends a head, then a byte every five seconds until the response arrives; returns the response
/// and how long it took.
async fn trickle(api: &Api, head: &str) -> (String, Duration) {
    let begun = Instant::now();
    let stream = api.connect_tls().await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    writer.write_all(head.as_bytes()).await.unwrap();
    writer.flush().await.unwrap();
    let send = async {
        loop {
            sleep(Duration::from_secs(5)).await;
            if writer.write_all(b"x").await.is_err() || writer.flush().await.is_err() {
                // The response is on its way.
                std::future::pending::<()>().await;
            }
        }
    };
    let mut response = Vec::new();
    let read = async {
        // It may be reset instead of closed, because not all of the body was read.
        let _ = reader.read_to_end(&mut response).await;
    };
    tokio::select! {
        () = send => {}
        () = read => {}
    }
    (String::from_utf8(response).unwrap(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_has_ten_seconds() {
    let api = Api::start().await;
    let target = "/?Action=DescribeUserDomains&Version=2018-05-10&Format=JSON";
    let head = format!("POST {target} HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: 1000\r\n\r\n");
    let (response, took) = trickle(&api, &head).await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("connection: close"), "{response}");
    assert!(took >= GRACE, "{took:?}");
    assert!(took <= GRACE + Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_with_the_message_before_has_its_time_too() {
    let api = Api::start().await;
    let mut stream = api.connect_tls().await.unwrap();
    let get = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    let post = format!("POST / HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: 1000\r\n\r\n");
    stream.write_all((get + &post).as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut answers = String::new();
    // It may be reset instead of closed, because not all of the body was read.
    let _ = stream.read_to_string(&mut answers).await;
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
    let took = began.elapsed();
    assert!(took <= GRACE + Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_in_has_ten_seconds() {
    let api = Api::start().await;
    let (response, took) = trickle(&api, "GET / HTTP/1.1\r\nx-slow: ").await;
    assert!(!response.contains("HTTP/1.1 2"), "{response}");
    assert!(took >= GRACE, "{took:?}");
    assert!(took <= GRACE + Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_source_has_so_many_connections_and_a_closed_one_makes_room() {
    let connections = ConnectionLimits {
        total: 8,
        per_source: 2,
    };
    let api = Api::start_with(Settings {
        connection_limits: connections,
        ..Settings::default()
    })
    .await;
    let first = api.connect_tls().await.unwrap();
    let _second = api.connect_tls().await.unwrap();
    let mut third = api.connect().await;
    let closed = third.read(&mut [0]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    drop(first);
    // The server notices the end of the first connection eventually.
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.connect_tls().await.is_err() {
        assert!(Instant::now() < deadline, "no connection is accepted");
        tokio::task::yield_now().await;
    }
}

/// A silent connection from this local address.
async fn connect_from(api: &Api, source: [u8; 4]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    socket.connect(api.address).await.unwrap()
}

#[tokio::test]
async fn one_source_that_holds_everything_keeps_nobody_else_out() {
    let connections = ConnectionLimits {
        total: 8,
        per_source: 8,
    };
    let api = Api::start_with(Settings {
        connection_limits: connections,
        ..Settings::default()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(connect_from(&api, [127, 0, 0, 2]).await);
    }
    // The call is answered although none of the other connections has closed.
    assert!(api.call().await.contains("MissingAccessKeyId"));
    // The oldest one was evicted.
    assert_eq!(
        held[0].read(&mut [0]).await.unwrap(),
        0,
        "the connection is closed"
    );
}

// The paused clock advances when every task waits: here once both buffers are full.
#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_no_answer_has_thirty_seconds() {
    let api = Api::start().await;
    let mut stream = api.connect_tls().await.unwrap();
    let call = format!("GET /?Action=DescribeUserDomains HTTP/1.1\r\nhost: {NAME}\r\n\r\n");
    let calls = call.repeat(100);
    let cut = async { while stream.write_all(calls.as_bytes()).await.is_ok() {} };
    timeout(10 * WRITE_TIMEOUT, cut)
        .await
        .expect("the connection is cut off");
}

// As above.
#[tokio::test(start_paused = true)]
async fn a_body_that_keeps_its_pace_has_longer() {
    let api = Api::start().await;
    let target = "/?Action=DescribeUserDomains&Version=2018-05-10&Format=JSON";
    let length = 13 * 20_000;
    let head =
        format!("POST {target} HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {length}\r\n\r\n");
    let stream = api.connect_tls().await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    writer.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..13 {
        writer.write_all(&[b'x'; 20_000]).await.unwrap();
        writer.flush().await.unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let mut response = vec![0; 2000];
    let read = reader.read(&mut response).await.unwrap();
    let response = String::from_utf8_lossy(&response[..read]);
    assert!(response.contains("InvalidParameter.Format"), "{response}");
    assert!(!response.contains("connection: close"), "{response}");
}
