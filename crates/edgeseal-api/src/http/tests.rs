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

use super::*;
use crate::Settings;

const NAME: &str = "api.example.com";
const DRAIN: Duration = Duration::from_secs(60);

/// The API over TLS on a port of its own.
struct Api {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Api {
    async fn start() -> Self {
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
        let context = Context::new(catalog, clock, Settings::default(), None).0;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(
            listener,
            Speaks::Https(Arc::new(config.unwrap())),
            Arc::new(context),
            async {
                let _ = stopped.await;
            },
            DRAIN,
        ));
        Self {
            address,
            certificate,
            stop,
            serving,
        }
    }

    /// A client that connects and says nothing.
    async fn silent(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The answer to a call that names no key.
    async fn call(&self) -> String {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, self.silent().await).await.unwrap();
        let path = "/?Action=DescribeUserDomains&Version=2018-05-10&Format=JSON";
        let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn calls_in_tls_are_answered_beside_clients_that_say_nothing() {
    let api = Api::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(api.silent().await);
    }
    let answer = api.call().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains(r#""Code":"MissingAccessKeyId""#),
        "{answer}"
    );
    assert!(answer.contains(r#""HostId":"api.example.com""#), "{answer}");
}

#[tokio::test]
async fn what_is_not_tls_is_not_answered() {
    let api = Api::start().await;
    let mut stream = api.silent().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // Closed with an alert (21), or reset since not all of it was read.
    let _ = stream.read_to_end(&mut answer).await;
    assert_ne!(answer.first(), Some(&b'H'));
    assert!(api.call().await.contains("MissingAccessKeyId"));
}

// The clock is moved on when everybody waits, which here is at once.
#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let api = Api::start().await;
    let begun = Instant::now();
    let mut silent = api.silent().await;
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "it is closed");
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
    let mut silent = api.silent().await;
    // Accepted later than the silent one, so that one was accepted as well.
    api.call().await;
    let begun = Instant::now();
    api.stop.send(()).unwrap();
    api.serving.await.unwrap();
    assert!(begun.elapsed() < HANDSHAKE_TIMEOUT, "it does not drain");
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "it is closed");
}
